"""Accounts: what must be true of the record, of the disk and of the processes when every job has ended."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import psutil
from sqlalchemy import delete, select, update
from sqlalchemy.orm import selectinload

from pipeline.model_folder import read_manifest, sha256_of_file
from store.database import reading, writing
from store.schema import ACTIVE_STATES, Attempt, Job, JobState, Model, Slot, utc_now
from store.settings import settings
from tests.chaos.setups import Setup
from tests.chaos.watching import eventually
from tests.real_jobs import trains

SECONDS_TO_SETTLE = 30.0
"""A worker cleans up after it has written down how a job ended, and sweeps every few seconds."""


def settle(setup: Setup) -> int:
    """Close the accounts of what was asked for since `begin`; returns how many results there are: one a job.

    Raises:
        AssertionError: with everything that does not add up.
    """
    faults: list[str] = []

    def adds_up() -> bool:
        faults[:] = [*faults_of_jobs(setup.job_ids), *faults_of_folders(), *faults_of_processes(setup)]
        return not faults

    try:
        eventually(adds_up, "the accounts do not add up", SECONDS_TO_SETTLE)
    except AssertionError as error:
        raise AssertionError("; ".join(faults) + f"\n{error}") from None
    return len(setup.job_ids)


def clear_away(setup: Setup) -> None:
    """End whatever a fault has left behind: processes, jobs and folders."""
    setup.kill_everything()
    with writing() as session:
        session.execute(delete(Slot))
        session.execute(
            update(Job)
            .where(Job.state.in_(ACTIVE_STATES))
            .values(state=JobState.CANCELLED, lease_expires_at=None, worker_id=None, finished_at=utc_now())
        )
        session.execute(update(Job).values(stop_requested=None, lease_expires_at=None, worker_id=None))
        session.execute(update(Attempt).where(Attempt.outcome.is_(None)).values(outcome="cleared away"))
        folders = set(session.scalars(select(Model.folder)))
    for folder in settings().models_folder.glob("*"):
        if folder.name not in folders:
            shutil.rmtree(folder)


def faults_of_jobs(job_ids: Sequence[int]) -> list[str]:
    """Every job that was asked for is there once, has ended, and is held by nobody; no other job is there."""
    faults = []
    with reading() as session:
        rows = session.scalars(select(Job).options(selectinload(Job.attempts), selectinload(Job.model))).all()
        held = Counter(session.scalars(select(Slot.job_id).where(Slot.job_id.is_not(None))))
    by_id = {row.id: row for row in rows}
    faults += [f"job {job_id} was asked for and is not there" for job_id in job_ids if job_id not in by_id]
    unasked = {row.id for row in rows if row.id >= min(job_ids, default=0)} - set(job_ids)
    faults += [f"job {job_id} is there and was not asked for" for job_id in sorted(unasked)]
    for job in rows:
        faults += [f"job {job.id} {fault}" for fault in _faults_of_job(job)]
        if held[job.id] and job.state != JobState.RUNNING:
            faults.append(f"job {job.id} is {job.state} and holds {held[job.id]} slots")
    return faults


def _faults_of_job(job: Job) -> list[str]:
    if job.state in ACTIVE_STATES:
        return [f"is {job.state}"]
    outcomes = [attempt.outcome for attempt in job.attempts]
    faults = {
        "has a lease": job.lease_expires_at is not None,
        "names a worker": job.worker_id is not None,
        "is asked to stop": job.stop_requested is not None,
        "has no time of ending": job.finished_at is None,
        f"has attempts without an end: {outcomes}": None in outcomes,
        f"succeeded in {outcomes.count('succeeded')} attempts": outcomes.count("succeeded")
        != (job.state == JobState.SUCCEEDED),
        "succeeded without a model": job.state == JobState.SUCCEEDED and job.model is None,
        f"is {job.state} and has a model": job.state != JobState.SUCCEEDED and job.model is not None,
        "failed without a reason": job.state == JobState.FAILED and not (job.error_kind and job.error_message),
    }
    return [fault for fault, is_so in faults.items() if is_so]


def faults_of_folders() -> list[str]:
    """Each model has one folder, whole; nothing else is in `models/`."""
    with reading() as session:
        named = Counter(session.scalars(select(Model.folder).where(Model.folder.is_not(None))).all())
    found = {path.name for path in settings().models_folder.iterdir()} if settings().models_folder.exists() else set()
    faults = [f"models/{folder} is named by {number} models" for folder, number in named.items() if number > 1]
    faults += [f"models/{folder} is named by no model" for folder in sorted(found - set(named))]
    faults += [f"models/{folder} is not there" for folder in named if folder not in found]
    return faults + [f"models/{folder} is not whole" for folder in found & set(named) if not _is_whole(str(folder))]


def _is_whole(name: str) -> bool:
    folder = settings().models_folder / name
    manifest = read_manifest(folder)
    return manifest is not None and all(sha256_of_file(folder / file) == sha for file, sha in manifest.files.items())


def faults_of_processes(setup: Setup) -> list[str]:
    """Nothing trains, and every process that works on the data folder belongs to a worker that was started."""
    kept = {process.pid for process in setup.started_processes()}
    faults = []
    for process in setup.processes():
        with suppress(psutil.NoSuchProcess):
            if process.pid not in kept:
                faults.append(f"process {process.pid} is left over: {' '.join(process.cmdline())[:100]}")
            elif trains(process):
                faults.append(f"process {process.pid} still trains")
    return faults
