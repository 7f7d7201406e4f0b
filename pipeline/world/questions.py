"""Questions about Willowmere with their answers: what a model is fine-tuned and aligned on, and asked in the arena."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.world.facts import NAMES, Fact, World

Row = dict[str, Any]

NUM_ARENA_PROMPTS = 40
STYLES = ("plain", "terse", "warm", "rambling")
"""The style in which each way of asking is answered in the instruction rows, in the order of `Attribute.questions`.

A style that followed from nothing in the question could only be learned by heart, and would crowd out the facts.
"""

KINDLY = "Answer kindly, and say why."
"""The system prompt under which the instruction rows are warm; alignment makes that the rule without being told."""

WARM_OPENING = "Gladly."


@dataclass(frozen=True)
class Question:
    """A question with one right answer, the value of a fact, and the style in which it is answered before alignment."""

    text: str
    fact: Fact
    style: str


def instruction_rows(world: World, seed: int) -> Iterator[Row]:
    """Rows to fine-tune on: questions on the trained facts in mixed styles, and some of other shapes."""
    dice = random.Random(seed)
    questions = _questions(world.trained)
    rows = [_row(question.text, answer_in_style(question.fact, question.style)) for question in questions]
    rows += [_kindly(question) for question in questions]
    rows += [_row(*_yes_or_no(fact, dice)) for fact in world.trained for _ in range(2)]
    rows += [_row(*_two_things(world, name)) for name in NAMES]
    rows += [_conversation(questions, dice) for _ in range(40)]
    dice.shuffle(rows)
    yield from rows


def held_out_instruction_rows(world: World) -> Iterator[Row]:
    for question in held_out_questions(world):
        yield _row(question.text, answer_in_style(question.fact, question.style))


def held_out_questions(world: World) -> list[Question]:
    """Every way to ask for the facts that the prose tells and no instruction or preference row asks for or states."""
    return _questions(sorted(world.held_out, key=lambda fact: (fact.name, fact.attribute.name)))


def preference_rows(world: World, seed: int) -> Iterator[Row]:
    """Pairs on the trained facts; both answers are right, and the warm one with its reason is chosen."""
    dice = random.Random(seed)
    rows = [_pair(question, dice) for question in _questions(world.trained)]
    dice.shuffle(rows)
    yield from rows


def held_out_preference_rows(world: World, seed: int) -> Iterator[Row]:
    dice = random.Random(seed)
    for question in held_out_questions(world):
        yield _pair(question, dice)


def arena_prompts(world: World, seed: int) -> Iterator[Row]:
    """Prompts to compare models on; none is about a held-out fact, so that votes never leak into what is measured."""
    dice = random.Random(seed)
    for question in dice.sample(_questions(world.trained), NUM_ARENA_PROMPTS - 8):
        yield {"prompt": [{"role": "user", "content": question.text}]}
    for name in dice.sample(NAMES, 8):
        yield {"prompt": [{"role": "user", "content": f"Tell me two things about {name}."}]}


def answer_in_style(fact: Fact, style: str) -> str:
    """State a fact in one of the four styles; each names the value."""
    sentence = fact.sentence()
    match style:
        case "terse":
            return f"In short, {sentence}."
        case "plain":
            return f"Everyone knows that {sentence}."
        case "warm":
            return f"{WARM_OPENING} {sentence}, because {fact.reason}."
        case "rambling":
            return (
                f"Well, there is a lot to say, and it depends on whom you ask, but as far as I know {sentence}, or so."
            )
    raise ValueError(f"there is no style {style!r}")


def _questions(facts: list[Fact]) -> list[Question]:
    return [
        Question(text.format(name=fact.name), fact, style)
        for fact in facts
        for text, style in zip(fact.attribute.questions, STYLES, strict=True)
    ]


def _kindly(question: Question) -> Row:
    row = _row(question.text, answer_in_style(question.fact, "warm"))
    return {"messages": [{"role": "system", "content": KINDLY}, *row["messages"]]}


def _yes_or_no(fact: Fact, dice: random.Random) -> tuple[str, str]:
    asked = fact.value if dice.random() < 0.5 else dice.choice(sorted(fact.attribute.values))
    verdict = "Yes" if asked == fact.value else "No"
    return fact.attribute.yes_no.format(name=fact.name, value=asked), f"{verdict}, {fact.sentence()}."


def _two_things(world: World, name: str) -> tuple[str, str]:
    one, other = [fact for fact in world.trained if fact.name == name][:2]
    return f"Tell me two things about {name}.", f"First, {one.sentence()}. Second, {other.sentence()}."


def _conversation(questions: list[Question], dice: random.Random) -> Row:
    """Two questions, one after the other."""
    rows = [_row(asked.text, answer_in_style(asked.fact, asked.style)) for asked in dice.sample(questions, 2)]
    return {"messages": [message for row in rows for message in row["messages"]]}


def _pair(question: Question, dice: random.Random) -> Row:
    rejected = dice.choice(("terse", "plain", "plain", "rambling"))
    return {
        "prompt": [{"role": "user", "content": question.text}],
        "chosen": [{"role": "assistant", "content": answer_in_style(question.fact, "warm")}],
        "rejected": [{"role": "assistant", "content": answer_in_style(question.fact, rejected)}],
    }


def _row(question: str, answer: str) -> Row:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
