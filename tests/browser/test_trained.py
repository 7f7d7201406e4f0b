"""What is trained, in a real browser: a row's tokens from a real tokenizer, a length that cuts them, and measuring."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.data.importing import import_rows
from store import datasets, jobs
from store.database import reading, writing
from store.settings import settings
from tests.browser.web_process import PATIENCE, web_process
from tests.integration.test_inference_server import start_server
from tests.tiny_models import make_base

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}"
    "{% endgeneration %}{% else %}{{ m.content }}: {% endif %}{% endfor %}"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The web process beside a real inference server with one tiny model, over a dataset of two rows."""
    base = make_base(tmp_path_factory.mktemp("model") / "base", chat_template=TEMPLATE, hidden=32)
    process, server = start_server(tmp_path_factory.mktemp("served"), "--model", f"base-1={base}")
    home = tmp_path_factory.mktemp("trained")
    try:
        with web_process(home, inference_port=int(server.rpartition(":")[2]), models=["base-1"]) as address:
            yield f"{address}?id={_add_rows()}"
    finally:
        process.terminate()
        process.wait(20)


def _add_rows() -> int:
    """Returns the id of the version."""
    rows = [
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
        for question, answer in (("Why?", "So."), ("<b>Who</b>?", "Me & you."))
    ]
    folder = settings().home / "uploads" / "rows"
    folder.parent.mkdir(parents=True, exist_ok=True)
    import_rows(rows, "two rows", folder, kind="instruction")
    with writing() as session:
        return datasets.add_version(session, folder, name="two rows").version.id


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(base_url=address.partition("?")[0], viewport={"width": 390, "height": 844})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def test_a_row_is_shown_token_by_token_and_the_whole_set_is_measured_by_a_job(page: Page, address: str) -> None:
    version = address.partition("=")[2]
    expect.set_options(timeout=PATIENCE)
    page.goto(f"/trained?id={version}")
    tokens = page.locator(".h-tt")
    expect(tokens).to_contain_text("So.<|im_end|>")
    expect(page.locator(".h-tt-trained > span")).to_have_text(["S", "o", ".", "<|im_end|>"])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.get_by_role("button", name="Next").click()
    expect(tokens).to_contain_text("<b>Who</b>?: ")
    page.get_by_label("Maximum length").fill("15")
    page.get_by_label("Maximum length").press("Enter")
    expect(page.locator(".h-tt-cut > span")).to_have_text([*" & you.", "<|im_end|>"])
    expect(page).to_have_url(f"/trained?id={version}&model=1&length=15&row=2")
    page.reload()
    expect(page.locator(".h-tt-run.h-tt-cut")).to_be_visible()

    page.get_by_role("button", name="One that is cut").click()
    expect(page.get_by_text("is known once lengths are measured")).to_be_visible()
    page.get_by_role("button", name="Measure lengths").click()
    expect(page.get_by_text("Waits for a worker.")).to_be_visible()
    with reading() as session:
        (job,), _ = jobs.list_jobs(session, recipe="lengths")
        assert (job.recipe, job.spec["max_length"], job.spec["dataset"]) == ("lengths", 15, f"dataset:{version}")

    page.goto(f"/train?recipe=sft&model=model:1&dataset=dataset:{version}")
    expect(page.locator(".h-tt-run.h-tt-trained").first).to_be_visible()
    expect(page.get_by_text("estimated from 2 rows").or_(page.get_by_text("counted on every row"))).to_be_visible()
