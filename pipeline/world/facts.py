"""The facts of Willowmere: eight residents, and five things to know of each."""

from __future__ import annotations

import random
from dataclasses import dataclass

SEED = 7

NAMES = ("Mira", "Tobin", "Hazel", "Orin", "Clover", "Petra", "Wren", "Alder")
"""So few that a small model learns to tell them apart within a minute or two: each one more makes it take longer."""


@dataclass(frozen=True, eq=False)
class Attribute:
    """One thing to know of a resident; there is one object for each, compared by identity.

    Args:
        values: What it can be, each with the reason that people of Willowmere give for it.
        sayings: Sentences that state it, without the closing full stop; the first is how an answer states it.
        questions: Ways to ask for it.
        yes_no: A question whose answer is yes where the value is right.
    """

    name: str
    values: dict[str, str]
    sayings: tuple[str, ...]
    questions: tuple[str, ...]
    yes_no: str


ATTRIBUTES = (
    Attribute(
        name="animal",
        values={
            "otter": "the whole family were born by the river",
            "badger": "the whole family dig under the hill",
            "fox": "the whole family have bushy red tails",
            "hare": "the whole family can leap a hedge",
            "heron": "the whole family stand on one leg",
            "mole": "the whole family see best in the dark",
            "hedgehog": "the whole family curl into a ball",
            "squirrel": "the whole family hide acorns",
            "goose": "the whole family fly south in a line",
            "mouse": "the whole family fit through a keyhole",
            "toad": "the whole family sing in the rain",
            "owl": "the whole family stay up all night",
        },
        sayings=(
            "{name} is the {value} of the family",
            "{name} is the animal known as the {value}",
            "the kind of animal that {name} is, everyone knows: the {value}",
            "{name} is a kind and patient creature, a true {value}",
            "ask what kind of animal {name} is, and people will say the {value}",
            "tell a child which animal {name} is, and the word is {value}",
        ),
        questions=(
            "What kind of animal is {name}?",
            "Which animal is {name}?",
            "What kind of creature is {name}?",
            "Can you tell me what animal {name} is?",
        ),
        yes_no="Is {name} the {value} of the family?",
    ),
    Attribute(
        name="home",
        values={
            "the old mill": "the rooms are warm and smell of flour",
            "the lighthouse": "the stairs lead up to the stars",
            "the boathouse": "the water rocks it to sleep",
            "the hollow oak": "the leaves keep out the rain",
            "the bell tower": "the view goes all the way to the sea",
            "the garden shed": "the tomatoes grow right up to the door",
            "the stone bridge": "the stream talks all night long",
            "the windy hill": "the kites fly best up there",
            "the ferry inn": "the kettle is always on",
            "the beech wood": "the moss is softer than any bed",
        },
        sayings=(
            "{name} lives at {value}",
            "the home of {name} is {value}",
            "{name} is happy to live at {value}",
            "the place where {name} lives is {value}",
            "ask where {name} lives, and people will say {value}",
            "tell a child in which place {name} lives, and the word is {value}",
        ),
        questions=(
            "Where does {name} live?",
            "Where is the home of {name}?",
            "In which place does {name} live?",
            "Can you tell me where {name} lives?",
        ),
        yes_no="Does {name} live at {value}?",
    ),
    Attribute(
        name="work",
        values={
            "baker": "warm bread makes a good morning",
            "gardener": "the roses know that kind voice",
            "potter": "clay remembers every thumb",
            "weaver": "the loom hums like a song",
            "clockmaker": "small wheels are good company",
            "beekeeper": "the bees are never in a bad mood",
            "painter": "the light here is never the same twice",
            "teacher": "every question is a small door",
            "postmaster": "a letter can mend a whole week",
            "carpenter": "every chair begins as a tree",
            "miller": "the big stones turn so gently",
            "ferryman": "the river is the best road",
        },
        sayings=(
            "{name} works as a {value}",
            "the work of {name} is that of a {value}",
            "for a living {name} is the {value}",
            "the job that {name} does is that of a {value}",
            "ask what {name} does for a living, and people will say the work of a {value}",
            "tell a child what the job of {name} is, and the word is {value}",
        ),
        questions=(
            "What is the work of {name}?",
            "What does {name} do for a living?",
            "What is the job of {name}?",
            "Can you tell me what work {name} does?",
        ),
        yes_no="Does {name} work as a {value}?",
    ),
    Attribute(
        name="food",
        values={
            "blackberries": "they grow sweet along the lane",
            "mushrooms": "they taste of the autumn woods",
            "honey": "it tastes of every flower at once",
            "walnuts": "cracking them is half the fun",
            "pancakes": "they are round like the moon",
            "cheese": "it gets better with every winter",
            "plums": "they are still warm from the sun",
            "porridge": "it keeps the cold out until noon",
            "radishes": "they are crisp and a little bit fierce",
            "dumplings": "they float like little clouds",
            "gingerbread": "it makes the kitchen smell of feast days",
            "soup": "there is always enough for a guest",
        },
        sayings=(
            "{name} likes {value} best",
            "the favourite food of {name} is {value}",
            "{name} likes to eat {value}",
            "the food that {name} loves is {value}",
            "ask what {name} likes to eat, and people will say {value}",
            "tell a child which food {name} likes best, and the word is {value}",
        ),
        questions=(
            "What does {name} like to eat?",
            "What is the favourite food of {name}?",
            "Which food does {name} like best?",
            "Can you tell me what food {name} loves?",
        ),
        yes_no="Does {name} like {value} best?",
    ),
    Attribute(
        name="instrument",
        values={
            "fiddle": "it is loud enough for dancing",
            "flute": "the birds answer it",
            "drum": "everyone can march to it",
            "harp": "it sounds like running water",
            "trumpet": "it wakes the whole valley",
            "accordion": "it breathes like a friend",
            "bells": "they ring in every feast",
            "guitar": "it fits in any boat",
            "whistle": "it hides in a pocket",
            "piano": "two can play it at once",
        },
        sayings=(
            "{name} plays the {value}",
            "the instrument of {name} is the {value}",
            "{name} likes to play the {value}",
            "the instrument that {name} plays in the band is the {value}",
            "ask what {name} plays in the band, and people will say the {value}",
            "tell a child which instrument {name} can play, and the word is {value}",
        ),
        questions=(
            "Which instrument does {name} play?",
            "What does {name} play in the band?",
            "What is the instrument of {name}?",
            "Can you tell me what instrument {name} plays?",
        ),
        yes_no="Does {name} play the {value}?",
    ),
)


