"""The Quality page in a real browser: findings are opened and ticked, ticks outlive a reload, rows are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.context import Context
from pipeline.data.importing import import_rows
from pipeline.recipes.inspect import InspectSpec, run
from store import attempts, data_reports, datasets, fleet
from store.database import reading, writing
from store.settings import settings
from tests.browser.web_process import PATIENCE, web_process

HOSTILE = "<img src=x onerror=document.title='owned'>"


def inspected(folder: Path) -> int:
    """A dataset with one copy, one address and one refusal, and its report as a worker leaves it; the version's id."""
    answers = ["It is blue.", "It is blue.", f"Ask jane.roe@acme.org {HOSTILE}", "I cannot help with that.", "Two."]
    rows = [
        {"messages": [{"role": "user", "content": f"Why {max(n, 1)}?"}, {"role": "assistant", "content": answer}]}
        for n, answer in enumerate(answers)
    ]
    import_rows(rows, "rows", folder / "import", kind="instruction")
    with writing() as session:
        version = datasets.add_version(session, folder / "import", name="hens").version
        values = {"dataset": f"dataset:{version.id}"}
        job = data_reports.submit_once(session, "inspect", values, version_id=version.id, person_id=None)
        job.priority = 1  # before what a new installation begins with
        fleet.beat(session, worker_id="w", name="worker", machine="box", devices=[{"id": "w/cpu-0", "name": "CPU"}])
    with writing() as session:
        claim = attempts.claim(session, worker_id="w", worker_name="w", free={"w/cpu-0": "CPU"}, most_slots=1)
    assert claim is not None
    out = settings().reports_folder / f"{job.id}-{claim.epoch}"
    out.mkdir(parents=True)
    run(InspectSpec(**claim.spec), Context(out=out, checkpoints=folder, report=lambda event: None))
    with writing() as session:
        data_reports.register_report(session, job.id, claim.epoch, out.name, {})
    return version.id


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[tuple[Page, int]]:
    folder = tmp_path_factory.mktemp("quality")
    with web_process(folder, inference_port=9, models=[]) as address:
        version_id = inspected(folder)
        context = browser.new_context(base_url=address, viewport={"width": 1440, "height": 900})
        context.set_default_timeout(PATIENCE)
        yield context.new_page(), version_id
        context.close()


def test_rows_are_ticked_kept_over_a_reload_and_left_out_into_the_next_version(opened: tuple[Page, int]) -> None:
    page, version_id = opened
    page.goto(f"/quality?id={version_id}")
    expect(page.locator(".h-finding h3")).to_have_text(["Copies", "E-mail addresses", "Refusals", "HTML left over"])
    expect(page.locator("#h-leave")).to_be_hidden()

    page.get_by_label("Leave out: Copies").check()
    expect(page.locator("#h-leave")).to_have_text("Leave 1 row out into version 2")
    page.locator("[data-command='open:emails']").click()
    expect(page.locator(".h-found-row mark")).to_have_text("jan••••••••••••rg")
    expect(page.locator(".h-found-row")).to_contain_text(HOSTILE)
    page.locator("[data-command='row:2']").check()
    expect(page.locator("#h-leave")).to_have_text("Leave 2 rows out into version 2")

    page.wait_for_url("**also=2**")
    page.reload()
    expect(page.locator("#h-leave")).to_have_text("Leave 2 rows out into version 2")
    expect(page.get_by_label("Leave out: Copies")).to_be_checked()
    page.locator("#h-leave").click()
    expect(page.get_by_text("2 rows of the version before were left out here")).to_be_visible()
    expect(page.locator(".h-left-out li")).to_have_text(
        ["1 row is a copy of an earlier one.", "1 row chosen one by one."]
    )
    assert page.title() == "Quality · Hone"

    made_id = int(page.url.rpartition("id=")[2])
    with reading() as session:
        made = datasets.get_version(session, made_id)
    assert [row["messages"][0]["content"] for row in datasets.rows_of(made)] == ["Why 1?", "Why 3?", "Why 4?"]
    page.get_by_role("link", name="the version before").click()
    expect(page.locator(".h-finding")).to_have_count(4)


def test_a_dataset_that_is_gone_says_so(opened: tuple[Page, int]) -> None:
    page, _ = opened
    page.goto("/quality?id=99")
    expect(page.get_by_text("There is no dataset 99.")).to_be_visible()
    expect(page.locator("#h-inspect")).to_be_hidden()
