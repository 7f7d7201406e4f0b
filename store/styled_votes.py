"""Styled votes: every vote that counts with how much longer and more marked up one answer was than the other."""

from __future__ import annotations

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.style import FEATURES, Style, style_difference
from pipeline.style_control import A_WON, B_WON, NEITHER, StyleControlled, StyledVotes, fit_controlled
from store.schema import Battle, Vote

_MOST_KEPT = 300_000
_SIGN = {"a": A_WON, "b": B_WON}

_differences: dict[str, Style] = {}
"""By battle: answers that were voted on never change, so that each is read once in the life of a process."""


def controlled_standings(session: Session) -> StyleControlled:
    """The ratings by all votes that count, at equal length and markup, and what voters give for both."""
    query = (
        select(Battle.id, Battle.model_a_id, Battle.model_b_id, Vote.outcome)
        .join(Battle, Battle.id == Vote.battle_id)
        .where(Vote.uncounted_because.is_(None), Vote.outcome != "skip")
    )
    votes = session.execute(query).all()
    _read_differences(session, [vote[0] for vote in votes])
    style = np.array([_differences[vote[0]] for vote in votes], dtype=float).reshape(len(votes), len(FEATURES))
    return fit_controlled(
        StyledVotes(
            np.array([vote[1] for vote in votes], dtype=np.int64),
            np.array([vote[2] for vote in votes], dtype=np.int64),
            np.array([_SIGN.get(vote[3], NEITHER) for vote in votes], dtype=np.int64),
            style,
            np.ones(len(votes)),
        )
    )


def _read_differences(session: Session, battle_ids: list[str]) -> None:
    unknown = list({battle_id for battle_id in battle_ids if battle_id not in _differences})
    if len(_differences) + len(unknown) > _MOST_KEPT:
        _differences.clear()
        unknown = list(set(battle_ids))
    for start in range(0, len(unknown), 5000):
        some = unknown[start : start + 5000]
        for battle_id, answer_a, answer_b in session.execute(
            select(Battle.id, Battle.answer_a, Battle.answer_b).where(Battle.id.in_(some))
        ):
            _differences[battle_id] = style_difference(answer_a or "", answer_b or "")