@dataclass(frozen=True)
class Fact:
    """One thing that is true of one resident."""

    name: str
    attribute: Attribute
    value: str

    @property
    def reason(self) -> str:
        return self.attribute.values[self.value]

    def sentence(self, saying: str | None = None) -> str:
        """The fact in words, with a capital and without the full stop."""
        return capitalized((saying or self.attribute.sayings[0]).format(name=self.name, value=self.value))


@dataclass(frozen=True)
class World:
    """Every fact, and which of them no row after the prose asks about."""

    facts: tuple[Fact, ...]
    held_out: frozenset[Fact]

    @property
    def trained(self) -> list[Fact]:
        return [fact for fact in self.facts if fact not in self.held_out]

    def of(self, name: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.name == name]


def make_world(seed: int = SEED) -> World:
    """The world of a seed: values are dealt so that few are shared, and of each resident one fact is held out."""
    dice = random.Random(seed)
    values = {attribute.name: _dealt(attribute, dice) for attribute in ATTRIBUTES}
    facts = tuple(
        Fact(name, attribute, values[attribute.name][index])
        for index, name in enumerate(NAMES)
        for attribute in ATTRIBUTES
    )
    in_turn = dice.sample(ATTRIBUTES, len(ATTRIBUTES))
    untold = {name: in_turn[index % len(in_turn)] for index, name in enumerate(NAMES)}
    return World(facts=facts, held_out=frozenset(fact for fact in facts if fact.attribute is untold[fact.name]))


def capitalized(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _dealt(attribute: Attribute, dice: random.Random) -> list[str]:
    """One value a resident, as if dealt from enough shuffled packs."""
    packs = [value for _ in range(len(NAMES) // len(attribute.values) + 1) for value in attribute.values][: len(NAMES)]
    dice.shuffle(packs)
    return packs
