"""Benchmark: 10,000 jobs and five million metric rows, with 100 browsers looking on; and how soon a job starts.

    python -m bench.scale                        the embedded set-up: SQLite, and a queue of files
    python -m bench.scale --postgres --redis     PostgreSQL and Redis, on servers of its own
    python -m bench.scale --jobs 200 --queued 20 --rows 20000 --long-rows 6000 --browsers 5 --seconds 5 --starts 3

The web process and the worker are real ones; the browsers are those of `bench.browsers`, in a process of their own.
What a page costs is compared, in the same run, with the naive way: every row read, every job drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import select, update

from bench.browsers import READY, summary
from bench.record import Record, fill, training_goes_on
from bench.training import wait_for, worker_process
from pipeline.recipes import get_recipe
from store import jobs
from store.curves import read_curves
from store.database import engine, reading, upgrade, writing
from store.schema import Attempt, Dataset, DatasetVersion, Job, JobState, Metric, Worker
from store.settings import settings
from tests.servers import free_port, start_postgres, start_redis
from webapp.jobs.views import jobs_table
from webapp.jobs.views_job import job_charts
from workers.queue import wake

TINY_JOB = {
    "hidden_size": 32, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "context_length": 32, "vocabulary_size": 320,
    "batch_size": 2, "evaluations": 0, "max_steps": 1,
}  # fmt: skip
ROUNDS = 3
QUIET_SECONDS, QUIET_PERCENT = 5.0, 25.0
WARM_SECONDS = 30.0
"""Until a worker that has just been started has loaded the libraries of training, and is idle."""


def main() -> None:
    options = _parser().parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["HONE_HOME"] = str(scratch / "home")
        os.environ["HONE_PORT"] = str(free_port())
        for name, start in (("postgres", start_postgres), ("redis", start_redis)):
            if getattr(options, name):
                (scratch / name).mkdir()
                variable = "HONE_DATABASE_URL" if name == "postgres" else "HONE_BROKER_URL"
                os.environ[variable] = stack.enter_context(start(scratch / name))
        print(json.dumps(measure(options), indent=2))
        engine().dispose()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    upgrade()
    record = fill(
        num_ended=options.jobs, num_queued=options.queued, num_rows=options.rows, num_long_rows=options.long_rows
    )
    report: dict[str, Any] = {
        "machine": f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}",
        "load_average_before": os.getloadavg()[0],
        "set_up": f"{engine().dialect.name}, {'Redis' if settings().broker_url else 'a queue of files'}",
        "metric_rows": record.num_rows,
    }
    with web_process() as web, training_goes_on(record):
        for name, path in (("jobs_page", "/jobs"), ("page_of_the_running_job", f"/job?id={record.running}")):
            rounds = []
            for _ in range(options.rounds):
                wait_until_quiet(options.patience)
                rounds.append(looked_at(web, path, options.browsers, options.seconds))
            report[name] = max(rounds, key=lambda one: one["processors_idle"])
        wait_until_quiet(options.patience)
        report["first_look_at_a_long_job_that_ended"] = first_looks(record)
    wait_until_quiet(options.patience)
    report["in_process"] = compared(record)
    wait_until_quiet(options.patience)
    report["milliseconds_from_submit_to_start"] = starts(options.starts) if options.starts else None
    return report


def wait_until_quiet(minutes: float) -> None:
    """Wait, not for ever, until nothing else keeps the processors busy."""
    deadline = time.monotonic() + minutes * 60
    while time.monotonic() < deadline and psutil.cpu_percent(QUIET_SECONDS) > QUIET_PERCENT:
        pass


# ------------------------------------------------------------------------------------------------------- the web pages


def looked_at(web: psutil.Process, path: str, num_browsers: int, seconds: float) -> dict[str, Any]:
    """What the browsers waited for, and what share of one processor the web process used meanwhile."""
    command = [sys.executable, "-m", "bench.browsers", address(), path]
    command += ["--browsers", str(num_browsers), "--seconds", str(seconds)]
    browsers = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert browsers.stdout is not None
    assert browsers.stderr is not None
    for line in browsers.stderr:
        if line.strip() == READY:
            break
    since, used, idle = time.perf_counter(), sum(web.cpu_times()[:2]), psutil.cpu_times().idle
    report: dict[str, Any] = json.loads(browsers.stdout.readline() or "{}")
    taken = time.perf_counter() - since
    share, idle_share = (sum(web.cpu_times()[:2]) - used) / taken, (psutil.cpu_times().idle - idle) / taken
    assert browsers.wait() == 0, browsers.stderr.read()
    assert not report["browsers_that_failed"], report["browsers_that_failed"]
    return report | {
        "processor_share_of_the_web_process": round(share, 2),
        "processors_idle": round(idle_share, 2),
    }


def first_looks(record: Record) -> dict[str, float]:
    """Milliseconds until a page is filled, for long jobs that nobody has looked at since the web process began."""
    handler = _load_handler(f"/job?id={record.long[0]}")
    taken = []
    for job_id in record.long:
        body = {"data": [], "event_data": None, "fn_index": handler, "trigger_id": 0, "session_hash": f"look{job_id}"}
        started_at = time.perf_counter()
        httpx.post(f"{address()}/gradio_api/run/predict?id={job_id}", json=body, timeout=60).raise_for_status()
        taken.append((time.perf_counter() - started_at) * 1000)
    return summary(taken)


def _load_handler(path: str) -> int:
    text = httpx.get(address() + path, headers={"accept": "text/html"}, timeout=60).text
    config, _ = json.JSONDecoder().raw_decode(text, text.index("{", text.index("window.gradio_config")))
    return next(
        handler["id"] for handler in config["dependencies"] if any(event == "load" for _, event in handler["targets"])
    )


@contextmanager
def web_process() -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "webapp.cli", "web", "--watch-stdin"]
    log = settings().home / "web.log"
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log.open("wb"), stderr=subprocess.STDOUT)
    try:
        while True:
            try:
                httpx.get(f"{address()}/ui/status", timeout=5)
                break
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.2)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def address() -> str:
    return f"http://127.0.0.1:{settings().port}"


# -------------------------------------------------------------------------------------------------------- the naive way


def compared(record: Record) -> dict[str, Any]:
    """Reading and drawing in this process, where nothing else goes on: medians, and the size of the HTML."""
    ways: dict[str, Callable[[], str]] = {
        "curves_thinned": lambda: draw_curves(record.running),
        "curves_of_all_rows": lambda: draw_all_rows(record.running),
        "one_page_of_jobs": lambda: draw_jobs(limit=50),
        "all_jobs": lambda: draw_jobs(limit=1_000_000),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    sizes = {}
    for _ in range(ROUNDS):
        for name, draw in ways.items():
            started_at = time.perf_counter()
            sizes[name] = round(len(draw()) / 1000)
            taken[name].append((time.perf_counter() - started_at) * 1000)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "milliseconds": {name: round(value, 1) for name, value in medians.items()},
        "kilobytes": sizes,
        "naive_takes_times_as_long": {
            "curves": round(medians["curves_of_all_rows"] / medians["curves_thinned"], 1),
            "jobs": round(medians["all_jobs"] / medians["one_page_of_jobs"], 1),
        },
    }


def draw_curves(job_id: int) -> str:
    with reading() as session:
        metrics = read_curves(session, job_id).points
        recipe = get_recipe(jobs.get_job(session, job_id).recipe)
    return job_charts(recipe, metrics, has_ended=False)


def draw_all_rows(job_id: int) -> str:
    """Every row of the job read, and thinned in this process only when it is drawn."""
    columns = (Metric.name, Metric.step, Metric.value)
    order = (Metric.name, Metric.step, Metric.epoch)
    series: dict[str, dict[int, float]] = {}
    with reading() as session:
        for name, step, value in session.execute(select(*columns).where(Metric.job_id == job_id).order_by(*order)):
            series.setdefault(name, {})[step] = value
        recipe = get_recipe(jobs.get_job(session, job_id).recipe)
    return job_charts(recipe, {name: list(points.items()) for name, points in series.items()}, has_ended=False)


def draw_jobs(limit: int) -> str:
    with reading() as session:
        return jobs_table(jobs.list_jobs(session, limit=limit)[0])


# ------------------------------------------------------------------------------------------------- from submit to start


def starts(num_starts: int) -> dict[str, float]:
    """Tiny jobs, one at a time, for a worker that is idle: from the call of `submit` to the row of the attempt."""
    with writing() as session:
        active = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
        session.execute(update(Job).where(active).values(state=JobState.CANCELLED))
        session.delete(session.get_one(Worker, "w"))
    rows = text_rows()
    taken = []
    with worker_process():
        time.sleep(WARM_SECONDS)
        for number in range(num_starts + 1):
            time.sleep(random.uniform(0.5, 1.5))  # nothing keeps step with the queue's polling
            pressed_at = time.time()
            with writing() as session:
                job_id = jobs.submit(session, "pretrain", TINY_JOB | {"dataset": f"dataset:{rows}"}).id
            wake()
            done = wait_for(job_id)
            assert done.state == JobState.SUCCEEDED, done.error_message
            with reading() as session:
                started_at = session.get_one(Attempt, (job_id, 1)).started_at.timestamp()
            if number:  # the first job warms everything up
                taken.append((started_at - pressed_at) * 1000)
    return summary(taken)


def text_rows() -> int:
    """A small dataset of text; returns the id of its version."""
    file = settings().datasets_folder / ("b" * 64) / "rows.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(f'{{"text": "The hen number {n} sat on an egg in the barn."}}\n' for n in range(200)))
    version = DatasetVersion(number=1, sha256="b" * 64, kind="text", format="text", num_rows=200, size_bytes=1)
    version.dataset = Dataset(name="hens")
    with writing() as session:
        session.add(version)
        session.flush()
        return version.id


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true", help="a PostgreSQL instead of SQLite")
    parser.add_argument("--redis", action="store_true", help="a Redis instead of the queue of files")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs that have ended")
    parser.add_argument("--queued", type=int, default=1_000, help="jobs that wait")
    parser.add_argument("--rows", type=int, default=5_000_000, help="metric rows of all jobs")
    parser.add_argument("--long-rows", type=int, default=500_000, help="metric rows of the running job")
    parser.add_argument("--browsers", type=int, default=100, help="browsers on one page at once")
    parser.add_argument("--seconds", type=float, default=60, help="how long polling is measured")
    parser.add_argument("--rounds", type=int, default=1, help="how often; the round that was disturbed least counts")
    parser.add_argument("--patience", type=float, default=0, help="minutes to wait for a quiet machine, at each step")
    parser.add_argument("--starts", type=int, default=30, help="jobs started one at a time; 0 for none")
    return parser


if __name__ == "__main__":
    main()
