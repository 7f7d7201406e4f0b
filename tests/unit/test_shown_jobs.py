"""A job's page shows each of its news, and draws curves and log anew only for these."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from pipeline.errors import BadSpec
from pipeline.events import AnyEvent, LogLine, Metrics, Numbered
from store import attempts
from store.database import writing
from store.schema import Attempt, Job, JobState, utc_now
from webapp.jobs.shown import show_job

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def job_id() -> int:
    with writing() as session:
        job = Job(name="shown", recipe="sft", spec={}, state=JobState.RUNNING, epoch=1, started_at=utc_now())
        session.add(job)
        session.flush()
        session.add(Attempt(job_id=job.id, epoch=1, worker_name="w"))
        return job.id


def report(job_id: int, seq: int, event: AnyEvent) -> None:
    with writing() as session:
        attempts.record_events(session, job_id, 1, [Numbered(seq=seq, event=event)])


def test_news_are_drawn_and_nothing_else_is(job_id: int) -> None:
    before = show_job(job_id)
    assert "<polyline" not in before.charts
    report(job_id, 1, Metrics(step=1, values={"loss": 2.5}))
    report(job_id, 2, LogLine(text="hello"))
    after = show_job(job_id)
    assert after.mark != before.mark
    assert 'data-values="1:2.5 1:2.5"' in after.charts
    assert "hello" in after.texts.log
    with writing() as session:
        session.execute(update(Job).where(Job.id == job_id).values(priority=1))
    again = show_job(job_id)
    assert again.job.priority == 1
    assert again.charts is after.charts
    report(job_id, 3, Metrics(step=2, values={"loss": 1.5}))
    later = show_job(job_id)
    assert later.charts != after.charts
    assert later.texts is after.texts


def test_the_last_word_on_a_job_has_also_what_came_out_of_order(job_id: int) -> None:
    for seq, step in enumerate((10, 20), start=1):
        report(job_id, seq, Metrics(step=step, values={"loss": 1.0}))
        show_job(job_id)
    report(job_id, 3, Metrics(step=5, values={"loss": 7.0}))
    show_job(job_id)
    with writing() as session:
        session.execute(update(Job).where(Job.id == job_id).values(state=JobState.SUCCEEDED, finished_at=utc_now()))
    assert show_job(job_id).curves.points["loss"] == [(5, 7.0), (10, 1.0), (20, 1.0)]


def test_a_job_that_is_not_there_is_an_error() -> None:
    with pytest.raises(BadSpec, match="no job 99"):
        show_job(99)
