"""An attempt on the worker's side: what it cannot do ends the job with a reason."""

from __future__ import annotations

import threading
from pathlib import Path

from store import jobs
from store.database import reading
from store.schema import JobState
from tests.unit.test_jobs import add_dataset, must_claim, submit
from workers.attempt import run_attempt


def test_a_job_whose_folder_cannot_be_made_fails_at_once_and_says_so(home: Path) -> None:
    submit(add_dataset("prose", "text"))
    (home / "jobs").write_text("not a folder")
    claim = must_claim()
    run_attempt(claim, [], threading.Event())
    with reading() as session:
        job = jobs.load_job(session, claim.job_id)
    assert job.state == JobState.FAILED
    assert job.error_message is not None
    assert "NotADirectoryError" in job.error_message
    assert len(job.attempts) == 1
