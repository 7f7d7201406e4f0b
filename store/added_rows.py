"""Added rows: the next version of a dataset, which holds the rows of the one before and one that a person made."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.data.formats import CANONICAL_MAPPINGS, Kind
from pipeline.data.importing import import_rows
from pipeline.data.messages import RowFault
from pipeline.data.normalising import normaliser
from pipeline.errors import BadData
from store import datasets
from store.database import reading, writing
from store.datasets import Added
from store.schema import DatasetVersion
from store.settings import settings

MAX_EXTENDED_BYTES = 64_000_000
"""Every version is whole, so one more row means one more copy: a dataset that is larger than this is not copied."""
_NUM_TRIES = 10


def add_row(
    row: dict[str, Any], kind: Kind, *, dataset_name: str, provenance: dict[str, Any], person_id: int | None
) -> Added:
    """Keep a canonical row in a dataset, new or known, in transactions of its own.

    When two people add at once, the later one adds to what the earlier one has made: no row is lost.

    Args:
        provenance: Where the row came from; the version keeps it, with the version that it extends.

    Raises:
        BadData: if the dataset holds rows of another kind or this very row, is too large to be copied, or has no name.
    """
    name = datasets.checked_name(dataset_name)
    _check_row(row, kind)
    for _ in range(_NUM_TRIES):
        with reading() as session:
            before = latest_version(session, name)
        if before is not None:
            _check_extensible(before, kind)
        folder = settings().uploads_folder / f"row-{secrets.token_hex(8)}"
        _write(folder, row, kind, before)
        with writing() as session:
            now = latest_version(session, name)
            if (now and now.id) == (before and before.id):
                return datasets.add_version(
                    session,
                    folder,
                    name=name,
                    provenance=provenance,
                    parent_id=before.id if before else None,
                    created_by_id=person_id,
                )
        shutil.rmtree(folder)
    raise BadData(f"Others are adding to “{name}” all the time.", "Try again in a moment.")


def latest_version(session: Session, name: str) -> DatasetVersion | None:
    """The newest version of the dataset of that name, or None where there is no such dataset."""
    dataset = datasets.find_by_name(session, name)
    if dataset is None:
        return None
    query = select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id, DatasetVersion.deleted_at.is_(None))
    return session.scalar(query.order_by(DatasetVersion.number.desc()).limit(1))


def _check_row(row: dict[str, Any], kind: Kind) -> None:
    try:
        normaliser(CANONICAL_MAPPINGS[kind])(row)
    except RowFault as fault:
        raise BadData(f"The row cannot be used: {fault.reason}.", "Mend it and keep it again.") from fault


def _check_extensible(version: DatasetVersion, kind: Kind) -> None:
    if version.kind != kind:
        raise BadData(
            f"This dataset holds {version.kind} rows, and this is {'an' if kind[0] in 'aeiou' else 'a'} {kind} row.",
            "Choose a dataset of that kind, or name a new one.",
        )
    if version.size_bytes > MAX_EXTENDED_BYTES:
        raise BadData(
            f"This dataset has {version.size_bytes / 1e6:,.0f} MB of rows; rows can be added one by one to up to "
            f"{MAX_EXTENDED_BYTES / 1e6:,.0f} MB.",
            "Name a new dataset: a job can be trained on it after this one.",
        )


def _write(folder: Path, row: dict[str, Any], kind: Kind, before: DatasetVersion | None) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for old in datasets.rows_of(before) if before else ():
            if old == row:
                raise BadData("This very row is in the dataset already.", "Nothing was added.")
            yield old
        yield row

    try:
        import_rows(rows(), "playground", folder, kind=kind)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
