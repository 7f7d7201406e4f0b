"""A web process of a test's own, whose models are answered for by a server that the test has made."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store.database import upgrade, writing
from store.schema import Model
from store.settings import settings
from tests.servers import free_port

PATIENCE = 60_000
"""Milliseconds that a browser waits for what it is to see; the machine may be busy with other tests."""
LOG_NAME = "web.log"


@contextmanager
def web_process(home: Path, *, inference_port: int, models: Iterable[str]) -> Iterator[str]:
    """As a context: `hone web` on a new data folder with these models; gives its address.

    Inside it the test's own process works on the same data folder. What the web process prints is in `LOG_NAME` there.
    """
    port = free_port()
    changes = {
        "HONE_HOME": str(home),
        "HONE_PORT": str(port),
        "HONE_INFERENCE_URL": f"http://127.0.0.1:{inference_port}",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in changes.items():
            environment.setenv(name, value)
        settings.cache_clear()
        upgrade()
        with writing() as session:
            session.add_all([Model(name=name, kind="full", folder=name) for name in models])
        command = [sys.executable, "-m", "webapp.cli", "web", "--watch-stdin"]
        with (home / LOG_NAME).open("wb") as log:
            process = subprocess.Popen(command, env=dict(os.environ), stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            _wait_until_up(port, process, home / LOG_NAME)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)
    settings.cache_clear()


def _wait_until_up(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert process.poll() is None, f"the web process has ended\n{log.read_text()}"
            assert time.monotonic() < deadline, "the web process does not answer"
            time.sleep(0.2)
