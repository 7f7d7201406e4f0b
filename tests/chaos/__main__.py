"""Make every fault, print a line for each, and end with exit code 1 where one was not survived."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.chaos import storm
from tests.chaos.scenarios import HEAD, SCENARIOS, Line, name_of, run_scenario, run_storm
from tests.chaos.setups import SETUPS, Embedded, Setup
from tests.servers import initdb, redis_server


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the servers are to end with it
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000
    print(f"Seed {seed}; the same faults in the same order: make chaos ARGUMENTS='--seed {seed}'\n\n{HEAD}", flush=True)
    began_at = time.monotonic()
    failed: list[Line] = []
    for setup_class in _chosen_setups(options.setup):
        with tempfile.TemporaryDirectory(prefix="hone-chaos-") as folder:
            failed += [line for line in _lines(setup_class(Path(folder)), options, Random(seed)) if line.has_failed]
    print(f"\n{time.monotonic() - began_at:.0f} s in all; {len(failed)} lines failed.")
    for line in failed:
        print(f"\n{line.fault}, {line.setup}:\n{line.details}")
    return 1 if failed else 0


def _lines(setup: Setup, options: argparse.Namespace, chance: Random) -> list[Line]:
    lines = []
    with setup.opened():
        for scenario in SCENARIOS:
            if options.only in name_of(scenario):
                lines.append(run_scenario(scenario, setup, chance))
                print(lines[-1], flush=True)
        if options.only in "storm":
            chosen = storm.SHORT if options.short else storm.FULL
            lines.append(run_storm(chosen, setup, chance))
            print(lines[-1], flush=True)
    return lines


def _chosen_setups(name: str | None) -> list[type[Setup]]:
    chosen = [setup for setup in SETUPS if name in (None, setup.name)]
    if initdb and redis_server:
        return chosen
    print(
        "redis-server or PostgreSQL's initdb is not on this machine: only the embedded set-up is run.", file=sys.stderr
    )
    return [Embedded]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--setup", choices=[setup.name for setup in SETUPS], help="one set-up instead of both")
    parser.add_argument(
        "--only", default="", metavar="WORDS", help="only faults with these words in their name; `storm`"
    )
    parser.add_argument("--short", action="store_true", help="a storm over few jobs")
    parser.add_argument("--seed", type=int, help="of everything that is left to chance; a new one where none is given")
    return parser


if __name__ == "__main__":
    sys.exit(main())
