"""Simulated browsers: they open one page of a running Hone and poll it, with the requests of the page's own scripts.

    python -m bench.browsers http://127.0.0.1:7861 "/job?id=7" --browsers 100 --seconds 30

Each has a cookie and connections of its own, reads from the page's document which handlers a load and its timers call,
and calls them at the timers' pace; what follows from a field that an answer has changed is called too; `/ui/status`
goes every 5 s, as in `static/hone.js`. They come one after another; polling is measured once all are there. A process
of its own, so that its work is not in the time that it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

STATUS_SECONDS = 5.0
SECONDS_BETWEEN_ARRIVALS = 0.5
READY = "all browsers are there"


def main() -> None:
    options = _parser().parse_args()
    print(json.dumps(asyncio.run(watch(options.address, options.path, options.browsers, options.seconds))))


async def watch(address: str, path: str, num_browsers: int, seconds: float) -> dict[str, Any]:
    """Open the page in every browser, then poll for `seconds`; figures in milliseconds, by kind of request."""
    log = _Log()
    browsers = [_Browser(address, path, log) for _ in range(num_browsers)]
    tasks = []
    for browser in browsers:
        tasks.append(asyncio.create_task(browser.look()))
        await asyncio.sleep(SECONDS_BETWEEN_ARRIVALS)
    await asyncio.gather(*(browser.is_there.wait() for browser in browsers))
    print(READY, file=sys.stderr, flush=True)
    log.forget("poll", "follow_up", "status")
    process, started_at = psutil.Process(), time.perf_counter()
    used = sum(process.cpu_times()[:2])
    await asyncio.sleep(seconds)
    share = (sum(process.cpu_times()[:2]) - used) / (time.perf_counter() - started_at)
    failed = [repr(task.exception()) for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        **{kind: summary(taken) for kind, taken in log.milliseconds.items()},
        "kilobytes_for_each_poll": round(log.num_bytes / max(1, len(log.milliseconds["poll"])) / 1000, 1),
        "polls_skipped": log.num_skipped,
        "browsers_that_failed": failed[:3],
        "processor_share_of_the_browsers": round(share, 2),
    }


def summary(milliseconds: Sequence[float]) -> dict[str, float]:
    """How many there were, and the percentiles."""
    if not milliseconds:
        return {"requests": 0}
    ordered = sorted(milliseconds)
    at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in _PERCENTILES}
    return {"requests": len(ordered), **{name: round(value, 1) for name, value in at.items()}}


_PERCENTILES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))


@dataclass
class _Log:
    """What all browsers waited for, by kind of request."""

    milliseconds: dict[str, list[float]] = field(
        default_factory=lambda: {kind: [] for kind in ("document", "first_view", "poll", "follow_up", "status")}
    )
    num_bytes: int = 0
    num_skipped: int = 0
    """Timers that rang while the answer to the one before was still out: a page lets those pass."""

    def forget(self, *kinds: str) -> None:
        for kind in kinds:
            self.milliseconds[kind].clear()
        self.num_bytes = self.num_skipped = 0


class _Browser:
    def __init__(self, address: str, path: str, log: _Log) -> None:
        # The server closes a connection that has been idle for 5 s; a browser would try again, here it is left before.
        limits = httpx.Limits(keepalive_expiry=4)
        self.client = httpx.AsyncClient(base_url=address, verify=False, timeout=60, limits=limits)
        self.path = path
        self.query = urlsplit(path).query
        self.log = log
        self.session_hash = f"{random.getrandbits(52):011x}"
        self.values: dict[int, Any] = {}
        self.followers: dict[int, dict[str, Any]] = {}
        """The handlers that a changed field calls, by the field's id."""
        self.is_there = asyncio.Event()

    async def look(self) -> None:
        """Open the page and stay on it until cancelled."""
        async with self.client:
            try:
                config = await self._open()
            finally:
                self.is_there.set()
            await asyncio.gather(
                self._keep_heart_beating(), self._read_status(), *(self._poll(tick) for tick in _ticks_of(config))
            )

    async def _open(self) -> dict[str, Any]:
        document = await self._timed("document", self.client.build_request("GET", self.path, headers=_ACCEPT))
        text = document.text
        config: dict[str, Any]
        config, _ = json.JSONDecoder().raw_decode(text, text.index("{", text.index("window.gradio_config")))
        self.values = {part["id"]: _value_in_browser(part) for part in config["components"]}
        fields = {part["id"] for part in config["components"] if part["type"] == "textbox"}
        for handler in config["dependencies"]:
            self.followers |= {
                field: handler for field, event in handler["targets"] if event == "change" and field in fields
            }
        for handler in config["dependencies"]:
            if any(event == "load" for _, event in handler["targets"]):
                await self._call("first_view", handler, trigger_id=0)
        return config

    async def _call(self, kind: str, handler: dict[str, Any], trigger_id: int) -> None:
        body = {
            "data": [self.values[part] for part in handler["inputs"]],
            "event_data": None,
            "fn_index": handler["id"],
            "trigger_id": trigger_id,
            "session_hash": self.session_hash,
        }
        address = f"/gradio_api/run/predict?{self.query}" if self.query else "/gradio_api/run/predict"
        answer = await self._timed(kind, self.client.build_request("POST", address, json=body))
        if kind in ("poll", "follow_up"):
            self.log.num_bytes += len(answer.content)
        for part, value in zip(handler["outputs"], answer.json()["data"], strict=True):
            if part in self.followers and isinstance(value, str) and value != self.values[part]:
                self.values[part] = value
                await self._call("follow_up", self.followers[part], trigger_id=part)

    async def _poll(self, tick: _Tick) -> None:
        await asyncio.sleep(tick.seconds)
        due = time.perf_counter()
        while True:
            await self._call("poll", tick.handler, tick.trigger_id)
            due += tick.seconds
            while due < time.perf_counter():
                due += tick.seconds
                self.log.num_skipped += 1
            await asyncio.sleep(due - time.perf_counter())

    async def _read_status(self) -> None:
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            await self._timed("status", self.client.build_request("GET", "/ui/status"))

    async def _keep_heart_beating(self) -> None:
        async with self.client.stream("GET", f"/gradio_api/heartbeat/{self.session_hash}", timeout=None) as answer:
            async for _ in answer.aiter_raw():
                pass

    async def _timed(self, kind: str, request: httpx.Request) -> httpx.Response:
        started_at = time.perf_counter()
        answer = await self.client.send(request)
        self.log.milliseconds[kind].append((time.perf_counter() - started_at) * 1000)
        answer.raise_for_status()
        return answer


_ACCEPT = {"accept": "text/html"}


def _value_in_browser(part: dict[str, Any]) -> Any:
    """What a page sends for a component that nobody has touched; a state stays on the server."""
    if part["type"] == "state":
        return None
    value = part["props"].get("value")
    return "" if part["type"] == "textbox" and value is None else value


@dataclass(frozen=True)
class _Tick:
    """A timer of the page and the handler that it calls."""

    seconds: float
    trigger_id: int
    handler: dict[str, Any]


def _ticks_of(config: dict[str, Any]) -> list[_Tick]:
    timers = {part["id"]: part["props"]["value"] for part in config["components"] if part["type"] == "timer"}
    return [
        _Tick(timers[trigger_id], trigger_id, handler)
        for handler in config["dependencies"]
        for trigger_id, event in handler["targets"]
        if event == "tick"
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="where Hone is, such as http://127.0.0.1:7861")
    parser.add_argument("path", help="the page, such as /jobs")
    parser.add_argument("--browsers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30, help="how long polling is measured")
    return parser


if __name__ == "__main__":
    main()
