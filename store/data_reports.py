"""Data reports: what jobs find out about dataset versions; and the rows that jobs make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import attempts, datasets, jobs
from store.schema import ACTIVE_STATES, DataReport, Job
from store.settings import settings


def register_report(session: Session, job_id: int, epoch: int, folder: str, summary: Mapping[str, Any]) -> DataReport:
    """End a job well and, in the same transaction, keep what it found out about its dataset.

    Args:
        folder: The name of the folder under `reports/` in which its files lie.

    Raises:
        StaleAttempt: if the job belongs to another attempt by now.
    """
    attempts.succeed(session, job_id, epoch, summary=summary)
    job = session.get_one(Job, job_id)
    report = DataReport(
        recipe=job.recipe,
        dataset_version_id=int(job.spec["dataset"].removeprefix("dataset:")),
        model_id=job.parent_model_id,
        job_id=job_id,
        folder=folder,
        summary=dict(summary),
    )
    session.add(report)
    session.flush()
    return report


def register_rows(session: Session, job_id: int, epoch: int, folder: Path, summary: Mapping[str, Any]) -> int:
    """End a job well and, in the same transaction, keep the rows that it made as a dataset named like the job.

    Args:
        folder: What `import_rows` wrote, in its place already (`datasets.move_in`).

    Returns:
        The id of the version, which the job's summary names as `dataset_version`.

    Raises:
        StaleAttempt: if the job belongs to another attempt by now.
    """
    attempts.succeed(session, job_id, epoch, summary=summary)
    job = session.get_one(Job, job_id)
    told = {"made_by": "job", "job_id": job_id, "recipe": job.recipe, "spec": job.spec}
    version = datasets.add_version(
        session, folder, name=job.name, provenance=told, created_by_id=job.created_by_id
    ).version
    job.summary = dict(summary) | {"dataset_version": version.id}
    return version.id


def latest_report(session: Session, version_id: int, recipe: str, *, model_id: int | None = None) -> DataReport | None:
    """The newest report of one recipe on a version, on the tokenizer or judgement of one model where it takes one."""
    query = select(DataReport).where(DataReport.dataset_version_id == version_id, DataReport.recipe == recipe)
    if model_id is not None:
        query = query.where(DataReport.model_id == model_id)
    return session.scalar(query.order_by(DataReport.id.desc()).limit(1))


def latest_job(session: Session, version_id: int, recipe: str) -> Job | None:
    """The job of a recipe that was asked for last on a version, however it stands."""
    query = select(Job).where(Job.recipe == recipe, Job.spec["dataset"].as_string() == f"dataset:{version_id}")
    return session.scalar(query.order_by(Job.id.desc()).limit(1))


def submit_once(
    session: Session, recipe: str, values: Mapping[str, Any], *, version_id: int, person_id: int | None
) -> Job:
    """Ask for a report on a version; while a job of its recipe waits or runs there, whoever asks is given that one.

    Raises:
        SpecFaults: with everything that is wrong with the values.
    """
    before = latest_job(session, version_id, recipe)
    if before is not None and before.state in ACTIVE_STATES:
        return before
    return jobs.submit(
        session,
        recipe,
        values,
        person_id=person_id,
        # Two presses at once have seen the same last job, and ask for the same next one.
        idempotency_key=f"{recipe}-{version_id}-after-{before.id if before else 0}",
    )


def list_reports(session: Session, version_id: int) -> Sequence[DataReport]:
    """Every report on a version, the newest first."""
    query = select(DataReport).where(DataReport.dataset_version_id == version_id)
    return session.scalars(query.order_by(DataReport.id.desc())).all()


def folder_of_report(report: DataReport) -> Path:
    return settings().reports_folder / report.folder
