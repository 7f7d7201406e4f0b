"""Datasets: named sets of rows, in versions that never change and are known by the hash of their bytes."""

from __future__ import annotations

import heapq
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from pipeline.data.importing import ImportReport
from pipeline.data.rows import RowFile
from pipeline.errors import BadData
from store.schema import Dataset, DatasetVersion, Job, JobDataset, JobState, Model
from store.settings import settings

MAX_NAME_CHARACTERS = 80
_NEEDING_STATES = (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)


class NoSuchDataset(BadData):
    kind = "no_such_dataset"


@dataclass(frozen=True)
class Added:
    """What became of an import: a version, and whether it is new or was there already with the same bytes."""

    version: DatasetVersion
    is_new: bool


@dataclass(frozen=True)
class Use:
    """A job or model that has to do with a dataset version."""

    noun: str
    """"job" or "model"."""
    id: int
    name: str
    needs_rows: bool
    """Whether it would break, or could not be made again, without the rows."""


def add_version(
    session: Session,
    folder: Path,
    *,
    name: str,
    provenance: dict[str, Any] | None = None,
    parent_id: int | None = None,
    created_by_id: int | None = None,
) -> Added:
    """Keep the rows that an import wrote.

    The folder moves to `datasets/<sha256>`. A name that is new makes a dataset; a known one gets a new version. Rows
    that are kept already are not kept twice: the version that holds them is returned, and the folder is removed.

    Args:
        session: In a transaction that may write.
        folder: What `import_file` or `import_rows` wrote, on the same disk as the data folder.
        name: What people will call it.
        provenance: Where the rows came from; shown on the dataset's page.
        parent_id: The version that they were made from, if they were made from one.
        created_by_id: The person who keeps them.

    Raises:
        BadData: if the folder holds no whole import, or the name cannot be used.
    """
    report = read_report(folder)
    name = checked_name(name)
    known = session.scalar(_live_versions().where(DatasetVersion.sha256 == report.sha256).limit(1))
    if known is not None:
        if folder != folder_of(known):
            shutil.rmtree(folder)
        return Added(known, is_new=False)
    dataset = find_by_name(session, name)
    if dataset is None:
        dataset = Dataset(name=name)
        session.add(dataset)
        session.flush()
    latest = session.scalar(select(func.max(DatasetVersion.number)).where(DatasetVersion.dataset_id == dataset.id))
    version = DatasetVersion(
        dataset=dataset,
        number=(latest or 0) + 1,
        sha256=report.sha256,
        kind=report.kind,
        format=report.format,
        num_rows=report.num_rows,
        num_rejected=report.num_rejected,
        num_repaired=report.num_repaired,
        size_bytes=report.size_bytes,
        source_name=report.name[:300],
        provenance=provenance or {},
        parent_id=parent_id,
        created_by_id=created_by_id,
    )
    session.add(version)
    move_in(folder)
    session.flush()
    return Added(version, is_new=True)


def list_datasets(session: Session) -> Sequence[DatasetVersion]:
    """The latest version of every dataset that is not deleted, the newest first."""
    latest = (
        select(func.max(DatasetVersion.id))
        .where(DatasetVersion.deleted_at.is_(None))
        .group_by(DatasetVersion.dataset_id)
    )
    return session.scalars(
        _live_versions().where(DatasetVersion.id.in_(latest)).order_by(DatasetVersion.id.desc())
    ).all()


def list_versions(session: Session, kinds: Sequence[str] = ()) -> Sequence[DatasetVersion]:
    """Every version of one of `kinds` (of any, if none is named) that a job may be launched on, the newest first."""
    query = _live_versions().order_by(DatasetVersion.id.desc())
    return session.scalars(query.where(DatasetVersion.kind.in_(kinds)) if kinds else query).all()


def get_version(session: Session, version_id: int) -> DatasetVersion:
    """Raises:
    NoSuchDataset: if it was never there, or was deleted.
    """
    version = session.scalar(_live_versions().where(DatasetVersion.id == version_id))
    if version is None:
        raise NoSuchDataset(
            f"There is no dataset {version_id}.", "It may have been deleted: choose another on the Data page."
        )
    return version


def find_by_name(session: Session, name: str) -> Dataset | None:
    return session.scalar(select(Dataset).where(Dataset.name == name, Dataset.deleted_at.is_(None)))


def find_by_sha256(session: Session, sha256: str) -> DatasetVersion | None:
    return session.scalar(_live_versions().where(DatasetVersion.sha256 == sha256).limit(1))


