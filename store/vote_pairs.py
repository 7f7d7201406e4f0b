"""Vote pairs: preference rows from what people said of battles, and an account of every vote that became none."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from pipeline.data.importing import import_rows
from pipeline.errors import BadData
from store.datasets import Added, add_version
from store.schema import Battle, Vote
from store.settings import settings

DATASET_NAME = "Votes"

HELD_OUT_SHARE = 0.1
"""The share of prompts whose votes are never trained on, so that there is something to measure the next model with."""

NOT_BLIND = "an answer said the name of its model"
TIE = "the vote was a tie"
BOTH_GOOD = "both answers were good"
BOTH_BAD = "both answers were bad"
DISAGREEMENT = "voters disagreed on the battle"
IDENTICAL = "both answers were the same"
EMPTY = "an answer was empty"
CUT_OFF = "the better answer was cut off at the token limit"
HELD_OUT = f"the prompt is in the {HELD_OUT_SHARE * 100:.0f} % held out for measuring"

_UNDECIDED = {"tie": TIE, "both_good": BOTH_GOOD, "both_bad": BOTH_BAD}


@dataclass
class VotePairs:
    """Preference rows, one for each battle that says which answer is better.

    Args:
        rows: In the canonical form of preference data, in the order in which the battles were fought.
        battle_ids: The battle of each row.
        model_names: Everyone whose answers are in the rows.
        num_votes: All votes that were looked at.
        left_out: How many votes became no pair, by reason.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    battle_ids: list[str] = field(default_factory=list)
    model_names: set[str] = field(default_factory=set)
    num_votes: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str, num_votes: int) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + num_votes


def preference_rows(session: Session) -> VotePairs:
    """Make a pair of every battle whose voters all prefer the same answer.

    A worse answer that was cut off is kept, as that may be what made it worse; a better one is not, because a model
    would learn to stop in mid-sentence.
    """
    battles = session.scalars(
        select(Battle)
        .where(Battle.votes.any())
        .options(selectinload(Battle.votes), joinedload(Battle.model_a), joinedload(Battle.model_b))
        .order_by(Battle.created_at, Battle.id)
    )
    pairs = VotePairs()
    for battle in battles:
        counted = [vote for vote in battle.votes if vote.uncounted_because is None]
        pairs.num_votes += len(battle.votes)
        if len(counted) < len(battle.votes):
            pairs.leave_out(NOT_BLIND, len(battle.votes) - len(counted))
        if not counted:
            continue
        reason = _why_no_pair(battle, counted)
        if reason is not None:
            pairs.leave_out(reason, len(counted))
            continue
        pairs.rows.append(_pair(battle, better=counted[0].outcome))
        pairs.battle_ids.append(battle.id)
        pairs.model_names |= {battle.model_a.name, battle.model_b.name}
    return pairs


def add_dataset(session: Session, pairs: VotePairs, *, created_by_id: int | None) -> Added:
    """Keep the pairs as the next version of the dataset of votes; the same votes are the same version.

    Raises:
        BadData: if no vote has become a pair.
    """
    if not pairs.rows:
        raise BadData(
            f"None of the votes so far ({pairs.num_votes:,}) makes a pair to train on.",
            "Vote on more battles: a vote for one of two answers makes a pair.",
        )
    folder = settings().uploads_folder / f"votes-{secrets.token_hex(8)}"
    import_rows(pairs.rows, "blind votes", folder, kind="preference")
    provenance = {
        "made_from": "blind votes",
        "battles": pairs.battle_ids,
        "models": sorted(pairs.model_names),
        "num_votes": pairs.num_votes,
        "left_out": pairs.left_out,
    }
    return add_version(session, folder, name=DATASET_NAME, provenance=provenance, created_by_id=created_by_id)


def is_held_out(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether a prompt is kept for measuring: decided by a hash of its text, so that it is so for ever."""
    text = json.dumps([[message["role"], message["content"]] for message in messages], ensure_ascii=False)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return number < HELD_OUT_SHARE * 2**64


def _why_no_pair(battle: Battle, votes: Sequence[Vote]) -> str | None:
    outcomes = {vote.outcome for vote in votes}
    if len(outcomes) > 1:
        return DISAGREEMENT
    (outcome,) = outcomes
    if outcome in _UNDECIDED:
        return _UNDECIDED[outcome]
    answer_a, answer_b = (battle.answer_a or "").strip(), (battle.answer_b or "").strip()
    if answer_a == answer_b:
        return IDENTICAL
    if not answer_a or not answer_b:
        return EMPTY
    if (battle.finish_a if outcome == "a" else battle.finish_b) != "stop":
        return CUT_OFF
    return HELD_OUT if is_held_out(battle.messages) else None


def _pair(battle: Battle, *, better: str) -> dict[str, Any]:
    answers = [[{"role": "assistant", "content": answer}] for answer in (battle.answer_a, battle.answer_b)]
    chosen, rejected = answers if better == "a" else reversed(answers)
    return {"prompt": battle.messages, "chosen": chosen, "rejected": rejected}
