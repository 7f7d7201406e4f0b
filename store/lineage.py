"""Lineage of dataset versions: what each was made from, and what was made from it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from store.schema import Dataset, DatasetVersion, Person


def versions_of(session: Session, dataset_id: int) -> Sequence[DatasetVersion]:
    """Every version of a dataset that is kept, the newest first."""
    query = (
        select(DatasetVersion)
        .where(DatasetVersion.dataset_id == dataset_id, DatasetVersion.deleted_at.is_(None))
        .options(joinedload(DatasetVersion.dataset))
        .order_by(DatasetVersion.number.desc())
    )
    return session.scalars(query).all()


def parents_of(session: Session, versions: Sequence[DatasetVersion]) -> dict[int, DatasetVersion]:
    """What the versions were made from, by id; also what was deleted since."""
    wanted = {part for version in versions for part in sources_of(version)}
    query = select(DatasetVersion).where(DatasetVersion.id.in_(wanted)).options(joinedload(DatasetVersion.dataset))
    return {version.id: version for version in session.scalars(query)}


def made_from(session: Session, version_id: int) -> Sequence[DatasetVersion]:
    """The kept versions that were made from a version, alone or in a mixture, the newest first."""
    query = (
        select(DatasetVersion)
        .join(DatasetVersion.dataset)
        .where(
            Dataset.deleted_at.is_(None),
            DatasetVersion.deleted_at.is_(None),
            DatasetVersion.parent_id.is_not(None),
        )
        .options(joinedload(DatasetVersion.dataset))
        .order_by(DatasetVersion.id.desc())
    )
    return [version for version in session.scalars(query) if version_id in sources_of(version)]


def sources_of(version: DatasetVersion) -> list[int]:
    """The ids of the versions that a version was made from: its parent, and every part of a mixture."""
    parts = version.provenance.get("parts", ())
    ids = [version.parent_id, *(part.get("version_id") for part in parts if isinstance(part, dict))]
    return list(dict.fromkeys(one for one in ids if isinstance(one, int)))


def names_of_people(session: Session, versions: Sequence[DatasetVersion]) -> dict[int, str]:
    """Who made the versions, by the person's id."""
    wanted = {version.created_by_id for version in versions} - {None}
    return {person.id: person.name for person in session.scalars(select(Person).where(Person.id.in_(wanted)))}
