"""Vote pairs: rows to train on from what people said of battles, and an account of every vote that became none."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.data.importing import import_rows
from pipeline.errors import BadData
from store.datasets import Added, add_version
from store.judgements import EVERYTHING, HELD_OUT_SHARE, Judgement, VoteFilter, is_held_out, judgements
from store.schema import Battle, Model
from store.settings import settings

__all__ = ["HELD_OUT_SHARE", "is_held_out"]

DATASET_NAME = "Votes"
LABELS_DATASET_NAME = "Votes, answer by answer"

NOT_BLIND = "an answer said the name of its model"
SKIPPED = "it was skipped"
ASKED_AGAIN = "the same person had judged the battle before"
TIE = "the vote was a tie"
BOTH_GOOD = "both answers were good"
BOTH_BAD = "both answers were bad"
DISAGREEMENT = "voters disagreed on the battle"
IDENTICAL = "both answers were the same"
EMPTY = "an answer was empty"
CUT_OFF = "the better answer was cut off at the token limit"
GOOD_CUT_OFF = "an answer that was good was cut off at the token limit"
HELD_OUT = f"the prompt is in the {HELD_OUT_SHARE * 100:.0f} % held out for measuring"

_UNDECIDED = {"tie": TIE, "both_good": BOTH_GOOD, "both_bad": BOTH_BAD}
_MOST_FACTS_KEPT = 300_000

RowKind = Literal["preference", "unpaired"]


@dataclass
class VoteRows:
    """Which battles make rows of one kind, and what became of every vote that was looked at.

    Args:
        kind: "preference" (one row a battle that was won) or "unpaired" (one row an answer that is good or bad).
        chosen: Which votes were looked at.
        outcomes: Of each battle that makes rows, in the order in which they were fought: what its voters say of it.
        sides: The models of each of those battles: of side A, and of side B.
        num_votes: All votes that were looked at.
        left_out: How many votes became no row, by reason.
    """

    kind: RowKind = "preference"
    chosen: VoteFilter = EVERYTHING
    outcomes: dict[str, str] = field(default_factory=dict)
    sides: dict[str, tuple[int, int]] = field(default_factory=dict)
    num_votes: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def battle_ids(self) -> list[str]:
        return list(self.outcomes)

    @property
    def num_rows(self) -> int:
        return len(self.outcomes) * (1 if self.kind == "preference" else 2)

    @property
    def model_ids(self) -> set[int]:
        return {model for pair in self.sides.values() for model in pair}

    def num_off_policy(self, line: Collection[int]) -> int:
        """Rows of which neither answer is by a model of this line."""
        off = sum(a not in line and b not in line for a, b in self.sides.values())
        return off * (1 if self.kind == "preference" else 2)

    def leave_out(self, reason: str, num_votes: int) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + num_votes


def preference_rows(session: Session, chosen: VoteFilter = EVERYTHING) -> VoteRows:
    """A pair of every battle whose voters prefer the same answer; a battle that was shown again is one battle.

    A worse answer that was cut off is kept, as that may be what made it worse; a better one is not, because a model
    would learn to stop in mid-sentence.
    """
    return _account(session, "preference", chosen)


def unpaired_rows(session: Session, chosen: VoteFilter = EVERYTHING) -> VoteRows:
    """Two labelled answers of every battle whose voters say the same: both good, both bad, or one better."""
    return _account(session, "unpaired", chosen)


def texts_of(session: Session, rows: VoteRows) -> Iterator[dict[str, Any]]:
    """The rows in their canonical form, in the order of `rows.outcomes`."""
    for battle_ids in _batches(rows.outcomes, 500):
        columns = (Battle.id, Battle.messages, Battle.answer_a, Battle.answer_b)
        found = {row[0]: row[1:] for row in session.execute(select(*columns).where(Battle.id.in_(battle_ids)))}
        for battle_id in battle_ids:
            messages, answer_a, answer_b = found[battle_id]
            first, second = ([{"role": "assistant", "content": answer}] for answer in (answer_a, answer_b))
            outcome = rows.outcomes[battle_id]
            if rows.kind == "preference":
                chosen, rejected = (first, second) if outcome == "a" else (second, first)
                yield {"prompt": messages, "chosen": chosen, "rejected": rejected}
            else:
                yield {"prompt": messages, "completion": first, "label": outcome in ("a", "both_good")}
                yield {"prompt": messages, "completion": second, "label": outcome in ("b", "both_good")}


def add_dataset(session: Session, rows: VoteRows, *, created_by_id: int | None) -> Added:
    """Keep the rows as the next version of the dataset of votes; the same votes are the same version.

    Raises:
        BadData: if no vote has become a row.
    """
    if not rows.outcomes:
        raise BadData(
            f"None of the votes so far ({rows.num_votes:,}) makes a pair to train on.",
            "Vote on more battles, or ask for fewer things of them: a vote for one of two answers makes a pair.",
        )
    folder = settings().uploads_folder / f"votes-{secrets.token_hex(8)}"
    import_rows(list(texts_of(session, rows)), "blind votes", folder, kind=rows.kind)
    names = session.scalars(select(Model.name).where(Model.id.in_(rows.model_ids)).order_by(Model.name))
    provenance = {
        "made_from": "blind votes",
        "battles": rows.battle_ids,
        "models": list(names),
        "num_votes": rows.num_votes,
        "left_out": rows.left_out,
        "filter": rows.chosen.as_provenance(),
    }
    name = DATASET_NAME if rows.kind == "preference" else LABELS_DATASET_NAME
    return add_version(session, folder, name=name, provenance=provenance, created_by_id=created_by_id)


def line_of(session: Session, model_id: int) -> set[int]:
    """A model, all that it was made from, and all that were made from it."""
    parents = {row[0]: row[1] for row in session.execute(select(Model.id, Model.parent_id))}
    line = {model_id}
    above = parents.get(model_id)
    while above is not None and above not in line:
        line.add(above)
        above = parents.get(above)
    below = {model_id}
    while below:
        below = {model for model, parent in parents.items() if parent in below} - line
        line |= below
    return line


# ------------------------------------------------------------------------------------------------------------ account


def _account(session: Session, kind: RowKind, chosen: VoteFilter) -> VoteRows:
    rows = VoteRows(kind, chosen)
    counted: dict[str, list[Judgement]] = {}
    for vote in judgements(session, chosen):
        rows.num_votes += 1
        if vote.outcome == "skip" or vote.uncounted_because is not None:
            rows.leave_out(_why_uncounted(vote), 1)
        else:
            counted.setdefault(vote.root_id, []).append(vote)
    facts = _facts_of(session, counted)
    for battle_id, given in counted.items():
        outcome = _common_word(given, chosen.least_agreement)
        reason = DISAGREEMENT if outcome is None else _why_no_row(kind, outcome, facts[battle_id])
        if outcome is None or reason is not None:
            rows.leave_out(reason or DISAGREEMENT, len(given))
            continue
        rows.outcomes[battle_id] = outcome
        rows.sides[battle_id] = (given[0].model_a_id, given[0].model_b_id)
    return rows


def _why_uncounted(vote: Judgement) -> str:
    if vote.outcome == "skip":
        return SKIPPED
    reason = vote.uncounted_because or ""
    if "says the name" in reason:
        return NOT_BLIND
    if reason.startswith("Answer"):
        return "an answer was unfinished"
    return ASKED_AGAIN if vote.is_repeat else reason


def _common_word(votes: Sequence[Judgement], least_agreement: float) -> str | None:
    """What enough of the voters say, and more than half of them."""
    if len(votes) == 1:
        return votes[0].outcome
    outcome, times = Counter(vote.outcome for vote in votes).most_common(1)[0]
    return outcome if times > len(votes) / 2 and times >= least_agreement * len(votes) - 1e-9 else None


def _why_no_row(kind: RowKind, outcome: str, facts: _Facts) -> str | None:
    if kind == "preference" and outcome in _UNDECIDED:
        return _UNDECIDED[outcome]
    if outcome == "tie":
        return TIE
    if outcome in ("a", "b") and facts.is_identical:
        return IDENTICAL
    if facts.is_empty:
        return EMPTY
    is_good_cut = (facts.is_cut_a and outcome in ("a", "both_good")) or (
        facts.is_cut_b and outcome in ("b", "both_good")
    )
    if is_good_cut:
        return GOOD_CUT_OFF if outcome == "both_good" else CUT_OFF
    return HELD_OUT if facts.is_held_out else None


class _Facts(NamedTuple):
    """What of a battle's texts decides whether it makes a row."""

    is_identical: bool
    is_empty: bool
    is_cut_a: bool
    is_cut_b: bool
    is_held_out: bool


_facts: dict[str, _Facts] = {}
"""By battle: texts that were voted on never change, so that each is read once in the life of a process."""


def _facts_of(session: Session, battle_ids: Collection[str]) -> dict[str, _Facts]:
    unknown = [battle_id for battle_id in battle_ids if battle_id not in _facts]
    if len(_facts) + len(unknown) > _MOST_FACTS_KEPT:
        _facts.clear()
        unknown = list(battle_ids)
    columns = (
        Battle.id, Battle.messages, Battle.answer_a, Battle.answer_b, Battle.finish_a, Battle.finish_b,
    )  # fmt: skip
    for some in _batches(unknown, 5000):
        for battle_id, messages, answer_a, answer_b, finish_a, finish_b in session.execute(
            select(*columns).where(Battle.id.in_(some))
        ):
            first, second = (answer_a or "").strip(), (answer_b or "").strip()
            _facts[battle_id] = _Facts(
                first == second, not first or not second, finish_a != "stop", finish_b != "stop", is_held_out(messages)
            )
    return _facts


def _batches(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(ids)
    while batch := list(islice(rest, size)):
        yield batch
