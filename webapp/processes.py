"""The processes of `hone up`: started together, restarted when one crashes, ended together."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx

from pipeline.errors import HoneError
from store.database import upgrade
from store.settings import BadSettings, Settings

STOP_SECONDS = 75.0
"""How long parts may take to stop: a worker lets its jobs save a checkpoint first."""
READY_SECONDS = 120.0
MOST_CRASHES = 5
CRASH_WINDOW_SECONDS = 60.0
LAST_LINES = 20


@dataclass
class _Part:
    """One of the processes, and when it crashed lately."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    crashes: list[float] = field(default_factory=list)

    def start(self) -> None:
        # The pipe is the part's lifeline: it ends when we do, even when we are killed (see pipeline.watchdog).
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
                start_new_session=True,
            )

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])


class Processes:
    """Web, worker and inference under one command."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stopping = threading.Event()
        self._parts = self._plan()

    def run(self) -> None:
        """Start everything, print the address, and stay until SIGINT or SIGTERM."""
        with _only_one(self.settings):
            signal.signal(signal.SIGINT, self._stop)
            signal.signal(signal.SIGTERM, self._stop)
            print("Hone is starting…", flush=True)
            upgrade()
            try:
                # Inference loads torch, which takes seconds: whoever started Hone first wants to see its pages.
                later = [part for part in self._parts if part.name == "inference"]
                for part in self._parts:
                    if part not in later:
                        part.start()
                if self._wait_until_ready():
                    for part in later:
                        part.start()
                    print(f"\n  Hone is ready:  {self._address()}\n")
                    print(f"  Data folder: {self.settings.home} (logs in logs/)\n  Stop with Ctrl-C.\n", flush=True)
                while not self._stopping.wait(0.5):
                    self._restart_crashed()
            finally:
                self._end()

    def _plan(self) -> list[_Part]:
        port = self.settings.inference_port or _free_port(self.settings.port + 1)
        shared = {
            "HONE_INFERENCE_URL": self.settings.inference_url or f"http://127.0.0.1:{port}",
            "HONE_INFERENCE_PORT": str(port),
            "HONE_INFERENCE_KEY": self.settings.inference_key or secrets.token_urlsafe(24),
        }
        modules = {"web": ["webapp.cli", "web"], "worker": ["webapp.cli", "worker"]}
        if not self.settings.inference_url:
            modules["inference"] = ["workers.inference"]
        logs = self.settings.home / "logs"
        logs.mkdir(exist_ok=True)
        return [
            _Part(name, [sys.executable, "-m", *module, "--watch-stdin"], shared, logs / f"{name}.log")
            for name, module in modules.items()
        ]

    def _address(self) -> str:
        host = "127.0.0.1" if self.settings.host in ("0.0.0.0", "::") else self.settings.host
        return f"http://{host}:{self.settings.port}"

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while not self._stopping.wait(0.2):
            try:
                httpx.get(self._address(), timeout=5)
            except httpx.TransportError:
                self._restart_crashed()
                if time.monotonic() > deadline:
                    raise HoneError(f"The web server did not answer within {READY_SECONDS:.0f} s.") from None
            else:
                return True
        return False

    def _restart_crashed(self) -> None:
        for part in self._parts:
            if part.process is None or part.process.poll() is None:
                continue
            now = time.monotonic()
            part.crashes = [at for at in part.crashes if now - at < CRASH_WINDOW_SECONDS] + [now]
            if len(part.crashes) >= MOST_CRASHES:
                raise HoneError(
                    f"The {part.name} process ended {MOST_CRASHES} times within a minute, at last with exit code"
                    f" {part.process.returncode}:\n{part.last_words()}\n",
                    f"The whole log is {part.log}.",
                )
            print(f"The {part.name} process ended with exit code {part.process.returncode}; it is started again.")
            part.start()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._stopping.is_set():  # a second Ctrl-C does not wait for checkpoints
            for part in self._parts:
                if part.process is not None:
                    part.process.kill()
        self._stopping.set()

    def _end(self) -> None:
        print("Stopping; a running job saves a checkpoint first. Press Ctrl-C again to stop at once.", flush=True)
        running = [part.process for part in self._parts if part.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Hold the data folder's lock.

    Raises:
        BadSettings: if another `hone up` holds it.
    """
    with (settings.home / "hone.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadSettings(
                f"Another Hone is running on the data folder {settings.home}.",
                "Stop it first, or set HONE_HOME to another folder.",
            ) from error
        yield


def _free_port(wanted: int) -> int:
    """The wanted port, so that programs find the server where it was yesterday; any other where it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError, OverflowError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will: of a port just left
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("No port is free.")
