"""Repeats: battles that are shown once more, to learn how far people agree with each other and with themselves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, aliased

from store.schema import Battle, Vote

OTHERS_SHARE = 0.05
"""How often somebody is shown a battle that another has voted on: both votes count."""
OWN_SHARE = 0.05
"""How often somebody is shown a battle of their own again, its sides swapped: the second vote does not count."""
FEWEST_BETWEEN = 5
"""Battles that somebody has to have begun since, before one of their own comes again."""
MOST_CANDIDATES = 200
_JUDGED = ("a", "b", "both_good", "both_bad", "tie")


def draw(
    session: Session, person_id: int, chance: random.Random, condition: ColumnElement[bool], *, seed: int
) -> Battle | None:
    """A repeat, where this time is one for it and there is a battle to be repeated; else None.

    Args:
        condition: What the battle has to be like.
        seed: What `chance` was made from, to be kept.
    """
    roll = chance.random()
    if roll < OTHERS_SHARE:
        candidates = _of_others(session, person_id, condition)
        return _repeat(session, person_id, chance, candidates, is_own=False, seed=seed)
    if roll < OTHERS_SHARE + OWN_SHARE:
        candidates = _of_oneself(session, person_id, condition)
        return _repeat(session, person_id, chance, candidates, is_own=True, seed=seed)
    return None


def has_voted_before(session: Session, battle: Battle, person_id: int) -> bool:
    """Whether the person has judged the same two answers in another battle."""
    root = battle.repeat_of_id or battle.id
    judged = (
        select(Vote.id)
        .join(Battle, Battle.id == Vote.battle_id)
        .where(_root() == root, Battle.id != battle.id, Vote.person_id == person_id, Vote.outcome.in_(_JUDGED))
    )
    return session.scalar(judged.limit(1)) is not None


def _of_others(session: Session, person_id: int, condition: ColumnElement[bool]) -> Sequence[Battle]:
    """Battles that others have judged and the person has never been shown, the newest first."""
    shown = aliased(Battle)
    known = select(func.coalesce(shown.repeat_of_id, shown.id)).where(shown.person_id == person_id)
    voted = select(Vote.battle_id).where(Vote.person_id == person_id)
    query = (
        select(Battle)
        .where(condition, Battle.person_id != person_id, _is_judged(), Battle.repeat_of_id.is_(None))
        .where(Battle.id.not_in(known), Battle.id.not_in(voted))
    )
    return session.scalars(query.order_by(Battle.created_at.desc()).limit(MOST_CANDIDATES)).all()


def _of_oneself(session: Session, person_id: int, condition: ColumnElement[bool]) -> Sequence[Battle]:
    """Battles that the person has judged a while ago and has not been shown again, the newest first."""
    again = aliased(Battle)
    repeated = select(again.repeat_of_id).where(again.person_id == person_id, again.repeat_of_id.is_not(None))
    query = (
        select(Battle)
        .where(condition, Battle.person_id == person_id, _is_judged(person_id), Battle.id.not_in(repeated))
        .where(Battle.repeat_of_id.is_(None))
    )
    recent = select(Battle.id).where(Battle.person_id == person_id).order_by(Battle.created_at.desc())
    just_seen = set(session.scalars(recent.limit(FEWEST_BETWEEN)))
    found = session.scalars(query.order_by(Battle.created_at.desc()).limit(MOST_CANDIDATES)).all()
    return [battle for battle in found if battle.id not in just_seen]


def _repeat(
    session: Session,
    person_id: int,
    chance: random.Random,
    candidates: Sequence[Battle],
    *,
    is_own: bool,
    seed: int,
) -> Battle | None:
    if not candidates:
        return None
    root = chance.choice(candidates)
    is_swapped = is_own or chance.random() < 0.5
    kind = "one's own again, swapped" if is_own else "another's again"
    battle = Battle(
        person_id=person_id,
        messages=root.messages,
        tags=root.tags,
        prompt_version_id=root.prompt_version_id,
        prompt_row=root.prompt_row,
        repeat_of_id=root.id,
        draw={"policy": f"repeat: {kind}", "probability": OWN_SHARE if is_own else OTHERS_SHARE, "seed": seed},
        state="ready",
        **_sides_of(root, is_swapped=is_swapped),
    )
    session.add(battle)
    session.flush()
    return battle


def _sides_of(root: Battle, *, is_swapped: bool) -> dict[str, Any]:
    """Models, answers, seeds and hashes of both sides, each on the side where it is to stand."""
    first, second = ("b", "a") if is_swapped else ("a", "b")
    sides: dict[str, Any] = {
        f"{part}_{side}{ending}": getattr(root, f"{part}_{of}{ending}")
        for side, of in (("a", first), ("b", second))
        for part, ending in (("model", "_id"), ("answer", ""), ("finish", ""))
    }
    seeds = {f"seed_{side}": root.settings.get(f"seed_{of}") for side, of in (("a", first), ("b", second))}
    provenance = {side: root.provenance.get(of, {}) for side, of in (("a", first), ("b", second))}
    return sides | {"settings": root.settings | seeds, "provenance": provenance}


def _is_judged(person_id: int | None = None) -> ColumnElement[bool]:
    counted = select(Vote.battle_id).where(Vote.uncounted_because.is_(None), Vote.outcome.in_(_JUDGED))
    return Battle.id.in_(counted if person_id is None else counted.where(Vote.person_id == person_id))


def _root() -> ColumnElement[str]:
    return func.coalesce(Battle.repeat_of_id, Battle.id)
