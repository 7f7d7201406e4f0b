"""Children: one process a job, forked from a process that has loaded the libraries of training already.

Importing torch, transformers, peft and trl takes seconds. A worker therefore keeps a fork server (Python's own) that
imported them and has touched no GPU; a job's process is a fork of it, and ends with the job, so that whatever the job
leaked goes with it. Without `HONE_WARM_START` each child is a new interpreter, at the price of those seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path

import psutil

from pipeline.environment import quieten_libraries
from pipeline.errors import HoneError
from pipeline.watchdog import kill_descendants
from store.settings import settings

PRELOADED = "workers.preloaded"
"""What the fork server imports before its first fork."""

SECONDS_TO_END = 5.0


def warm_up(*, after_seconds: float = 0) -> None:
    """Have the fork server ready when a job comes. Call before the first `Child`, which starts it where it must.

    Args:
        after_seconds: When to start it if no job has come by then: other parts of Hone start more quickly before.
    """
    if settings().warm_start:
        # The fork server imports the libraries before it knows of a job, in the environment of this process.
        quieten_libraries()
        os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # is there a GPU? asked without initialising CUDA
        multiprocessing.get_context("forkserver").set_forkserver_preload([PRELOADED])
        timer = threading.Timer(after_seconds, forkserver.ensure_running)
        timer.daemon = True
        timer.start()


def cool_down() -> None:
    """End the fork server and wait until it is gone. Call when the last `Child` has ended."""
    servers = psutil.Process().children()
    kill_descendants()
    psutil.wait_procs(servers, timeout=SECONDS_TO_END)


class NotStarted(HoneError):
    """No process could be had: the one that would have forked it has just died. The next call starts another."""

    kind = "lost"


class Child:
    """A process that runs `python -m pipeline` with the given arguments.

    Its standard input is a pipe of which this side holds the other end: words are told through it, and a child that was
    started with `--watch-stdin` ends when it closes, however this process ended (see `pipeline.watchdog`), and with
    `--lease-seconds` also when no word came for so long.

    Args:
        environment: Variables that are set in the child beside those of this process.
        output: The file for everything that it prints.
    """

    def __init__(self, arguments: Sequence[str], *, environment: Mapping[str, str], output: Path) -> None:
        context = _context()
        heard, self._told = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_run_pipeline, args=(list(arguments), dict(environment), heard, str(output)), daemon=False
        )
        try:
            self._process.start()
        except (EOFError, ConnectionError) as error:
            raise NotStarted("The process that jobs are forked from was killed.", "Run the job again.") from error
        finally:
            heard.close()
        os.set_blocking(self._told.fileno(), False)  # a child that is stuck must not hold up whoever speaks to it
        self._seen = _process_of(self._process.pid)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.exitcode

    def wait(self, seconds: float) -> None:
        """Wait until it ends, but no longer than `seconds`."""
        self._process.join(seconds)

    def tell(self, word: str) -> bool:
        """Send a line to its standard input; returns False where it has ended already, or does not listen."""
        try:
            os.write(self._told.fileno(), f"{word}\n".encode())
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it and all its descendants, which may sit in sessions of their own."""
        if self._seen is not None and self._seen.is_running():
            try:
                kill_descendants(self._seen)
                self._seen.kill()
            except psutil.NoSuchProcess:
                pass
        self._process.join()
        self._told.close()


def _context() -> ForkServerContext | SpawnContext:
    if settings().warm_start:
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


def _process_of(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _run_pipeline(arguments: list[str], environment: dict[str, str], heard: Connection, output: str) -> None:
    """What the new process does: make its standard streams those of the job, and run it."""
    os.setsid()  # Ctrl-C at the terminal is for the worker; the child is told through its standard input
    os.environ.update(environment)
    os.dup2(heard.fileno(), sys.stdin.fileno())
    heard.close()
    with Path(output).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from pipeline.__main__ import main

    sys.exit(main(arguments))
