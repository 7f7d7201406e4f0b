"""The rows browser and the versions page, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.data.importing import import_rows
from store import datasets
from store.database import writing
from store.settings import settings
from tests.browser.web_process import PATIENCE, web_process

NUM_ROWS = 12_000
ANSWERS = ("Yes.", "It depends on the weather, on the season and on who is asked. " * 12, "No, never.\n\n" * 4)


def talks() -> Iterator[dict[str, Any]]:
    for number in range(1, NUM_ROWS + 1):
        marked = " zebra" if number % 1000 == 0 else ""
        question = f"Question {number}{marked}: is <b>this</b> so?"
        yield {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": ANSWERS[number % len(ANSWERS)]},
            ]
        }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The address of a web process, and the id of a version of `NUM_ROWS` rows on it."""
    home = tmp_path_factory.mktemp("browse") / "home"
    home.mkdir()
    with web_process(home, inference_port=1, models=[]) as address:
        folder = settings().uploads_folder / "talks"
        folder.parent.mkdir(exist_ok=True)
        import_rows(talks(), "talks.jsonl", folder, kind="instruction")
        with writing() as session:
            version = datasets.add_version(session, folder, name="talks").version
        yield address, version.id


@pytest.fixture
def version(served: tuple[str, int]) -> int:
    return served[1]


@pytest.fixture
def page(browser: Browser, served: tuple[str, int]) -> Iterator[Page]:
    context = browser.new_context(base_url=served[0], viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    yield page
    context.close()


def row(page: Page, number: int) -> Any:
    return page.locator(f".h-scroll .h-row[data-row='{number}']")


def test_every_row_is_reached_by_scrolling_by_keys_and_by_its_number(page: Page, version: int) -> None:
    page.goto(f"/dataset?id={version}")
    expect(row(page, 1)).to_contain_text("Question 1: is <b>this</b> so?")
    page.locator(".h-scroll").focus()
    page.keyboard.press("End")
    expect(row(page, NUM_ROWS)).to_be_in_viewport()
    page.keyboard.press("Home")
    expect(row(page, 1)).to_be_in_viewport()
    page.locator(".h-scroll").evaluate("list => list.scrollTop = list.scrollHeight / 2")
    expect(page).to_have_url(re.compile(r"row=(5|6)\d{3}$"))
    page.get_by_label("Go to row").fill("8765")
    page.get_by_label("Go to row").press("Enter")
    expect(row(page, 8765)).to_be_in_viewport()
    page.keyboard.press("Tab")
    page.locator(".h-scroll").focus()
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile("row=8766$"))
    page.reload()
    expect(row(page, 8766)).to_be_in_viewport()
    assert page.locator(".h-scroll .h-row").count() < 200


def test_a_search_is_in_the_address_and_shows_how_many_rows_it_found(page: Page, version: int) -> None:
    page.goto(f"/dataset?id={version}")
    page.get_by_label("Search the rows").fill("zebra")
    expect(page.locator("[data-count]")).to_have_text("12 of 12\u202f000 rows")
    expect(row(page, 1000)).to_be_in_viewport()
    page.get_by_label("Order").select_option("longest")
    expect(page).to_have_url(re.compile("q=zebra&sort=longest"))
    expect(row(page, 1000)).to_be_in_viewport()
    page.reload()
    expect(page.locator("[data-count]")).to_have_text("12 of 12\u202f000 rows")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Characters, at most").fill("60")
    expect(page.locator("[data-count]")).to_have_text("4 of 12\u202f000 rows")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("[data-count]")).to_have_text("12\u202f000 rows")


def test_a_split_shows_what_it_made_and_the_difference_opens_its_rows(page: Page, version: int) -> None:
    page.goto(f"/versions?id={version}")
    page.get_by_role("button", name="Split in two").click()
    train = page.locator(".h-making").get_by_role("link", name="talks train, version 1").get_attribute("href") or ""
    made = page.locator(".h-making").get_by_role("link", name="talks test, version 1")
    made.wait_for()
    made.click()
    page.get_by_role("link", name="Versions").click()
    removed = page.locator(".h-difference", has_text="Removed").get_by_role("link")
    removed.wait_for()
    number = removed.inner_text()
    removed.click()
    expect(page.locator("[data-count]")).to_have_text(f"{number} of 12\u202f000 rows")
    with page.expect_download() as download:
        page.goto(train.replace("/dataset", "/versions"))
        page.get_by_role("link", name="Parquet", exact=True).click()
    assert download.value.suggested_filename == "talks-train-v1.parquet"
    assert Path(download.value.path()).read_bytes()[:4] == b"PAR1"
