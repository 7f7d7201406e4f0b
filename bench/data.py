"""Benchmark: importing a file of JSON lines, beside `datasets.load_dataset("json")` on the same file.

    python -m bench.data --megabytes 1000 --rounds 3

Both read the file in turn, in processes of their own. Hone's time is that of the whole process, with its start;
`load_dataset`'s begins when the library is loaded. Memory is what all processes of a side hold together, the highest of
what was seen ten times a second: what they share is counted once (PSS).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

THEIRS = """
import sys, time, datasets
started = time.monotonic()
rows = datasets.load_dataset("json", data_files=sys.argv[1], cache_dir=sys.argv[2], split="train")
print(len(rows), time.monotonic() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder unless given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        path = Path(scratch) / "rows.jsonl"
        num_rows = write_rows(path, options.megabytes * 10**6)
        sides = [(ours(path, num_rows), theirs(path, num_rows)) for _ in range(options.rounds)]
    print(json.dumps(summary(sides, num_rows, options.megabytes), indent=2))


def write_rows(path: Path, size_bytes: int) -> int:
    """Write alpaca rows of about 900 bytes, of words that no two rows share in one order; returns how many."""
    chance = random.Random(7)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=3 + number % 7)) for number in range(5000)]
    written = num_rows = 0
    with path.open("w") as file:
        while written < size_bytes:
            lines = [" ".join(chance.choices(words, k=25)) for _ in range(5)]
            row = {"instruction": lines[0], "input": "", "output": "\n".join(lines[1:]), "id": num_rows}
            written += file.write(json.dumps(row) + "\n")
            num_rows += 1
    return num_rows


def ours(path: Path, num_rows: int) -> tuple[float, float]:
    """Seconds and peak megabytes of an import."""
    out = path.with_name("import")
    started = time.monotonic()
    output, peak = _run([sys.executable, "-m", "pipeline.data", str(path), str(out)])
    seconds = time.monotonic() - started
    assert json.loads(output.splitlines()[-1])["num_rows"] == num_rows
    shutil.rmtree(out)
    return seconds, peak


def theirs(path: Path, num_rows: int) -> tuple[float, float]:
    """Seconds and peak megabytes of `load_dataset`."""
    cache = path.with_name("cache")
    output, peak = _run([sys.executable, "-c", THEIRS, str(path), str(cache)])
    counted, seconds = output.split()[-2:]
    assert int(counted) == num_rows
    shutil.rmtree(cache)
    return float(seconds), peak


def _run(command: list[str]) -> tuple[str, float]:
    process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _megabytes(process))
        time.sleep(0.1)
    return process.stdout.read(), peak


def _megabytes(process: psutil.Process) -> float:
    total = 0
    try:
        for each in [process, *process.children(recursive=True)]:
            total += each.memory_full_info().pss
    except psutil.NoSuchProcess:
        return 0.0
    return total / 1e6


def summary(sides: list[tuple[tuple[float, float], tuple[float, float]]], num_rows: int, megabytes: int) -> dict:
    ours_seconds = statistics.median(mine[0] for mine, _ in sides)
    theirs_seconds = statistics.median(other[0] for _, other in sides)
    return {
        "megabytes": megabytes,
        "rows": num_rows,
        "hone_seconds": round(ours_seconds, 2),
        "load_dataset_seconds": round(theirs_seconds, 2),
        "hone_is_faster": round(statistics.median(other[0] / mine[0] for mine, other in sides), 2),
        "hone_peak_megabytes": round(max(mine[1] for mine, _ in sides)),
        "load_dataset_peak_megabytes": round(max(other[1] for _, other in sides)),
        "rounds": [[round(mine[0], 2), round(other[0], 2)] for mine, other in sides],
    }


if __name__ == "__main__":
    main()
