"""Children: forked or new, a job's process obeys, tells how it ended, and leaves nothing behind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from pipeline.events import Finished, parse_line
from pipeline.watchdog import ORPHANED_EXIT_CODE
from store.settings import settings
from tests.real_jobs import TINY
from workers.children import Child, NotStarted, warm_up


@pytest.fixture
def is_warm() -> str:
    return "1"


@pytest.fixture
def start(is_warm: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[None]:
    monkeypatch.setenv("HONE_WARM_START", is_warm)
    settings.cache_clear()
    warm_up()
    yield
    settings.cache_clear()


def child_that_trains(folder: Path, *more: str, **values: object) -> Child:
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": f"Hen {n} sat on an egg in the barn."}) + "\n" for n in range(200)))
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"recipe": "pretrain", "dataset": str(rows)} | TINY | values))
    arguments = ["run", str(spec), "--watch-stdin", "--out", str(folder / "out"), "--events", str(folder / "events")]
    arguments += more
    return Child(arguments, environment={"CUDA_VISIBLE_DEVICES": ""}, output=folder / "output.log")


def wait_until_it_trains(child: Child, folder: Path, *, hears: str = "") -> None:
    deadline = time.monotonic() + 60
    while not (folder / "events").exists() or b'"step"' not in (folder / "events").read_bytes():
        assert child.exit_code is None, (folder / "output.log").read_text()
        assert time.monotonic() < deadline
        child.tell(hears)
        child.wait(0.1)


@pytest.mark.parametrize("is_warm", ["1", "0"], ids=["forked", "new"])
@pytest.mark.usefixtures("start")
def test_a_child_does_its_job_and_ends_with_zero(tmp_path: Path) -> None:
    child = child_that_trains(tmp_path, max_steps=2)
    child.wait(60)
    assert child.exit_code == 0, (tmp_path / "output.log").read_text()
    last = parse_line((tmp_path / "events").read_bytes().splitlines()[-1])
    assert isinstance(last.event, Finished)
    child.kill()


@pytest.mark.usefixtures("start")
def test_a_child_that_is_told_to_pause_saves_and_says_so_by_its_exit_code(tmp_path: Path) -> None:
    child = child_that_trains(tmp_path, max_steps=1_000_000)
    wait_until_it_trains(child, tmp_path)
    assert child.tell("pause")
    child.wait(30)
    assert child.exit_code == 3
    assert list((tmp_path / "out.checkpoints").glob("checkpoint-*"))
    child.kill()


@pytest.mark.usefixtures("start")
def test_a_killed_child_leaves_no_process_and_its_signal_as_exit_code(tmp_path: Path) -> None:
    child = child_that_trains(tmp_path, max_steps=1_000_000)
    wait_until_it_trains(child, tmp_path)
    child.kill()
    assert child.exit_code == -9
    output = str(tmp_path / "output.log")
    assert [p for p in psutil.process_iter(["open_files"]) if output in str(p.info["open_files"])] == []


@pytest.mark.usefixtures("start")
def test_a_child_ends_by_itself_when_nobody_has_spoken_to_it_for_a_lease(tmp_path: Path) -> None:
    child = child_that_trains(tmp_path, "--lease-seconds", "3", max_steps=1_000_000)
    wait_until_it_trains(child, tmp_path, hears="held")
    for _ in range(4):
        child.wait(1)
        assert child.tell("held"), "it ended although it was spoken to"
    child.wait(30)
    assert child.exit_code == ORPHANED_EXIT_CODE
    child.kill()


@pytest.mark.usefixtures("start")
def test_a_child_whose_fork_server_dies_meanwhile_is_not_started_and_the_next_one_is(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / str(number)).mkdir()
    child_that_trains(tmp_path / "0", max_steps=1).kill()
    server = next(part for part in psutil.Process().children() if "forkserver" in " ".join(part.cmdline()))
    server.suspend()
    num_open = psutil.Process().num_fds()
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(child_that_trains, tmp_path / "0", max_steps=1)
        # Both ends of its standard input, and of its sentinel: from here on it waits for the fork server's answer.
        while psutil.Process().num_fds() < num_open + 4:
            assert not asking.done()
            time.sleep(0.01)
        server.kill()
        assert isinstance(asking.exception(timeout=30), NotStarted)
    while server.status() != psutil.STATUS_ZOMBIE:  # a moment longer the next would be asked of it, and be refused
        time.sleep(0.01)
    child = child_that_trains(tmp_path / "1", max_steps=1)
    child.wait(60)
    assert child.exit_code == 0
    child.kill()
