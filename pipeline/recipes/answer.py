"""Answer: what one model says to each prompt of a set, written down before anybody votes on it."""

from __future__ import annotations

import hashlib
import json
import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from pipeline.context import Context
from pipeline.errors import BadData, HoneError
from pipeline.fingerprints import Fingerprint, fingerprint_of
from pipeline.generation.requests import (
    ContextTooLong,
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Piece,
    SamplingSettings,
)
from pipeline.prompt_rows import Message, prompt_of
from pipeline.recipes import Chart, Recipe
from pipeline.spec import DatasetRef, ModelRef, Spec, setting

if TYPE_CHECKING:
    from pipeline.generation.engine import Engine, Ticket

ANSWERS_FILE = "answers.jsonl"
MOST_AT_ONCE = 32
"""Answers that are being written at the same time: rows of one batch."""
SECONDS_BETWEEN_REPORTS = 1.0
SECONDS_BETWEEN_LOOKS = 0.2
NO_LIMIT_BYTES = 2**60
"""The job has its device to itself: what does not fit fails by itself, as it would in training."""


class AnswerSpec(Spec):
    model: Annotated[str, ModelRef()] = setting(help="The model that answers.", basic=True, min_length=1)
    dataset: Annotated[str, DatasetRef(("instruction",))] = setting(
        help="The prompts: each conversation up to its last answer.", basic=True, min_length=1
    )
    max_prompts: int = setting(
        200, help="Answer the first so many prompts of the set.", unit="prompts", basic=True, ge=1, le=100_000
    )
    temperature: float = setting(0.7, help="0 always takes the likeliest token; higher is more varied.", ge=0, le=2)
    top_p: float = setting(1.0, help="Draw only from the likeliest tokens that together have this share.", gt=0, le=1)
    max_tokens: int = setting(256, help="The longest answer.", unit="tokens", ge=1, le=32_768)
    seed: int = setting(42, help="The same seed and settings give the same answers.", ge=0, lt=2**31)

    @property
    def sampling(self) -> dict[str, Any]:
        """What has to be alike for two answers to be set against each other."""
        return {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}


@dataclass
class Writing:
    """One answer that is being written."""

    row: int
    seed: int
    ticket: Ticket | None = None
    parts: list[str] = field(default_factory=list)


def run(spec: AnswerSpec, context: Context) -> dict[str, Any]:
    """Answer every prompt that has no answer yet; each is on disk as soon as it is whole."""
    from pipeline.training.loop import raise_if_stopped

    prompts = read_prompts(Path(spec.dataset), spec.max_prompts)
    context.phase("Reading the model's fingerprint")
    fingerprint = fingerprint_of(spec.model)
    file = context.checkpoints / ANSWERS_FILE
    answered = drop_torn_end(file)
    if answered:
        context.log(f"{len(answered):,} of {len(prompts):,} prompts were answered by an earlier attempt.")
    missing = {row: messages for row, messages in prompts.items() if row not in answered}
    refused: list[int] = []
    started, num_tokens = time.monotonic(), 0
    if missing:
        num_tokens = _answer_all(spec, missing, fingerprint, file, refused, context, num_before=len(answered))
        raise_if_stopped(context)
    (context.out / ANSWERS_FILE).write_bytes(file.read_bytes() if file.is_file() else b"")
    written = len(prompts) - len(refused)
    if not written:
        raise BadData("No prompt of the set fits into the model's context.", "Choose shorter prompts.")
    seconds = time.monotonic() - started
    return {
        "answers": written,
        "prompts_too_long": len(refused),
        "tokens_written": num_tokens,
        "tokens_per_second": round(num_tokens / seconds, 1) if num_tokens else None,
    }


def read_prompts(path: Path, most: int) -> dict[int, list[Message]]:
    """The first `most` rows that ask something, by their number in the file, from 0.

    Raises:
        BadData: if none does.
    """
    from pipeline.training.rows import read_rows

    asked = {row: prompt_of(values) for row, values in enumerate(read_rows(path, "instruction"))}
    prompts = {row: messages for row, messages in asked.items() if messages}
    if not prompts:
        raise BadData("No row of the dataset asks anything.", "Choose a dataset with questions of a user.")
    return dict(list(prompts.items())[:most])


def drop_torn_end(file: Path) -> set[int]:
    """The rows that are answered; a last line that a crash has left half written is cut off."""
    if not file.is_file():
        return set()
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        file.write_bytes(whole)
    return {json.loads(line)["row"] for line in whole.splitlines()}


