"""Jobs in the record: what may be asked for, who may claim and write, and how a job ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import update

from pipeline.errors import BadSpec, OutOfMemory
from pipeline.events import LogLine, Metrics, Numbered, Progress
from pipeline.spec import SpecFaults
from store import attempts, fleet, jobs
from store.attempts import Claim, LostWorker, StaleAttempt
from store.database import reading, writing
from store.schema import Dataset, DatasetVersion, Job, JobState

SLOTS = [f"w/cpu-{number}" for number in range(4)]

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def text_id() -> int:
    return add_dataset("prose", "text")


def add_dataset(name: str, kind: str) -> int:
    with writing() as session:
        version = DatasetVersion(
            dataset=Dataset(name=name), number=1, sha256="a" * 64, kind=kind, format=kind, num_rows=3, size_bytes=30
        )
        session.add(version)
        session.flush()
        return version.id


def submit(text_id: int, **more: str) -> int:
    with writing() as session:
        return jobs.submit(session, "pretrain", {"dataset": f"dataset:{text_id}"}, **more).id


def claim() -> Claim | None:
    with writing() as session:
        fleet.beat(session, worker_id="w", name="worker", machine="box", devices=[{"id": slot} for slot in SLOTS])
        free = dict.fromkeys(SLOTS, "CPU")
        return attempts.claim(session, worker_id="w", worker_name="worker", free=free, most_slots=len(SLOTS))


def must_claim() -> Claim:
    claimed = claim()
    assert claimed is not None
    return claimed


def state_of(job_id: int) -> JobState:
    with reading() as session:
        return jobs.get_job(session, job_id).state


def let_lease_run_out(job_id: int) -> None:
    with writing() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_expires_at=0.0))


def sweep() -> int:
    with writing() as session:
        return attempts.sweep(session)


def test_the_same_key_gives_the_same_job(text_id: int) -> None:
    assert submit(text_id, idempotency_key="k") == submit(text_id, idempotency_key="k")
    assert submit(text_id, idempotency_key="other") != submit(text_id, idempotency_key="k")


def test_every_fault_is_told_at_once(text_id: int) -> None:
    pairs = add_dataset("pairs", "preference")
    with pytest.raises(SpecFaults) as refused, writing() as session:
        jobs.submit(session, "pretrain", {"dataset": f"dataset:{pairs}"}, name="no/slash")
    assert {fault.field for fault in refused.value.faults} == {"name", "dataset"}
    assert "pairs holds preference rows; this needs text rows" in str(refused.value)


def test_a_name_in_use_is_refused(text_id: int) -> None:
    submit(text_id, name="mine")
    with pytest.raises(SpecFaults, match="is taken"):
        submit(text_id, name="mine")


def test_a_job_on_a_deleted_dataset_is_refused() -> None:
    with pytest.raises(SpecFaults, match="no dataset 'dataset:99'"):
        submit(99)


def test_a_job_is_claimed_once_and_with_paths_for_ids(text_id: int, home: Path) -> None:
    job_id = submit(text_id)
    claimed = must_claim()
    assert (claimed.job_id, claimed.epoch) == (job_id, 1)
    assert claimed.spec["dataset"] == str(home / "datasets" / ("a" * 64) / "rows.jsonl")
    assert claim() is None


def test_higher_priority_goes_first_then_the_order_of_arrival(text_id: int) -> None:
    first, second, urgent = submit(text_id), submit(text_id), submit(text_id)
    with writing() as session:
        jobs.get_job(session, urgent).priority = 1
    assert [must_claim().job_id for _ in range(3)] == [urgent, first, second]


def test_events_are_recorded_once_however_often_they_are_sent(text_id: int) -> None:
    submit(text_id)
    claimed = must_claim()
    events = [
        Numbered(seq=1, event=Progress(step=1, total_steps=4)),
        Numbered(seq=2, event=Metrics(step=1, values={"loss": 2.5})),
        Numbered(seq=3, event=LogLine(text="hello")),
    ]
    for _ in range(2):
        with writing() as session:
            attempts.record_events(session, claimed.job_id, claimed.epoch, events)
    with reading() as session:
        assert jobs.metrics(session, claimed.job_id) == {"loss": [(1, 2.5)]}
        assert [line.text for line in jobs.log_lines(session, claimed.job_id)] == ["hello"]
        assert jobs.get_job(session, claimed.job_id).step == 1


def test_an_attempt_that_was_taken_over_can_write_nothing(text_id: int) -> None:
    job_id = submit(text_id)
    old = must_claim()
    let_lease_run_out(job_id)
    assert sweep() == 1
    new = must_claim()
    assert new.epoch == old.epoch + 1
    with pytest.raises(StaleAttempt), writing() as session:
        attempts.renew(session, job_id, old.epoch)
    with pytest.raises(StaleAttempt), writing() as session:
        attempts.record_events(session, job_id, old.epoch, [Numbered(seq=1, event=LogLine(text="ghost"))])
    with pytest.raises(StaleAttempt), writing() as session:
        attempts.succeed(session, job_id, old.epoch, summary={})
    assert state_of(job_id) == JobState.RUNNING


def test_after_a_resume_the_newer_value_of_a_step_counts(text_id: int) -> None:
    job_id = submit(text_id)
    for value in (3.0, 2.0):
        claimed = must_claim()
        with writing() as session:
            metric = Numbered(seq=1, event=Metrics(step=5, values={"loss": value}))
            attempts.record_events(session, job_id, claimed.epoch, [metric])
        let_lease_run_out(job_id)
        sweep()
    with reading() as session:
        assert jobs.metrics(session, job_id) == {"loss": [(5, 2.0)]}


def test_a_job_that_keeps_dying_stops_with_a_reason(text_id: int) -> None:
    job_id = submit(text_id)
    for _ in range(attempts.MOST_LOST_ATTEMPTS):
        must_claim()
        let_lease_run_out(job_id)
        sweep()
    with reading() as session:
        job = jobs.get_job(session, job_id)
        assert (job.state, job.error_kind) == (JobState.FAILED, LostWorker.kind)
        assert job.error_advice


def test_a_lease_that_is_renewed_does_not_run_out(text_id: int) -> None:
    job_id = submit(text_id)
    claimed = must_claim()
    let_lease_run_out(job_id)
    with writing() as session:
        assert attempts.renew(session, job_id, claimed.epoch) is None
    assert sweep() == 0
    assert state_of(job_id) == JobState.RUNNING


def test_cancelling_a_waiting_job_ends_it_at_once(text_id: int) -> None:
    job_id = submit(text_id)
    with writing() as session:
        jobs.request_stop(session, job_id, "cancel")
    assert state_of(job_id) == JobState.CANCELLED
    assert claim() is None
    with pytest.raises(BadSpec, match="cancelled already"), writing() as session:
        jobs.request_stop(session, job_id, "cancel")


def test_cancelling_a_running_job_reaches_its_worker_and_success_may_still_win(text_id: int) -> None:
    job_id = submit(text_id)
    claimed = must_claim()
    with writing() as session:
        jobs.request_stop(session, job_id, "cancel")
    with writing() as session:
        assert attempts.renew(session, job_id, claimed.epoch) == "cancel"
    with writing() as session:
        attempts.succeed(session, job_id, claimed.epoch, summary={"loss": 1.0})
    assert state_of(job_id) == JobState.SUCCEEDED


def test_a_cancelled_job_whose_worker_died_is_not_run_again(text_id: int) -> None:
    job_id = submit(text_id)
    must_claim()
    with writing() as session:
        jobs.request_stop(session, job_id, "cancel")
    let_lease_run_out(job_id)
    assert sweep() == 0
    assert state_of(job_id) == JobState.CANCELLED


def test_a_failed_job_says_why_and_can_be_retried(text_id: int) -> None:
    job_id = submit(text_id)
    claimed = must_claim()
    with writing() as session:
        attempts.fail(session, job_id, claimed.epoch, OutOfMemory("No memory.", "Halve the batch."))
    with reading() as session:
        job = jobs.load_job(session, job_id)
        assert (job.error_kind, job.error_message, job.error_advice) == (
            "out_of_memory",
            "No memory.",
            "Halve the batch.",
        )
        assert [attempt.outcome for attempt in job.attempts] == ["out_of_memory"]
    with writing() as session:
        jobs.retry(session, job_id)
    assert must_claim().epoch == 2


def test_a_job_that_ran_out_of_memory_goes_on_with_half_the_batch_and_as_many_rows_a_step(text_id: int) -> None:
    with writing() as session:
        values = {"dataset": f"dataset:{text_id}", "batch_size": 5, "gradient_accumulation": 2}
        job_id = jobs.submit(session, "pretrain", values).id
    claimed = must_claim()
    with writing() as session:
        attempts.fail(session, job_id, claimed.epoch, OutOfMemory("No memory.", "Halve the batch."))
    assert claim() is None, "the same again would end the same"
    with writing() as session:
        jobs.retry_with_half_the_batch(session, job_id)
    again = must_claim()
    assert (again.job_id, again.spec["batch_size"], again.spec["gradient_accumulation"]) == (job_id, 2, 5)


def test_only_a_job_that_wanted_memory_has_its_batch_halved(text_id: int) -> None:
    job_id = submit(text_id)
    claimed = must_claim()
    with writing() as session:
        attempts.fail(session, job_id, claimed.epoch, BadSpec("Something else."))
    with pytest.raises(BadSpec, match="cannot be halved"), writing() as session:
        jobs.retry_with_half_the_batch(session, job_id)


def test_jobs_are_listed_running_first_then_waiting_then_newest(text_id: int) -> None:
    done, running, waiting_1, waiting_2 = (submit(text_id) for _ in range(4))
    with writing() as session:
        jobs.request_stop(session, done, "cancel")
    assert must_claim().job_id == running
    with reading() as session:
        page, total = jobs.list_jobs(session)
        assert ([job.id for job in page], total) == ([running, waiting_1, waiting_2, done], 4)
        page, total = jobs.list_jobs(session, states=[JobState.QUEUED], limit=1, offset=1)
        assert ([job.id for job in page], total) == ([waiting_2], 2)


def test_a_worker_is_live_for_a_lease_after_its_heartbeat() -> None:
    for _ in range(2):
        with writing() as session:
            fleet.beat(session, worker_id="w", name="box", machine="box", devices=[{"id": "GPU-1"}])
    with reading() as session:
        assert [worker.name for worker in fleet.live_workers(session)] == ["box"]
    with writing() as session:
        fleet.leave(session, "w")
    with reading() as session:
        assert not fleet.live_workers(session)


def test_the_database_clock_is_seconds_since_1970(text_id: int) -> None:
    submit(text_id)
    now = time.time()
    claimed = must_claim()
    with reading() as session:
        job = jobs.get_job(session, claimed.job_id)
        assert job.lease_expires_at == pytest.approx(now + 30, abs=5)
