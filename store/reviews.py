"""Reviews: what people decide, row by row, about a dataset version, and the version that is made of what they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipeline.data.formats import CANONICAL_MAPPINGS, Kind
from pipeline.data.messages import RowFault
from pipeline.data.normalising import normaliser
from pipeline.errors import BadData, HoneError
from store import datasets
from store.database import reading
from store.datasets import Added
from store.derived import derive
from store.schema import DatasetVersion, Person, RowReview, utc_now

Decision = Literal["accept", "edit", "reject"]
Shown = Literal["undecided", "accept", "edit", "reject", "all"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
SHOWN: tuple[Shown, ...] = get_args(Shown)


class Overtaken(HoneError):
    """Somebody else has decided about the row since it was shown; their word stands."""

    kind = "overtaken"


@dataclass(frozen=True)
class Review:
    """A decision, with whose it is."""

    row: int
    decision: Decision
    edited: dict[str, Any] | None
    person_id: int | None
    person_name: str
    decided_at: datetime

    @property
    def mark(self) -> str:
        """Tells this decision from any other about the row."""
        return self.decided_at.isoformat()


@dataclass(frozen=True)
class Counts:
    """How far a review is, in rows."""

    num_rows: int
    accepted: int
    edited: int
    rejected: int

    @property
    def decided(self) -> int:
        return self.accepted + self.edited + self.rejected

    @property
    def taken(self) -> int:
        return self.accepted + self.edited

    def of(self, shown: Shown) -> int:
        return {
            "undecided": self.num_rows - self.decided,
            "accept": self.accepted,
            "edit": self.edited,
            "reject": self.rejected,
            "all": self.num_rows,
        }[shown]


def find(session: Session, version_id: int, row: int) -> Review | None:
    """What was decided about a row, if anything was."""
    found = session.execute(_with_names(version_id).where(RowReview.row == row)).one_or_none()
    return None if found is None else _review(*found)


def count(session: Session, version: DatasetVersion) -> Counts:
    query = select(RowReview.decision, func.count()).where(RowReview.dataset_version_id == version.id)
    numbers = {row[0]: row[1] for row in session.execute(query.group_by(RowReview.decision))}
    return Counts(version.num_rows, *(int(numbers.get(decision, 0)) for decision in DECISIONS))


def decide(
    session: Session,
    version: DatasetVersion,
    row: int,
    decision: Decision,
    *,
    seen: str,
    edited: Mapping[str, Any] | None = None,
    person_id: int | None,
) -> None:
    """Write down a decision about a row, in the place of the one that its giver has seen.

    Args:
        seen: The mark of the decision that was shown with the row; empty where there was none.
        edited: The row that is to stand in its place, for `edit`.

    Raises:
        BadData: if there is no such row, or what was edited is no row of the version's kind.
        Overtaken: if somebody has decided otherwise since.
    """
    if not 0 <= row < version.num_rows:
        raise BadData(f"There is no row {row + 1:,} in this version: it has {version.num_rows:,}.", "Reload the page.")
    values = {
        "decision": decision,
        "edited": checked(edited or {}, version) if decision == "edit" else None,
        "person_id": person_id,
        "decided_at": utc_now(),
    }
    if seen:
        query = update(RowReview).where(*_is_of(version.id, row), RowReview.decided_at == datetime.fromisoformat(seen))
        if session.scalar(query.values(**values).returning(RowReview.id)) is None:
            raise _overtaken(session, version.id, row)
        return
    try:
        with session.begin_nested():
            session.add(RowReview(dataset_version_id=version.id, row=row, **values))
    except IntegrityError:
        raise _overtaken(session, version.id, row) from None


def take_back(session: Session, version_id: int, person_id: int | None) -> int | None:
    """Forget a person's latest decision about a version; returns the row that it was about, or None."""
    latest = session.execute(
        select(RowReview.id, RowReview.row)
        .where(RowReview.dataset_version_id == version_id, RowReview.person_id == person_id)
        .order_by(RowReview.decided_at.desc(), RowReview.id.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    if latest is None:
        return None
    session.execute(delete(RowReview).where(RowReview.id == latest.id))
    return int(latest.row)


def next_row(
    session: Session,
    version: DatasetVersion,
    shown: Shown,
    after: int,
    *,
    backwards: bool = False,
    held: Sequence[int] = (),
) -> int | None:
    """The nearest row after (or before) one that is to be shown; None where there is none.

    Args:
        after: The row to go on from, which does not count itself; -1 for the first of all.
        held: Rows that others are looking at; passed over among the undecided.
    """
    if shown in DECISIONS:
        further = RowReview.row < after if backwards else RowReview.row > after
        nearest = func.max(RowReview.row) if backwards else func.min(RowReview.row)
        query = select(nearest).where(RowReview.dataset_version_id == version.id, RowReview.decision == shown, further)
        return session.scalar(query)
    passed: set[int] = set()
    if shown == "undecided":
        passed = set(session.scalars(select(RowReview.row).where(RowReview.dataset_version_id == version.id)))
        passed |= set(held)
    rows = range(after - 1, -1, -1) if backwards else range(after + 1, version.num_rows)
    return next((row for row in rows if row not in passed), None)


def keep_taken(version: DatasetVersion, *, person_id: int | None) -> Added:
    """Make the next version of the rows that were accepted, those that were edited as they are now, in their order.

    Raises:
        BadData: if none was taken.
    """
    with reading() as session:
        counts = count(session, version)
        query = select(RowReview.row, RowReview.edited).where(
            RowReview.dataset_version_id == version.id, RowReview.decision.in_(("accept", "edit"))
        )
        taken: dict[int, dict[str, Any] | None] = {row: edited for row, edited in session.execute(query)}  # noqa: C416
    if not taken:
        raise BadData("No row is accepted yet, so there is nothing to keep.", "Accept or edit some rows first.")

    def rows() -> Iterator[dict[str, Any]]:
        for number, row in enumerate(datasets.rows_of(version)):
            if number in taken:
                yield taken[number] or row

    how = {
        "made_by": "review",
        "accepted": counts.accepted,
        "edited": counts.edited,
        "rejected": counts.rejected,
        "undecided": counts.of("undecided"),
    }
    return derive(version, rows(), how=how, person_id=person_id)


def checked(row: Mapping[str, Any], version: DatasetVersion) -> dict[str, Any]:
    """The row as it would be kept.

    Raises:
        BadData: if it is no row of the version's kind.
    """
    kind: Kind = version.kind  # type: ignore[assignment]
    try:
        return normaliser(CANONICAL_MAPPINGS[kind])(dict(row))
    except RowFault as fault:
        detail = f" ({fault.detail})" if fault.detail else ""
        raise BadData(
            f"The row cannot be kept as it is now: {fault.reason}{detail}.", "Mend it, then save it again."
        ) from fault


def _is_of(version_id: int, row: int) -> tuple[Any, ...]:
    return RowReview.dataset_version_id == version_id, RowReview.row == row


def _with_names(version_id: int) -> Any:
    query = select(RowReview, Person.name).outerjoin(Person, Person.id == RowReview.person_id)
    return query.where(RowReview.dataset_version_id == version_id)


def _review(row: RowReview, name: str | None) -> Review:
    decision: Decision = row.decision  # type: ignore[assignment]
    return Review(row.row, decision, row.edited, row.person_id, name or "Somebody", row.decided_at)


_DONE = {"accept": "accepted", "edit": "edited", "reject": "rejected"}


def _overtaken(session: Session, version_id: int, row: int) -> Overtaken:
    now = find(session, version_id, row)
    if now is None:
        return Overtaken(
            f"The decision about row {row + 1:,} was taken back meanwhile.", "Look at it again, then decide."
        )
    return Overtaken(
        f"{now.person_name} has {_DONE[now.decision]} row {row + 1:,} meanwhile, and that stands.",
        "Decide again if it should be otherwise.",
    )
