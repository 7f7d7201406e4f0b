"""Deleting datasets and single versions: refused, with the list, while a job or a model needs the rows.

Versions that were made from others (by leaving rows out, splitting or mixing) hold copies, so they need none of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from pipeline.errors import BadData
from store.datasets import NoSuchDataset, folder_of, get_version, used_by
from store.schema import Dataset, DatasetVersion, utc_now


def delete_dataset(session: Session, dataset_id: int) -> None:
    """Take a dataset with all its versions off the lists, and off the disk once that is committed.

    Raises:
        NoSuchDataset: if it is not there.
        BadData: if a job or a model needs its rows; with the list of them.
    """
    dataset = session.get(Dataset, dataset_id)
    if dataset is None or dataset.deleted_at is not None:
        raise NoSuchDataset(f"There is no dataset {dataset_id}.", "It may have been deleted already.")
    _refuse_while_used(session, dataset.name, dataset.versions)
    dataset.deleted_at = utc_now()
    dataset.name = f"{dataset.name} (deleted {dataset.id})"
    _remove_rows(session, dataset.versions)


def delete_version(session: Session, version_id: int) -> None:
    """Take one version off the lists, and off the disk once that is committed; with the last one goes the dataset.

    Raises:
        NoSuchDataset: if it is not there.
        BadData: if a job or a model needs its rows; with the list of them.
    """
    version = get_version(session, version_id)
    if all(other.deleted_at for other in version.dataset.versions if other.id != version.id):
        delete_dataset(session, version.dataset_id)
        return
    _refuse_while_used(session, f"{version.dataset.name}, version {version.number},", [version])
    version.deleted_at = utc_now()
    _remove_rows(session, [version])


def _refuse_while_used(session: Session, name: str, versions: Sequence[DatasetVersion]) -> None:
    needing = [use for version in versions for use in used_by(session, version.id) if use.needs_rows]
    if needing:
        listed = ", ".join(dict.fromkeys(f"{use.noun} {use.name}" for use in needing))
        raise BadData(f"{name} is used by {listed}.", "Stop those jobs or delete those models first.")


def _remove_rows(session: Session, versions: Sequence[DatasetVersion]) -> None:
    session.flush()
    live = (
        select(DatasetVersion.sha256)
        .join(Dataset)
        .where(Dataset.deleted_at.is_(None), DatasetVersion.deleted_at.is_(None))
    )
    kept = set(session.scalars(live))
    folders = [folder_of(version) for version in versions if version.sha256 not in kept]
    event.listen(session, "after_commit", lambda _: _remove(folders), once=True)


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
