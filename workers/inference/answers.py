"""Answers: what the engine says on its own thread, carried to the event loop of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from pipeline.generation.engine import Engine, Ticket
from pipeline.generation.requests import Failed, Finished, GenerationEvent, GenerationRequest


class Answers:
    """The answers to one HTTP request, running in the engine until they end or are cancelled."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[tuple[int, GenerationEvent]] = asyncio.Queue()
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
                answers._tickets.append(await asyncio.to_thread(engine.submit, request, answers._listener(number)))
        except BaseException:
            answers.cancel()
            raise
        return answers

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

    def _listener(self, number: int) -> Callable[[GenerationEvent], None]:
        loop = asyncio.get_running_loop()
        return lambda event: _put_from_thread(loop, self._events, (number, event))


def _put_from_thread(
    loop: asyncio.AbstractEventLoop,
    events: asyncio.Queue[tuple[int, GenerationEvent]],
    event: tuple[int, GenerationEvent],
) -> None:
    if not loop.is_closed():  # a server that is going down listens no more
        loop.call_soon_threadsafe(events.put_nowait, event)
