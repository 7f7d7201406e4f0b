"""Scenarios: every fault on its own, made, recovered from and accounted for."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.chaos import deaths, mishaps, outages
from tests.chaos.accounts import clear_away, settle
from tests.chaos.setups import NotHere, Setup
from tests.chaos.storm import Storm, rage

Scenario = Callable[[Setup, Random], float | None]
"""Makes a fault, checks what became of it, and returns the seconds to recover where there was something to wait for."""

SCENARIOS: tuple[Scenario, ...] = (
    deaths.the_worker_is_killed,
    deaths.the_worker_is_told_to_end,
    deaths.the_worker_is_cut_off_and_comes_back,
    deaths.the_trainer_is_killed,
    deaths.the_process_that_jobs_are_forked_from_is_killed,
    outages.the_broker_is_away_and_comes_back_empty,
    outages.the_broker_is_emptied_while_it_runs,
    outages.the_database_is_away_for_longer_than_the_lease,
    outages.the_disk_is_full_while_a_job_saves,
    mishaps.the_loss_is_not_a_number,
    mishaps.the_newest_checkpoint_is_truncated,
    mishaps.two_tabs_press_launch_at_once,
    mishaps.a_cancel_meets_the_end,
    outages.the_database_is_locked_for_ten_seconds,
    deaths.the_supervisor_of_several_processes_is_killed,
    mishaps.the_job_asks_for_too_much_memory,
    deaths.the_clock_of_a_worker_is_an_hour_ahead,
    deaths.the_web_process_is_killed,
)
"""In an order in which most find the workers that they need: a new one has libraries to load for seconds."""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    fault: str
    setup: str
    what_was_done: str
    num_jobs: int = 0
    num_results: int = 0
    seconds_to_recover: float | None = None
    verdict: str = "held"
    details: str = ""

    @property
    def has_failed(self) -> bool:
        return self.verdict.startswith("FAILED")

    def __str__(self) -> str:
        seconds = "" if self.seconds_to_recover is None else f"{self.seconds_to_recover:.1f}"
        sign = "=" if self.num_jobs == self.num_results else "≠"
        jobs = f"{self.num_jobs} {sign} {self.num_results}"
        return "| " + " | ".join([self.fault, self.setup, self.what_was_done, jobs, seconds, self.verdict]) + " |"


HEAD = "| fault | set-up | what was done | jobs and results | seconds to recover | verdict |\n|---|---|---|---|---|---|"


def name_of(scenario: Scenario) -> str:
    return scenario.__name__.replace("_", " ")


def run_scenario(scenario: Scenario, setup: Setup, chance: Random) -> Line:
    """Make one fault and close the accounts; never raises for what the fault did."""
    fault, done = name_of(scenario), (scenario.__doc__ or "").strip().rstrip(".")
    setup.begin()
    try:
        seconds = scenario(setup, chance)
        return Line(fault, setup.name, done, len(setup.job_ids), settle(setup), seconds)
    except NotHere as error:
        return Line(fault, setup.name, done, verdict=f"not made: {error}")
    except Exception as error:
        return _failed(fault, done, setup, error)


def run_storm(storm: Storm, setup: Setup, chance: Random) -> Line:
    fault = f"a storm over {storm.num_jobs} jobs and {storm.num_workers} workers"
    setup.begin()
    try:
        done = rage(storm, setup, chance)
        return Line(fault, setup.name, done, len(setup.job_ids), settle(setup))
    except Exception as error:
        return _failed(fault, "see below", setup, error)


def _failed(fault: str, done: str, setup: Setup, error: Exception) -> Line:
    """A line for what was not survived; what is left of it is cleared away, so that the next begins clean."""
    words = str(error).splitlines() or [type(error).__name__]
    details = "".join(traceback.format_exception(error))
    num_jobs = len(setup.job_ids)
    clear_away(setup)
    return Line(fault, setup.name, done, num_jobs, 0, None, f"FAILED: {words[0][:300]}", details)
