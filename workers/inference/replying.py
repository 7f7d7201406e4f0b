"""Replying: the engine's events as one JSON body or as server-sent events, in whichever protocol was asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from pipeline.generation.requests import Failed, Finished, GenerationEvent, Loading, Piece, Stats, TokenLogprob
from workers.inference import wire
from workers.inference.answers import Answers


class Reply(Protocol):
    """One protocol's shapes for the parts of a reply."""

    def openings(self) -> list[dict[str, Any]]: ...

    def loading(self, share: float) -> dict[str, Any]: ...

    def piece(self, number: int, piece: Piece) -> dict[str, Any]: ...

    def end(self, number: int, end: Finished) -> dict[str, Any]: ...

    def usage(self, stats: Sequence[Stats]) -> dict[str, Any]: ...

    def whole(
        self, texts: Sequence[str], logprobs: Sequence[Sequence[TokenLogprob]], stats: Sequence[Stats]
    ) -> dict[str, Any]: ...


async def reply_whole(answers: Answers, reply: Reply, request: Request) -> Response:
    """All answers in one body, once they are whole."""
    return await while_connected(request, answers, _collect(answers, reply))


async def while_connected(request: Request, answers: Answers, work: Coroutine[Any, Any, dict[str, Any]]) -> Response:
    """The body that `work` makes; when the person leaves before, what runs for it in the engine is cancelled."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_wait_until_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return Response(status_code=499)  # no one is there to read it
        return JSONResponse(working.result())
    finally:
        answers.cancel()
        working.cancel()
        leaving.cancel()


async def reply_in_parts(answers: Answers, reply: Reply, *, includes_usage: bool) -> Response:
    """The answers as server-sent events.

    Raises:
        HoneError: if the first event is a failure, so that it has a status of its own.
    """
    events = answers.events()
    try:
        first = await anext(events)
        if isinstance(first[1], Failed):
            raise first[1].error
    except BaseException:
        answers.cancel()
        raise
    stream = _stream(answers, first, events, reply, includes_usage=includes_usage)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _collect(answers: Answers, reply: Reply) -> dict[str, Any]:
    texts: list[list[str]] = [[] for _ in range(answers.num_answers)]
    logprobs: list[list[TokenLogprob]] = [[] for _ in range(answers.num_answers)]
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
    return reply.whole(["".join(parts) for parts in texts], logprobs, [stats[number] for number in sorted(stats)])


async def _wait_until_left(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(0.1)


async def _stream(
    answers: Answers,
    first: tuple[int, GenerationEvent],
    rest: AsyncIterator[tuple[int, GenerationEvent]],
    reply: Reply,
    *,
    includes_usage: bool,
) -> AsyncIterator[str]:
    """Closing the connection closes this generator, which cancels the answers."""
    stats: dict[int, Stats] = {}
    try:
        for opening in reply.openings():
            yield _sse(opening)
        number, event = first
        while True:
            if isinstance(event, Finished):
                stats[number] = event.stats
            yield _sse(_part_of(reply, number, event))
            if isinstance(event, Failed):
                return
            try:
                number, event = await anext(rest)
            except StopAsyncIteration:
                break
        if includes_usage:
            yield _sse(reply.usage([stats[number] for number in sorted(stats)]))
        yield "data: [DONE]\n\n"
    finally:
        answers.cancel()


def _part_of(reply: Reply, number: int, event: GenerationEvent) -> dict[str, Any]:
    if isinstance(event, Loading):
        return reply.loading(event.share)
    if isinstance(event, Piece):
        return reply.piece(number, event)
    if isinstance(event, Finished):
        return reply.end(number, event)
    return wire.error_body(event.error)


def _sse(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
