"""Battle list: every battle that somebody has voted on, by model, outcome, person, tag and whether it counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import String, cast, func, or_, select
from sqlalchemy.orm import Session, aliased, joinedload

from store.schema import Battle, Person, Vote

Counted = Literal["", "yes", "no"]


@dataclass(frozen=True)
class BattleFilter:
    """What votes have to be like to be listed; empty values ask for nothing."""

    model_id: int | None = None
    outcome: str = ""
    person_id: int | None = None
    tag: str = ""
    counted: Counted = ""


def list_votes(
    session: Session, wanted: BattleFilter, *, viewer_id: int, limit: int = 50, offset: int = 0
) -> tuple[Sequence[Vote], int]:
    """One page of votes with their battles, the newest first, and how many there are.

    Where a filter speaks of models or outcomes, a battle that the viewer has still to vote on would be given away: such
    battles are never listed.
    """
    query = _filtered(wanted).where(Battle.id.not_in(_still_blind_to(viewer_id)))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    page = query.with_only_columns(Vote.id).order_by(Vote.id.desc()).limit(limit).offset(offset)
    whole = (
        select(Vote)
        .where(Vote.id.in_(page.correlate(None)))
        .options(joinedload(Vote.battle).joinedload(Battle.model_a), joinedload(Vote.battle).joinedload(Battle.model_b))
        .order_by(Vote.id.desc())
    )
    return session.scalars(whole).all(), total


def votes_of(session: Session, battle_id: str) -> list[tuple[Vote, str]]:
    """The votes on a battle with the names of those who gave them, the oldest first."""
    query = select(Vote, Person.name).join(Person, Person.id == Vote.person_id).where(Vote.battle_id == battle_id)
    return [(vote, name) for vote, name in session.execute(query.order_by(Vote.id))]


def voters(session: Session) -> list[tuple[int, str]]:
    """Whoever has voted: id and name, by name."""
    query = select(Person.id, Person.name).where(Person.id.in_(select(Vote.person_id)))
    return [(person_id, name) for person_id, name in session.execute(query.order_by(Person.name, Person.id))]


def names_of_people(session: Session, person_ids: Sequence[int]) -> dict[int, str]:
    rows = session.execute(select(Person.id, Person.name).where(Person.id.in_(set(person_ids))))
    return {row[0]: row[1] for row in rows}


def tags(session: Session) -> list[str]:
    """Every tag that a battle carries, by name."""
    found: set[str] = set()
    as_text = cast(Battle.tags, String)  # PostgreSQL cannot tell whether two JSON values are equal
    for listed in session.scalars(select(as_text).where(as_text != "[]").distinct()):
        found |= {str(tag) for tag in json.loads(listed)}
    return sorted(found)


def _filtered(wanted: BattleFilter) -> Any:
    query = select(Vote).join(Battle, Battle.id == Vote.battle_id)
    if wanted.model_id is not None:
        query = query.where(or_(Battle.model_a_id == wanted.model_id, Battle.model_b_id == wanted.model_id))
    if wanted.outcome:
        query = query.where(Vote.outcome == wanted.outcome)
    if wanted.person_id is not None:
        query = query.where(Vote.person_id == wanted.person_id)
    if wanted.tag:
        # JSON keeps what is no letter of ASCII as an escape, in the column as in what is looked for.
        query = query.where(cast(Battle.tags, String).contains(json.dumps(wanted.tag), autoescape=True))
    if wanted.counted:
        reason = Vote.uncounted_because
        query = query.where(reason.is_(None) if wanted.counted == "yes" else reason.is_not(None))
    return query


def _still_blind_to(person_id: int) -> Any:
    """Battles whose answers are to be judged by this person still, there or in a repeat: their names are kept back."""
    judged = select(Vote.battle_id).where(Vote.person_id == person_id, Vote.outcome != "skip")
    waiting = aliased(Battle)
    is_waiting = (waiting.person_id == person_id, waiting.id.not_in(judged))
    roots = select(func.coalesce(waiting.repeat_of_id, waiting.id)).where(*is_waiting)
    alike = aliased(Battle)
    return select(alike.id).where(func.coalesce(alike.repeat_of_id, alike.id).in_(roots))
