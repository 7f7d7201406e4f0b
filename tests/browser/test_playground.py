"""The playground in a real browser: six columns at once, one stopped; what can be done with every prompt and answer."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from store import datasets
from store.added_rows import latest_version
from store.database import reading, writing
from store.schema import Model
from tests.browser.model_server import MODELS, SLOW, ModelServer
from tests.browser.web_process import PATIENCE, web_process

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    server = ModelServer()
    yield server
    server.http.shutdown()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, server: ModelServer) -> Iterator[str]:
    """The web process on a data folder with six models, which the server answers for."""
    home, port = tmp_path_factory.mktemp("playground"), server.http.server_port
    with web_process(home, inference_port=port, models=(*MODELS, SLOW)) as address:
        yield address


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    expect.set_options(timeout=PATIENCE)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(base_url=address, viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    yield page
    context.close()


def open_playground(page: Page, *numbers: int) -> None:
    page.goto(f"/playground?models={','.join(map(str, numbers))}")
    expect(page.locator("#h-pg-send")).to_be_enabled()


def send(page: Page, prompt: str) -> None:
    page.locator("#h-pg-prompt textarea").fill(prompt)
    page.locator("#h-pg-send").click()


def column(page: Page, number: int) -> Any:
    return page.locator(f"#h-pg-column-{number}")


def answers(page: Page, number: int) -> Any:
    return column(page, number).locator(".h-pg-text")


def act(page: Page, number: int, words: str) -> None:
    """Press a button under the last answer of a column."""
    column(page, number).locator(".h-pg-latest").get_by_role("button", name=words, exact=True).click()


def test_six_columns_stream_at_once_and_one_is_stopped_and_carried_on(page: Page, server: ModelServer) -> None:
    open_playground(page, 1, 2, 3, 4, 5, 6)
    send(page, "Who are you?")
    for number, name in enumerate(MODELS):
        expect(answers(page, number)).to_contain_text(f"{name} answers “Who are you?”")
        expect(column(page, number)).to_contain_text(re.compile(r"s to first token · .*tokens/s · \d+ tokens"))
    expect(answers(page, 5)).to_contain_text("slow3")
    expect(column(page, 0).get_by_role("button", name="Stop")).to_be_hidden()
    column(page, 5).get_by_role("button", name="Stop").click()
    expect(column(page, 5)).to_contain_text("stopped")
    expect(page.locator("#h-pg-send")).to_be_visible()
    stopped = answers(page, 5).inner_text()

    page.reload()
    expect(answers(page, 5)).to_have_text(stopped)
    act(page, 5, "Continue")
    expect(answers(page, 5)).to_contain_text(re.compile("slow0 .*slow0 slow1", re.DOTALL))
    expect(page.get_by_role("button", name="Stop all")).to_be_visible()
    page.get_by_role("button", name="Stop all").click()
    expect(column(page, 5)).to_contain_text("stopped")
    carried = server.requests[-1]
    assert carried["continue_final_message"] is True
    assert carried["messages"][-1] == {"role": "assistant", "content": carried["messages"][-1]["content"]}
    assert stopped.split()[:3] == carried["messages"][-1]["content"].split()[:3]
    assert len(answers(page, 5).inner_text()) > len(stopped)


def test_one_column_is_written_anew_and_each_keeps_its_own_line(page: Page, server: ModelServer) -> None:
    open_playground(page, 1, 2)
    send(page, "First")
    expect(answers(page, 1)).to_contain_text("after 1 messages")
    before = len(server.requests)
    act(page, 1, "Regenerate")
    expect(page.locator("#h-pg-send")).to_be_visible()
    deadline = time.monotonic() + 30
    while len(server.requests) == before and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert [one["model"] for one in server.requests[before:]] == ["model-2"]
    expect(page.locator("#h-pg-send")).to_be_visible()
    expect(answers(page, 0)).to_contain_text("model-1 answers")

    send(page, "Second")
    expect(answers(page, 1).last).to_contain_text("after 3 messages")
    own_lines = {one["model"]: one["messages"][1]["content"].split()[0] for one in server.requests[-2:]}
    assert own_lines == {"model-1": "model-1", "model-2": "model-2"}


def test_editing_an_earlier_prompt_begins_a_branch_with_a_link_back(page: Page, server: ModelServer) -> None:
    open_playground(page, 1, 2)
    send(page, "A first question")
    expect(answers(page, 1)).to_contain_text("after 1 messages")
    send(page, "A second question")
    expect(answers(page, 1).last).to_contain_text("after 3 messages")
    origin = page.url
    asked = column(page, 0).locator(".h-pg-earlier .h-pg-asked").first
    asked.hover()
    asked.get_by_role("button", name="Edit").click()
    sheet = page.get_by_role("dialog")
    expect(sheet.get_by_label("Prompt")).to_have_value("A first question")
    sheet.get_by_label("Prompt").fill("Something else")
    sheet.get_by_role("button", name="Send as a branch").click()
    expect(answers(page, 1).last).to_contain_text("model-2 answers “Something else”")
    expect(answers(page, 1)).to_have_count(1)
    assert page.url != origin
    page.locator(".h-pg-descent").get_by_role("link", name="A first question").click()
    expect(answers(page, 0)).to_have_count(2)
    expect(page.locator(".h-pg-descent")).to_contain_text("1 branch: Something else")


def test_tokens_show_what_the_model_saw_and_another_token_begins_a_branch(page: Page, server: ModelServer) -> None:
    open_playground(page, 1)
    send(page, "Tell me")
    expect(answers(page, 0)).to_contain_text("after 1 messages")
    origin = page.url
    act(page, 0, "Tokens")
    sheet = page.get_by_role("dialog")
    expect(sheet.locator(".h-tokens .h-special").first).to_be_visible()
    expect(sheet.locator("[title='id 2']")).to_have_text("Tell me")
    token = sheet.locator(".h-scored button").nth(1)
    expect(token).to_have_text("answers ")
    token.click()
    expect(sheet.locator(".h-alternatives")).to_contain_text("20.0 %")
    expect(sheet.get_by_role("button", name="end of the answer")).to_be_disabled()
    sheet.get_by_role("button", name="another␣").click()
    expect(answers(page, 0)).to_have_text("model-1 another and carried on.")
    assert page.url != origin
    assert server.requests[-1]["messages"][-1] == {"role": "assistant", "content": "model-1 another "}


def test_every_answer_is_scored_under_every_model_and_two_are_compared(page: Page) -> None:
    open_playground(page, 1, 2)
    send(page, "Score me")
    expect(answers(page, 1)).to_contain_text("after 1 messages")
    page.get_by_role("button", name="Scores").click()
    sheet = page.get_by_role("dialog")
    expect(sheet.locator("tbody tr")).to_have_count(2)
    # 8 tokens each: the own answer costs 0.4 nats, the other's 12.
    expect(sheet.locator("tbody tr").nth(1)).to_contain_text("margin +23.20")
    expect(sheet).to_contain_text("model-2 finds answer 2 likelier than answer 1, by a factor of 109,098")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Differences").click()
    expect(sheet.locator(".h-differences del")).to_have_text("1")
    expect(sheet.locator(".h-differences ins")).to_have_text("2")
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Score live").click()
    live = page.locator(".h-pg-live")
    expect(live.locator("tbody tr").nth(1)).to_contain_text("margin +23.20")
    send(page, "And again")
    expect(answers(page, 1).last).to_contain_text("after 3 messages")
    expect(live).to_contain_text("model-2 finds answer 2")
    page.reload()
    expect(live.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Score live").click()
    expect(live).to_be_hidden()


def test_examples_are_sent_as_turns_in_growing_numbers(page: Page, server: ModelServer) -> None:
    open_playground(page, 1)
    page.locator(".h-pg-examples > summary").click()
    for number in range(2):
        page.get_by_role("button", name="Add example").click()
        page.get_by_label("Example prompt").last.fill(f"Question {number}")
        page.get_by_label("Example answer").last.fill(f"Answer {number}")
    expect(column(page, 0)).to_contain_text("with 2 examples of 2")
    page.get_by_role("button", name="Compare 0, 1, 2, 5").click()
    expect(column(page, 2)).to_contain_text("with 2 examples of 2")
    expect(column(page, 0)).to_contain_text("with 0 examples of 2")
    send(page, "And now?")
    for number in range(3):
        expect(answers(page, number)).to_contain_text(f"after {1 + 2 * number} messages")
    page.reload()
    expect(column(page, 1)).to_contain_text("with 1 example of 2")
    expect(page.get_by_label("Example prompt").first).to_have_value("Question 0")


def test_a_preset_brings_the_settings_back(page: Page) -> None:
    open_playground(page, 1)
    page.get_by_label("System prompt").fill("Answer in rhyme.")
    page.get_by_label("Temperature").fill("0.1")
    page.locator("#h-pg-preset input").fill("rhymes")
    page.locator("#h-pg-preset input").press("Enter")
    page.get_by_role("button", name="Save preset").click()
    page.wait_for_timeout(500)
    page.reload()
    expect(page.locator("#h-pg-send")).to_be_enabled()
    page.get_by_label("System prompt").fill("")
    page.locator("#h-pg-preset input").click()
    page.get_by_role("option", name="rhymes").click()
    expect(page.get_by_label("System prompt")).to_have_value("Answer in rhyme.")
    expect(page.get_by_label("Temperature")).to_have_value("0.1")


def test_a_conversation_is_found_renamed_exported_and_deleted(page: Page) -> None:
    open_playground(page, 1, 2)
    send(page, "A kingfisher's question")
    expect(answers(page, 1)).to_contain_text("after 1 messages")
    page.get_by_label("Search conversations").fill("KINGFISHER")
    items = page.locator(".h-pg-history li")
    expect(items).to_have_count(1)
    items.first.hover()
    items.first.get_by_role("button", name="Rename").click()
    page.get_by_role("dialog").get_by_label("Title").fill("Birds / rivers")
    page.get_by_role("button", name="Save title").click()
    expect(items.first).to_contain_text("Birds / rivers")

    with page.expect_download() as download:
        page.get_by_role("link", name="JSONL").click()
    assert download.value.suggested_filename == "Birds-rivers.jsonl"
    lines = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert [line["model"] for line in lines] == ["model-1", "model-2"]
    assert [one["role"] for one in lines[0]["messages"]] == ["user", "assistant"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Markdown").click()
    assert "### model-2" in Path(download.value.path()).read_text()

    items.first.hover()
    items.first.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete conversation").click()
    expect(page).to_have_url(re.compile("/playground$"))
    expect(page.locator("#h-pg-send")).to_be_enabled()
    page.get_by_label("Search conversations").fill("kingfisher")
    expect(page.locator("#h-pg-past")).to_contain_text("No conversation has “kingfisher” in it.")


def test_an_edited_answer_and_a_preference_are_kept_as_rows_to_train_on(page: Page) -> None:
    open_playground(page, 1, 2)
    send(page, "Teach me")
    expect(answers(page, 1)).to_contain_text("after 1 messages")
    sheet = page.get_by_role("dialog")

    def keep(answer: str, kind: str, dataset: str) -> None:
        act(page, 0, "Edit and keep")
        sheet.get_by_label("The answer as it should be").fill(answer)
        sheet.get_by_label(kind).check()
        sheet.get_by_label("Dataset").fill(dataset)
        sheet.get_by_role("button", name="Add to dataset").click()

    keep("A better answer.", "an instruction row", "lessons")
    expect(sheet).to_contain_text("Added to lessons: version 1 has 1 instruction row.")
    sheet.get_by_role("button", name="Done").click()
    keep("A better answer.", "a preference pair", "lessons")
    expect(sheet.get_by_role("alert")).to_contain_text("holds instruction rows, and this is a preference row")
    sheet.get_by_label("Dataset").fill("choices")
    sheet.get_by_role("button", name="Add to dataset").click()
    expect(sheet).to_contain_text("Added to choices: version 1 has 1 preference row.")
    sheet.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Prefer one").click()
    sheet.get_by_label("Better").select_option("1")
    sheet.get_by_label("Worse").select_option("0")
    sheet.get_by_label("Dataset").fill("choices")
    sheet.get_by_role("button", name="Add preference pair").click()
    expect(sheet).to_contain_text("version 2 has 2 preference rows")

    with reading() as session:
        version = latest_version(session, "choices")
        assert version is not None
        first, second = datasets.rows_of(version)
    assert first["chosen"] == [{"role": "assistant", "content": "A better answer."}]
    assert first["rejected"][0]["content"].startswith("model-1 answers")
    assert second["chosen"][0]["content"].startswith("model-2 answers")
    assert {"model": "model-2", "rejected_model": "model-1", "turn": 1}.items() <= version.provenance.items()


def test_two_presses_on_send_ask_once_and_markup_stays_text(page: Page, server: ModelServer) -> None:
    open_playground(page, 1)
    before = len(server.requests)
    page.locator("#h-pg-prompt textarea").fill(HOSTILE)
    page.locator("#h-pg-send").dblclick()
    expect(answers(page, 0)).to_contain_text("<img src=x")
    page.wait_for_timeout(1000)
    assert len(server.requests) == before + 1
    assert "owned" not in page.title()
    for words in ("Tokens", "Edit and keep"):
        act(page, 0, words)
        expect(page.get_by_role("dialog")).to_contain_text("Close")
        page.keyboard.press("Escape")
    assert "owned" not in page.title()


def test_a_second_window_sees_the_answer_being_written(page: Page, browser: Browser) -> None:
    open_playground(page, 6)
    send(page, "Go on")
    expect(answers(page, 0)).to_contain_text("slow2")
    page.wait_for_url("**/playground?c=*")
    other = page.context.new_page()
    other.goto(page.url)
    expect(answers(other, 0)).to_contain_text("slow60")
    other.get_by_role("button", name="Stop all").click()
    expect(column(other, 0)).to_contain_text("stopped")
    expect(column(page, 0)).to_contain_text("stopped")
    other.close()


def test_a_prompt_of_200_000_characters_is_sent_whole(page: Page, server: ModelServer) -> None:
    open_playground(page, 1)
    send(page, "long " * 40_000)
    expect(answers(page, 0)).to_contain_text("model-1 answers")
    assert len(server.requests[-1]["messages"][0]["content"]) >= 199_999
    expect(column(page, 0)).to_contain_text("more characters")


def test_a_model_deleted_meanwhile_is_told_and_nothing_is_lost(page: Page) -> None:
    with writing() as session:
        doomed = Model(name="doomed", kind="full", folder="doomed")
        session.add(doomed)
        session.flush()
    open_playground(page, doomed.id)
    with writing() as session:
        session.get_one(Model, doomed.id).deleted_at = doomed.created_at
    send(page, "Are you there?")
    expect(page.get_by_role("alert").first).to_contain_text(f"no model {doomed.id}")
    expect(page.locator("#h-pg-prompt textarea")).to_have_value("Are you there?")


def test_what_is_being_typed_outlives_a_reload(page: Page) -> None:
    open_playground(page, 1)
    page.locator("#h-pg-prompt textarea").fill("half a thought")
    page.reload()
    expect(page.locator("#h-pg-prompt textarea")).to_have_value("half a thought")


def test_the_playground_fits_a_phone(browser: Browser, address: str) -> None:
    context = browser.new_context(base_url=address, viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    open_playground(page, 1, 2)
    send(page, "On a phone")
    expect(answers(page, 1)).to_contain_text("after 1 messages")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator("#h-pg-send").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 844
    act(page, 0, "Edit and keep")
    sheet = page.get_by_role("dialog").bounding_box()
    assert sheet is not None
    assert sheet["x"] >= 0
    assert sheet["x"] + sheet["width"] <= 390
    context.close()
