"""Watchdog: a child process that ends when its supervisor does, however the supervisor ended.

The supervisor holds the other end of the child's standard input. A `kill -9` of the supervisor closes that pipe, which
no signal handler of its own could do; the child sees end-of-file and goes, with every process it started. A supervisor
that is frozen, or cut off from the record, closes nothing: where it has promised to speak now and then, silence ends
the child as well.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

import psutil

ORPHANED_EXIT_CODE = 70


def exit_when_stdin_closes(
    on_line: Callable[[str], None] | None = None, *, silence_seconds: float | None = None
) -> threading.Thread:
    """Watch standard input from a daemon thread.

    Args:
        on_line: Receives each line, stripped: the supervisor's word to its child. Runs on the watching thread.
        silence_seconds: How long nothing may be heard; None for as long as it likes.

    At end-of-file, or after too long a silence, the process kills its own descendants and exits at once, with
    `ORPHANED_EXIT_CODE`.
    """
    thread = threading.Thread(target=_watch, args=(on_line, silence_seconds), name="stdin-watchdog", daemon=True)
    thread.start()
    return thread


def kill_descendants(process: psutil.Process | None = None) -> None:
    """Kill every process started by `process` (this one by default), and theirs, in whatever session they run."""
    for child in (process or psutil.Process()).children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def _watch(on_line: Callable[[str], None] | None, silence_seconds: float | None) -> None:
    # Read by descriptor: a buffered reader holds a lock at exit, which would abort a process that ended well.
    stdin = sys.stdin.fileno()
    pending = b""
    while select.select([stdin], [], [], silence_seconds)[0] and (chunk := os.read(stdin, 4096)):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if on_line is not None:
                on_line(line.decode("utf-8", errors="replace").strip())
    kill_descendants()
    os._exit(ORPHANED_EXIT_CODE)
