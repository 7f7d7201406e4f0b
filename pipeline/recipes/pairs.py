"""Pairs: a model answers each prompt several times, and a judge says which answer is the best and which the worst."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import model_validator

from pipeline.asking.opening import Models
from pipeline.asking.own_model import OwnModel
from pipeline.asking.questions import AskedModel, CannotAnswer, Question, Said, ask_all, seed_of
from pipeline.asking.written import WrittenLines
from pipeline.context import Context
from pipeline.data.importing import import_rows
from pipeline.data.raw import BadRow
from pipeline.errors import BadData, BadSpec
from pipeline.generation.requests import SamplingSettings
from pipeline.making.judging import Contest, ImplicitReward, Judge, JudgedByLogprobs, JudgedByWords, Ranking
from pipeline.making.templates import JUDGE_TEMPLATE, conversation_text, missing_places
from pipeline.pace import Pace
from pipeline.prompt_rows import Message, read_prompts
from pipeline.recipes import Chart, Recipe
from pipeline.spec import DatasetRef, ModelRef, Spec, setting

ANSWERS_FILE = "answers.jsonl"
RANKINGS_FILE = "rankings.jsonl"
NUM_SAMPLES = 10
MOST_REFUSED_AT_FIRST = 3


class PairsSpec(Spec):
    model: Annotated[str, ModelRef(takes_endpoints=True)] = setting(
        help="The model that answers.", basic=True, min_length=1
    )
    dataset: Annotated[str, DatasetRef(("instruction", "preference", "unpaired"))] = setting(
        help="The prompts: each conversation up to its last answer.", basic=True, min_length=1
    )
    max_prompts: int = setting(
        200, help="Take the first so many prompts of the set.", unit="prompts", basic=True, ge=1, le=1_000_000
    )
    num_answers: int = setting(4, help="Answers to each prompt.", unit="answers", basic=True, ge=2, le=8)
    ranked_by: Literal["judge", "implicit_reward"] = setting(
        "judge",
        help="A judge is asked which of two is better, in both orders; a model trained by preferences (DPO) rewards "
        "what it finds likelier than its reference does.",
        basic=True,
    )
    judge_model: Annotated[str, ModelRef(takes_endpoints=True)] = setting(
        help="The model that judges; for the implicit reward, the one that was trained by preferences.",
        basic=True,
        min_length=1,
    )
    reference_model: Annotated[str, ModelRef()] = setting(
        "", help="For the implicit reward: the model that the judging one was trained from.", basic=True
    )
    judge_template: str = setting(
        JUDGE_TEMPLATE, help="What a judge is asked; it has places for {question}, {answer_a} and {answer_b}."
    )
    beta: float = setting(0.1, help="For the implicit reward: the beta of its training.", gt=0, le=10)
    min_probability: float = setting(
        0.6,
        help="Keep a pair only where the best answer is better than the worst with this probability.",
        ge=0.5,
        lt=1,
    )
    temperature: float = setting(1.0, help="Of the answers: at 0 they would all be alike.", gt=0, le=2)
    top_p: float = setting(1.0, help="Draw only from the likeliest tokens that together have this share.", gt=0, le=1)
    max_tokens: int = setting(
        256, help="The longest answer; one that has not ended by then is left out.", unit="tokens", ge=1, le=32_768
    )
    seed: int = setting(42, help="The same seed and settings draw the same answers.", ge=0, lt=2**31)

    @model_validator(mode="after")
    def _judge_has_what_it_needs(self) -> PairsSpec:
        if missing := missing_places(self.judge_template, "question", "answer_a", "answer_b"):
            raise ValueError(f"The judge's template has no {' and no '.join(missing)}: write it where it is to stand.")
        if self.ranked_by == "implicit_reward" and not self.reference_model:
            raise ValueError("The implicit reward needs a reference: choose the model that the judging one came from.")
        return self

    @property
    def sampling(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}


def run(spec: PairsSpec, context: Context) -> dict[str, Any]:
    """First all answers, then all rankings; each is on disk as soon as it is there."""
    from pipeline.training.loop import raise_if_stopped

    prompts = read_prompts(spec.dataset, "instruction", "preference", "unpaired", most=spec.max_prompts)
    context.log(f"{len(prompts):,} prompts, {spec.num_answers} answers to each.")
    context.phase("Opening the models")
    with (
        WrittenLines(context.checkpoints / ANSWERS_FILE) as answers,
        WrittenLines(context.checkpoints / RANKINGS_FILE) as rankings,
        Models() as models,
    ):
        if answers.lines:
            context.log(f"{len(answers.lines):,} answers and {len(rankings.lines):,} rankings were there already.")
        judge = _judge_of(spec, models)
        writer = models.open(spec.model)
        work = _Work(spec, context, prompts, answers, rankings)
        work.answer(writer)
        raise_if_stopped(context)
        work.rank(judge, writer)
        raise_if_stopped(context)
    by_row = {line["row"]: line for line in rankings.lines}
    lines = [by_row[row] for row in prompts]
    dropped = Counter(line["dropped"] for line in lines if "dropped" in line)
    num_pairs = len(lines) - dropped.total()
    if not num_pairs:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in dropped.most_common(3))
        raise BadData(
            f"None of {len(lines):,} prompts made a pair: {reasons}.",
            "Raise the temperature or the number of answers, or choose another judge.",
        )
    context.phase("Writing the rows")
    context.out.rmdir()
    import_rows(_result(lines), "pairs", context.out, kind="preference")
    return {
        "rows": num_pairs,
        "prompts": len(prompts),
        "dropped": dict(dropped.most_common()),
        "identical_answers": sum(line.get("identical", 0) for line in lines),
        "mean_probability": round(sum(line["meta"]["probability"] for line in lines if "meta" in line) / num_pairs, 3),
        "tokens_written": work.num_tokens,
        "tokens_per_second": work.tokens_per_second,
    }


def _judge_of(spec: PairsSpec, models: Models) -> Judge:
    """Whoever ranks; a reward model would be one more case.

    Raises:
        BadSpec: if the implicit reward is asked of a model whose weights are not here.
    """
    judging = models.open(spec.judge_model)
    if spec.ranked_by == "judge":
        template = spec.judge_template
        return (
            JudgedByLogprobs(judging, template) if isinstance(judging, OwnModel) else JudgedByWords(judging, template)
        )
    reference = models.open(spec.reference_model)
    if not isinstance(judging, OwnModel) or not isinstance(reference, OwnModel):
        raise BadSpec(
            "The implicit reward needs models whose weights are here, and an endpoint was given.",
            "Choose a model that was trained here, or let a judge rank.",
        )
    return ImplicitReward(judging, reference, spec.beta)


class _Work:
    """One attempt: the answers that are missing, then the rankings that are."""

    def __init__(
        self,
        spec: PairsSpec,
        context: Context,
        prompts: dict[int, list[Message]],
        answers: WrittenLines,
        rankings: WrittenLines,
    ) -> None:
        self.spec = spec
        self.context = context
        self.prompts = prompts
        self.answers = answers
        self.rankings = rankings
        self.num_tokens = 0
        self._seconds_answering = 0.0
        self._pace = Pace()
        self._total = len(prompts) * (spec.num_answers + 1)

    def answer(self, model: AskedModel) -> None:
        there = {(line["row"], line["number"]) for line in self.answers.lines}
        missing = [
            (row, number)
            for row in self.prompts
            for number in range(self.spec.num_answers)
            if (row, number) not in there
        ]
        self.context.phase("Answering")
        self._report(is_last=True)
        started, num_answered = time.monotonic(), len(there)
        for question, outcome in ask_all(model, self._questions(missing, model), self.context.stop):
            row, number = question.key
            line: dict[str, Any] = {"row": row, "number": number, "seed": question.settings.seed}
            if isinstance(outcome, Said):
                self.num_tokens += outcome.num_tokens
                num_answered += 1
                self.answers.add(line | {"text": outcome.text.strip(), "has_ended": outcome.has_ended})
            else:
                self.answers.add(line | {"failed": outcome.message.rstrip(".")})
                if not num_answered and len(self.answers.lines) >= MOST_REFUSED_AT_FIRST * self.spec.num_answers:
                    raise outcome
            self._seconds_answering = time.monotonic() - started
            self._report()
        self._report(is_last=True)

    def rank(self, judge: Judge, writer: AskedModel) -> None:
        there = {line["row"] for line in self.rankings.lines}
        said: dict[int, list[dict[str, Any]]] = {row: [] for row in self.prompts}
        for line in sorted(self.answers.lines, key=lambda line: line["number"]):
            if line["row"] in said:
                said[line["row"]].append(line)
        self.context.phase("Ranking")
        chosen: dict[int, tuple[list[dict[str, Any]], int]] = {}
        contests = self._contests([row for row in self.prompts if row not in there], said, chosen)
        for contest, outcome in judge.rank(contests, self.context.stop):
            lines, identical = chosen.pop(contest.row)
            self.rankings.add(
                self._ranked(contest, outcome, lines, judge, writer) | {"row": contest.row, "identical": identical}
            )
            self._report()
        self._report(is_last=True)

    @property
    def tokens_per_second(self) -> float | None:
        return round(self.num_tokens / self._seconds_answering, 1) if self._seconds_answering else None

    def _questions(self, missing: list[tuple[int, int]], model: AskedModel) -> Iterator[Question]:
        for row, number in missing:
            seed = seed_of(self.spec.seed, row, number, model.fingerprint)
            settings = SamplingSettings(**self.spec.sampling, seed=seed)
            yield Question((row, number), self.prompts[row], settings)

    def _contests(
        self,
        rows: list[int],
        said: dict[int, list[dict[str, Any]]],
        chosen: dict[int, tuple[list[dict[str, Any]], int]],
    ) -> Iterator[Contest]:
        """The prompts that have two answers to choose between; of the others it is written down why not."""
        for row in rows:
            whole = [line for line in said[row] if line.get("text") and line["has_ended"]]
            different = list({line["text"]: line for line in reversed(whole)}.values())[::-1]
            if len(different) < 2:
                self.rankings.add({"row": row, "dropped": _why_not(said[row], whole), "identical": 0})
                continue
            chosen[row] = different, len(whole) - len(different)
            yield Contest(row, self.prompts[row], [line["text"] for line in different])

    def _ranked(
        self,
        contest: Contest,
        outcome: Ranking | CannotAnswer,
        lines: list[dict[str, Any]],
        judge: Judge,
        writer: AskedModel,
    ) -> dict[str, Any]:
        if isinstance(outcome, CannotAnswer):
            return {"dropped": outcome.message.rstrip(".")}
        if outcome.probability <= 0.5 or outcome.probability < self.spec.min_probability:
            return {"dropped": "the judge finds no answer clearly better"}
        best, worst = lines[outcome.best], lines[outcome.worst]
        if len(self.rankings.lines) < NUM_SAMPLES:
            self.context.sample(len(self.rankings.lines) + 1, conversation_text(contest.prompt)[-500:], best["text"])
        meta = {
            "made_by": "pairs",
            "model": writer.told,
            "judge": judge.told,
            "from": {"dataset": Path(self.spec.dataset).parent.name, "row": contest.row},
            "probability": round(outcome.probability, 4),
            "margin": round(outcome.scores[outcome.best] - outcome.scores[outcome.worst], 4),
            "num_answers": len(lines),
            "seeds": {"chosen": best["seed"], "rejected": worst["seed"]},
            "settings": self.spec.sampling,
        }
        return {"prompt": contest.prompt, "chosen": best["text"], "rejected": worst["text"], "meta": meta}

    def _report(self, *, is_last: bool = False) -> None:
        if not (self._pace.is_due() or is_last):
            return
        done = len(self.answers.lines) + len(self.rankings.lines)
        self.context.progress(done, self._total, unit="answers and rankings")
        if (speed := self.tokens_per_second) is not None:
            self.context.metrics(done, {"tokens_per_second": speed})


def _why_not(said: list[dict[str, Any]], whole: list[dict[str, Any]]) -> str:
    failed = next((line["failed"] for line in said if "failed" in line), None)
    if failed and not whole:
        return str(failed)
    if len(whole) >= 2:
        return "all answers are identical"
    return "fewer than two answers have ended and are not empty"


def _result(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any] | BadRow]:
    for line in lines:
        if "dropped" in line:
            yield BadRow(line["row"] + 1, line["dropped"], "", "")
            continue
        answers = {side: [{"role": "assistant", "content": line[side]}] for side in ("chosen", "rejected")}
        yield {"prompt": line["prompt"], **answers, "meta": line["meta"]}


RECIPE = Recipe(
    name="pairs",
    title="Make preference pairs",
    summary="Answers each prompt several times and keeps the best and the worst answer, as a judge ranks them.",
    verb="Make pairs",
    spec=PairsSpec,
    run=run,
    produces="rows",
    charts=(Chart("Speed", ("tokens_per_second",), unit="tokens/s"),),
)
