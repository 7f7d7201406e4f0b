"""Answers: what the engine says on its own thread, carried to the event loop of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from pipeline.generation.engine import Engine, Ticket
from pipeline.generation.requests import (
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Scored,
    ScoreEvent,
    ScoreRequest,
    TokenLogprob,
)

EventT = TypeVar("EventT")


class Answers:
    """The answers to one HTTP request, running in the engine until they end or are cancelled."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[tuple[int, GenerationEvent]] = asyncio.Queue()
        self._scores: asyncio.Queue[tuple[int, ScoreEvent]] = asyncio.Queue()
        self._tickets: list[Ticket] = []

    @classmethod
    async def begin(cls, engine: Engine, requests: Sequence[GenerationRequest]) -> Answers:
        """Hand every request to the engine.

        Raises:
            HoneError: if one of them is refused; none is left running then.
        """
        answers = cls()
        try:
            for number, request in enumerate(requests):
                answers._tickets.append(
                    await asyncio.to_thread(engine.submit, request, _listener(answers._events, number))
                )
        except BaseException:
            answers.cancel()
            raise
        return answers

    @property
    def num_answers(self) -> int:
        return len(self._tickets)

    async def scores(self, engine: Engine, requests: Sequence[ScoreRequest]) -> list[tuple[TokenLogprob, ...]]:
        """Have every answer scored, and wait for all.

        Raises:
            HoneError: if one of them is refused or fails; the others are cancelled then.
        """
        scored: dict[int, tuple[TokenLogprob, ...]] = {}
        try:
            for number, request in enumerate(requests):
                self._tickets.append(await asyncio.to_thread(engine.score, request, _listener(self._scores, number)))
            while len(scored) < len(requests):
                number, event = await self._scores.get()
                if isinstance(event, Failed):
                    raise event.error
                if isinstance(event, Scored):
                    scored[number] = event.logprobs
        except BaseException:
            self.cancel()
            raise
        return [scored[number] for number in range(len(requests))]

    async def events(self) -> AsyncIterator[tuple[int, GenerationEvent]]:
        """Every event with the number of its answer, until all answers have ended."""
        num_open = len(self._tickets)
        while num_open:
            number, event = await self._events.get()
            num_open -= isinstance(event, Finished | Failed)
            yield number, event

    def cancel(self) -> None:
        """End what still runs; harmless for what has ended."""
        for ticket in self._tickets:
            ticket.cancel()


def _listener(events: asyncio.Queue[tuple[int, EventT]], number: int) -> Callable[[EventT], None]:
    """Puts the events of one answer into the queue, from whatever thread they come."""
    loop = asyncio.get_running_loop()

    def listen(event: EventT) -> None:
        if not loop.is_closed():  # a server that is going down listens no more
            loop.call_soon_threadsafe(events.put_nowait, (number, event))

    return listen
