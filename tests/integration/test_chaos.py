"""The short form of `make chaos`, on a fleet: a small storm, and a fault that no other test makes."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.chaos import deaths, storm
from tests.chaos.scenarios import Line, run_scenario, run_storm
from tests.chaos.setups import Fleet, Setup
from tests.servers import initdb, redis_server

SEED = 20

pytestmark = pytest.mark.skipif(
    not (initdb and redis_server), reason="redis-server or PostgreSQL's initdb is not on this machine"
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """One for all its faults: its workers keep the libraries of training loaded."""
    with Fleet(tmp_path_factory.mktemp("chaos")).opened() as opened:
        yield opened


def test_every_job_of_a_storm_has_one_result(fleet: Setup) -> None:
    check(run_storm(storm.SHORT, fleet, Random(SEED)))


def test_a_worker_that_was_cut_off_changes_nothing_when_it_comes_back(fleet: Setup) -> None:
    check(run_scenario(deaths.the_worker_is_cut_off_and_comes_back, fleet, Random(SEED)))


def check(line: Line) -> None:
    print(line)
    assert not line.has_failed, f"{line.verdict}\n{line.details}"
