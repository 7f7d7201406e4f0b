"""Benchmark: an SFT job from the press of the button, beside a bare TRL script with the same settings.

    python -m bench.training [--steps 40] [--rounds 3]

Both train the same LoRA on the same tiny model, rows and batches, on the CPU, in turn within one run, so that the
ratio holds even on a busy machine. Hone's side is the real one: what the button does (submit, ring the queue's bell),
a worker process, its child, the events in the database. Figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.events import Progress, parse_line
from store import datasets, jobs, models
from store.database import reading, upgrade, writing
from store.first_start import prepare_first_start
from store.schema import Job, JobState
from store.settings import settings
from workers.queue import wake

SETTINGS = {
    "method": "lora",
    "lora_rank": 16,
    "lora_alpha": 32.0,
    "lora_targets": "all-linear",
    "learning_rate": 1e-3,
    "batch_size": 8,
    "gradient_accumulation": 1,
    "max_length": 128,
    "packing": False,
    "schedule": "cosine",
    "warmup_share": 0.05,
    "held_out_share": 0.0,
    "evaluations": 0,
    "seed": 42,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=40, help="optimizer steps of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HONE_HOME"] = scratch
        print(json.dumps(measure(options.steps, options.rounds), indent=2))


def measure(num_steps: int, num_rounds: int) -> dict[str, Any]:
    upgrade()
    prepare_first_start()
    with worker_process():
        make_base()
        hone, bare = [], []
        for _ in range(num_rounds):
            hone.append(run_hone(num_steps))
            bare.append(run_bare(num_steps))
    return {
        "steps": num_steps,
        "rounds": num_rounds,
        "seconds_to_first_step": compared(hone, bare, "seconds_to_first_step"),
        "seconds_per_step": compared(hone, bare, "seconds_per_step"),
    }


def compared(hone: list[dict[str, float]], bare: list[dict[str, float]], figure: str) -> dict[str, float]:
    """Medians of both sides, and the overhead as the median of the ratios of each round."""
    ratios = [ours[figure] / theirs[figure] for ours, theirs in zip(hone, bare, strict=True)]
    return {
        "hone": round(statistics.median(run[figure] for run in hone), 4),
        "bare_trl": round(statistics.median(run[figure] for run in bare), 4),
        "overhead_percent": round(100 * (statistics.median(ratios) - 1), 1),
    }


def make_base() -> None:
    """The first base model, trained for a few steps only: the speed is that of the whole one."""
    with writing() as session:
        first = jobs.list_jobs(session)[0][0]
        jobs.request_stop(session, first.id, "cancel")
    wait_for(first.id)
    with writing() as session:
        base = jobs.submit(session, "pretrain", first.spec | {"max_steps": 3, "evaluations": 0}, name="base")
    wake()
    wait_for(base.id)


def run_hone(num_steps: int) -> dict[str, float]:
    with reading() as session:
        base = models.find_model(session, "base")
        rows = next(version for version in datasets.list_datasets(session) if version.kind == "instruction")
    assert base is not None
    values = SETTINGS | {"model": f"model:{base.id}", "dataset": f"dataset:{rows.id}", "max_steps": num_steps}
    pressed_at = time.time()
    with writing() as session:
        job_id = jobs.submit(session, "sft", values).id
    wake()
    done = wait_for(job_id)
    assert done.state == JobState.SUCCEEDED, done.error_message
    lines = (settings().jobs_folder / str(job_id) / "1" / "events.jsonl").read_bytes().splitlines()
    steps = [(line.event.step, line.at) for line in map(parse_line, lines) if isinstance(line.event, Progress)]
    first = next(at for step, at in steps if step >= 1)
    return {
        "seconds_to_first_step": first - pressed_at,
        "seconds_per_step": (max(at for step, at in steps if step == num_steps) - first) / (num_steps - 1),
    }


def run_bare(num_steps: int) -> dict[str, float]:
    with reading() as session:
        base = models.find_model(session, "base")
        rows = next(version for version in datasets.list_datasets(session) if version.kind == "instruction")
    assert base is not None
    with tempfile.TemporaryDirectory() as scratch:
        job = Path(scratch) / "job.json"
        dataset = str(datasets.folder_of(rows) / "rows.jsonl")
        job.write_text(
            json.dumps(SETTINGS | {"model": models.location_of(base), "dataset": dataset, "max_steps": num_steps})
        )
        script = Path(__file__).with_name("bare_trl.py")
        environment = os.environ | {"HF_HOME": scratch, "HF_HUB_OFFLINE": "1"}
        pressed_at = time.time()
        answer = subprocess.run(
            [sys.executable, str(script), str(job), f"{scratch}/out"],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
    figures: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    figures["seconds_to_first_step"] = figures["first_step_at"] - pressed_at
    return figures


def wait_for(job_id: int) -> Job:
    while True:
        with reading() as session:
            job = jobs.get_job(session, job_id)
        if job.state not in (JobState.QUEUED, JobState.RUNNING):
            return job
        time.sleep(0.2)


@contextmanager
def worker_process() -> Iterator[None]:
    command = [sys.executable, "-m", "webapp.cli", "worker", "--watch-stdin"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