def folder_of(version: DatasetVersion) -> Path:
    return settings().datasets_folder / version.sha256


def rows_path(session: Session, version_id: int) -> Path:
    """Where the rows of a version lie: the file that a spec names.

    Raises:
        NoSuchDataset: if there is no such version.
    """
    return folder_of(get_version(session, version_id)) / "rows.jsonl"


def rows_of(version: DatasetVersion) -> RowFile:
    return RowFile(folder_of(version) / "rows.jsonl")


def rejected_of(version: DatasetVersion) -> RowFile:
    return RowFile(folder_of(version) / "rejected.jsonl")


def account_of(folder: Path) -> Iterator[dict[str, Any]]:
    """What became of every row of a file: the sums first, then each row that was mended or refused, in their order.

    Rows that are not named were taken as they were.

    Raises:
        BadData: if the folder holds no whole import.
    """
    report = read_report(folder)
    yield {
        "file": report.name,
        "counted_in": report.counted_in,
        "accepted": report.num_rows - report.num_repaired,
        "repaired": report.num_repaired,
        "rejected": report.num_rejected,
        "repairs": report.repairs,
        "reasons": report.reasons,
    }
    repaired = ({"outcome": "repaired"} | row for row in _rows_if_there(folder / "repaired.jsonl"))
    rejected = ({"outcome": "rejected"} | row for row in _rows_if_there(folder / "rejected.jsonl"))
    yield from heapq.merge(repaired, rejected, key=lambda item: item["row"])


def _rows_if_there(path: Path) -> Iterable[dict[str, Any]]:
    """The rows of a file that imports of older days did not write."""
    return RowFile(path) if path.is_file() else ()


def used_by(session: Session, version_id: int) -> list[Use]:
    """The jobs that read a version and the models they made, the newest first."""
    jobs = session.execute(
        select(Job.id, Job.name, Job.state)
        .join(JobDataset, JobDataset.job_id == Job.id)
        .where(JobDataset.dataset_version_id == version_id)
        .order_by(Job.id.desc())
    ).all()
    models = session.execute(
        select(Model.id, Model.name)
        .join(JobDataset, JobDataset.job_id == Model.job_id)
        .where(JobDataset.dataset_version_id == version_id, Model.deleted_at.is_(None))
        .order_by(Model.id.desc())
    ).all()
    return [
        *(Use("model", model_id, name, needs_rows=True) for model_id, name in models),
        *(Use("job", job_id, name, needs_rows=state in _NEEDING_STATES) for job_id, name, state in jobs),
    ]


def count_uses(session: Session) -> dict[int, int]:
    """How many jobs have read each version."""
    rows = session.execute(select(JobDataset.dataset_version_id, func.count()).group_by(JobDataset.dataset_version_id))
    return {row[0]: row[1] for row in rows}


def move_in(folder: Path) -> Path:
    """Put a whole import in its place, `datasets/<sha256>`; whoever was there before has the same bytes, and stays.

    Raises:
        BadData: if the folder holds no whole import.
    """
    home = settings().datasets_folder / read_report(folder).sha256
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(home)
    except OSError:
        if not (home / "report.json").is_file():
            raise
        shutil.rmtree(folder)
    return home


def read_report(folder: Path) -> ImportReport:
    """What an import said of itself.

    Raises:
        BadData: if the folder holds no whole import.
    """
    try:
        return ImportReport.model_validate_json((folder / "report.json").read_bytes())
    except (FileNotFoundError, ValueError) as error:
        raise BadData("The import is not whole: its report is missing or damaged.", "Import the file again.") from error


def checked_name(name: str) -> str:
    """A dataset's name with its spaces tidied.

    Raises:
        BadData: if nothing that can be seen is left of it, or it is too long.
    """
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in name)
    tidy = re.sub(r"\s+", " ", visible).strip()
    if not tidy:
        raise BadData("The dataset has no name.", "Give it one, such as “support-chats”.")
    if len(tidy) > MAX_NAME_CHARACTERS:
        raise BadData(
            f"The name is {len(tidy)} characters long; {MAX_NAME_CHARACTERS} are the most.", "Give it a shorter one."
        )
    return tidy


def _live_versions() -> Any:
    return (
        select(DatasetVersion)
        .join(DatasetVersion.dataset)
        .where(Dataset.deleted_at.is_(None), DatasetVersion.deleted_at.is_(None))
        .options(joinedload(DatasetVersion.dataset))
    )
