"""Real jobs for tests: tiny ones, asked for as the web does it, and the real processes that run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from store import jobs
from store.database import reading, writing
from store.schema import Dataset, DatasetVersion, Job, JobState
from store.settings import settings
from workers.queue import wake

TINY = {
    "hidden_size": 32,
    "num_layers": 1,
    "num_heads": 2,
    "num_kv_heads": 1,
    "context_length": 32,
    "vocabulary_size": 320,
    "batch_size": 2,
    "evaluations": 0,
}


def text_rows(home: Path) -> int:
    """A small dataset of text; returns the id of its version."""
    return add_rows(
        home, "hens", "text", [{"text": f"The hen number {n} sat on an egg in the barn."} for n in range(200)]
    )


def add_rows(home: Path, name: str, kind: str, rows: list[dict[str, Any]]) -> int:
    """Lay canonical rows into the data folder and register them; returns the id of the version."""
    sha256 = name.encode().hex().ljust(64, "0")
    file = home / "datasets" / sha256 / "rows.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    version = DatasetVersion(number=1, sha256=sha256, kind=kind, format=kind, num_rows=len(rows), size_bytes=1)
    version.dataset = Dataset(name=name)
    with writing() as session:
        session.add(version)
        session.flush()
        return version.id


def start_worker(environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A worker of its own, which ends when its standard input is closed; what it prints is in `worker.log`."""
    with worker_log().open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "webapp.cli", "worker", "--watch-stdin"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment or {}),
        )


@contextmanager
def worker_process() -> Iterator[subprocess.Popen[bytes]]:
    process = start_worker()
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def worker_log() -> Path:
    return settings().home / "worker.log"


def submit(text_id: int, **values: Any) -> int:
    with writing() as session:
        job_id = jobs.submit(session, "pretrain", TINY | {"dataset": f"dataset:{text_id}"} | values).id
    wake()
    return job_id


def job(job_id: int) -> Job:
    with reading() as session:
        return jobs.load_job(session, job_id)


def wait_for(job_id: int, condition: Callable[[Job], bool], seconds: float = 90) -> Job:
    deadline = time.monotonic() + seconds
    while not condition(now := job(job_id)):
        assert time.monotonic() < deadline, (
            f"job {job_id} is {now.state}, {now.phase}, {now.error_message}\n{worker_log().read_text(errors='replace')}"
        )
        time.sleep(0.1)
    return now


def trainer_of(job_id: int) -> psutil.Process:
    """The process that writes what the job prints."""
    outputs = {str(path) for path in settings().jobs_folder.glob(f"{job_id}/*/output.log")}
    for process in psutil.process_iter(["open_files"]):
        if outputs & {file.path for file in process.info["open_files"] or []}:
            return process
    raise AssertionError(f"no process trains job {job_id}")


def lives(process: psutil.Process) -> bool:
    """Whether it does anything still; whose parent was killed may lie dead for a moment until its end is noted."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def trains(process: psutil.Process) -> bool:
    """Whether a process is a job's: what it prints goes to the job's log."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return any(Path(file.path).name == "output.log" for file in process.open_files())
    return False


def log_of(now: Job) -> str:
    with reading() as session:
        return "\n".join(entry.text for entry in jobs.log_lines(session, now.id))


def ended(now: Job) -> bool:
    return now.state not in (JobState.QUEUED, JobState.RUNNING)


def has_checkpoint(now: Job) -> bool:
    return "Saved a checkpoint" in log_of(now)


def outcomes(now: Job) -> list[str | None]:
    """How each of its attempts ended."""
    return [attempt.outcome for attempt in now.attempts]


def trains_in(job_id: int, *, epoch: int) -> bool:
    """Whether an attempt has come to train, or has ended the job already."""
    now = job(job_id)
    return now.epoch >= epoch and (now.phase == "Training" if now.state == JobState.RUNNING else ended(now))
