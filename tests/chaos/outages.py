"""Faults of what jobs stand on: the broker, the database and the disk."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from store import jobs
from store.database import BUSY_TIMEOUT_SECONDS, writing
from store.schema import JobState
from store.settings import settings
from tests.chaos.deaths import OFTEN
from tests.chaos.setups import LEASE_SECONDS, NotHere, Setup
from tests.chaos.watching import eventually
from tests.real_jobs import ended, has_checkpoint, job, log_of, outcomes, trains_in

LONGER_THAN_A_LEASE = LEASE_SECONDS + BUSY_TIMEOUT_SECONDS + 3


def the_broker_is_away_and_comes_back_empty(setup: Setup, chance: Random) -> float:
    """Redis stopped, or the queue's folder removed, while one job runs and two wait; another is asked for meanwhile."""
    setup.workers(1)
    running = setup.running_job()
    waiting = [setup.submit(max_steps=5) for _ in range(2)]
    setup.stop_broker()
    waiting.append(setup.submit(max_steps=5))
    assert outcomes(setup.wait_for(running, ended)) == ["succeeded"], "a running job needs no broker"
    setup.start_broker()
    began_at = time.monotonic()
    for job_id in waiting:
        assert outcomes(setup.wait_for(job_id, ended)) == ["succeeded"]
    idle = setup.submit(max_steps=5)
    setup.wait_for(idle, ended)
    return time.monotonic() - began_at


def the_broker_is_emptied_while_it_runs(setup: Setup, chance: Random) -> float:
    """FLUSHALL, or the queue's files removed, while an idle worker listens; then a job is asked for."""
    setup.workers(1)
    setup.wait_for(setup.submit(max_steps=5), ended)
    setup.empty_broker()
    job_id = setup.submit(max_steps=5)
    seconds = eventually(lambda: trains_in(job_id, epoch=1), "the job was not begun")
    assert outcomes(setup.wait_for(job_id, ended)) == ["succeeded"]
    return seconds


def the_database_is_locked_for_ten_seconds(setup: Setup, chance: Random) -> float:
    """BEGIN EXCLUSIVE, or LOCK TABLE, for 10 s under a lease of 30 s: the attempt stays the same."""
    setup.workers(1, HONE_LEASE_SECONDS="30")
    job_id = setup.running_job()
    with setup.lock_database():
        time.sleep(10)
    began_at = time.monotonic()
    step = job(job_id).step
    setup.wait_for(job_id, lambda now: now.step > step or ended(now))
    seconds = time.monotonic() - began_at
    assert outcomes(setup.wait_for(job_id, ended)) == ["succeeded"]
    return seconds


def the_database_is_away_for_longer_than_the_lease(setup: Setup, chance: Random) -> float:
    """PostgreSQL stopped, or SQLite locked, for longer than the lease and the time that a writer waits."""
    setup.workers(1)
    job_id = setup.running_job(has_checkpoint, **OFTEN)
    with setup.without_database():
        time.sleep(LONGER_THAN_A_LEASE)
        eventually(lambda: not setup.trainers(), "a job goes on that nobody holds")
    seconds = eventually(lambda: trains_in(job_id, epoch=2), "nobody went on with the job")
    assert outcomes(setup.wait_for(job_id, ended)) == ["lost", "succeeded"]
    return seconds


def the_disk_is_full_while_a_job_saves(setup: Setup, chance: Random) -> float:
    """`jobs/` is a small tmpfs that is filled to its last byte; then there is room again, and somebody retries."""
    setup.workers(1)
    with small_disk(settings().jobs_folder) as disk:
        job_id = setup.running_job(has_checkpoint, **OFTEN)
        ballast = disk / "ballast"
        fill(ballast)
        failed = setup.wait_for(job_id, ended)
        assert (failed.state, failed.error_kind) == (JobState.FAILED, "disk_full"), failed.error_message
        assert len(failed.attempts) == 1
        waiting = setup.submit(max_steps=5)  # nothing of it can be written either
        refused = setup.wait_for(waiting, ended)
        assert (refused.state, refused.error_kind) == (JobState.FAILED, "disk_full"), refused.error_message
        ballast.unlink()
        for ended_id in (job_id, waiting):
            with writing() as session:
                jobs.retry(session, ended_id)
        seconds = eventually(lambda: trains_in(job_id, epoch=2), "nobody went on with the job")
        done = setup.wait_for(job_id, ended)
        assert outcomes(done) == ["disk_full", "succeeded"]
        assert "Resuming from the checkpoint" in log_of(done)
        assert outcomes(setup.wait_for(waiting, ended)) == ["disk_full", "succeeded"]
    return seconds


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 16 MB in the place of a folder, whose files are out of reach meanwhile."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        raise NotHere(f"a small disk cannot be mounted here ({mounted.stderr.strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write until the disk takes no more."""
    with file.open("wb", buffering=0) as ballast:
        for size in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    ballast.write(os.urandom(size))
