"""A real worker process on the embedded queue: jobs run, stop, and survive the death of whoever runs them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipeline.model_folder import read_manifest
from store import jobs, models
from store.database import reading, writing
from store.schema import JobState
from store.settings import settings
from tests.real_jobs import ended, log_of, submit, text_rows, trainer_of, wait_for, worker_process


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONE_LEASE_SECONDS", "5")


@pytest.fixture
def text_id(short_lease: None, home: Path) -> int:
    return text_rows(home)


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
