"""Server: OpenAI's `/v1`, our own `/hone` and `/health` over one engine."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from pipeline.errors import HoneError, as_hone_error
from pipeline.generation.engine import Engine
from workers.inference import insight, wire
from workers.inference.answers import Answers
from workers.inference.completions import CompletionReply, CompletionRequest
from workers.inference.replying import reply_in_parts, reply_whole, while_connected
from workers.inference.training_view import LengthsRequest, TrainedRequest, TrainingView

Catalogue = Callable[[], Mapping[str, str]]
"""The models that are served now: each name with its folder or Hugging Face id."""


@dataclass(frozen=True)
class Keys:
    """Keys that were given out.

    Args:
        accepts: Whether a key is one of them.
        exist: Whether there are any; while there are none, and the server has no key of its own, none is asked for.
    """

    accepts: Callable[[str], bool]
    exist: Callable[[], bool]


def create_app(
    engine: Engine,
    catalogue: Catalogue,
    *,
    key: str = "",
    keys: Keys | None = None,
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost"),
) -> FastAPI:
    """The server's application; it closes the engine when it shuts down.

    Every request under `/v1` and `/hone` must carry a Bearer key as soon as there is one, the server's own or any
    of those given out.

    Args:
        key: The server's own key; empty where it has none.
        keys: Those given out to people and programs.
        allowed_hosts: Host names under which it answers: a web page elsewhere cannot reach it by rebinding its name.
    """

    training_view = TrainingView()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(training_view.close)
        await asyncio.to_thread(engine.close)

    def require_key(authorization: Annotated[str, Header()] = "") -> None:
        received = authorization.removeprefix("Bearer ").strip()
        if key and secrets.compare_digest(received.encode(), key.encode()):
            return
        if keys and received and keys.accepts(received):
            return
        if key or (keys and keys.exist()):
            raise HTTPException(401, "The key is missing or wrong: send `Authorization: Bearer` and a key.")

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
        location = await asyncio.to_thread(_location_of, catalogue, body.model)
        answers = await Answers.begin(engine, body.generation_requests(location))
        reply = wire.ChatReply(secrets.token_hex(12), body.model, num_answers=body.n)
        if body.stream:
            return await reply_in_parts(answers, reply, includes_usage=body.includes_usage)
        return await reply_whole(answers, reply, request)

    @app.post("/v1/completions", dependencies=[Depends(require_key)], response_model=None)
    async def complete(body: CompletionRequest, request: Request) -> Response:
        location = await asyncio.to_thread(_location_of, catalogue, body.model)
        requests = body.generation_requests(location)
        echoed = await asyncio.to_thread(_echoed, engine, location, body)
        answers = await Answers.begin(engine, requests)
        reply = CompletionReply(secrets.token_hex(12), body.model, prompts=echoed, num_each=body.n)
        if body.stream:
            return await reply_in_parts(answers, reply, includes_usage=body.includes_usage)
        return await reply_whole(answers, reply, request)

    @app.post("/hone/render", dependencies=[Depends(require_key)])
    def render(body: insight.RenderRequest) -> dict[str, Any]:
        return insight.render(engine, _location_of(catalogue, body.model), body)

    @app.post("/hone/trained", dependencies=[Depends(require_key)])
    def trained(body: TrainedRequest) -> dict[str, Any]:
        return training_view.trained(_location_of(catalogue, body.model), body)

    @app.post("/hone/lengths", dependencies=[Depends(require_key)])
    def lengths(body: LengthsRequest) -> dict[str, Any]:
        return training_view.lengths(_location_of(catalogue, body.model), body)

    @app.post("/hone/score", dependencies=[Depends(require_key)], response_model=None)
    async def score(body: insight.ScoreBody, request: Request) -> Response:
        location = await asyncio.to_thread(_location_of, catalogue, body.model)
        answers = Answers()
        return await while_connected(request, answers, insight.score(engine, location, body, answers))

    return app


def _location_of(catalogue: Catalogue, model: str) -> str:
    location = catalogue().get(model)
    if location is None:
        raise wire.UnknownModel(f"No model named {model!r} is served here.", "GET /v1/models lists them.")
    return location


def _echoed(engine: Engine, location: str, body: CompletionRequest) -> list[str]:
    """What stands before each answer: the text of its prompt, where that is asked for."""
    tokenizer = engine.tokenizer_of(location)
    texts = [prompt if isinstance(prompt, str) else tokenizer.decode(prompt) for prompt in body.prompts]
    return [text if body.echo else "" for text in texts for _ in range(body.n)]


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
