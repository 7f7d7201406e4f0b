"""A real worker process on the embedded queue: jobs run and stop. What they survive is in `test_chaos.py`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipeline.model_folder import read_manifest
from store import jobs, models
from store.database import reading, writing
from store.schema import JobState
from store.settings import settings
from tests.real_jobs import ended, submit, text_rows, trainer_of, wait_for, worker_process


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
