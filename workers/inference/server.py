"""Server: `/v1/models`, `/v1/chat/completions` and `/health` over one engine."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from pipeline.errors import HoneError, as_hone_error
from pipeline.generation.engine import Engine
from pipeline.generation.requests import Failed, Finished, GenerationEvent, Loading, Piece, Stats, TokenLogprob
from workers.inference import wire
from workers.inference.answers import Answers

Catalogue = Callable[[], Mapping[str, str]]
"""The models that are served now: each name with its folder or Hugging Face id."""


def create_app(
    engine: Engine, catalogue: Catalogue, *, key: str = "", allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
) -> FastAPI:
    """The server's application; it closes the engine when it shuts down.

    Args:
        key: Bearer key that every request under `/v1` must carry; empty asks for none.
        allowed_hosts: Host names under which it answers: a web page elsewhere cannot reach it by rebinding its name.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(engine.close)

    def require_key(authorization: Annotated[str, Header()] = "") -> None:
        if key and not secrets.compare_digest(authorization.encode(), f"Bearer {key}".encode()):
            raise HTTPException(401, "The key is missing or wrong: send `Authorization: Bearer` and the server's key.")

    app = FastAPI(title="Hone inference", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts))
    _answer_errors_in_openai_shape(app)

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {
            "status": "ok",
            "device": engine.device,
            "num_running": engine.num_running,
            "num_restarts": engine.num_restarts,
        }

    @app.get("/v1/models", dependencies=[Depends(require_key)])
    def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [_model_body(engine, *entry) for entry in catalogue().items()]}

    @app.post("/v1/chat/completions", dependencies=[Depends(require_key)], response_model=None)
    async def chat(body: wire.ChatRequest, request: Request) -> Response:
        location = (await asyncio.to_thread(catalogue)).get(body.model)
        if location is None:
            raise wire.UnknownModel(f"No model named {body.model!r} is served here.", "GET /v1/models lists them.")
        answers = await Answers.begin(engine, body.generation_requests(location))
        reply = wire.Reply(secrets.token_hex(12), body.model)
        if not body.stream:
            return await _whole_reply(answers, reply, request, num_answers=body.n)
        events = answers.events()
        try:
            first = await anext(events)
        except BaseException:
            answers.cancel()
            raise
        if isinstance(first[1], Failed):
            answers.cancel()
            raise first[1].error
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        stream = _stream(answers, first, events, reply, num_answers=body.n, include_usage=include_usage)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    return app


async def _whole_reply(answers: Answers, reply: wire.Reply, request: Request, *, num_answers: int) -> Response:
    collecting = asyncio.create_task(_collect(answers, num_answers))
    leaving = asyncio.create_task(_wait_until_left(request))
    try:
        await asyncio.wait({collecting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not collecting.done():
            return Response(status_code=499)  # no one is there to read it
        choices, stats = collecting.result()
        return JSONResponse(reply.whole(choices, stats))
    finally:
        answers.cancel()
        collecting.cancel()
        leaving.cancel()


async def _collect(answers: Answers, num_answers: int) -> tuple[list[dict[str, Any]], list[Stats]]:
    texts: list[list[str]] = [[] for _ in range(num_answers)]
    logprobs: list[list[TokenLogprob]] = [[] for _ in range(num_answers)]
    stats: dict[int, Stats] = {}
    async for number, event in answers.events():
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Piece):
            texts[number].append(event.text)
            logprobs[number] += event.logprobs
        elif isinstance(event, Finished):
            stats[number] = event.stats
            logprobs[number] += event.tail_logprobs
    choices = [
        wire.message_choice(
            number,
            "".join(texts[number]),
            logprobs=logprobs[number],
            finish_reason=stats[number].finish_reason,
        )
        for number in range(num_answers)
    ]
    return choices, [stats[number] for number in range(num_answers)]


async def _wait_until_left(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(0.1)


async def _stream(
    answers: Answers,
    first: tuple[int, GenerationEvent],
    rest: AsyncIterator[tuple[int, GenerationEvent]],
    reply: wire.Reply,
    *,
    num_answers: int,
    include_usage: bool,
) -> AsyncIterator[str]:
    """The answers as server-sent events; closing the connection closes this generator, which cancels them."""
    stats: list[Stats] = []
    try:
        for number in range(num_answers):
            yield _sse(reply.chunk([wire.delta_choice(number, {"role": "assistant", "content": ""})]))
        number, event = first
        while True:
            if isinstance(event, Finished):
                stats.append(event.stats)
            yield _sse(_chunk_of(reply, number, event))
            if isinstance(event, Failed):
                return
            try:
                number, event = await anext(rest)
            except StopAsyncIteration:
                break
        if include_usage:
            yield _sse(reply.chunk([], usage=wire.usage(stats)))
        yield "data: [DONE]\n\n"
    finally:
        answers.cancel()


def _chunk_of(reply: wire.Reply, number: int, event: GenerationEvent) -> dict[str, Any]:
    if isinstance(event, Loading):
        return reply.chunk([], hone={"state": "loading"})
    if isinstance(event, Piece):
        return reply.chunk([wire.delta_choice(number, {"content": event.text}, logprobs=event.logprobs)])
    if isinstance(event, Finished):
        reason = event.stats.finish_reason
        end = wire.delta_choice(number, {}, logprobs=event.tail_logprobs, finish_reason=reason)
        return reply.chunk([end], hone={"stats": wire.stats_body(event.stats)})
    return wire.error_body(event.error)


def _sse(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


def _model_body(engine: Engine, name: str, location: str) -> dict[str, Any]:
    hone: dict[str, Any]
    try:
        hone = {"state": engine.state_of(location)}
    except HoneError as error:
        hone = {"state": "unusable", "fault": str(error)}
    return {"id": name, "object": "model", "created": 0, "owned_by": "hone", "hone": hone}


def _answer_errors_in_openai_shape(app: FastAPI) -> None:
    @app.exception_handler(HoneError)
    async def refuse(request: Request, error: HoneError) -> Response:
        return JSONResponse(wire.error_body(error), status_code=wire.status_of(error))

    @app.exception_handler(RequestValidationError)
    async def refuse_body(request: Request, error: RequestValidationError) -> Response:
        return await refuse(request, wire.BadRequest(wire.describe_faults(error.errors())))

    @app.exception_handler(HTTPException)
    async def refuse_http(request: Request, error: HTTPException) -> Response:
        body = {"error": {"message": error.detail, "type": "invalid_request_error", "param": None, "code": None}}
        return JSONResponse(body, status_code=error.status_code)

    @app.exception_handler(Exception)
    async def confess(request: Request, error: Exception) -> Response:
        return await refuse(request, as_hone_error(error))
