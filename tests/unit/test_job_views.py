"""What a job's page says, and what its record can never write into it."""

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.recipes import Chart, Recipe
from pipeline.spec import Spec
from store.schema import Job, JobState, LogEntry
from store.waiting import Prospect
from webapp.jobs.views import jobs_table, pager, seconds_left
from webapp.jobs.views_job import job_charts, job_header, job_side, log_view, summary_value

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
RECIPE = Recipe(
    name="sft", title="Fine-tune", summary="", verb="Start", spec=Spec, run=lambda spec, context: {},
    charts=(Chart("Loss", ("loss", "eval_loss")), Chart("Memory", ("memory_gib",))),
)  # fmt: skip


def job(state: JobState, **values: object) -> Job:
    made: dict[str, object] = {
        "id": 7, "name": "sft-7", "recipe": "sft", "spec": {}, "state": state, "created_at": NOW - timedelta(minutes=9),
        "epoch": 1, "step": 0, "total_steps": 0, "unit": "steps", "first_step": 0, "phase": "", "summary": {},
        "datasets": [], "attempts": [], "num_slots": 1, "priority": 0,
    }  # fmt: skip
    return Job(**(made | values))


def test_time_left_is_counted_from_the_pace_of_this_attempt() -> None:
    # 40 steps in 80 seconds since the attempt began at step 100: the 60 that are left take 120 seconds.
    resumed = job(
        JobState.RUNNING, step=140, total_steps=200, first_step=100, first_step_at=NOW - timedelta(seconds=80)
    )
    assert seconds_left(resumed, NOW) == pytest.approx(120)


def test_time_left_is_unknown_before_the_second_step_and_after_the_end() -> None:
    assert seconds_left(job(JobState.RUNNING, step=1, first_step=1, total_steps=9, first_step_at=NOW), NOW) is None
    assert seconds_left(job(JobState.FAILED, step=5, total_steps=9, first_step_at=NOW), NOW) is None


@pytest.mark.parametrize(
    ("made", "num_ahead", "sentence"),
    [
        (job(JobState.QUEUED), 3, "Waits for a worker; 3 jobs before it."),
        (job(JobState.QUEUED), 0, "Next in the queue"),
        (
            job(JobState.RUNNING, phase="Saving", started_at=NOW - timedelta(seconds=48)),
            0,
            "Saving, for 48\u00a0s so far.",
        ),
        (job(JobState.RUNNING, phase="Training", epoch=2, started_at=NOW), 0, "attempt 2, resumed from its checkpoint"),
        (job(JobState.RUNNING, stop_requested="cancel", started_at=NOW), 0, "Stopping: it ends with the step"),
        (job(JobState.CANCELLED, finished_at=NOW), 0, "Taken out of the queue before it started."),
        (job(JobState.CANCELLED, started_at=NOW, finished_at=NOW), 0, "Its last checkpoint is kept"),
    ],
)
def test_the_header_says_in_a_sentence_what_the_job_does(made: Job, num_ahead: int, sentence: str) -> None:
    assert sentence in job_header(made, RECIPE, prospect(num_ahead=num_ahead), NOW)


def prospect(*, num_ahead: int = 0, is_paused: bool = False, most_slots: int = 1) -> Prospect:
    return Prospect(num_ahead, is_paused, most_slots)


@pytest.mark.parametrize(
    ("made", "what_comes", "sentence"),
    [
        (job(JobState.QUEUED), prospect(is_paused=True), "The queue is paused"),
        (job(JobState.QUEUED), prospect(most_slots=0), "No worker is there"),
        (job(JobState.QUEUED, num_slots=4), prospect(most_slots=2), "It needs 4 devices on one machine"),
        (job(JobState.QUEUED, after_job=job(JobState.RUNNING, name="first")), prospect(), "has succeeded"),
        (job(JobState.QUEUED, after_job=job(JobState.FAILED, name="first")), prospect(), "is failed; it goes on when"),
    ],
)
def test_a_waiting_job_says_what_it_waits_for(made: Job, what_comes: Prospect, sentence: str) -> None:
    assert sentence in job_header(made, RECIPE, what_comes, NOW)


def test_a_failed_job_says_why_and_what_to_do() -> None:
    failed = job(
        JobState.FAILED,
        started_at=NOW,
        finished_at=NOW,
        error_message="Out of <memory>.",
        error_advice="Halve the batch.",
    )
    drawn = job_header(failed, RECIPE, prospect(), NOW)
    assert "Out of &lt;memory&gt;." in drawn
    assert "Halve the batch." in drawn
    assert "Run again with changes" in drawn


def test_charts_wait_for_numbers_and_then_only_those_with_numbers_stay() -> None:
    waiting = job_charts(RECIPE, {}, has_ended=False)
    assert waiting.count("<figure") == 2
    assert job_charts(RECIPE, {"loss": [(1, 2.0), (2, 1.0)]}, has_ended=False).count("<figure") == 1
    assert job_charts(RECIPE, {}, has_ended=True) == ""


def test_a_search_marks_what_it_found_and_nothing_else_becomes_markup() -> None:
    line = LogEntry(job_id=7, epoch=1, seq=1, at=NOW, level="info", text="<b>Loss</b> 1.2")
    assert "&lt;b&gt;<mark>Loss</mark>&lt;/b&gt; 1.2" in log_view([line], "loss")
    assert "No line has “&lt;i&gt;” in it." in log_view([], "<i>")


def test_a_hostile_name_is_text_in_the_table() -> None:
    assert "<script>" not in jobs_table([job(JobState.QUEUED, name="<script>alert(1)</script>")], NOW)


def test_ten_thousand_jobs_are_read_page_by_page() -> None:
    middle = pager(10_000, 50, 50, {"state": "failed"})
    assert "51 to 100 of 10\u202f000 jobs" in middle
    assert 'href="/jobs?state=failed&amp;offset=0"' in middle
    assert 'href="/jobs?state=failed&amp;offset=100"' in middle
    assert "Older" not in pager(10_000, 9_950, 50, {})
    assert pager(0, 0, 50, {}) == ""


def test_closing_figures_have_the_unit_of_their_name() -> None:
    assert summary_value("size_after_bytes", 21_300_000) == "21.3\u00a0MB"
    assert summary_value("training_seconds", 200) == "3\u00a0min 20\u00a0s"
    assert summary_value("perplexity", 10.12345) == "10.12"
    assert summary_value("note", "<b>") == "&lt;b&gt;"


def test_a_job_that_made_rows_leads_to_them_and_tells_what_was_dropped() -> None:
    summary = {"rows": 97, "dropped": {"too like <b>": 3}, "dataset_version": 12}
    made = job(JobState.SUCCEEDED, recipe="generate", started_at=NOW, finished_at=NOW, summary=summary)
    side = job_side(made, NOW)
    assert '<a href="/dataset?id=12">97 rows</a>' in side
    assert 'href="/review?id=12"' in side
    assert "3 × too like &lt;b&gt;" in side
    assert "Dataset version" not in side
    assert 'made <a href="/dataset?id=12">' in jobs_table([made], NOW)
