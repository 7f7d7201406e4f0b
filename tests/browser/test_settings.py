"""Settings in a real browser: an endpoint is added, talked to beside another model and removed; no key shows."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from store.database import reading
from store.endpoints import list_endpoints
from store.models import list_models
from store.settings import settings
from tests.browser.web_process import LOG_NAME, PATIENCE, web_process

KEY = "sk-very-secret-1234567890"


def serve(names: tuple[str, ...], key: str = "") -> ThreadingHTTPServer:
    """An OpenAI-compatible server whose models say their own names."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(json.dumps({"data": [{"id": name} for name in names]}), "application/json")

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            chunk = {"choices": [{"delta": {"content": f"Said by {request['model']}."}, "finish_reason": "stop"}]}
            self.reply(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", "text/event-stream")

        def reply(self, text: str, kind: str) -> None:
            is_known = not key or self.headers.get("authorization") == f"Bearer {key}"
            self.send_response(200 if is_known else 401)
            self.send_header("content-type", kind if is_known else "application/json")
            self.end_headers()
            self.wfile.write((text if is_known else '{"error": {"message": "Unknown key."}}').encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The web process on a data folder with one model of its own."""
    own = serve(("own-1",))
    with web_process(tmp_path_factory.mktemp("settings"), inference_port=own.server_port, models=["own-1"]) as address:
        yield address
    own.shutdown()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    expect.set_options(timeout=PATIENCE)
    context = browser.new_context(base_url=address, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()
    expect.set_options(timeout=5_000)


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like, where somebody wants to see it."""
    if folder := os.environ.get("HONE_PICTURES"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_an_endpoint_is_added_talked_to_beside_a_local_model_and_removed(page: Page) -> None:
    elsewhere = serve(("org/big", "org/small"), key=KEY)
    heard: list[str] = []
    page.on("response", lambda response: heard.append(_text_of(response)))
    page.goto("/settings")
    expect(page.get_by_text("No endpoint yet")).to_be_visible()
    picture(page, "empty")

    page.get_by_label("Name", exact=True).fill("Far <b>away</b>")
    page.get_by_label("Address").fill(f"http://127.0.0.1:{elsewhere.server_port}")
    page.get_by_label("Key", exact=True).fill("sk-wrong")
    page.get_by_role("button", name="Add endpoint", exact=True).click()
    expect(page.get_by_text("Its key is missing or wrong")).to_be_visible()
    picture(page, "error")
    expect(page.get_by_label("Address")).not_to_have_value("")  # what was typed is not lost

    page.get_by_label("Key", exact=True).fill(KEY)
    page.get_by_role("button", name="Add endpoint", exact=True).click()
    chooser = page.locator("#h-settings-models")
    expect(chooser).to_be_visible()
    chooser.get_by_role("listbox").or_(chooser.locator("input")).first.click()
    page.get_by_role("option", name="org/big").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Add models", exact=True).click()
    expect(page.get_by_text("1 model added: big.")).to_be_visible()
    expect(page.locator("td", has_text="Far <b>away</b>").first).to_be_visible()

    page.get_by_role("button", name="Ask for the models of").click()
    expect(page.get_by_text("answers, and lists 2 models")).to_be_visible()
    picture(page, "full")
    assert KEY not in page.content()
    assert KEY not in "".join(heard)

    with reading() as session:
        ids = ",".join(str(model.id) for model in list_models(session))
    page.goto(f"/playground?models={ids}")
    page.locator("#h-pg-prompt textarea").fill("Who are you?")
    expect(page.locator("#h-pg-send")).to_be_enabled()
    page.locator("#h-pg-send").click()
    expect(page.locator("#h-pg-column-0")).to_contain_text("Said by own-1.")
    expect(page.locator("#h-pg-column-1")).to_contain_text("Said by org/big.")

    page.goto("/settings")
    page.get_by_role("button", name="Remove Far").click()
    expect(page.get_by_text("will leave the lists")).to_be_visible()
    page.get_by_role("button", name="Remove endpoint").click()
    expect(page.get_by_text("is removed.")).to_be_visible()
    expect(page.get_by_text("No endpoint yet")).to_be_visible()
    with reading() as session:
        assert not list_endpoints(session)
        assert [model.name for model in list_models(session)] == ["own-1"]
    assert KEY.encode() not in (settings().home / LOG_NAME).read_bytes()
    elsewhere.shutdown()


def test_an_api_key_is_shown_once_and_revoked_after_a_question(page: Page) -> None:
    page.goto("/settings")
    page.get_by_label("Name of the program").fill("notebook")
    page.get_by_role("button", name="Create key").click()
    shown = page.locator(".h-settings-key code")
    expect(shown).to_contain_text("hone-")
    key = shown.inner_text()
    picture(page, "key")
    page.reload()
    expect(page.locator("td", has_text="notebook")).to_be_visible()
    assert key not in page.content()
    page.get_by_role("button", name="Revoke notebook").click()
    page.get_by_role("button", name="Revoke key").click()
    expect(page.get_by_text("notebook opens nothing any more.")).to_be_visible()
    expect(page.get_by_text("No key yet")).to_be_visible()


def test_the_settings_fit_a_phone_in_the_dark(browser: Browser, address: str) -> None:
    context = browser.new_context(base_url=address, viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.goto("/settings")
    expect(page.get_by_text("No endpoint yet")).to_be_visible(timeout=PATIENCE)
    page.get_by_text("This installation", exact=True).click()
    expect(page.get_by_text("HONE_PASSWORD")).to_be_visible()
    picture(page, "phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def _text_of(response: object) -> str:
    try:
        return response.text()  # type: ignore[attr-defined, no-any-return]
    except Exception:  # a stream that is still open, or a redirect, has no text
        return ""
