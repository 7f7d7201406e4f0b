"""Blocks of lines, and workers that convert them side by side: the same rows in the same order, in little memory."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.data import blocks
from pipeline.data.importing import import_file

ROOT = Path(__file__).parents[2]


def cut(data: bytes) -> list[blocks.LineBlock]:
    return list(blocks.line_blocks(io.BufferedReader(io.BytesIO(data))))  # type: ignore[arg-type]


def test_blocks_end_at_line_ends_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"".join(b"x" * (n % 11) + b"\n" for n in range(60)) + b"last"
    for size in (1, 2, 7, 64, 5000):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
        found = cut(data)
        assert b"".join(block.data for block in found) == data
        assert all(block.data.endswith(b"\n") for block in found[:-1])


def test_a_line_too_long_to_hold_is_one_row_that_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 10)
    monkeypatch.setattr(blocks, "MAX_ROW_BYTES", 40)
    first, long, last = cut(b"short\n" + b"y" * 200 + b"\nend\n")
    assert (first.data, long.data, last.data) == (b"short\n", b"", b"end\n")
    assert long.overlong is not None
    assert long.overlong.startswith("yyyy")


def rows(path: Path, count: int, length: int = 20) -> Path:
    bad = {
        3: "{broken",
        200: json.dumps({"prompt": "q", "completion": ""}),
        999: '{"prompt":"q","completion":"a\\ud800"}',
    }
    with path.open("w") as file:
        for n in range(count):
            file.write(bad.get(n % 1000) or json.dumps({"prompt": f"q{n}", "completion": "a\u00e9" * length, "id": n}))
            file.write("\n")
    return path


def test_workers_give_what_one_process_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rows(tmp_path / "a.jsonl", 5000)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 50_000)
    reports = []
    for name, workers in (("alone", 0), ("two", 2), ("three", 3)):
        monkeypatch.setattr("pipeline.data.importing.num_workers_for", lambda size, count=workers: count)
        reports.append(import_file(path, "a.jsonl", tmp_path / name).model_dump(exclude={"seconds"}))
    assert reports[0] == reports[1] == reports[2]
    assert (reports[0]["num_rejected"], reports[0]["num_repaired"]) == (10, 5)
    for file in ("rows.index", "rejected.jsonl", "repaired.jsonl"):
        assert len({(tmp_path / name / file).read_bytes() for name in ("alone", "two", "three")}) == 1


def importing(path: Path, out: Path, **more: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.data", str(path), str(out)], cwd=ROOT, stdout=subprocess.PIPE, **more
    )


def test_workers_end_with_the_process_that_reads(tmp_path: Path) -> None:
    process = importing(rows(tmp_path / "a.jsonl", 20_000, 200), tmp_path / "out", env=os.environ)
    workers: list[psutil.Process] = []
    while process.poll() is None and not workers:
        workers = psutil.Process(process.pid).children()
        time.sleep(0.01)
    if not workers:
        pytest.skip("this machine has one core, so that there are no workers")
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert not (tmp_path / "out" / "report.json").exists()


def test_a_disk_that_takes_no_more_half_way_is_told_and_leaves_no_whole_import(tmp_path: Path) -> None:
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000));"
        "from pipeline.data.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    path = rows(tmp_path / "a.jsonl", 40_000)
    done = subprocess.run(
        [sys.executable, "-c", limited, str(path), str(tmp_path / "out")], cwd=ROOT, capture_output=True
    )
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "failed"
    assert not (tmp_path / "out" / "report.json").exists()
