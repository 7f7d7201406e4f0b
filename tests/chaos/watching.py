"""Watching: waiting for a state, whatever time it takes, and seeing processes to their end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from tests.real_jobs import worker_log

PATIENCE_SECONDS = 180.0
"""How long a state may take to come: machines are slow at times, and nothing here is a measure of speed."""


def eventually(is_so: Callable[[], bool], otherwise: str, seconds: float = PATIENCE_SECONDS) -> float:
    """Wait until it is so; returns how long that took.

    Raises:
        AssertionError: with `otherwise`, if it never is.
    """
    began_at = time.monotonic()
    while not is_so():
        assert time.monotonic() - began_at < seconds, f"{otherwise}\n{tail_of_log()}"
        time.sleep(0.05)
    return time.monotonic() - began_at


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Tell them to end, all at once, and insist on it after a while."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def tail_of_log(num_lines: int = 60) -> str:
    return "\n".join(worker_log().read_text(errors="replace").splitlines()[-num_lines:])
