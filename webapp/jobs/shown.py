"""Shown jobs: what all browsers on a job's page see alike, read and drawn once for all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from sqlalchemy.orm import Session

from pipeline.recipes import get_recipe
from store import jobs, waiting
from store.curves import Curves, read_curves
from store.database import reading
from store.schema import Job
from store.waiting import Prospect
from webapp.jobs.views import ENDED
from webapp.jobs.views_job import job_charts, log_view, samples_view
from webapp.shared import Shared

MOST_JOBS = 32
"""Jobs that are kept, those looked at last: at most a few megabytes each."""
MOST_LOG_LINES = 1000


@dataclass(frozen=True)
class Texts:
    """The log and the samples of a job as HTML."""

    mark: str
    """Their last rows: what they were drawn from."""
    log: str
    samples: str


@dataclass(frozen=True)
class ShownJob:
    """A job with everything that its page shows; curves, log and samples as HTML, drawn once for each of their news."""

    job: Job
    prospect: Prospect
    mark: str
    """What the curves were drawn from: it changes with all that a worker reports, and with the job's state."""
    curves: Curves
    charts: str
    texts: Texts


def show_job(job_id: int) -> ShownJob:
    """A job as it is now.

    Raises:
        BadSpec: if there is no such job.
    """
    return _shown_jobs().get(job_id, lambda before: _look(job_id, before))


@lru_cache(maxsize=1)
def _shown_jobs() -> Shared[ShownJob]:
    return Shared(most=MOST_JOBS)


def _look(job_id: int, before: ShownJob | None) -> ShownJob:
    with reading() as session:
        job = jobs.load_job(session, job_id)
        prospect = waiting.prospect_of(session, job)
        mark = _mark_of(job)
        if before is not None and before.mark == mark:
            return replace(before, job=job, prospect=prospect)
        # What a running job has shown is read on; the last word is read whole.
        has_ended = job.state in ENDED
        known = before.curves if before is not None and not has_ended else None
        curves = read_curves(session, job_id, known=known)
        texts = _read_texts(session, job_id, before.texts if before is not None else None)
    charts = job_charts(get_recipe(job.recipe), curves.points, has_ended=has_ended)
    return ShownJob(job, prospect, mark, curves, charts, texts)


def _read_texts(session: Session, job_id: int, before: Texts | None) -> Texts:
    newest = (jobs.log_lines(session, job_id, limit=1), jobs.samples(session, job_id, limit=1))
    mark = " and ".join(f"to {rows[0].epoch}/{rows[0].seq}" if rows else "none" for rows in newest)
    if before is not None and before.mark == mark:
        return before
    lines, samples = jobs.log_lines(session, job_id, limit=MOST_LOG_LINES), jobs.samples(session, job_id)
    return Texts(mark, log_view(lines), samples_view(samples))


def _mark_of(job: Job) -> str:
    last_seq = job.attempts[-1].last_seq if job.attempts else 0
    return f"{job.created_at.timestamp()}/{job.state}/{job.epoch}/{job.step}/{last_seq}"
