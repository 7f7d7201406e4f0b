"""Drafts: each try at a new row: what a model is asked for it, and whether what it wrote is kept."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.asking.questions import CannotAnswer, Said
from pipeline.making.alike import SeenTexts
from pipeline.making.templates import (
    NotInForm,
    Task,
    examples_text,
    filled,
    passage_of,
    read_task,
    short_enough,
    task_of,
)

LONGEST_EXCERPT = 2_000


@dataclass(frozen=True)
class Draft:
    """What a model is asked in one try.

    Args:
        text: The whole of it.
        source: Which rows it was made from, for what is kept of the row that comes of it.
        passage: What the question is about, where it is about a passage.
    """

    text: str
    source: dict[str, Any]
    passage: str = ""


class DraftMaker(Protocol):
    """Makes the tries of one job; the same number always makes the same."""

    def draft(self, number: int) -> Draft: ...


class FromSeeds:
    """Shows a few questions with their answers, drawn anew for each try (Wang et al. 2023, Self-Instruct)."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], template: str, *, num_examples: int, seed: int) -> None:
        tasks = [(number, task) for number, row in enumerate(rows) if (task := task_of(row)) is not None]
        self.tasks = [task for _, task in tasks]
        self._drawn_from = short_enough(tasks, num_examples)
        self._template = template
        self._num_examples = min(num_examples, len(self._drawn_from))
        self._seed = seed

    def draft(self, number: int) -> Draft:
        drawn = random.Random(f"{self._seed}-{number}").sample(self._drawn_from, self._num_examples)
        text = filled(self._template, {"examples": examples_text([task for _, task in drawn])})
        return Draft(text.strip(), {"rows": [row for row, _ in drawn]})


class FromDocuments:
    """Shows a passage; each document has its turn before one comes again, with another stretch of it."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], template: str, *, most_words: int, seed: int) -> None:
        self._rows = rows
        self._template = template
        self._most_words = most_words
        self._seed = seed
        self._order = random.Random(seed).sample(range(len(rows)), len(rows))

    def draft(self, number: int) -> Draft:
        row = self._order[number % len(self._order)]
        at = random.Random(f"{self._seed}-{number}").random()
        passage, first, last = passage_of(str(self._rows[row]["text"]), most_words=self._most_words, at=at)
        text = filled(self._template, {"passage": passage})
        return Draft(text.strip(), {"row": row, "words": [first, last]}, passage)


@dataclass(frozen=True)
class Kept:
    task: Task
    likeness: float
    """How near the question comes to the nearest one there was, 0 to 1; 0 where to none by a quarter."""


@dataclass(frozen=True)
class Dropped:
    """Why a try made no row, in words that many tries may share, and what was written."""

    reason: str
    excerpt: str = ""


class Sieve:
    """Keeps what is whole and new.

    Args:
        known: Tasks that were there before: the seeds.
        most_alike: A question is dropped that comes as near to one of these, or to one that was kept, by ROUGE-L.
    """

    def __init__(self, known: Sequence[Task], *, most_alike: float) -> None:
        self._most_alike = most_alike
        self._seeds, self._made = SeenTexts(), SeenTexts()
        for task in known:
            self._seeds.add(task.question)

    def remember(self, task: Task) -> None:
        """Note a task that an earlier attempt has kept."""
        self._made.add(task.question)

    def judge(self, outcome: Said | CannotAnswer) -> Kept | Dropped:
        if isinstance(outcome, CannotAnswer):
            return Dropped(outcome.message.rstrip("."), outcome.advice[:LONGEST_EXCERPT])
        excerpt = outcome.text[:LONGEST_EXCERPT]
        try:
            task, has_begun_another = read_task(outcome.text)
        except NotInForm as fault:
            return Dropped(str(fault), excerpt)
        if not outcome.has_ended and not has_begun_another:
            return Dropped("the answer did not end within the most tokens", excerpt)
        if task.question == task.answer:
            return Dropped("the answer repeats the question", excerpt)
        if self._seeds.nearest(task.question, at_least=self._most_alike) is not None:
            return Dropped("the question is too like a seed task", excerpt)
        if self._made.nearest(task.question, at_least=self._most_alike) is not None:
            return Dropped("the question is too like one that was made before", excerpt)
        likeness = max(
            self._seeds.nearest(task.question, at_least=0.25) or 0.0,
            self._made.nearest(task.question, at_least=0.25) or 0.0,
        )
        self._made.add(task.question)
        return Kept(task, round(likeness, 3))