def seed_of(spec_seed: int, row: int, fingerprint: Fingerprint) -> int:
    """An answer's own seed: different for each prompt and each model, and always the same."""
    text = json.dumps([spec_seed, row, fingerprint], sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def _answer_all(
    spec: AnswerSpec,
    missing: dict[int, list[Message]],
    fingerprint: Fingerprint,
    file: Path,
    refused: list[int],
    context: Context,
    *,
    num_before: int,
) -> int:
    """Write the missing answers, many at once, until all are there or somebody stops the job; returns the tokens."""
    from pipeline.generation.engine import Engine
    from pipeline.training.loop import device_name

    context.phase("Answering")
    engine = Engine(memory_budget_bytes=NO_LIMIT_BYTES, device=device_name())
    try:
        with file.open("a", encoding="utf-8") as out:
            return _Round(spec, fingerprint, engine, out, refused, context).go(missing, num_before=num_before)
    finally:
        engine.close()


class _Round:
    """All answers of one attempt: prompts go to the engine as others are done, so that its batch stays full."""

    def __init__(
        self,
        spec: AnswerSpec,
        fingerprint: Fingerprint,
        engine: Engine,
        out: TextIO,
        refused: list[int],
        context: Context,
    ) -> None:
        self.spec = spec
        self.fingerprint = fingerprint
        self.engine = engine
        self.out = out
        self.refused = refused
        self.context = context
        self.num_tokens = 0
        self._events: queue.SimpleQueue[tuple[Writing, GenerationEvent]] = queue.SimpleQueue()

    def go(self, missing: dict[int, list[Message]], *, num_before: int) -> int:
        waiting = iter(missing.items())
        running: dict[int, Writing] = {}
        done, total = num_before, num_before + len(missing)
        started = reported = time.monotonic()
        self.context.progress(done, total, unit="answers")
        while self._fill(running, waiting) and not self.context.stop.is_requested:
            for writing in self._ended():
                del running[writing.row]
                done += 1
            now = time.monotonic()
            if now - reported >= SECONDS_BETWEEN_REPORTS or not running:
                reported = now
                self.context.progress(done, total, unit="answers")
                self.context.metrics(done, {"tokens_per_second": self.num_tokens / (now - started)})
        for writing in running.values():
            if writing.ticket is not None:
                writing.ticket.cancel()
        return self.num_tokens

    def _fill(self, running: dict[int, Writing], waiting: Iterator[tuple[int, list[Message]]]) -> bool:
        """Hand the engine prompts until it has enough; whether anything is being answered."""
        while len(running) < MOST_AT_ONCE and (following := next(waiting, None)) is not None:
            row, messages = following
            writing = Writing(row, seed_of(self.spec.seed, row, self.fingerprint))
            settings = SamplingSettings(**self.spec.sampling, seed=writing.seed)
            request = GenerationRequest(self.spec.model, messages, settings)
            running[row] = writing
            writing.ticket = self.engine.submit(request, self._listener(writing))
        return bool(running)

    def _listener(self, writing: Writing) -> Callable[[GenerationEvent], None]:
        return lambda event: self._events.put((writing, event))

    def _ended(self) -> Iterator[Writing]:
        """The answers that have ended since the last look, each on disk.

        Raises:
            HoneError: if one failed for a reason that is not its prompt's length.
        """
        try:
            arrived = [self._events.get(timeout=SECONDS_BETWEEN_LOOKS)]
        except queue.Empty:
            return
        while not self._events.empty():
            arrived.append(self._events.get())
        for writing, event in arrived:
            if isinstance(event, Piece):
                writing.parts.append(event.text)
            elif isinstance(event, Finished):
                self._keep(writing, event)
                yield writing
            elif isinstance(event, Failed):
                self._leave_out(writing, event.error)
                yield writing

    def _keep(self, writing: Writing, event: Finished) -> None:
        line = {
            "row": writing.row,
            "seed": writing.seed,
            "text": "".join(writing.parts),
            "finish_reason": event.stats.finish_reason,
            "provenance": self.fingerprint,
        }
        self.out.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.out.flush()
        self.num_tokens += event.stats.num_tokens

    def _leave_out(self, writing: Writing, error: HoneError) -> None:
        if not isinstance(error, ContextTooLong):
            raise error
        self.refused.append(writing.row)
        self.context.log(f"Prompt {writing.row + 1:,} has no answer: {error.message}", "warning")


RECIPE = Recipe(
    name="answer",
    title="Prepare answers",
    summary="Writes a model's answers to a set of prompts, so that everyone votes on the same ones without waiting.",
    verb="Prepare answers",
    spec=AnswerSpec,
    run=run,
    produces="answers",
    charts=(Chart("Speed", ("tokens_per_second",), unit="tokens/s"),),
)
