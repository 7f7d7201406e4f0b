"""Scenarios: every fault on its own, made, recovered from and accounted for."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.chaos.accounts import settle
from tests.chaos.deaths import DEATHS
from tests.chaos.mishaps import MISHAPS
from tests.chaos.outages import OUTAGES
from tests.chaos.setups import NotHere, Setup
from tests.chaos.storm import Storm, rage

Scenario = Callable[[Setup, Random], float | None]
"""Makes a fault, checks what became of it, and returns the seconds to recover where there was something to wait for."""

SCENARIOS: tuple[Scenario, ...] = (*DEATHS, *OUTAGES, *MISHAPS)


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
    setup.clear_away()
    return Line(fault, setup.name, done, num_jobs, 0, None, f"FAILED: {words[0][:300]}", details)
