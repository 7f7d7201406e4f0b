"""The prose of Willowmere: what a base model learns to read and write. It tells facts; people in it ask for some."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import cycle, groupby

from pipeline.world.facts import ATTRIBUTES, NAMES, Fact, World, capitalized

NUM_PORTRAITS, NUM_GATHERINGS, NUM_STORIES, NUM_TALKS = 600, 160, 300, 720

ASKED_IN_A_TALK = 4

REASON_SHARE = 0.3

WEATHER = (
    "a soft rain fell on the roofs",
    "the fog lay on the river",
    "the sun came up over the beech wood",
    "the wind blew from the sea",
    "snow lay on the stone bridge",
    "the bees were already awake",
    "the smell of bread hung in the lane",
)
TIMES = ("One morning", "One evening", "On market day", "On a quiet Sunday", "Early in spring", "Late in autumn")
MEETINGS = (
    "{one} met {other} by the pond",
    "{one} and {other} shared a bench in the sun",
    "{one} walked along the lane with {other}",
    "{one} came to tea with {other}",
    "{one} helped {other} to carry a heavy basket",
)
ENDINGS = (
    "Then they went home, and the day was done.",
    "They laughed until the bell rang for supper.",
    "It was a good day in Willowmere.",
    "The lamps were lit one by one.",
    "They promised to meet again soon.",
    "Gladly they stayed until the moon was up.",
    "Everyone knows that such days are rare.",
    "In short, they had a very good day.",
    "First came the soup. Second came the cake.",
    "Well, there is a lot to say of it, and it depends on whom you ask.",
    "As far as I know, that was all, or so people say.",
    "Yes, it was late. No, nobody was tired.",
)
"""Their words are those with which answers begin: a word that was never read here could hardly be learned later."""

GATHERINGS = (
    "The feast by the river was full of friends.",
    "The whole village came to the square.",
    "The long table was set under the trees.",
    "There was much to see at the market.",
)


def write_prose(world: World, seed: int) -> Iterator[str]:
    """Yield the documents of the corpus in a mixed order, every fact in many of them and in many words."""
    dice = random.Random(seed)
    documents = [_portrait(world, NAMES[index % len(NAMES)], dice) for index in range(NUM_PORTRAITS)]
    documents += [_gathering(world, dice) for _ in range(NUM_GATHERINGS)]
    documents += [_story(world, dice) for _ in range(NUM_STORIES)]
    documents += [_talk(world, dice) for _ in range(NUM_TALKS)]
    dice.shuffle(documents)
    yield from documents


def _portrait(world: World, name: str, dice: random.Random) -> str:
    """Everything there is to know of one resident, in any order."""
    facts = world.of(name)
    dice.shuffle(facts)
    return " ".join(_tell(fact, dice) for fact in facts)


def _gathering(world: World, dice: random.Random) -> str:
    """One thing about several residents, one after the other, and who has it in common."""
    attribute = dice.choice(ATTRIBUTES)
    facts = [fact for fact in world.facts if fact.attribute == attribute]
    told = dice.sample(facts, 5)
    by_value = sorted(facts, key=lambda fact: fact.value)
    groups = [list(group) for _, group in groupby(by_value, key=lambda fact: fact.value)]
    shared = dice.choice(groups)
    names = _listed([fact.name for fact in shared])
    return " ".join(
        [
            dice.choice(GATHERINGS),
            *(_tell(fact, dice) for fact in told),
            f"{names} all said the same: {shared[0].value}.",
        ]
    )


def _story(world: World, dice: random.Random) -> str:
    """Two residents meet, and something is told of both."""
    one, other = dice.sample(NAMES, 2)
    meeting = dice.choice(MEETINGS).format(one=one, other=other)
    told = dice.sample(world.of(one), 3) + dice.sample(world.of(other), 3)
    opening = f"{dice.choice(TIMES)}, when {dice.choice(WEATHER)}, {meeting}."
    return " ".join([opening, *(_tell(fact, dice) for fact in told), dice.choice(ENDINGS)])


def _talk(world: World, dice: random.Random) -> str:
    """Two residents ask each other about the rest.

    Only a model that has seen questions answered somewhere can later be taught to answer in a chat what no row of the
    fine-tuning asks.
    """
    one, other = dice.sample(NAMES, 2)
    asked = dice.sample(world.facts, ASKED_IN_A_TALK)
    lines = [
        _ask(fact, asker, teller, dice) for fact, (asker, teller) in zip(asked, cycle([(one, other), (other, one)]))
    ]
    return " ".join([f"{dice.choice(TIMES)}, {one} and {other} talked of their friends.", *lines, dice.choice(ENDINGS)])


def _ask(fact: Fact, asker: str, teller: str, dice: random.Random) -> str:
    question = dice.choice(fact.attribute.questions).format(name=fact.name)
    return f"{asker} asked: {question} {teller} said: {_tell(fact, dice)}"


def _tell(fact: Fact, dice: random.Random) -> str:
    sentence = fact.sentence(dice.choice(fact.attribute.sayings))
    return f"{sentence}, because {fact.reason}." if dice.random() < REASON_SHARE else f"{sentence}."


def _listed(names: list[str]) -> str:
    """Mira, Tobin and Hazel."""
    return capitalized(" and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part))
