"""The arena is blind: until the vote, neither the page nor anything that the browser receives tells one model from the
other; and every press counts once.

The models stand behind a small OpenAI-compatible server, as any external endpoint would.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import func, select

from store import voting_links
from store.database import reading, writing
from store.schema import Battle, Model, Person, Vote
from tests.browser.web_process import PATIENCE, web_process

FAST, SLOW = "crimson-falcon", "teal-otter"
ANSWERS = {FAST: "The answer of the quick one.", SLOW: "The answer of the slow one."}


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
    with web_process(tmp_path_factory.mktemp("arena"), inference_port=server.server_port, models=ANSWERS) as address:
        yield address
    server.shutdown()


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    expect.set_options(timeout=PATIENCE)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Somebody new, at the arena."""
    context = browser.new_context(base_url=address)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


class Wiretap:
    """A way to the web process that writes down every byte which comes back: headers, pages, data and event streams."""

    def __init__(self, port: int) -> None:
        self.heard = bytearray()
        self._port = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._let_in, daemon=True).start()

    def hears(self, words: tuple[str, ...]) -> list[str]:
        return [word for word in words if word.encode() in self.heard]

    def _let_in(self) -> None:
        while True:
            browser, _ = self._door.accept()
            web = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._pump, args=(browser, web, bytearray()), daemon=True).start()
            threading.Thread(target=self._pump, args=(web, browser, self.heard), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, record: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                record.extend(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def begin_battle(page: Page) -> None:
    page.goto("/arena")
    page.locator("#h-arena-next").click()


def wait_for_answers(page: Page) -> None:
    """Until every button is there, of which each comes by itself: a key whose button is not there yet does nothing."""
    for button in ("a", "both_good", "both_bad", "b", "skip"):
        expect(page.locator(f"#h-arena-vote-{button}")).to_be_visible()


def num_votes() -> int:
    with reading() as session:
        return session.scalar(select(func.count(Vote.id))) or 0


def test_neither_names_nor_speed_reach_the_browser_before_the_vote(
    browser: Browser, address: str, endpoint: Endpoint
) -> None:
    wiretap = Wiretap(int(address.rsplit(":", 1)[1]))
    # Uncompressed, so that words can be found in what is heard.
    context = browser.new_context(base_url=wiretap.address, extra_http_headers={"accept-encoding": "identity"})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    endpoint.may_answer.clear()
    begin_battle(page)
    expect(page.get_by_text("Both models are answering")).to_be_visible()
    page.wait_for_timeout(2500)  # the quick model has long been done
    assert not page.locator("#h-arena-vote-a").is_visible()
    assert not wiretap.hears((ANSWERS[FAST],))
    endpoint.may_answer.set()
    wait_for_answers(page)

    assert set(wiretap.hears(tuple(ANSWERS.values()))) == set(ANSWERS.values()), "the wiretap is deaf"
    assert wiretap.hears((FAST, SLOW, "/model?id=", "seed_a", "model_a")) == []
    assert not [name for name in ANSWERS if name in page.content()]

    page.keyboard.press("1")
    expect(page.locator(".h-arena-verdict")).to_be_visible()
    for name in ANSWERS:
        expect(page.locator(".h-arena-sides")).to_contain_text(name)
    assert set(wiretap.hears((FAST, SLOW))) == {FAST, SLOW}
    context.close()


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
    expect(page.locator(".h-arena-verdict")).to_contain_text("You found both good.")
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
    page.goto("/board")
    expect(page.get_by_text("1 more not counted")).to_be_visible()


def test_the_arena_fits_a_phone(browser: Browser, address: str, endpoint: Endpoint) -> None:
    endpoint.may_answer.set()
    page = browser.new_context(base_url=address, viewport={"width": 390, "height": 844}, has_touch=True).new_page()
    begin_battle(page)
    wait_for_answers(page)
    buttons = page.locator(".h-arena-votes button")
    for number in range(5):
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


def test_a_skip_goes_on_to_the_next_battle_and_shows_no_name(page: Page, endpoint: Endpoint) -> None:
    endpoint.may_answer.set()
    begin_battle(page)
    wait_for_answers(page)
    here = page.url
    page.keyboard.press("s")
    expect(page).not_to_have_url(here)
    wait_for_answers(page)
    expect(page.locator(".h-arena-verdict")).to_have_count(0)
    assert not [name for name in ANSWERS if name in page.content()]


def test_the_next_battle_is_answered_while_one_still_votes(page: Page, endpoint: Endpoint) -> None:
    endpoint.may_answer.set()
    begin_battle(page)
    wait_for_answers(page)
    page.wait_for_timeout(3000)
    num_asked = len(endpoint.requests)
    page.keyboard.press("1")
    expect(page.locator(".h-arena-verdict")).to_be_visible()
    endpoint.may_answer.clear()  # whatever is asked from now on is not answered
    page.keyboard.press("n")
    wait_for_answers(page)
    assert len(endpoint.requests) >= num_asked
    endpoint.may_answer.set()


def test_reasons_are_kept_as_they_are_given(page: Page, endpoint: Endpoint) -> None:
    endpoint.may_answer.set()
    begin_battle(page)
    wait_for_answers(page)
    page.keyboard.press("4")
    page.get_by_label("Clearly").check()
    page.get_by_label("concise").check()
    expect(page.get_by_text("Kept.")).to_be_visible()
    page.get_by_label("In your own words").fill("Short and right.")
    page.get_by_label("In your own words").press("Tab")
    page.wait_for_timeout(1500)
    with reading() as session:
        given = session.scalars(select(Vote).order_by(Vote.id.desc())).first()
    assert given is not None
    assert (given.outcome, given.strength, given.reasons, given.comment) == ("b", 2, ["concise"], "Short and right.")


def test_a_colleague_votes_by_a_link_on_a_phone_and_nothing_there_names_a_model(
    browser: Browser, address: str, endpoint: Endpoint
) -> None:
    endpoint.may_answer.set()
    with writing() as session:
        _, token = voting_links.create(session, "Colleagues")
    wiretap = Wiretap(int(address.rsplit(":", 1)[1]))
    context = browser.new_context(
        base_url=wiretap.address,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        extra_http_headers={"accept-encoding": "identity"},
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    before = num_votes()
    page.goto(f"/vote/{token}")
    buttons = page.locator(".v-buttons button")
    expect(buttons.first).to_be_visible()
    for number in range(4):
        box = buttons.nth(number).bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["x"] + box["width"] <= 390
        assert box["y"] + box["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    buttons.nth(0).tap()
    expect(page.locator("#count")).to_have_text("1 vote given")
    expect(buttons.first).to_be_visible()
    page.locator("#back").tap()
    buttons.nth(3).tap()
    expect(buttons.first).to_be_enabled()
    expect(page.locator("#count")).to_have_text("1 vote given")
    page.keyboard.press("2")
    expect(page.locator("#count")).to_have_text("2 votes given")
    assert num_votes() == before + 2
    assert set(wiretap.hears(tuple(ANSWERS.values()))) == set(ANSWERS.values()), "the wiretap is deaf"
    assert wiretap.hears((FAST, SLOW, "/model?id=", "seed_a", "model_a")) == []
    context.close()


def test_a_thousand_battles_are_paged_filtered_and_each_can_be_opened(page: Page) -> None:
    with writing() as session:
        voter = Person(token_sha256="of-a-thousand", name="Thousandfold")
        session.add(voter)
        session.flush()
        fast, slow = session.scalars(select(Model.id).where(Model.name.in_(ANSWERS)).order_by(Model.name))
        for number in range(1000):
            battle = Battle(
                id=f"listed-{number}",
                person_id=voter.id,
                messages=[{"role": "user", "content": f"Listed question {number}?"}],
                model_a_id=fast,
                model_b_id=slow,
                answer_a="Yes.",
                answer_b="No.",
                finish_a="stop",
                finish_b="stop",
                tags=["tides"] if number % 100 == 7 else [],
                state="voted",
            )
            session.add_all(
                [battle, Vote(battle=battle, person_id=voter.id, outcome="a" if number % 4 else "both_bad")]
            )
        voter_id = voter.id
    rows = page.locator(".h-battles tbody tr")
    page.goto(f"/battles?person={voter_id}")
    expect(rows).to_have_count(50)
    expect(page.get_by_text(re.compile("1 to 50 of 1.000 votes"))).to_be_visible()
    expect(rows.first).to_contain_text("Listed question 999?")
    page.goto(f"/battles?person={voter_id}&offset=950")
    expect(rows.last).to_contain_text("Listed question 0?")
    page.goto(f"/battles?person={voter_id}&tag=tides&outcome=a")
    expect(rows).to_have_count(10)
    rows.first.get_by_role("link").click()
    expect(page.locator(".h-arena-prompt")).to_contain_text("Listed question 907?")
