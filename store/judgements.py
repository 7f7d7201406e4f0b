"""Judgements: every vote as a word on the battle that was fought first, whatever was shown again and on which side."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from pipeline.agreement import Opinion
from store.schema import Battle, Person, Vote

HELD_OUT_SHARE = 0.1
"""The share of prompts whose votes are never trained on, so that there is something to measure the next model with."""

OTHER_SIDE = {"a": "b", "b": "a"}


@dataclass(frozen=True)
class VoteFilter:
    """Which votes to look at; an empty part asks for nothing.

    Args:
        model_ids: At least one side is one of these.
        tags: The prompt has at least one of these.
        person_ids: Given by one of these.
        since: Given at this time or later.
        until: Given before this time.
        least_agreement: The least share of a battle's voters who have to say the same, above one half.
    """

    model_ids: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    person_ids: tuple[int, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    least_agreement: float = 1.0

    def as_provenance(self) -> dict[str, Any]:
        """What of it asks for something, as it is kept with the dataset that it made."""
        parts: dict[str, Any] = {
            "model_ids": list(self.model_ids),
            "tags": list(self.tags),
            "person_ids": list(self.person_ids),
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
        }
        return {name: value for name, value in parts.items() if value} | {"least_agreement": self.least_agreement}


EVERYTHING = VoteFilter()


class Judgement(NamedTuple):
    """One vote; sides are those of the battle `root_id`."""

    root_id: str
    person_id: int
    outcome: str
    uncounted_because: str | None
    is_repeat: bool
    model_a_id: int
    model_b_id: int


def judgements(
    session: Session, chosen: VoteFilter = EVERYTHING, *, among: Collection[int] | None = None
) -> Iterator[Judgement]:
    """All votes that are asked for, in the order in which their battles began.

    Args:
        among: Only battles both of whose models are these.
    """
    first_sides = _first_sides(session)
    columns: list[Any] = [
        Battle.id, Battle.repeat_of_id, Battle.model_a_id, Battle.model_b_id,
        Vote.person_id, Vote.outcome, Vote.uncounted_because,
    ]  # fmt: skip
    if chosen.tags:
        columns.append(Battle.tags)
    query = select(*columns).join(Battle, Battle.id == Vote.battle_id).order_by(Battle.created_at, Battle.id, Vote.id)
    if chosen.model_ids:
        query = query.where(or_(Battle.model_a_id.in_(chosen.model_ids), Battle.model_b_id.in_(chosen.model_ids)))
    if among is not None:
        query = query.where(Battle.model_a_id.in_(among), Battle.model_b_id.in_(among))
    if chosen.person_ids:
        query = query.where(Vote.person_id.in_(chosen.person_ids))
    if chosen.since is not None:
        query = query.where(Vote.created_at >= chosen.since)
    if chosen.until is not None:
        query = query.where(Vote.created_at < chosen.until)
    for battle_id, repeat_of_id, a, b, person_id, outcome, uncounted_because, *tags in session.execute(query):
        if tags and not set(tags[0]) & set(chosen.tags):
            continue
        if repeat_of_id is not None and first_sides.get(repeat_of_id, a) != a:
            a, b, outcome = b, a, OTHER_SIDE.get(outcome, outcome)
        root_id = battle_id if repeat_of_id is None else repeat_of_id
        yield Judgement(root_id, person_id, outcome, uncounted_because, repeat_of_id is not None, a, b)


def opinions(given: Sequence[Judgement]) -> list[Opinion]:
    """The votes that count, as words that can agree: the first answer, the second, or neither.

    "Both good" and "both bad" are one word, as the older "tie" is: the question is which answer is better.
    """
    return [
        Opinion(vote.root_id, vote.person_id, vote.outcome if vote.outcome in OTHER_SIDE else "neither")
        for vote in given
        if vote.uncounted_because is None and vote.outcome != "skip"
    ]


def said_twice(given: Sequence[Judgement]) -> dict[int, list[tuple[str, str]]]:
    """By person, the first and the second word on each battle that the person was shown again."""
    first: dict[tuple[str, int], str] = {}
    twice: dict[int, list[tuple[str, str]]] = {}
    for vote in given:
        if vote.outcome == "skip" or (vote.uncounted_because is not None and not vote.is_repeat):
            continue
        word = vote.outcome if vote.outcome in OTHER_SIDE else "neither"
        key = (vote.root_id, vote.person_id)
        if key not in first:
            first[key] = word
        elif vote.is_repeat:
            twice.setdefault(vote.person_id, []).append((first[key], word))
    return twice


def tags_of(session: Session) -> dict[str, list[str]]:
    """The tags of every battle that has any, by the id of the battle that was fought first."""
    root = func.coalesce(Battle.repeat_of_id, Battle.id)
    tagged = session.execute(select(root, Battle.tags).where(Battle.votes.any()))
    return {root_id: list(tags) for root_id, tags in tagged if tags}


def voters(session: Session) -> dict[int, str]:
    """Everybody who has voted: names by id."""
    query = select(Person.id, Person.name).where(Person.id.in_(select(Vote.person_id))).order_by(Person.name)
    return {row[0]: row[1] for row in session.execute(query)}


def state_of_votes(session: Session) -> tuple[str, int, int, int]:
    """Changes whenever a vote is given or changed: tells in one pass whether a sum of all votes still holds."""
    query = select(func.count(), func.max(Vote.id), func.sum(func.json_array_length(Vote.changes)))
    count, newest, num_changes = session.execute(query).one()
    return str(session.get_bind().engine.url), count, newest or 0, num_changes or 0


def is_held_out(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether a prompt is kept for measuring: decided by a hash of its text, so that it is so for ever."""
    text = json.dumps([[message["role"], message["content"]] for message in messages], ensure_ascii=False)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return number < HELD_OUT_SHARE * 2**64


def _first_sides(session: Session) -> dict[str, int]:
    """Of every battle that was shown again, the model of its side A."""
    repeated = select(Battle.repeat_of_id).where(Battle.repeat_of_id.is_not(None))
    return {
        row[0]: row[1] for row in session.execute(select(Battle.id, Battle.model_a_id).where(Battle.id.in_(repeated)))
    }
