"""Judging: which of several answers to one prompt is the best, which the worst, and how sure that is.

JudgedByWords     a model is asked which of two is better, and says so: any endpoint
JudgedByLogprobs  the same, read from how likely it finds each reply: a model whose weights are here
ImplicitReward    a model trained by preferences against what it was trained from (Rafailov et al. 2023, equation 5)

Another kind, such as a reward model that gives each answer a number, is one more class with `told` and `rank`;
`ranking_of_rewards` makes a ranking of such numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.asking.own_model import OwnModel
from pipeline.asking.questions import AskedModel, CannotAnswer, Question, Said, ask_all
from pipeline.asking.scores import Scorer
from pipeline.context import StopSignal
from pipeline.errors import HoneError
from pipeline.generation.requests import SamplingSettings
from pipeline.making.templates import conversation_text, filled, hash_of
from pipeline.prompt_rows import Message

if TYPE_CHECKING:
    from pipeline.generation.tokenizer import ChatTokenizer

LETTERS = ("A", "B")
MOST_JUDGE_TOKENS = 512
"""A judge that says one letter ends at once; one that reasons first needs room for that."""


@dataclass(frozen=True)
class Contest:
    """Different answers to one prompt; `row` is the prompt's number in its dataset, from 0."""

    row: int
    prompt: list[Message]
    answers: list[str]


@dataclass(frozen=True)
class Ranking:
    """What a judge makes of a contest.

    Args:
        best: The number of the best answer, from 0; `worst` that of the worst.
        probability: That the best is better than the worst, as the judge has it: above 0.5.
        scores: One an answer, higher is better: the mean probability to be better than another, or the reward.
    """

    best: int
    worst: int
    probability: float
    scores: list[float]


class Judge(Protocol):
    """Whoever ranks answers."""

    told: dict[str, Any]
    """Who judged, for what is kept of each row."""

    def rank(self, contests: Iterable[Contest], stop: StopSignal) -> Iterator[tuple[Contest, Ranking | CannotAnswer]]:
        """A ranking of each contest, in any order; it ends early when the job is to stop."""


def judge_prompt(template: str, prompt: Sequence[Message], first: str, second: str) -> list[Message]:
    """What a judge is asked of two answers, in this order."""
    values = {"question": conversation_text(prompt), "answer_a": first, "answer_b": second}
    return [{"role": "user", "content": filled(template, values)}]


def ranking_of_pairs(num_answers: int, better: dict[tuple[int, int], float]) -> Ranking:
    """The ranking that comparisons of all pairs give; `better[i, j]`, i < j, is the probability that i is better."""

    def beats(one: int, other: int) -> float:
        return better[one, other] if one < other else 1 - better[other, one]

    scores = [
        sum(beats(one, other) for other in range(num_answers) if other != one) / (num_answers - 1)
        for one in range(num_answers)
    ]
    best, worst = _ends(scores)
    return Ranking(best, worst, beats(best, worst), scores)


def ranking_of_rewards(rewards: Sequence[float]) -> Ranking:
    """The ranking that one number an answer gives; the probability is Bradley and Terry's, of their difference."""
    best, worst = _ends(rewards)
    return Ranking(best, worst, _sigmoid(rewards[best] - rewards[worst]), list(rewards))


def in_both_orders(first_shown_first: float, second_shown_first: float) -> float:
    """The log-odds that the first of two is better, with what the judge gives to a place cancelled.

    Args:
        first_shown_first: Log-odds of the reply A over B, where the first is A.
        second_shown_first: The same, where the second is A.
    """
    return (first_shown_first - second_shown_first) / 2


@dataclass
class _Votes:
    """What was said of one contest so far: by pair, in both orders, the probability that the one shown first wins."""

    contest: Contest
    heard: dict[tuple[int, int], float] = field(default_factory=dict)
    failure: CannotAnswer | None = None
    num_missing: int = 0


class JudgedByWords:
    """Asks a model in words, and reads the letter that it replies."""

    def __init__(self, model: AskedModel, template: str) -> None:
        self.model = model
        self.template = template
        self.told = {"kind": "judge", "model": model.told, "template_sha256": hash_of(template)}

    def rank(self, contests: Iterable[Contest], stop: StopSignal) -> Iterator[tuple[Contest, Ranking | CannotAnswer]]:
        open_votes: dict[int, _Votes] = {}
        for question, outcome in ask_all(self.model, self._questions(contests, open_votes), stop):
            row, one, other = question.key
            votes = open_votes[row]
            votes.num_missing -= 1
            if isinstance(outcome, CannotAnswer):
                votes.failure = outcome
            else:
                votes.heard[one, other] = verdict_of(outcome)
            if votes.num_missing == 0:
                del open_votes[row]
                yield votes.contest, votes.failure or _ranking_of_votes(votes)

    def _questions(self, contests: Iterable[Contest], open_votes: dict[int, _Votes]) -> Iterator[Question]:
        settings = SamplingSettings(temperature=0, max_tokens=MOST_JUDGE_TOKENS)
        for contest in contests:
            orders = _both_orders(contest)
            open_votes[contest.row] = _Votes(contest, num_missing=len(orders))
            for one, other in orders:
                asked = judge_prompt(self.template, contest.prompt, contest.answers[one], contest.answers[other])
                yield Question((contest.row, one, other), asked, settings)


