"""A real worker process on the embedded queue: jobs run, stop, and survive the death of whoever runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.model_folder import read_manifest
from store import jobs, models
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


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONE_LEASE_SECONDS", "5")


@pytest.fixture
def text_id(short_lease: None, home: Path) -> int:
    return text_rows(home)


def text_rows(home: Path) -> int:
    """A small dataset of text; returns the id of its version."""
    rows = home / "datasets" / ("b" * 64) / "rows.jsonl"
    rows.parent.mkdir(parents=True)
    lines = [json.dumps({"text": f"The hen number {number} sat on an egg in the barn."}) for number in range(200)]
    rows.write_text("\n".join(lines) + "\n")
    version = DatasetVersion(number=1, sha256="b" * 64, kind="text", format="text", num_rows=200, size_bytes=1)
    version.dataset = Dataset(name="hens")
    with writing() as session:
        session.add(version)
        session.flush()
        return version.id


@contextmanager
def worker_process() -> Iterator[subprocess.Popen[bytes]]:
    log = (settings().home / "worker.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "webapp.cli", "worker", "--watch-stdin"],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
        log.close()


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
        worker_log = (settings().home / "worker.log").read_text(errors="replace")
        assert time.monotonic() < deadline, f"job is {now.state}, {now.phase}, {now.error_message}\n{worker_log}"
        time.sleep(0.1)
    return now


def trainer_of(job_id: int) -> psutil.Process:
    """The process that writes what the job prints."""
    outputs = {str(path) for path in settings().jobs_folder.glob(f"{job_id}/*/output.log")}
    for process in psutil.process_iter(["open_files"]):
        if outputs & {file.path for file in process.info["open_files"] or []}:
            return process
    raise AssertionError(f"no process trains job {job_id}")


def log_of(now: Job) -> str:
    with reading() as session:
        return "\n".join(entry.text for entry in jobs.log_lines(session, now.id))


def ended(now: Job) -> bool:
    return now.state not in (JobState.QUEUED, JobState.RUNNING)


def test_a_job_runs_to_a_registered_model_and_another_is_cancelled(text_id: int) -> None:
    short = submit(text_id, num_epochs=1)
    endless = submit(text_id, max_steps=1_000_000)
    with worker_process():
        done = wait_for(short, ended)
        assert done.state == JobState.SUCCEEDED, done.error_message
        assert done.model is not None
        manifest = read_manifest(Path(models.location_of(done.model)))
        assert manifest is not None
        assert manifest.files
        with reading() as session:
            assert jobs.metrics(session, short)["loss"]

        wait_for(endless, lambda now: now.step > 5)
        trainer = trainer_of(endless)
        asked_at = time.monotonic()
        with writing() as session:
            jobs.request_stop(session, endless, "cancel")
        cancelled = wait_for(endless, ended)
        assert cancelled.state == JobState.CANCELLED
        assert time.monotonic() - asked_at < 15
        assert not trainer.is_running()
        assert list((settings().jobs_folder / str(endless) / "checkpoints").glob("*")), "its checkpoint is kept"
    assert not list(settings().models_folder.glob(".making-*"))


def test_a_job_goes_on_after_its_trainer_and_then_its_worker_are_killed(text_id: int) -> None:
    job_id = submit(text_id, max_steps=1_000_000, checkpoint_every_minutes=0.02)
    with worker_process() as first:
        wait_for(job_id, lambda now: "Saved a checkpoint" in log_of(now))
        trainer_of(job_id).kill()
        wait_for(job_id, lambda now: now.epoch == 2 and now.state == JobState.RUNNING)
        wait_for(job_id, lambda now: now.phase == "Training")
        first.kill()
        trainer = trainer_of(job_id)
        trainer.wait(10)
    with worker_process() as second:
        wait_for(job_id, lambda now: now.epoch == 3 and now.phase == "Training")
        second.terminate()
        released = wait_for(job_id, lambda now: now.state == JobState.QUEUED)
        second.wait(60)
    assert [attempt.outcome for attempt in released.attempts] == ["killed", "lost", "released"]
    assert "Resuming from the checkpoint" in log_of(released)
