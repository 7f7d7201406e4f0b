"""Shown jobs: what all browsers on a job's page see alike, read and drawn once for each news of the job."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache

from pipeline.recipes import get_recipe
from store import jobs
from store.curves import Curves, read_curves
from store.database import reading
from store.schema import Job
from webapp.views_jobs import ENDED, job_charts, log_view, samples_view

MOST_JOBS = 32
"""Jobs that are kept, those looked at last: at most a few megabytes each."""
MOST_LOG_LINES = 1000


@dataclass(frozen=True)
class ShownJob:
    """The large parts of a job's page as HTML, and the mark of what they were drawn from."""

    mark: str
    curves: Curves
    charts: str
    log: str
    samples: str


def mark_of(job: Job) -> str:
    """What changes with everything that a worker reports, and with the job's state."""
    last_seq = job.attempts[-1].last_seq if job.attempts else 0
    return f"{job.created_at.timestamp()}/{job.state}/{job.epoch}/{job.step}/{last_seq}"


class ShownJobs:
    """The drawn parts of the jobs that were looked at last."""

    def __init__(self, most: int = MOST_JOBS) -> None:
        self._most = most
        self._places: OrderedDict[int, _Place] = OrderedDict()
        self._lock = threading.Lock()

    def show(self, job: Job) -> ShownJob:
        """A job as it is now. Where several ask at once, one of them draws and the others wait for it."""
        mark = mark_of(job)
        with self._lock:
            place = self._places.setdefault(job.id, _Place())
            self._places.move_to_end(job.id)
            while len(self._places) > self._most:
                self._places.popitem(last=False)
        with place.lock:
            if place.shown is None or place.shown.mark != mark:
                place.shown = _draw(job, mark, place.shown)
            return place.shown


@lru_cache(maxsize=1)
def shown_jobs() -> ShownJobs:
    """Those of this process."""
    return ShownJobs()


@dataclass
class _Place:
    lock: threading.Lock = field(default_factory=threading.Lock)
    shown: ShownJob | None = None


def _draw(job: Job, mark: str, before: ShownJob | None) -> ShownJob:
    has_ended = job.state in ENDED
    with reading() as session:
        # What a running job has shown is read on; the last word is read whole.
        known = before.curves if before is not None and not has_ended else None
        curves = read_curves(session, job.id, known=known)
        lines = jobs.log_lines(session, job.id, limit=MOST_LOG_LINES)
        samples = jobs.samples(session, job.id)
    charts = job_charts(get_recipe(job.recipe), curves.points, has_ended=has_ended)
    return ShownJob(mark, curves, charts, log_view(lines), samples_view(samples))