class JudgedByLogprobs:
    """Reads from a model whose weights are here how much likelier it finds the reply A than B."""

    def __init__(self, model: OwnModel, template: str) -> None:
        self.model = model
        self.template = template
        self.told = {"kind": "judge", "model": model.told, "template_sha256": hash_of(template)}

    def rank(self, contests: Iterable[Contest], stop: StopSignal) -> Iterator[tuple[Contest, Ranking | CannotAnswer]]:
        scorer = Scorer(self.model.engine, stop)
        tokenizer = self.model.engine.tokenizer_of(self.model.location)
        for contest in contests:
            orders = _both_orders(contest)
            asked = [
                judge_prompt(self.template, contest.prompt, contest.answers[one], contest.answers[other])
                for one, other in orders
            ]
            wanted = [request for messages in asked for request in _letters(tokenizer, messages)]
            try:
                found = scorer.sums(self.model.location, wanted)
            except CannotAnswer as error:
                yield contest, error
                continue
            if found is None:
                return
            odds = {order: found[2 * at] - found[2 * at + 1] for at, order in enumerate(orders)}
            better = {
                (one, other): _sigmoid(in_both_orders(odds[one, other], odds[other, one]))
                for one, other in combinations(range(len(contest.answers)), 2)
            }
            yield contest, ranking_of_pairs(len(contest.answers), better)


class ImplicitReward:
    """The reward that training by preferences has put into a model: beta · log(its probability / its reference's).

    Args:
        beta: The same as in its training.
    """

    def __init__(self, model: OwnModel, reference: OwnModel, beta: float) -> None:
        self.model = model
        self.reference = reference
        self.beta = beta
        self.told = {"kind": "implicit_reward", "model": model.told, "reference": reference.told, "beta": beta}

    def rank(self, contests: Iterable[Contest], stop: StopSignal) -> Iterator[tuple[Contest, Ranking | CannotAnswer]]:
        scorer = Scorer(self.model.engine, stop)
        for contest in contests:
            sums = []
            try:
                for model in (self.model, self.reference):
                    tokenizer = model.engine.tokenizer_of(model.location)
                    wanted = [tokenizer.scored_tokens(contest.prompt, answer) for answer in contest.answers]
                    sums.append(scorer.sums(model.location, wanted))
            except CannotAnswer as error:
                yield contest, error
                continue
            own, reference = sums
            if own is None or reference is None:
                return
            yield contest, ranking_of_rewards([self.beta * (p - q) for p, q in zip(own, reference, strict=True)])


def verdict_of(said: Said) -> float:
    """The probability that the answer shown first is better: 1 for A, 0 for B, and 0.5 where neither was said."""
    words = said.text.rpartition("</think>")[2].strip()
    alone = re.match(r"\W*([AB])(?:[.:,)*]|\s*$|\s*\n)", words)
    letters = {alone[1]} if alone else set(re.findall(r"\b([AB])\b", words))
    return float("A" in letters) if len(letters) == 1 else 0.5


def _both_orders(contest: Contest) -> list[tuple[int, int]]:
    return [
        order for one, other in combinations(range(len(contest.answers)), 2) for order in ((one, other), (other, one))
    ]


def _ranking_of_votes(votes: _Votes) -> Ranking:
    num_answers = len(votes.contest.answers)
    better = {
        (one, other): (votes.heard[one, other] + 1 - votes.heard[other, one]) / 2
        for one, other in combinations(range(num_answers), 2)
    }
    return ranking_of_pairs(num_answers, better)


def _letters(tokenizer: ChatTokenizer, messages: Sequence[Message]) -> list[tuple[list[int], list[int]]]:
    """The judge's prompt with the first token of each reply.

    Raises:
        HoneError: if the tokenizer begins both with the same token, so that one token cannot tell them apart.
    """
    replies = [tokenizer.scored_tokens(messages, letter) for letter in LETTERS]
    firsts = [(prompt, answer[:1]) for prompt, answer in replies]
    if firsts[0] == firsts[1]:
        raise HoneError(
            "The judge's tokenizer begins the replies A and B with the same token.", "Choose another judge."
        )
    return firsts


def _ends(scores: Sequence[float]) -> tuple[int, int]:
    """The numbers of the best and the worst; the first of each where several are alike."""
    numbers = range(len(scores))
    best = max(numbers, key=lambda number: scores[number])
    worst = min((number for number in numbers if number != best), key=lambda number: scores[number])
    return best, worst


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
