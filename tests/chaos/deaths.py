"""Faults of processes: they are killed, told to end, frozen, or live by another clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from random import Random

import httpx
import psutil

from store import jobs
from store.database import reading
from store.schema import JobState, utc_now
from tests.chaos.setups import LEASE_SECONDS, NotHere, Setup
from tests.chaos.watching import PATIENCE_SECONDS, end, eventually, tail_of_log
from tests.real_jobs import ended, has_checkpoint, job, lives, log_of, outcomes, trainer_of, trains_in, worker_log
from tests.servers import free_port

OFTEN = {"checkpoint_every_minutes": 0.02}
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def the_worker_is_killed(setup: Setup, chance: Random) -> float:
    """SIGKILL to the worker of a job that has a checkpoint, with another worker free."""
    setup.workers(2)
    job_id = setup.running_job(has_checkpoint, **OFTEN)
    trainer = trainer_of(job_id)
    setup.worker_of(job_id).kill()
    seconds = eventually(lambda: trains_in(job_id, epoch=2), "nobody went on with the job")
    assert not lives(trainer), "the trainer outlived its worker"
    done = setup.wait_for(job_id, ended)
    assert outcomes(done) == ["lost", "succeeded"]
    assert "Resuming from the checkpoint" in log_of(done)
    with reading() as session:
        steps = [step for step, _ in jobs.metrics(session, job_id)["loss"]]
    assert steps == sorted(set(steps))
    assert steps[-1] == done.total_steps
    return seconds


def the_trainer_is_killed(setup: Setup, chance: Random) -> float:
    """SIGKILL to the process of a job that has a checkpoint."""
    setup.workers(1)
    job_id = setup.running_job(has_checkpoint, **OFTEN)
    trainer_of(job_id).kill()
    seconds = eventually(lambda: trains_in(job_id, epoch=2), "nobody went on with the job")
    done = setup.wait_for(job_id, ended)
    assert outcomes(done) == ["killed", "succeeded"]
    assert "Resuming from the checkpoint" in log_of(done)
    return seconds


def the_process_that_jobs_are_forked_from_is_killed(setup: Setup, chance: Random) -> float:
    """SIGKILL to the fork server of a worker while a job runs."""
    (worker,) = setup.workers(1)
    job_id = setup.running_job()
    trainer = trainer_of(job_id)
    fork_server = trainer.parent()
    assert fork_server is not None
    assert fork_server.ppid() == worker.pid
    fork_server.kill()
    seconds = eventually(lambda: trains_in(job_id, epoch=2), "nobody went on with the job")
    assert not lives(trainer), "two processes did one job"
    assert outcomes(setup.wait_for(job_id, ended))[1:] == ["succeeded"]
    return seconds


def the_supervisor_of_several_processes_is_killed(setup: Setup, chance: Random) -> float:
    """SIGKILL to the process that has started, and watches, the two that train one model."""
    setup.workers(1, HONE_SLOTS="2")
    job_id = setup.running_job(has_checkpoint, num_processes=2, **OFTEN)
    supervisor = trainer_of(job_id)
    ranks = supervisor.children()
    assert len(ranks) == 2
    supervisor.kill()
    seconds = eventually(lambda: trains_in(job_id, epoch=2), "nobody went on with the job")
    assert not any(map(lives, ranks)), "a process outlived its supervisor"
    done = setup.wait_for(job_id, ended)
    assert outcomes(done) == ["killed", "succeeded"]
    assert "Resuming from the checkpoint" in log_of(done)
    return seconds


def the_worker_is_told_to_end(setup: Setup, chance: Random) -> float:
    """SIGTERM to the worker of a running job, with another worker free."""
    setup.workers(2)
    job_id = setup.running_job()
    worker = setup.worker_of(job_id)
    worker.terminate()
    seconds = eventually(lambda: trains_in(job_id, epoch=2), "nobody went on with the job")
    done = setup.wait_for(job_id, ended)
    assert outcomes(done) == ["released", "succeeded"]
    assert "Resuming from the checkpoint" in log_of(done)
    assert worker.wait(PATIENCE_SECONDS) == 0
    return seconds


def the_worker_is_cut_off_and_comes_back(setup: Setup, chance: Random) -> float:
    """SIGSTOP to the worker of a running job until another has gone on with it, then SIGCONT."""
    first, second = setup.workers(2)
    job_id = setup.running_job(**OFTEN)
    cut_off, trainer = setup.worker_of(job_id), trainer_of(job_id)
    setup.freeze(cut_off)
    try:
        seconds = eventually(lambda: trains_in(job_id, epoch=2), "nobody went on with the job")
        assert not lives(trainer), "the trainer goes on beside another"
    finally:
        cut_off.send_signal(signal.SIGCONT)
    assert outcomes(setup.wait_for(job_id, ended)) == ["lost", "succeeded"]
    end([first if cut_off is second else second])
    another = setup.submit(max_steps=5)
    assert setup.wait_for(another, ended).state == JobState.SUCCEEDED
    assert job(another).attempts[-1].worker_name.endswith(f"-{cut_off.pid}")
    return seconds


def the_clock_of_a_worker_is_an_hour_ahead(setup: Setup, chance: Random) -> float:
    """Beside a worker whose clock is right, one an hour ahead keeps its job for three leases; then it is killed."""
    if setup.name == "embedded":
        raise NotHere("on one machine all live by the same clock")
    if FAKETIME is None:
        raise NotHere("libfaketime is not installed")
    (ahead,) = setup.workers(1, LD_PRELOAD=str(FAKETIME), FAKETIME="+1h", DONT_FAKE_MONOTONIC="1")
    job_id = setup.endless_job(**OFTEN)
    setup.add_worker()
    time.sleep(3 * LEASE_SECONDS)
    assert job(job_id).epoch == 1, "a job was taken from a worker that holds it"
    with reading() as session:
        written = max(entry.at for entry in jobs.log_lines(session, job_id))
    assert written > utc_now() + timedelta(minutes=50), "the clock is not ahead"
    ahead.kill()
    seconds = eventually(lambda: trains_in(job_id, epoch=2), "nobody went on with the job")
    setup.cancel(job_id)
    assert outcomes(setup.wait_for(job_id, ended)) == ["lost", "cancelled"]
    return seconds


def the_web_process_is_killed(setup: Setup, chance: Random) -> float:
    """SIGKILL to the web process of `hone up` while a job runs."""
    setup.workers(0)
    port = free_port()
    # An inference server elsewhere, so that none is started: it has no part in this.
    own = {"HONE_PORT": str(port), "HONE_INFERENCE_URL": "http://127.0.0.1:9", "OMP_NUM_THREADS": "1"}
    with worker_log().open("ab") as log:
        up = subprocess.Popen([sys.executable, "-m", "webapp.cli", "up"], stdout=log, stderr=log, env=os.environ | own)
    setup.adopt(up)
    eventually(lambda: answers(port), "the pages did not come")
    job_id = setup.running_job()
    web = next(part for part in psutil.Process(up.pid).children() if "web" in part.cmdline())
    web.kill()
    eventually(lambda: not lives(web), "the web process was not killed")
    seconds = eventually(lambda: answers(port), "the pages did not come back")
    assert outcomes(setup.wait_for(job_id, ended)) == ["succeeded"]
    up.send_signal(signal.SIGINT)
    assert up.wait(PATIENCE_SECONDS) == 0, tail_of_log()
    return seconds


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=5).is_success
    except httpx.TransportError:
        return False
