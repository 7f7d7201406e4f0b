"""Scores: how likely a model whose weights are here finds texts that are there already."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pipeline.asking.questions import SECONDS_BETWEEN_LOOKS, CannotAnswer
from pipeline.context import StopSignal
from pipeline.generation.requests import ContextTooLong, Failed, Scored, ScoreEvent, ScoreRequest

if TYPE_CHECKING:
    from pipeline.generation.engine import Engine

PromptAndAnswer = tuple[Sequence[int], Sequence[int]]


class Scorer:
    """Has an engine read answers; several at once, and none any more once the job is to stop."""

    def __init__(self, engine: Engine, stop: StopSignal) -> None:
        self.engine = engine
        self.stop = stop

    def sums(self, model: str, wanted: Sequence[PromptAndAnswer]) -> list[float] | None:
        """The log-probability of each answer given its prompt, in nats; None where the job is to stop.

        Raises:
            CannotAnswer: if one is too long for the model.
            HoneError: if the model cannot be had.
        """
        heard: queue.SimpleQueue[tuple[int, Scored | Failed]] = queue.SimpleQueue()
        tickets = [
            self.engine.score(ScoreRequest(model, prompt, answer), _listener(partial(_put, heard, number)))
            for number, (prompt, answer) in enumerate(wanted)
        ]
        found: dict[int, float] = {}
        try:
            while len(found) < len(wanted):
                if self.stop.is_requested:
                    return None
                try:
                    number, event = heard.get(timeout=SECONDS_BETWEEN_LOOKS)
                except queue.Empty:
                    continue
                if isinstance(event, Failed):
                    raise _failure_of(event)
                found[number] = sum(token.logprob for token in event.logprobs)
        finally:
            for ticket in tickets:
                ticket.cancel()
        return [found[number] for number in range(len(wanted))]


def _failure_of(event: Failed) -> Exception:
    if isinstance(event.error, ContextTooLong):
        return CannotAnswer("The prompt with the answer does not fit into the judge's context.", str(event.error))
    return event.error


def _listener(on_end: Callable[[Scored | Failed], None]) -> Callable[[ScoreEvent], None]:
    def hear(event: ScoreEvent) -> None:
        if isinstance(event, Scored | Failed):
            on_end(event)

    return hear


def _put(heard: queue.SimpleQueue[tuple[int, Scored | Failed]], number: int, event: Scored | Failed) -> None:
    heard.put((number, event))
