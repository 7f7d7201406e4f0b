"""The arena is blind: until the vote, neither the page nor anything that the browser receives tells one model from the
other; and every press counts once.

The models stand behind a small OpenAI-compatible server, as any external endpoint would.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from playwright.sync_api import Browser, Page, Response, expect
from sqlalchemy import func, select

from store.database import reading, upgrade, writing
from store.schema import Battle, Model, Vote
from store.settings import settings

FAST, SLOW = "crimson-falcon", "teal-otter"
ANSWERS = {FAST: "The answer of the quick one.", SLOW: "The answer of the slow one."}
SECONDS = 1000


@dataclass
class Endpoint:
    """An OpenAI-compatible server of two models; the slow one waits until `may_answer` is set."""

    answers: dict[str, str] = field(default_factory=lambda: dict(ANSWERS))
    may_answer: threading.Event = field(default_factory=threading.Event)
    requests: list[dict[str, object]] = field(default_factory=list)

    def serve(self) -> ThreadingHTTPServer:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                endpoint.requests.append(request)
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                if request["model"] == SLOW:
                    endpoint.may_answer.wait(60)
                delta = {"delta": {"content": endpoint.answers[request["model"]]}, "finish_reason": None}
                for choices in ([delta], [{"delta": {}, "finish_reason": "stop"}]):
                    chunk = {"model": request["model"], "choices": choices}
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@pytest.fixture(scope="module")
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, endpoint: Endpoint) -> Iterator[str]:
    """The web process on a data folder with two models, which the endpoint serves."""
    server = endpoint.serve()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    changes = {
        "HONE_HOME": str(tmp_path_factory.mktemp("arena")),
        "HONE_PORT": str(port),
        "HONE_INFERENCE_URL": f"http://127.0.0.1:{server.server_port}",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in changes.items():
            environment.setenv(name, value)
        settings.cache_clear()
        upgrade()
        with writing() as session:
            session.add_all([Model(name=name, kind="full", folder=name) for name in ANSWERS])
        process = subprocess.Popen([sys.executable, "-m", "webapp.cli", "web"], env=dict(os.environ))
        try:
            _wait_until_up(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)
            server.shutdown()
    settings.cache_clear()


def _wait_until_up(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            httpx.get(address, timeout=5)
            return
        except httpx.TransportError:
            assert process.poll() is None, "the web process has ended"
            assert time.monotonic() < deadline, "the web process does not answer"
            time.sleep(0.2)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Somebody new, at the arena."""
    context = browser.new_context(base_url=address)
    context.set_default_timeout(30 * SECONDS)
    yield context.new_page()
    context.close()


class Wiretap:
    """Everything that a page receives."""

    def __init__(self, page: Page) -> None:
        self._responses: list[Response] = []
        page.on("response", lambda response: self._responses.append(response))

    def places_of(self, words: tuple[str, ...]) -> list[str]:
        """The addresses whose answers hold one of the words, in the body or a header."""
        found = []
        for response in list(self._responses):
            is_redirect = 300 <= response.status < 400
            heard = str(response.headers) + ("" if is_redirect else response.body().decode("utf-8", "replace"))
            if any(word in heard for word in words):
                found.append(response.url)
        return found


def begin_battle(page: Page) -> None:
    page.goto("/arena")
    page.locator("#h-arena-next").click()


def wait_for_answers(page: Page) -> None:
    expect(page.locator("#h-arena-vote-a")).to_be_visible()


def num_votes() -> int:
    with reading() as session:
        return session.scalar(select(func.count(Vote.id))) or 0


