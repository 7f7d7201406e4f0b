"""A running Hone and a real browser to look at it with."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from store.database import engine_for
from store.settings import settings

MINUTE = 60_000
"""In milliseconds, as the browser counts."""
BROWSER_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


@dataclass
class RunningHone:
    """What `hone up` started: its address, its data folder and its process."""

    address: str
    home: Path
    process: subprocess.Popen[bytes]

    def web_process(self) -> psutil.Process:
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if child.cmdline()[-2:] == ["web", "--watch-stdin"])

    def wait_until_web_answers(self, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                httpx.get(self.address, timeout=5)
                return
            except httpx.TransportError:
                assert self.process.poll() is None, "hone up has ended"
                assert time.monotonic() < deadline, f"{self.address} does not answer"
                time.sleep(0.2)


@pytest.fixture(scope="module")
def hone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHone]:
    """`hone up` on an empty data folder, ended by Ctrl-C, which must leave no process behind."""
    folder = tmp_path_factory.mktemp("hone")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"HONE_HOME": str(folder / "home"), "HONE_PORT": str(port)}
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "webapp.cli", "up"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    running = RunningHone(f"http://127.0.0.1:{port}", folder / "home", process)
    try:
        running.wait_until_web_answers()
        yield running
        parts = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0, (folder / "up.log").read_text()
        assert not [part for part in parts if part.is_running()]
    finally:
        if process.poll() is None:
            process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, ended with its module: while Playwright runs, its event loop keeps other tests from having one."""
    path = os.environ.get("HONE_CHROMIUM") or shutil.which("chromium")
    expect.set_options(timeout=MINUTE / 2)  # what is seen at once on an idle machine may take its time on a busy one
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, hone: RunningHone) -> Iterator[Page]:
    context = browser.new_context(base_url=hone.address, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(MINUTE)
    page = context.new_page()
    yield page
    context.close()


@pytest.fixture
def record(hone: RunningHone, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets the test read and write the record of the Hone that runs."""
    monkeypatch.setenv("HONE_HOME", str(hone.home))
    settings.cache_clear()
    yield
    settings.cache_clear()
    engine_for.cache_clear()
