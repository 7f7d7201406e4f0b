"""A record as after a year of work: thousands of jobs and millions of metric rows, written in bulk."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, text

from pipeline.events import LogLine, Metrics, Numbered, Progress
from store import attempts
from store.database import engine, writing
from store.schema import (
    Attempt,
    Dataset,
    DatasetVersion,
    Job,
    JobDataset,
    JobState,
    LogEntry,
    Model,
    Person,
    Worker,
    utc_now,
)

SERIES = ("gradient_norm", "learning_rate", "loss", "memory_gib", "token_accuracy", "tokens_per_second")
NUM_PEOPLE, NUM_DATASETS = 20, 30
LOG_LINES, LOG_LINES_OF_A_LONG_JOB = 5, 5000
NUM_LONG_JOBS = 4
"""Ended jobs with a quarter as many rows as the running one."""
FAR_AHEAD_SECONDS = 86_400.0


@dataclass(frozen=True)
class Record:
    """What was written.

    Args:
        running: The job that runs now, with the most metric rows, written by two attempts.
        long: Ended jobs with many rows.
        steps: How far the running job has come.
    """

    running: int
    long: Sequence[int]
    steps: int
    num_rows: int


def fill(*, num_ended: int, num_queued: int, num_rows: int, num_long_rows: int) -> Record:
    """Fill an empty database.

    Args:
        num_rows: Metric rows of all jobs together, about.
        num_long_rows: Those among them that are the running job's, about.
    """
    running, long = num_ended + 1, range(num_ended - NUM_LONG_JOBS + 1, num_ended + 1)
    steps = num_long_rows // len(SERIES)
    long_steps = steps // 4
    rows_left = num_rows - len(SERIES) * (steps + len(long) * long_steps)
    short_steps = max(1, rows_left // len(SERIES) // (num_ended - len(long)))
    num_steps = {running: steps} | dict.fromkeys(long, long_steps)
    jobs = [
        _job(number, running=running, total=running + num_queued, num_steps=num_steps.get(number, short_steps))
        for number in range(1, running + num_queued + 1)
    ]
    _write_jobs(jobs, with_long_logs={running, *long})
    _write_metrics(1, long[0] - 1, short_steps)
    _write_metrics(long[0], long[-1], long_steps)
    # The running job was resumed once: its second attempt went back to a checkpoint and did some steps again.
    _write_metrics(running, running, steps * 6 // 10)
    _write_metrics(running, running, steps, first_step=steps * 11 // 20, epoch=2)
    if engine().dialect.name == "postgresql":
        _count_on()
        with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))  # its own daemon does this within a minute
    with engine().connect() as connection:
        num_written = connection.scalar(text("SELECT count(*) FROM metrics")) or 0
    return Record(running, long, steps, num_written)


def _count_on() -> None:
    """Let PostgreSQL number what comes from now on after the rows that were written with numbers of their own."""
    with engine().begin() as connection:
        for table in ("people", "datasets", "dataset_versions", "jobs"):
            sequence = f"pg_get_serial_sequence('{table}', 'id')"
            connection.execute(text(f"SELECT setval({sequence}, (SELECT max(id) FROM {table})) FROM {table} LIMIT 1"))


@contextmanager
def training_goes_on(record: Record, *, steps_a_second: int = 10, first_seq: int = 0) -> Iterator[None]:
    """The running job reports twice a second, as its worker would: steps with their metrics, now and then a line."""
    ended = threading.Event()

    def report() -> None:
        step, seq, num_reports = record.steps, first_seq, 0
        while not ended.wait(0.5):
            events: list[Numbered] = []
            for _ in range(steps_a_second // 2):
                step, seq = step + 1, seq + 2
                values = dict.fromkeys(SERIES, 1.0 + step * 7919 % 1000 / 1000)
                events.append(Numbered(seq=seq - 1, event=Metrics(step=step, values=values)))
                events.append(Numbered(seq=seq, event=Progress(step=step, total_steps=record.steps * 2)))
            num_reports += 1
            if num_reports % 10 == 0:
                seq += 1
                events.append(Numbered(seq=seq, event=LogLine(text=f"step {step}: loss {step * 7919 % 1000 / 1000}")))
            with writing() as session:
                attempts.record_events(session, record.running, 2, events)

    thread = threading.Thread(target=report, name="training")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


_SPEC: dict[str, Any] = {
    "model": "model:1", "method": "lora", "lora_rank": 16, "lora_alpha": 32.0, "lora_targets": "all-linear",
    "learning_rate": 1e-4, "batch_size": 8, "gradient_accumulation": 4, "max_length": 1024, "packing": True,
    "schedule": "cosine", "warmup_share": 0.05, "held_out_share": 0.05, "evaluations": 10, "seed": 42,
}  # fmt: skip


def _job(number: int, *, running: int, total: int, num_steps: int) -> dict[str, Any]:
    asked_at = utc_now() - timedelta(minutes=total - number)
    job = {
        "id": number, "name": f"sft-{number}", "recipe": "sft", "position": float(number), "created_at": asked_at,
        "spec": _SPEC | {"dataset": f"dataset:{number % NUM_DATASETS + 1}"}, "created_by_id": number % NUM_PEOPLE + 1,
        "state": JobState.QUEUED, "epoch": 0, "lease_expires_at": None, "phase": "", "step": 0, "total_steps": 0,
        "started_at": None, "first_step_at": None, "finished_at": None, "error_message": None, "error_advice": None,
        "summary": {},
    }  # fmt: skip
    if number > running:
        return job
    job |= {"epoch": 1, "step": num_steps, "total_steps": num_steps, "started_at": asked_at, "first_step_at": asked_at}
    if number == running:
        lease = {"lease_expires_at": time.time() + FAR_AHEAD_SECONDS, "phase": "Training"}
        return job | lease | {"state": JobState.RUNNING, "epoch": 2, "total_steps": num_steps * 2}
    job["finished_at"] = asked_at + timedelta(minutes=9)
    if number % 7 == 0:
        why = {"error_message": "The GPU ran out of memory.", "error_advice": "Halve the batch size."}
        return job | why | {"state": JobState.FAILED}
    if number % 17 == 0:
        return job | {"state": JobState.CANCELLED}
    return job | {"state": JobState.SUCCEEDED, "summary": {"loss": 1.25, "steps": num_steps}}


def _write_jobs(jobs: list[dict[str, Any]], *, with_long_logs: Collection[int]) -> None:
    """The jobs and everything around them but their metrics."""
    people = [{"name": f"Person {number}", "token_sha256": f"{number:064}"} for number in range(NUM_PEOPLE)]
    datasets = range(1, NUM_DATASETS + 1)
    reads = [{"job_id": job["id"], "dataset_version_id": job["id"] % NUM_DATASETS + 1} for job in jobs]
    ran = [job for job in jobs if job["epoch"]]
    heartbeat_at = time.time() + FAR_AHEAD_SECONDS
    with writing() as session:
        session.execute(insert(Person), people)
        session.execute(insert(Dataset), [{"id": number, "name": f"rows-{number}"} for number in datasets])
        session.execute(insert(DatasetVersion), [_version(number) for number in datasets])
        session.execute(insert(Job), jobs)
        session.execute(insert(JobDataset), reads)
        session.execute(insert(Attempt), [attempt for job in ran for attempt in _attempts(job)])
        session.execute(insert(Model), [_model(job) for job in jobs if job["state"] == JobState.SUCCEEDED])
        # Every job stands on a model that an earlier one made.
        parent = "SELECT max(id) FROM models WHERE models.job_id < jobs.id"
        session.execute(text(f"UPDATE jobs SET parent_model_id = ({parent})"))
        lines = [line for job in ran for line in _log(job, is_long=job["id"] in with_long_logs)]
        session.execute(insert(LogEntry), lines)
        session.execute(insert(Worker).values(id="w", name="bench", slots=1, heartbeat_at=heartbeat_at, devices=[]))


def _version(number: int) -> dict[str, Any]:
    size = {"num_rows": 10_000, "size_bytes": 5_000_000}
    kind = {"kind": "instruction", "format": "instruction"}
    return {"id": number, "dataset_id": number, "number": 1, "sha256": f"{number:064}", **kind, **size}


def _attempts(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "job_id": job["id"],
            "epoch": epoch,
            "worker_name": "bench",
            "device": "CPU",
            "started_at": job["started_at"],
            "ended_at": job["finished_at"],
            "outcome": str(job["state"]) if job["finished_at"] else "lost" if epoch < job["epoch"] else None,
            "last_seq": 0,
        }
        for epoch in range(1, job["epoch"] + 1)
    ]


def _model(job: dict[str, Any]) -> dict[str, Any]:
    files = {f"model-{part:05}.safetensors": f"{part:064}" for part in range(12)}
    manifest = {"format": 1, "kind": "adapter", "recipe": "sft", "spec": job["spec"], "files": files}
    place = {"name": job["name"], "kind": "adapter", "folder": f"{job['id']}-1", "job_id": job["id"]}
    return {**place, "num_parameters": 4_000_000, "size_bytes": 16_000_000, "manifest": manifest}


def _log(job: dict[str, Any], *, is_long: bool) -> list[dict[str, Any]]:
    words = "step {}: loss 1.25, learning rate 0.0001, 1234 tokens a second, 5.6 GiB"
    place = {"job_id": job["id"], "epoch": 1, "level": "info", "at": job["started_at"]}
    num_lines = LOG_LINES_OF_A_LONG_JOB if is_long else LOG_LINES
    return [{**place, "seq": seq, "text": words.format(seq)} for seq in range(1, num_lines + 1)]


def _write_metrics(first_job: int, last_job: int, last_step: int, *, first_step: int = 1, epoch: int = 1) -> None:
    """Numbers with a trend and something like noise, made in the database."""
    names = " UNION ALL ".join(f"SELECT '{name}' AS name" for name in SERIES)
    with engine().begin() as connection:
        connection.execute(
            text(
                "INSERT INTO metrics (job_id, name, step, epoch, value) "
                "WITH RECURSIVE steps(step) AS (SELECT CAST(:first_step AS integer) UNION ALL"
                "   SELECT step + 1 FROM steps WHERE step < :last_step), "
                "ids(id) AS (SELECT CAST(:first_job AS integer) UNION ALL"
                "   SELECT id + 1 FROM ids WHERE id < :last_job), "
                f"names AS ({names}) "
                "SELECT ids.id, names.name, steps.step, :epoch,"
                "   1.0 + 3.0 / (1.0 + steps.step / 500.0) + (steps.step % 1000 * 7919 % 1000) / 5000.0 "
                "FROM ids CROSS JOIN names CROSS JOIN steps WHERE 1 = 1"
            ),
            {
                "first_job": first_job,
                "last_job": last_job,
                "first_step": first_step,
                "last_step": last_step,
                "epoch": epoch,
            },
        )