def test_neither_names_nor_speed_reach_the_browser_before_the_vote(page: Page, endpoint: Endpoint) -> None:
    wiretap = Wiretap(page)
    endpoint.may_answer.clear()
    begin_battle(page)
    expect(page.get_by_text("Both models are answering")).to_be_visible()
    page.wait_for_timeout(2500)  # the quick model has long been done
    assert not page.locator("#h-arena-vote-a").is_visible()
    assert ANSWERS[FAST] not in page.content()
    endpoint.may_answer.set()
    wait_for_answers(page)

    battle_id = page.url.split("battle=")[1]
    with reading() as session:
        assert session.get_one(Battle, battle_id).state == "ready"
    secrets = (FAST, SLOW, "/model?id=", "seed_a", "model_a")
    assert not [secret for secret in secrets if secret in page.content()]
    assert wiretap.places_of(secrets) == []

    page.keyboard.press("1")
    expect(page.locator(".h-arena-verdict")).to_be_visible()
    for name in (FAST, SLOW):
        expect(page.locator(".h-arena-sides")).to_contain_text(name)
    assert wiretap.places_of((FAST, SLOW)), "the wiretap hears nothing"


def test_the_keyboard_alone_votes_and_a_double_press_counts_once(page: Page, endpoint: Endpoint) -> None:
    endpoint.may_answer.set()
    before = num_votes()
    page.goto("/arena")
    expect(page.locator("#h-arena-next")).to_be_visible()
    page.keyboard.press("n")
    wait_for_answers(page)
    page.keyboard.press("2")
    page.keyboard.press("2")
    page.keyboard.press("4")
    expect(page.locator(".h-arena-verdict")).to_contain_text("You called it a tie.")
    assert num_votes() == before + 1
    expect(page.locator("#h-arena-next")).to_be_focused()

    page.locator("#h-arena-prompt textarea").press_sequentially("1 or 4, 2 or 3?")
    assert num_votes() == before + 1
    page.keyboard.press("Enter")
    wait_for_answers(page)
    expect(page.locator(".h-arena-prompt")).to_have_text("1 or 4, 2 or 3?")
    page.keyboard.press("3")
    expect(page.locator(".h-arena-verdict")).to_contain_text("You found both bad.")


def test_a_reload_brings_the_same_battle_back_and_two_people_do_not_meet(
    page: Page, browser: Browser, address: str, endpoint: Endpoint
) -> None:
    endpoint.may_answer.set()
    other = browser.new_context(base_url=address).new_page()
    begin_battle(page)
    begin_battle(other)
    wait_for_answers(page)
    wait_for_answers(other)
    assert page.url != other.url
    prompt = page.locator(".h-arena-prompt").inner_text()

    page.reload()
    wait_for_answers(page)
    expect(page.locator(".h-arena-prompt")).to_have_text(prompt)
    here = page.url
    page.goto("/arena")
    wait_for_answers(page)
    expect(page.locator(".h-arena-prompt")).to_have_text(prompt)

    page.keyboard.press("1")
    expect(page.locator(".h-arena-verdict")).to_be_visible()
    expect(other.locator(".h-arena-verdict")).to_have_count(0)
    other.goto(here)  # the link of a battle that another has voted on is still blind for who has not
    wait_for_answers(other)
    assert not [name for name in ANSWERS if name in other.content()]
    other.context.close()


def test_an_answer_that_says_its_name_is_shown_but_its_vote_is_not_counted(page: Page, endpoint: Endpoint) -> None:
    endpoint.may_answer.set()
    endpoint.answers[FAST] = f"I am {FAST}."
    begin_battle(page)
    wait_for_answers(page)
    page.keyboard.press("1")
    expect(page.locator(".h-arena-verdict")).to_contain_text("kept, but not counted")
    endpoint.answers[FAST] = ANSWERS[FAST]
    page.goto("/arena?view=board")
    expect(page.get_by_text("1 more not counted")).to_be_visible()


def test_the_arena_fits_a_phone(browser: Browser, address: str, endpoint: Endpoint) -> None:
    endpoint.may_answer.set()
    page = browser.new_context(base_url=address, viewport={"width": 390, "height": 844}, has_touch=True).new_page()
    begin_battle(page)
    wait_for_answers(page)
    buttons = page.locator(".h-arena-votes button")
    for number in range(4):
        box = buttons.nth(number).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    buttons.nth(3).tap()
    expect(page.locator(".h-arena-verdict")).to_be_visible()
    page.context.close()
