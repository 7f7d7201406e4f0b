"""Faults of jobs and of people: too much memory, no number for a loss, damaged files, two presses, a late cancel."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from pipeline.errors import BadSpec
from store import jobs
from store.database import writing
from store.schema import JobState
from store.settings import settings
from tests.chaos.deaths import OFTEN
from tests.chaos.setups import Setup
from tests.chaos.watching import eventually
from tests.real_jobs import add_rows, ended, log_of, outcomes, trains_in
from tests.tiny_models import make_base

NUM_TABS, NUM_PRESSES = 3, 5
NUM_RACES = 12


def the_job_asks_for_too_much_memory(setup: Setup, chance: Random) -> float:
    """A model that does not fit into the 8 GB of address space that the worker and its jobs may have."""
    setup.workers(0)
    worker = setup.add_worker(most_bytes=8 << 30)
    job_id = setup.submit(hidden_size=8192, num_heads=64, num_kv_heads=64, num_layers=20, max_steps=5)
    failed = setup.wait_for(job_id, ended)
    assert (failed.state, failed.error_kind) == (JobState.FAILED, "out_of_memory"), failed.error_message
    assert len(failed.attempts) == 1, "it was tried again as it was"
    assert failed.error_advice
    assert worker.poll() is None
    began_at = time.monotonic()
    assert outcomes(setup.wait_for(setup.submit(max_steps=5), ended)) == ["succeeded"]
    return time.monotonic() - began_at


def the_loss_is_not_a_number(setup: Setup, chance: Random) -> float:
    """Fine-tuning from a model with one weight that is NaN."""
    setup.workers(1)
    model = model_with_nan(setup.folder / "broken")
    talks = [[("user", f"What is {n}?"), ("assistant", f"It is {n}.")] for n in range(8)]
    rows = [{"messages": [{"role": role, "content": text} for role, text in talk]} for talk in talks]
    version = add_rows(setup.home, "talks", "instruction", rows)
    job_id = setup.submit(recipe="sft", model=str(model), dataset=f"dataset:{version}", method="full", max_steps=5)
    failed = setup.wait_for(job_id, ended)
    assert (failed.state, failed.error_kind) == (JobState.FAILED, "diverged"), failed.error_message
    assert len(failed.attempts) == 1
    began_at = time.monotonic()
    assert outcomes(setup.wait_for(setup.submit(max_steps=5), ended)) == ["succeeded"]
    return time.monotonic() - began_at


def the_newest_checkpoint_is_truncated(setup: Setup, chance: Random) -> float:
    """Half of the weights of the newest of two checkpoints cut off while the job is paused; then it goes on."""
    setup.workers(1)
    job_id = setup.running_job(lambda now: len(checkpoints_of(now.id)) == 2, **OFTEN)
    with writing() as session:
        jobs.request_stop(session, job_id, "pause")
    assert setup.wait_for(job_id, ended).state == JobState.PAUSED
    older, newest = checkpoints_of(job_id)
    weights = newest / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size // 2)
    with writing() as session:
        jobs.retry(session, job_id)
    seconds = eventually(lambda: trains_in(job_id, epoch=2), "nobody went on with the job")
    done = setup.wait_for(job_id, ended)
    assert outcomes(done) == ["paused", "succeeded"]
    words = log_of(done)
    assert f"{newest.name} is damaged (model.safetensors is not as it was written) and is skipped." in words
    assert f"Resuming from the checkpoint of step {older.name.removeprefix('checkpoint-')}." in words
    return seconds


def two_tabs_press_launch_at_once(setup: Setup, chance: Random) -> None:
    """Three processes ask with the same key and name at the same moment, five times; all get the same job."""
    setup.workers(1)
    with tabs(setup.text_id) as opened:
        for number in range(NUM_PRESSES):
            for tab in opened:
                tab.stdin.write(f"press-{number}\n")
                tab.stdin.flush()
            answers = {tab.stdout.readline().strip() for tab in opened}
            assert len(answers) == 1, f"one press gave the jobs {answers}"
            setup.job_ids.append(int(answers.pop()))
    for job_id in setup.job_ids:
        assert outcomes(setup.wait_for(job_id, ended)) == ["succeeded"]


def a_cancel_meets_the_end(setup: Setup, chance: Random) -> None:
    """Twelve short jobs, each cancelled at a random moment between its submission and a while after its usual end."""
    setup.workers(1)
    usual = seconds_of_a_job(setup)
    for _ in range(NUM_RACES):
        job_id = setup.submit(max_steps=5)
        time.sleep(chance.uniform(0, 1.3 * usual))
        with suppress(BadSpec):  # it has ended already
            setup.cancel(job_id)
        now = setup.wait_for(job_id, ended)
        assert now.state in (JobState.SUCCEEDED, JobState.CANCELLED), f"{now.state}: {now.error_message}"


def seconds_of_a_job(setup: Setup) -> float:
    """How long a short job takes now, the second of two: the first may have had libraries to load."""
    for _ in range(2):
        began_at = time.monotonic()
        setup.wait_for(setup.submit(max_steps=5), ended)
    return time.monotonic() - began_at


@contextmanager
def tabs(text_id: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ready to ask for jobs."""
    command = [sys.executable, "-m", "tests.chaos.tab", str(text_id)]
    opened = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(NUM_TABS)
    ]
    try:
        for tab in opened:
            assert tab.stdout.readline() == "ready\n"
        yield opened
    finally:
        for tab in opened:
            tab.communicate()


def checkpoints_of(job_id: int) -> list[Path]:
    """The older ones first."""
    found = settings().jobs_folder.glob(f"{job_id}/checkpoints/checkpoint-*")
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def model_with_nan(folder: Path) -> Path:
    from safetensors.torch import load_file, save_file

    weights_file = make_base(folder, chat_template=None) / "model.safetensors"
    weights = load_file(weights_file)
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, weights_file, metadata={"format": "pt"})
    return folder
