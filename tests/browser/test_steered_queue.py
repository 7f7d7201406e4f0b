"""The queue as people steer it: in what order jobs run, what waits for what, and which worker takes none."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from store import jobs, waiting
from store.database import reading, writing
from store.schema import JobState
from tests.browser.conftest import MINUTE

pytestmark = [pytest.mark.usefixtures("record"), pytest.mark.timeout(300)]


@pytest.fixture
def three_waiting() -> list[str]:
    """Jobs behind the first base model, which is being made while these tests run."""
    with reading() as session:
        dataset = jobs.load_job(session, 1).spec["dataset"]
    names = ["first-in-line", "second-in-line", "third-in-line"]
    with writing() as session:
        for name in names:
            jobs.submit(session, "pretrain", {"dataset": dataset}, name=name, idempotency_key=name)
    return names


def waiting_names() -> list[str]:
    with reading() as session:
        return [jobs.get_job(session, job_id).name for job_id in waiting.waiting_ids(session)]


def row(page: Page, name: str) -> Locator:
    return page.locator("tr[data-waiting]").filter(has=page.locator(".h-strong", has_text=re.compile(f"^{name}$")))


def expect_order(page: Page, names: list[str]) -> None:
    expect(page.locator("tr[data-waiting] .h-strong")).to_have_text(names)
    assert waiting_names() == names


def test_jobs_are_moved_by_buttons_and_by_dragging_and_the_queue_is_paused(
    page: Page, three_waiting: list[str]
) -> None:
    first, second, third = three_waiting
    page.goto("/jobs")
    page.get_by_role("button", name="Pause the queue").click()
    expect(page.get_by_text("The queue was paused")).to_be_visible()
    expect_order(page, [first, second, third])
    row(page, third).get_by_label("Run it next").click()
    expect_order(page, [third, first, second])
    row(page, third).get_by_label("Later by one").click()
    expect_order(page, [first, third, second])
    row(page, second).drag_to(row(page, first), target_position={"x": 40, "y": 2})
    expect_order(page, [second, first, third])
    page.get_by_role("button", name="Let the queue go on").click()
    expect(page.get_by_text("The queue was paused")).to_be_hidden()


def test_a_job_is_paused_and_goes_on_from_its_page(page: Page) -> None:
    page.goto("/job?id=1")
    expect(page.locator("svg.h-chart, figure svg").first).to_be_visible(timeout=3 * MINUTE)
    page.get_by_role("button", name="Pause and free the device").click()
    expect(page.get_by_role("button", name="Continue from checkpoint")).to_be_visible(timeout=MINUTE)
    expect(page.locator(".h-chip").filter(has_text="Paused")).to_be_visible()
    page.get_by_role("button", name="Continue from checkpoint").click()
    expect(page.locator(".h-chip").filter(has_text="Queued")).to_be_visible()
    with writing() as session:
        assert jobs.get_job(session, 1).state in (JobState.QUEUED, JobState.RUNNING)


def test_a_chain_is_launched_at_once_and_each_link_waits_for_the_one_before(page: Page) -> None:
    page.goto("/train?recipe=pretrain")
    page.get_by_placeholder("pretrain-…").fill("chain")
    page.get_by_text("Before and after it").click()
    page.get_by_label("Then: Fine-tune").click()
    page.get_by_role("option", name="willowmere-questions v1").click()
    page.get_by_label("Then: Quantize").check()
    page.get_by_role("button", name="Start pre-training").dblclick()
    page.wait_for_url("**/job?id=*")
    page.goto("/jobs")
    expect(row(page, "chain-sft")).to_contain_text("waits until chain has succeeded")
    expect(row(page, "chain-quantize")).to_contain_text("waits until chain-sft has succeeded")
    assert [name for name in waiting_names() if name.startswith("chain")] == ["chain", "chain-sft", "chain-quantize"]


def test_a_worker_is_drained_and_takes_jobs_again(page: Page) -> None:
    page.goto("/workers")
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
    page.get_by_role("button", name="Let it finish").click()
    expect(page.get_by_text("Draining", exact=True)).to_be_visible()
    page.get_by_role("button", name="Take jobs again").click()
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
