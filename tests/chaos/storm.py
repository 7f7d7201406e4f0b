"""The storm: many jobs on a few workers, while workers, trainers and the broker are killed, emptied and restarted."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from random import Random

import psutil
from sqlalchemy import func, select

from store.database import reading
from store.schema import ACTIVE_STATES, Job
from tests.chaos.setups import Setup
from tests.chaos.watching import PATIENCE_SECONDS, tail_of_log
from tests.real_jobs import job

DROPPED, DOUBLED = 0.2, 0.25
"""Shares of the calls to workers that are lost, and that come twice."""


@dataclass(frozen=True)
class Storm:
    """How hard it blows."""

    num_jobs: int
    num_workers: int
    num_worker_kills: int
    num_trainer_kills: int
    num_broker_restarts: int
    num_broker_wipes: int

    def gusts(self, chance: Random) -> list[str]:
        """What happens, in its order."""
        gusts = ["worker killed"] * self.num_worker_kills + ["trainer killed"] * self.num_trainer_kills
        gusts += ["broker restarted"] * self.num_broker_restarts + ["broker emptied"] * self.num_broker_wipes
        chance.shuffle(gusts)
        return gusts


SHORT = Storm(9, 2, num_worker_kills=1, num_trainer_kills=2, num_broker_restarts=1, num_broker_wipes=1)
FULL = Storm(100, 3, num_worker_kills=6, num_trainer_kills=20, num_broker_restarts=3, num_broker_wipes=6)


def rage(storm: Storm, setup: Setup, chance: Random) -> str:
    """Ask for the jobs, blow until all have ended, and say what blew and what became of them.

    The gusts are spread over the jobs: each comes when so many have ended, whatever the time.
    """
    setup.workers(storm.num_workers)
    for _ in range(storm.num_jobs):
        num_calls = chance.choices([0, 2, 1], [DROPPED, DOUBLED, 1 - DROPPED - DOUBLED])[0]
        setup.submit(num_calls=num_calls, max_steps=chance.randint(1, 60), checkpoint_every_minutes=0.005)
    gusts = storm.gusts(chance)
    due = sorted(chance.uniform(0, 0.9 * storm.num_jobs) for _ in gusts)
    blown: Counter[str] = Counter()
    moved_at, num_before = time.monotonic(), -1
    while (num_ended := count_ended(setup)) < storm.num_jobs:
        if num_ended != num_before:
            moved_at, num_before = time.monotonic(), num_ended
        assert time.monotonic() - moved_at < PATIENCE_SECONDS, f"{num_ended} jobs ended, then none\n{tail_of_log()}"
        while due and due[0] <= num_ended and blow(gusts[-1], setup, chance):
            blown[gusts.pop()] += 1
            due.pop(0)
        setup.workers(storm.num_workers)
        time.sleep(0.1)
    states = Counter(str(job(job_id).state) for job_id in setup.job_ids)
    return "; ".join([in_words(blown), in_words(states)])


def blow(gust: str, setup: Setup, chance: Random) -> bool:
    """Do it; returns False where there is nothing now that it could be done to."""
    match gust:
        case "worker killed":
            victim = chance.choice(setup.living_workers())
            victim.kill()
            victim.wait()  # a moment longer it would be counted among the living
        case "trainer killed":
            trainers = setup.trainers()
            if not trainers:
                return False
            try:
                chance.choice(trainers).kill()
            except psutil.NoSuchProcess:
                return False
        case "broker restarted":
            setup.stop_broker()
            setup.start_broker()
        case "broker emptied":
            setup.empty_broker()
    return True


def count_ended(setup: Setup) -> int:
    with reading() as session:
        query = select(func.count()).where(Job.id.in_(setup.job_ids), Job.state.not_in(ACTIVE_STATES))
        return session.scalar(query) or 0


def in_words(counts: Counter[str]) -> str:
    return ", ".join(f"{number} × {what}" for what, number in sorted(counts.items()))
