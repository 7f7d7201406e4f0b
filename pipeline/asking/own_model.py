"""Own model: one whose weights are here, answered for by the generation engine in the job's own process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.asking.questions import CannotAnswer, Outcome, Question, Said
from pipeline.fingerprints import Fingerprint, fingerprint_of
from pipeline.generation.requests import ContextTooLong, Failed, Finished, GenerationEvent, GenerationRequest, Piece

if TYPE_CHECKING:
    from pipeline.generation.engine import Engine

MOST_AT_ONCE = 32
"""Answers that are being written at the same time: rows of one batch."""


class OwnModel:
    """A model folder or a Hugging Face id, in an engine."""

    most_at_once = MOST_AT_ONCE

    def __init__(self, engine: Engine, location: str) -> None:
        self.engine = engine
        self.location = location
        self.fingerprint: Fingerprint = fingerprint_of(location)
        folder = Path(location)
        self.told: dict[str, Any] = {"name": folder.name if folder.is_dir() else location} | self.fingerprint

    def ask(self, question: Question, on_end: Callable[[Outcome], None]) -> Callable[[], None]:
        """Raises HoneError where the model cannot be found, or its template does not take the conversation."""
        messages = list(question.messages)
        if question.opening:
            messages.append({"role": "assistant", "content": question.opening})
        request = GenerationRequest(
            self.location, messages, question.settings, continue_final_message=bool(question.opening)
        )
        return self.engine.submit(request, _listener(on_end)).cancel


def _listener(on_end: Callable[[Outcome], None]) -> Callable[[GenerationEvent], None]:
    parts: list[str] = []

    def hear(event: GenerationEvent) -> None:
        match event:
            case Piece(text=text):
                parts.append(text)
            case Finished(stats=stats):
                on_end(Said("".join(parts), stats.num_tokens, stats.finish_reason == "stop"))
            case Failed(error=ContextTooLong() as error):
                on_end(CannotAnswer("The prompt does not fit into the model's context.", str(error)))
            case Failed(error=error):
                on_end(error)

    return hear
