"""Making and reviewing data in a real browser: the keys decide, and an edit that cannot be kept loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.data.importing import import_rows
from store import datasets, jobs, reviews
from store.database import reading, writing
from store.schema import DatasetVersion
from store.settings import settings
from tests.browser.web_process import PATIENCE, web_process

HOSTILE = "<img src=x onerror=\"document.title='broken'\">"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with web_process(tmp_path_factory.mktemp("review"), inference_port=9, models=["writer"]) as address:
        yield address  # nobody works here: jobs wait in the queue


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(base_url=address, viewport={"width": 390, "height": 800})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def keep_pairs(count: int) -> DatasetVersion:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Question {number}? {HOSTILE}"}],
            "chosen": [{"role": "assistant", "content": f"Good {number}."}],
            "rejected": [{"role": "assistant", "content": f"Bad {number}."}],
        }
        for number in range(1, count + 1)
    ]
    folder: Path = settings().home / "import"
    import_rows(rows, "pairs", folder, kind="preference")
    with writing() as session:
        return datasets.add_version(session, folder, name="pairs").version


def test_a_dataset_is_reviewed_by_the_keyboard_on_a_telephone(page: Page, address: str) -> None:
    version = keep_pairs(4)
    page.goto(f"/review?id={version.id}")
    row = page.locator(".h-review-row")
    progress = page.locator(".h-review-progress")

    expect(row).to_contain_text("Good 1.")
    page.keyboard.press("a")
    expect(row).to_contain_text("Good 2.")
    page.keyboard.press("r")
    expect(row).to_contain_text("Good 3.")
    expect(progress).to_contain_text("2 of 4 decided")

    page.keyboard.press("e")
    answer = row.locator("textarea[data-part='chosen.0.content']")
    answer.fill("Bad 3.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("`chosen` and `rejected` are identical")
    expect(answer).to_have_value("Bad 3.")
    answer.fill(f"Better 3. {HOSTILE}")
    page.keyboard.press("Control+Enter")
    expect(row).to_contain_text("Good 4.")

    page.keyboard.press("u")
    expect(row).to_contain_text("Good 3.")
    page.keyboard.press("ArrowRight")
    expect(row).to_contain_text("Good 4.")
    page.keyboard.press("a")
    page.get_by_role("button", name="Accepted 2").click()
    expect(row).to_contain_text("Accepted")
    expect(row).to_contain_text("Good 1.")

    assert page.title() != "broken"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Keep the 2 accepted rows as a version").click()
    page.wait_for_url("**/dataset?id=*")
    with reading() as session:
        kept = datasets.get_version(session, int(page.url.split("=")[-1]))
        counts = reviews.count(session, version)
    assert [one["chosen"][0]["content"] for one in datasets.rows_of(kept)] == ["Good 1.", "Good 4."]
    assert (counts.accepted, counts.edited, counts.rejected) == (2, 0, 1)


def test_what_will_be_asked_is_shown_and_a_job_is_launched(page: Page, address: str) -> None:
    folder = settings().home / "import"
    import_rows([{"text": f"Hens sleep in the barn. {HOSTILE}"}], "notes", folder, kind="text")
    with writing() as session:
        version = datasets.add_version(session, folder, name="notes").version
    page.goto(f"/make?recipe=generate&dataset=dataset:{version.id}")
    asked = page.locator(".h-make-asked")
    expect(asked).to_contain_text("Hens sleep in the barn.")
    expect(page.get_by_label("Seed template")).to_be_hidden()
    page.get_by_label("Document template").fill("Say something.")
    expect(page.get_by_role("alert").first).to_contain_text("The template has no {passage}")
    page.get_by_label("Document template").fill("Ask about this: {passage}")
    expect(asked).to_contain_text("Ask about this: Hens sleep in the barn.")
    page.get_by_role("button", name="Write rows").dblclick()
    page.wait_for_url("**/job?id=*")
    with reading() as session:
        launched, total = jobs.list_jobs(session, recipe="generate")
    assert total == 1
    assert launched[0].spec["dataset"] == f"dataset:{version.id}"
    assert page.title() != "broken"
