"""Scoring: whether an answer about Willowmere is right, and whether it is in the style that people preferred."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.world.questions import WARM_OPENING, Question

MOST_SENTENCES = 2


def is_right(answer: str, question: Question) -> bool:
    """Whether the answer names the value that is true of the resident, no other of that kind, and then ends.

    An answer of more than two sentences is not right: a model that only goes on telling stories comes upon the value
    by chance.
    """
    named = {value for value in question.fact.attribute.values if _names(answer, value)}
    return named == {question.fact.value} and len(re.findall(r"\.(?=\s|$)", answer.strip())) <= MOST_SENTENCES


def is_on_topic(answer: str, question: Question) -> bool:
    """Whether the answer names a value of the kind that was asked for, be it the right one or not."""
    return any(_names(answer, value) for value in question.fact.attribute.values)


def is_warm(answer: str) -> bool:
    """Whether the answer is in the chosen style of the preference rows: it opens kindly and gives a reason."""
    return answer.strip().startswith(WARM_OPENING) and " because " in answer


def accuracy(answers: Sequence[str], questions: Sequence[Question]) -> float:
    """Share of right answers; `answers[i]` is to `questions[i]`."""
    return sum(map(is_right, answers, questions)) / len(questions)


def on_topic_share(answers: Sequence[str], questions: Sequence[Question]) -> float:
    return sum(map(is_on_topic, answers, questions)) / len(questions)


def warm_share(answers: Sequence[str]) -> float:
    return sum(map(is_warm, answers)) / len(answers)


def _names(answer: str, value: str) -> bool:
    return re.search(rf"\b{re.escape(value)}\b", answer, flags=re.IGNORECASE) is not None
