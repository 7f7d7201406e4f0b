"""Generate: a model writes new questions with their answers, after seed tasks or about documents."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import model_validator

from pipeline.asking.opening import Models
from pipeline.asking.questions import AskedModel, CannotAnswer, Question, Said, ask_all, seed_of
from pipeline.asking.written import WrittenLines
from pipeline.context import Context
from pipeline.data.importing import import_rows
from pipeline.data.raw import BadRow
from pipeline.errors import BadData
from pipeline.generation.requests import SamplingSettings
from pipeline.making.drafts import Draft, DraftMaker, Dropped, FromDocuments, FromSeeds, Kept, Sieve
from pipeline.making.templates import (
    DOCUMENT_TEMPLATE,
    OPENING,
    SEED_TEMPLATE,
    Task,
    hash_of,
    missing_places,
    read_question,
)
from pipeline.pace import Pace
from pipeline.recipes import Chart, Recipe
from pipeline.spec import DatasetRef, ModelRef, Spec, setting
from pipeline.training.rows import kind_of, read_rows

TRIES_FILE = "tries.jsonl"
NUM_SAMPLES = 10
MOST_REFUSED_AT_FIRST = 3
"""When so many first questions of an endpoint are refused, and none is answered, the others would be too."""


class GenerateSpec(Spec):
    model: Annotated[str, ModelRef(takes_endpoints=True)] = setting(
        help="The model that writes.", basic=True, min_length=1
    )
    dataset: Annotated[str, DatasetRef(("instruction", "text"))] = setting(
        help="Seed tasks (conversations), or documents (plain text) to ask about.", basic=True, min_length=1
    )
    num_rows: int = setting(
        100, help="How many rows to keep; then it ends.", unit="rows", basic=True, ge=1, le=1_000_000
    )
    seed_template: str = setting(
        SEED_TEMPLATE, help="What is asked after seed tasks; {examples} stands for those that are shown.", basic=True
    )
    document_template: str = setting(
        DOCUMENT_TEMPLATE, help="What is asked about a document; {passage} stands for its text.", basic=True
    )
    num_examples: int = setting(
        3, help="Seed tasks to show each time, drawn anew.", unit="tasks", basic=True, ge=1, le=20
    )
    answered: Literal["together", "apart"] = setting(
        "together",
        help="Question and answer in one go; or first the question, which the model is then asked as anybody would ask "
        "it: small models seldom keep to a form.",
        basic=True,
    )
    temperature: float = setting(0.8, help="0 always takes the likeliest token; higher is more varied.", ge=0, le=2)
    top_p: float = setting(1.0, help="Draw only from the likeliest tokens that together have this share.", gt=0, le=1)
    max_tokens: int = setting(
        512, help="The longest question with its answer; what has not ended by then is dropped.", unit="tokens", ge=8,
        le=32_768,
    )  # fmt: skip
    most_alike: float = setting(
        0.7, help="Drop a question that is as like a seed or an earlier one, by ROUGE-L.", gt=0, le=1
    )
    max_tries: int = setting(
        5, help="Give up after so many tries for each row that is wanted.", unit="tries", ge=1, le=100
    )
    passage_words: int = setting(
        300, help="The longest passage; of a longer document a stretch is shown.", unit="words", ge=10, le=20_000
    )
    keep_passage: bool = setting(
        False, help="Put the passage before the question, so that the row holds what its answer rests on."
    )
    seed: int = setting(42, help="The same seed and settings ask the same.", ge=0, lt=2**31)

    @model_validator(mode="after")
    def _templates_have_their_places(self) -> GenerateSpec:
        for template, name in ((self.seed_template, "examples"), (self.document_template, "passage")):
            if missing_places(template, name):
                raise ValueError(f"The template has no {{{name}}}: write it where the {name} is to stand.")
        return self


def run(spec: GenerateSpec, context: Context) -> dict[str, Any]:
    """Try until there are rows enough; every try is on disk as soon as it has been judged."""
    from pipeline.training.loop import raise_if_stopped

    rows = read_rows(spec.dataset, "instruction", "text")
    maker, template = _maker_of(spec, rows)
    known = maker.tasks if isinstance(maker, FromSeeds) else []
    what = f"after {len(known):,} seed tasks" if known else f"about {len(rows):,} documents"
    context.log(f"{spec.num_rows:,} rows are wanted, {what}.")
    context.phase("Opening the model")
    with WrittenLines(context.checkpoints / TRIES_FILE) as tries, Models() as models:
        work = _Work(spec, context, tries, maker, Sieve(known, most_alike=spec.most_alike))
        if tries.lines:
            context.log(f"{len(tries.lines):,} tries were made by an earlier attempt, {work.num_kept:,} rows kept.")
        work.go(models.open(spec.model), template)
        raise_if_stopped(context)
    dropped = Counter(line["dropped"] for line in tries.lines if "dropped" in line)
    if not work.num_kept:
        raise BadData(
            f"None of {len(tries.lines):,} tries made a row: {_in_words(dropped)}.",
            "Look at what was written (in the log), change the template or choose another model. A small "
            "one seldom keeps to a form: have it answer its question apart.",
        )
    if work.num_kept < spec.num_rows:
        context.log(
            f"Gave up after {len(tries.lines):,} tries: {work.num_kept:,} of {spec.num_rows:,} rows.", "warning"
        )
    context.phase("Writing the rows")
    context.out.rmdir()
    import_rows(_result(tries.lines), "generated", context.out, kind="instruction")
    return {
        "rows": work.num_kept,
        "tries": len(tries.lines),
        "dropped": dict(dropped.most_common()),
        "tokens_written": work.num_tokens,
        "tokens_per_second": work.tokens_per_second,
    }


def _maker_of(spec: GenerateSpec, rows: list[dict[str, Any]]) -> tuple[DraftMaker, str]:
    """What makes the tries, with the template that it uses.

    Raises:
        BadData: if no row can be shown.
    """
    if kind_of(rows[0]) == "text":
        documents = FromDocuments(rows, spec.document_template, most_words=spec.passage_words, seed=spec.seed)
        return documents, spec.document_template
    seeds = FromSeeds(rows, spec.seed_template, num_examples=spec.num_examples, seed=spec.seed)
    if not seeds.tasks:
        raise BadData("No row of the dataset is a question with an answer in text.", "Choose other seed tasks.")
    return seeds, spec.seed_template


class _Work:
    """All tries of one attempt. They are judged in the order of their numbers, so that the same seed keeps the same."""

    def __init__(
        self, spec: GenerateSpec, context: Context, tries: WrittenLines, maker: DraftMaker, sieve: Sieve
    ) -> None:
        self.spec = spec
        self.context = context
        self.tries = tries
        self.maker = maker
        self.sieve = sieve
        self.num_kept = 0
        self.num_tokens = 0
        self._pace = Pace()
        self._started = time.monotonic()
        for line in tries.lines:
            if "row" in line:
                self.num_kept += 1
                question, answer = line["task"]
                sieve.remember(Task(question, answer))

    def go(self, model: AskedModel, template: str) -> None:
        last = self.spec.num_rows * self.spec.max_tries
        drafts: dict[int, Draft] = {}
        early: dict[int, Said | CannotAnswer] = {}
        asked: dict[int, str] = {}

        def ask_back(question: Question, outcome: Said | CannotAnswer) -> Question | None:
            number = question.key
            if self.spec.answered == "together" or number in asked or not isinstance(outcome, Said):
                return None
            asked[number] = read_question(outcome.text)
            if not asked[number]:
                return None
            self.num_tokens += outcome.num_tokens
            words = "\n\n".join(filter(None, [drafts[number].passage, asked[number]]))
            return Question(number, [{"role": "user", "content": words}], self._settings(number, model, "answer"))

        self.context.phase("Writing")
        self._started = time.monotonic()
        self._report(is_last=True)
        if self._is_enough:
            return
        for question, outcome in ask_all(model, self._questions(model, last, drafts), self.context.stop, ask_back):
            early[question.key] = _whole(asked.pop(question.key, None), outcome)
            self.num_tokens += outcome.num_tokens if isinstance(outcome, Said) else 0
            while not self._is_enough and (number := len(self.tries.lines)) in early:
                self._judge(number, drafts.pop(number), early.pop(number), model, template)
            self._report(is_last=self._is_enough)
            if self._is_enough:
                return

    @property
    def tokens_per_second(self) -> float | None:
        seconds = time.monotonic() - self._started
        return round(self.num_tokens / seconds, 1) if self.num_tokens and seconds else None

    @property
    def _is_enough(self) -> bool:
        return self.num_kept >= self.spec.num_rows

    def _questions(self, model: AskedModel, last: int, drafts: dict[int, Draft]) -> Iterator[Question]:
        for number in range(len(self.tries.lines), last):
            drafts[number] = self.maker.draft(number)
            settings = self._settings(number, model)
            yield Question(number, [{"role": "user", "content": drafts[number].text}], settings, OPENING)

    def _settings(self, number: int, model: AskedModel, *more: str) -> SamplingSettings:
        seed = seed_of(self.spec.seed, number, model.fingerprint, *more)
        return SamplingSettings(**self._sampling, seed=seed)

    @property
    def _sampling(self) -> dict[str, Any]:
        return {
            "temperature": self.spec.temperature,
            "top_p": self.spec.top_p,
            "max_tokens": self.spec.max_tokens,
        }

    def _judge(self, number: int, draft: Draft, outcome: Said | CannotAnswer, model: AskedModel, template: str) -> None:
        if isinstance(outcome, CannotAnswer) and not self.num_tokens and number + 1 >= MOST_REFUSED_AT_FIRST:
            raise outcome
        match self.sieve.judge(outcome):
            case Kept(task=task, likeness=likeness):
                meta = self._meta(number, draft, likeness, model, template)
                row = {"messages": _messages(task, draft.passage if self.spec.keep_passage else ""), "meta": meta}
                self.tries.add({"row": row, "task": [task.question, task.answer]})
                self.num_kept += 1
                if self.num_kept <= NUM_SAMPLES:
                    self.context.sample(self.num_kept, task.question, task.answer)
            case Dropped(reason=reason, excerpt=excerpt):
                self.tries.add({"dropped": reason, "excerpt": excerpt})
                if len(self.tries.lines) <= NUM_SAMPLES:
                    self.context.log(f"Try {number + 1} was dropped, {reason}: {excerpt[:200]!r}")

    def _meta(self, number: int, draft: Draft, likeness: float, model: AskedModel, template: str) -> dict[str, Any]:
        return {
            "made_by": "generate",
            "model": model.told,
            "from": {"dataset": Path(self.spec.dataset).parent.name} | draft.source,
            "template_sha256": hash_of(template),
            "seed": seed_of(self.spec.seed, number, model.fingerprint),
            "answered": self.spec.answered,
            "settings": self._sampling,
            "likeness": likeness,
        }

    def _report(self, *, is_last: bool) -> None:
        if not (self._pace.is_due() or is_last):
            return
        self.context.progress(self.num_kept, self.spec.num_rows, unit="rows")
        num_tries = len(self.tries.lines)
        figures = {"kept": float(self.num_kept), "dropped": float(num_tries - self.num_kept)}
        if (speed := self.tokens_per_second) is not None:
            figures["tokens_per_second"] = speed
        self.context.metrics(num_tries, figures)


def _whole(question: str | None, outcome: Said | CannotAnswer) -> Said | CannotAnswer:
    """The answer to a question that was asked apart, in the form in which both are written in one go."""
    if question is None or isinstance(outcome, CannotAnswer):
        return outcome
    answer = outcome.text.rpartition("</think>")[2].strip() if question else ""
    return Said(f"Question: {question}\nAnswer: {answer}", outcome.num_tokens, outcome.has_ended)


def _messages(task: Task, passage: str) -> list[dict[str, str]]:
    asked = f"{passage}\n\n{task.question}" if passage else task.question
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": task.answer}]


def _result(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any] | BadRow]:
    for number, line in enumerate(lines, 1):
        yield line["row"] if "row" in line else BadRow(number, line["dropped"], "", line["excerpt"])


def _in_words(dropped: Counter[str]) -> str:
    return ", ".join(f"{reason} ({count:,} times)" for reason, count in dropped.most_common(3))


RECIPE = Recipe(
    name="generate",
    title="Write instructions",
    summary="Writes new questions with their answers, after seed tasks or about documents.",
    verb="Write rows",
    spec=GenerateSpec,
    run=run,
    produces="rows",
    charts=(
        Chart("Kept and dropped", ("kept", "dropped"), unit="rows", help="By the number of tries."),
        Chart("Speed", ("tokens_per_second",), unit="tokens/s"),
    ),
)
