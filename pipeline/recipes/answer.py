"""Answer: what one model says to each prompt of a set, written down before anybody votes on it."""

from __future__ import annotations

import time
from typing import Annotated, Any

from pipeline.asking.opening import Models
from pipeline.asking.own_model import OwnModel
from pipeline.asking.questions import Question, Said, ask_all, seed_of
from pipeline.asking.written import WrittenLines
from pipeline.context import Context
from pipeline.errors import BadData
from pipeline.generation.requests import SamplingSettings
from pipeline.pace import Pace
from pipeline.prompt_rows import Message, read_prompts
from pipeline.recipes import Chart, Recipe
from pipeline.spec import DatasetRef, ModelRef, Spec, setting

ANSWERS_FILE = "answers.jsonl"


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


def run(spec: AnswerSpec, context: Context) -> dict[str, Any]:
    """Answer every prompt that has no answer yet; each is on disk as soon as it is whole."""
    from pipeline.training.loop import raise_if_stopped

    prompts = read_prompts(spec.dataset, "instruction", most=spec.max_prompts)
    file = context.checkpoints / ANSWERS_FILE
    with WrittenLines(file) as answers, Models() as models:
        if answers.lines:
            context.log(f"{len(answers.lines):,} of {len(prompts):,} prompts were answered by an earlier attempt.")
        work = _Work(spec, prompts, answers, context)
        if work.missing:
            context.phase("Opening the model")
            work.go(models.open_own(spec.model))
            raise_if_stopped(context)
    (context.out / ANSWERS_FILE).write_bytes(file.read_bytes())
    written = len(prompts) - work.num_refused
    if not written:
        raise BadData("No prompt of the set fits into the model's context.", "Choose shorter prompts.")
    return {
        "answers": written,
        "prompts_too_long": work.num_refused,
        "tokens_written": work.num_tokens,
        "tokens_per_second": round(work.tokens_per_second, 1) if work.num_tokens else None,
    }


class _Work:
    """The answers of one attempt that are not there yet."""

    def __init__(
        self, spec: AnswerSpec, prompts: dict[int, list[Message]], answers: WrittenLines, context: Context
    ) -> None:
        there = {line["row"] for line in answers.lines}
        self.spec = spec
        self.missing = {row: messages for row, messages in prompts.items() if row not in there}
        self.answers = answers
        self.context = context
        self.num_refused = 0
        self.num_tokens = 0
        self._total = len(prompts)
        self._pace = Pace()
        self._started = time.monotonic()

    def go(self, model: OwnModel) -> None:
        """Write them, many at once, until all are there or somebody stops the job."""
        questions = (
            Question(row, messages, SamplingSettings(**self.spec.sampling, seed=self._seed(row, model)))
            for row, messages in self.missing.items()
        )
        self.context.phase("Answering")
        self._started = time.monotonic()
        self._report(is_last=True)
        for question, outcome in ask_all(model, questions, self.context.stop):
            if isinstance(outcome, Said):
                self._keep(question.key, outcome, model)
            else:
                self.num_refused += 1
                self.context.log(f"Prompt {question.key + 1:,} has no answer: {outcome.advice}", "warning")
            self._report()
        self._report(is_last=True)

    @property
    def tokens_per_second(self) -> float:
        return self.num_tokens / (time.monotonic() - self._started)

    def _seed(self, row: int, model: OwnModel) -> int:
        """Different for each prompt and each model, and always the same."""
        return seed_of(self.spec.seed, row, model.fingerprint)

    def _keep(self, row: int, said: Said, model: OwnModel) -> None:
        self.num_tokens += said.num_tokens
        self.answers.add(
            {
                "row": row,
                "seed": self._seed(row, model),
                "text": said.text,
                "finish_reason": "stop" if said.has_ended else "length",
                "provenance": model.fingerprint,
            }
        )

    def _report(self, *, is_last: bool = False) -> None:
        if not (self._pace.is_due() or is_last):
            return
        done = len(self.answers.lines) + self.num_refused
        self.context.progress(done, self._total, unit="answers")
        if self.num_tokens:
            self.context.metrics(done, {"tokens_per_second": self.tokens_per_second})


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
