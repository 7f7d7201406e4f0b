"""Questions: many of them put to one model at once, each answered on its own."""

from __future__ import annotations

import hashlib
import json
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from pipeline.context import StopSignal
from pipeline.errors import HoneError
from pipeline.fingerprints import Fingerprint
from pipeline.generation.requests import SamplingSettings

SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Question:
    """What a model is asked.

    Args:
        key: By which the asker knows it.
        messages: The conversation so far, `{"role", "content"}` each.
        opening: The first words of the answer, where the model can be made to go on from words.
    """

    key: Any
    messages: Sequence[dict[str, Any]]
    settings: SamplingSettings = field(default_factory=SamplingSettings)
    opening: str = ""


@dataclass(frozen=True)
class Said:
    """An answer.

    Args:
        text: Without the opening.
        num_tokens: As the model's own server counted them; 0 where it does not tell.
        has_ended: Whether it ended by itself, rather than at the limit.
    """

    text: str
    num_tokens: int
    has_ended: bool


class CannotAnswer(HoneError):
    """This one question cannot be answered; another may."""

    kind = "cannot_answer"


Outcome = Said | HoneError


class AskedModel(Protocol):
    """A model that can be asked, wherever it is."""

    most_at_once: int
    told: dict[str, Any]
    """Who it is, for what it has written: its name and its fingerprint."""

    @property
    def fingerprint(self) -> Fingerprint: ...

    def ask(self, question: Question, on_end: Callable[[Outcome], None]) -> Callable[[], None]:
        """Ask; `on_end` is called once, from any thread. Returns what cancels it."""


def ask_all(
    model: AskedModel,
    questions: Iterable[Question],
    stop: StopSignal,
    then: Callable[[Question, Said | CannotAnswer], Question | None] = lambda question, outcome: None,
) -> Iterator[tuple[Question, Said | CannotAnswer]]:
    """Answers in the order in which they end; as one ends, the next question is asked.

    It ends early when the job is to stop. What is still being answered when it ends, or is closed, is cancelled.

    Args:
        then: What is to be asked because of an answer, before any other question; the answer itself is not given out.

    Raises:
        HoneError: if the model failed for a reason that other questions would meet too.
    """
    waiting = iter(questions)
    running: dict[int, Callable[[], None]] = {}
    ended: queue.SimpleQueue[tuple[int, Question, Outcome]] = queue.SimpleQueue()
    count = 0
    try:
        while not stop.is_requested:
            while len(running) < model.most_at_once and (question := next(waiting, None)) is not None:
                running[count] = model.ask(question, partial(_put, ended, count, question))
                count += 1
            if not running:
                return
            try:
                number, question, outcome = ended.get(timeout=SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                continue
            del running[number]
            if isinstance(outcome, HoneError) and not isinstance(outcome, CannotAnswer):
                raise outcome
            if (following := then(question, outcome)) is not None:
                running[count] = model.ask(following, partial(_put, ended, count, following))
                count += 1
                continue
            yield question, outcome
    finally:
        for cancel in running.values():
            cancel()


def seed_of(*parts: Any) -> int:
    """A seed that follows from what it is for: always the same, and another for anything else."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _put(
    ended: queue.SimpleQueue[tuple[int, Question, Outcome]], number: int, question: Question, outcome: Outcome
) -> None:
    ended.put((number, question, outcome))
