"""Templates: what a model is asked for a new row, and what is read out of its answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pipeline.prompt_rows import Message

SEED_TEMPLATE = """\
Here are questions with their answers. Write one more question of this kind, about something else, and answer it. \
Keep to the same form.

{examples}"""

DOCUMENT_TEMPLATE = """\
{passage}

Write one question that the text above answers, and its answer. Use this form:
Question: the question
Answer: the answer"""

JUDGE_TEMPLATE = """\
Which of two answers to a question is better: more correct, more helpful and better put?

Question:
{question}

Answer A:
{answer_a}

Answer B:
{answer_b}

Reply with one letter, A or B."""

OPENING = "Question:"
"""What the answer of a model that can be made to go on from words begins with."""
LONGEST_EXAMPLE_WORDS = 150
"""Longer seed tasks are shown only where too few are shorter: they would fill a small model's context."""

_MARK = re.compile(r"^[ \t*#>_]*(question|answer)[ \t*_]*:[ \t*_]*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Task:
    """A question and its answer."""

    question: str
    answer: str


class NotInForm(Exception):
    """The answer is not a question and its answer; the words say what is missing."""


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with each `{name}` of `values` replaced; what is put in is not looked at again."""
    names = "|".join(map(re.escape, values))
    return re.sub(rf"\{{({names})\}}", lambda found: values[found[1]], template)


def missing_places(template: str, *names: str) -> list[str]:
    """Those of the names for which the template has no place."""
    return [f"{{{name}}}" for name in names if f"{{{name}}}" not in template]


def hash_of(template: str) -> str:
    """The SHA-256 of a template, by which rows are known that were made with it."""
    return hashlib.sha256(template.encode()).hexdigest()


def task_of(row: Mapping[str, Any]) -> Task | None:
    """The first question of a conversation with its answer; None where either is no text."""
    messages = row["messages"]
    for asked, answered in pairwise(messages):
        if asked["role"] == "user" and answered["role"] == "assistant":
            task = Task(str(asked["content"]).strip(), str(answered["content"]).strip())
            return task if task.question and task.answer else None
    return None


def short_enough(tasks: Sequence[tuple[int, Task]], wanted: int) -> list[tuple[int, Task]]:
    """The tasks to draw examples from: the short ones, where there are enough of them."""
    short = [item for item in tasks if _num_words(item[1]) <= LONGEST_EXAMPLE_WORDS]
    return short if len(short) >= max(wanted, 1) else list(tasks)


def examples_text(tasks: Sequence[Task]) -> str:
    return "\n\n".join(f"Question: {task.question}\nAnswer: {task.answer}" for task in tasks)


def read_task(text: str) -> tuple[Task, bool]:
    """The question and the answer that a model has written, and whether it has begun another one after them.

    `Question:` may be missing at the beginning, as the model may have been made to go on from it.

    Raises:
        NotInForm: if there is no question, or no answer to it.
    """
    text = text.rpartition("</think>")[2]
    marks = list(_MARK.finditer(text))
    answer_mark = next((mark for mark in marks if mark[1].lower() == "answer"), None)
    if answer_mark is None:
        raise NotInForm("no “Answer:” after the question" if text.strip() else "nothing was written")
    before = [mark for mark in marks if mark.start() < answer_mark.start()]
    question = text[before[-1].end() if before else 0 : answer_mark.start()].strip()
    following = next(
        (mark for mark in marks if mark.start() > answer_mark.start() and mark[1].lower() == "question"), None
    )
    answer = text[answer_mark.end() : following.start() if following else len(text)].strip()
    if not question or not answer:
        raise NotInForm("the question is empty" if not question else "the answer is empty")
    return Task(question, answer), following is not None


def read_question(text: str) -> str:
    """The first question that a model has written, without its mark; empty where there is none."""
    text = text.rpartition("</think>")[2].lstrip()
    mark = _MARK.match(text)
    text = text[mark.end() :] if mark and mark[1].lower() == "question" else text
    answer_mark = _MARK.search(text)
    first_line = text[: answer_mark.start() if answer_mark else len(text)].strip().partition("\n")[0]
    return first_line.strip()


def passage_of(text: str, *, most_words: int, at: float) -> tuple[str, int, int]:
    """A stretch of a text with its first and last word's numbers, from 0, the last one excluded.

    Args:
        at: Where it begins in a text that is longer, as a share of where it may: 0 to 1.
    """
    words = list(re.finditer(r"\S+", text))
    if len(words) <= most_words:
        return text.strip(), 0, len(words)
    first = min(int(at * (len(words) - most_words + 1)), len(words) - most_words)
    last = first + most_words
    return text[words[first].start() : words[last - 1].end()], first, last


def conversation_text(messages: Sequence[Message]) -> str:
    """A conversation as a judge reads it: a lone question as it is, otherwise each turn under its role."""
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in messages)


def _num_words(task: Task) -> int:
    return len(task.question.split()) + len(task.answer.split())
