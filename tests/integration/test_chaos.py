"""The short form of `make chaos`: a small storm on a fleet, and on each set-up the faults that no other test makes."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.chaos import deaths, mishaps, storm
from tests.chaos.scenarios import Line, run_scenario, run_storm
from tests.chaos.setups import Embedded, Fleet, Setup
from tests.servers import initdb, redis_server

SEED = 20
EMBEDDED = pytest.param(Embedded, id="embedded")
FLEET = pytest.param(
    Fleet,
    id="fleet",
    marks=pytest.mark.skipif(
        not (initdb and redis_server), reason="redis-server or PostgreSQL's initdb is not on this machine"
    ),
)


@pytest.fixture(scope="module")
def setup(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """One for all its faults: its workers keep the libraries of training loaded."""
    with request.param(tmp_path_factory.mktemp("chaos")).opened() as opened:
        yield opened


@pytest.mark.parametrize("setup", [FLEET], indirect=True)
def test_every_job_of_a_storm_has_one_result(setup: Setup) -> None:
    check(run_storm(storm.SHORT, setup, Random(SEED)))


@pytest.mark.parametrize("setup", [EMBEDDED], indirect=True)
def test_a_worker_that_is_told_to_end_gives_its_job_to_another(setup: Setup) -> None:
    check(run_scenario(deaths.the_worker_is_told_to_end, setup, Random(SEED)))


@pytest.mark.parametrize("setup", [EMBEDDED], indirect=True)
def test_a_truncated_checkpoint_is_skipped_for_the_one_before(setup: Setup) -> None:
    check(run_scenario(mishaps.the_newest_checkpoint_is_truncated, setup, Random(SEED)))


@pytest.mark.parametrize("setup", [FLEET], indirect=True)
def test_a_worker_that_was_cut_off_changes_nothing_when_it_comes_back(setup: Setup) -> None:
    check(run_scenario(deaths.the_worker_is_cut_off_and_comes_back, setup, Random(SEED)))


def check(line: Line) -> None:
    print(line)
    assert not line.has_failed, f"{line.verdict}\n{line.details}"
