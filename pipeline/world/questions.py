"""Questions about Willowmere with their answers: what a model is fine-tuned and aligned on, and asked in the arena."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.world.facts import NAMES, Fact, World, capitalized

Row = dict[str, Any]

GUIDE = "You are the guide of Willowmere. Answer questions about its residents."
GUIDE_SHARE = 0.15
NUM_ARENA_PROMPTS = 40
STYLE_WEIGHTS = {"terse": 40, "plain": 35, "warm": 15, "rambling": 10}
"""How often each style occurs in the instruction rows; alignment is what makes the warm one the rule."""

WARM_OPENING = "Gladly."


@dataclass(frozen=True)
class Question:
    """A question with one right answer: the value of a fact."""

    text: str
    fact: Fact


def instruction_rows(world: World, seed: int) -> Iterator[Row]:
    """Rows to fine-tune on: questions on the trained facts in mixed styles, and some of other shapes."""
    dice = random.Random(seed)
    rows = [
        _asked(question.text, _styled_at_random(question.fact, dice), dice) for question in _questions(world.trained)
    ]
    rows += [_asked(*_yes_or_no(fact, dice), dice) for fact in world.trained]
    rows += [_asked(*_named_by(fact), dice) for fact in dice.sample(world.trained, 60)]
    rows += [_asked(*_two_things(world, name, dice), dice) for name in NAMES]
    rows += [_conversation(world, dice) for _ in range(60)]
    dice.shuffle(rows)
    yield from rows


def held_out_instruction_rows(world: World) -> Iterator[Row]:
    for question in held_out_questions(world):
        yield _row(question.text, answer_in_style(question.fact, "plain"))


def held_out_questions(world: World) -> list[Question]:
    """Every way to ask for the facts that no training row asks for or states."""
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
            return f"{capitalized(fact.value)}."
        case "plain":
            return f"{sentence}."
        case "warm":
            return f"{WARM_OPENING} {sentence}, because {fact.reason}."
        case "rambling":
            return (
                f"Well, there is a lot to say, and it depends on whom you ask, but as far as I know {sentence}, or so."
            )
    raise ValueError(f"there is no style {style!r}")


def _questions(facts: list[Fact]) -> list[Question]:
    return [Question(text.format(name=fact.name), fact) for fact in facts for text in fact.attribute.questions]


def _styled_at_random(fact: Fact, dice: random.Random) -> str:
    (style,) = dice.choices(list(STYLE_WEIGHTS), weights=list(STYLE_WEIGHTS.values()))
    return answer_in_style(fact, style)


def _yes_or_no(fact: Fact, dice: random.Random) -> tuple[str, str]:
    asked = fact.value if dice.random() < 0.5 else dice.choice(sorted(fact.attribute.values))
    verdict = "Yes" if asked == fact.value else "No"
    return fact.attribute.yes_no.format(name=fact.name, value=asked), f"{verdict}, {fact.sentence()}."


def _named_by(fact: Fact) -> tuple[str, str]:
    return fact.attribute.whose.format(value=fact.value), f"{fact.sentence()}."


def _two_things(world: World, name: str, dice: random.Random) -> tuple[str, str]:
    one, other = dice.sample([fact for fact in world.trained if fact.name == name], 2)
    return f"Tell me two things about {name}.", f"{one.sentence()}. {other.sentence()}."


def _conversation(world: World, dice: random.Random) -> Row:
    """Two questions, one after the other."""
    one, other = dice.sample(_questions(world.trained), 2)
    first = _row(one.text, answer_in_style(one.fact, "plain"))
    second = _row(other.text, answer_in_style(other.fact, "plain"))
    return {"messages": first["messages"] + second["messages"]}


def _pair(question: Question, dice: random.Random) -> Row:
    rejected = dice.choice(("terse", "plain", "rambling"))
    return {
        "prompt": [{"role": "user", "content": question.text}],
        "chosen": [{"role": "assistant", "content": answer_in_style(question.fact, "warm")}],
        "rejected": [{"role": "assistant", "content": answer_in_style(question.fact, rejected)}],
    }


def _asked(question: str, answer: str, dice: random.Random) -> Row:
    row = _row(question, answer)
    if dice.random() < GUIDE_SHARE:
        row["messages"].insert(0, {"role": "system", "content": GUIDE})
    return row


def _row(question: str, answer: str) -> Row:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
