"""Jobs that make rows: tiny models and a server elsewhere write and rank, and go on after a crash."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.asking.access import EndpointAccess, variable_of
from pipeline.asking.endpoint import EndpointFailed
from pipeline.context import Context
from pipeline.errors import BadData, Stopped
from pipeline.events import Event
from pipeline.recipes import generate, pairs
from pipeline.recipes.generate import TRIES_FILE, GenerateSpec
from pipeline.recipes.pairs import ANSWERS_FILE, RANKINGS_FILE, PairsSpec
from store import attempts, datasets, endpoints, fleet, jobs
from store.attempts import Claim
from store.database import reading, writing
from store.schema import JobState
from store.settings import settings
from tests.fake_openai import KEY, FakeOpenAI, fake_openai
from tests.real_jobs import add_rows
from tests.tiny_models import make_base, teach
from workers.attempt import run_attempt

SAYINGS = [
    "Question: Who bakes?\nAnswer: Mara.",
    "Question: Why hens?\nAnswer: Eggs.",
    "Question: Where?\nAnswer: Here.",
    "Question: It is so.",
]
ASKED = "Say it.\nQuestion: Q\nAnswer: A"
"""What one seed task makes of a template."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It says one of `SAYINGS` to what the tests ask."""
    folder = make_base(tmp_path_factory.mktemp("model"))
    return teach(folder, [ASKED, *(f"Seed {n}?" for n in range(4))], SAYINGS)


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    rows = [
        {"messages": [{"role": "user", "content": f"Seed {n}?"}, {"role": "assistant", "content": f"Yes, {n}."}]}
        for n in range(4)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def context_in(folder: Path, events: list[Event] | None = None) -> Context:
    for name in ("out", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    heard = events if events is not None else []
    return Context(out=folder / "out", checkpoints=folder / "checkpoints", report=heard.append)


def rows_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def crash_within(source: Path, checkpoints: Path, name: str, num_lines: int) -> None:
    """Leave so many whole lines of a file, and half of the next."""
    lines = (source / name).read_bytes().splitlines(keepends=True)
    (checkpoints / name).write_bytes(b"".join(lines[:num_lines]) + lines[num_lines][:9])


def writing_spec(model: Path | str, seeds: Path, **values: Any) -> GenerateSpec:
    asked = {"seed_template": "Say it.\n{examples}", "num_examples": 1, "max_tokens": 40, "seed": 3} | values
    return GenerateSpec(model=str(model), dataset=str(seeds), **asked)


def test_a_model_of_ours_writes_rows_and_an_attempt_after_a_crash_makes_the_same(
    model: Path, seeds: Path, tmp_path: Path
) -> None:
    seeds.write_text(
        json.dumps({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]})
    )
    spec = writing_spec(model, seeds, num_rows=3, max_tries=20)
    first = context_in(tmp_path / "first")
    summary = generate.run(spec, first)
    rows = rows_in(first.out)
    assert len(rows) == summary["rows"] == 3
    assert {row["messages"][0]["content"] for row in rows} == {"Who bakes?", "Why hens?", "Where?"}
    assert sum(summary["dropped"].values()) == summary["tries"] - 3
    meta = rows[0]["meta"]
    assert meta["model"]["weights_sha256"]
    assert meta["from"] == {"dataset": tmp_path.name, "rows": [0]}
    report = json.loads((first.out / "report.json").read_text())
    assert (report["num_rejected"], report["reasons"]) == (summary["tries"] - 3, summary["dropped"])

    second = context_in(tmp_path / "second")
    crash_within(first.checkpoints, second.checkpoints, TRIES_FILE, 2)
    generate.run(spec, second)
    assert (second.out / "rows.jsonl").read_bytes() == (first.out / "rows.jsonl").read_bytes()


def test_where_nothing_can_be_kept_the_reasons_are_told(model: Path, seeds: Path, tmp_path: Path) -> None:
    spec = writing_spec(model, seeds, num_rows=1, max_tries=3, max_tokens=8, document_template="{passage}")
    with pytest.raises(BadData, match=r"None of 3 tries made a row: .+ times"):
        generate.run(spec, context_in(tmp_path / "job"))


def test_a_stopped_job_makes_nothing_and_keeps_what_is_written(model: Path, seeds: Path, tmp_path: Path) -> None:
    for run, spec in (
        (generate.run, writing_spec(model, seeds)),
        (pairs.run, PairsSpec(model=str(model), dataset=str(seeds), judge_model=str(model))),
    ):
        context = context_in(tmp_path / spec.__class__.__name__)
        context.stop.request("cancel")
        with pytest.raises(Stopped):
            run(spec, context)  # type: ignore[operator]
        assert list(context.out.iterdir()) == []


@pytest.mark.parametrize("ranked_by", ["judge", "implicit_reward"])
def test_answers_are_ranked_by_models_of_ours_and_a_crash_costs_nothing(
    model: Path, seeds: Path, tmp_path: Path, ranked_by: str
) -> None:
    other = make_base(tmp_path / "other", seed=7)
    spec = PairsSpec(
        model=str(model),
        dataset=str(seeds),
        ranked_by=ranked_by,
        judge_model=str(model),
        reference_model=str(other),
        num_answers=4,
        max_tokens=40,
        min_probability=0.5,
        judge_template="{question}{answer_a}{answer_b}",
    )
    first = context_in(tmp_path / "first")
    summary = pairs.run(spec, first)
    rows = rows_in(first.out)
    assert summary["rows"] == len(rows) == 4 - sum(summary["dropped"].values())
    for row in rows:
        assert row["chosen"] != row["rejected"]
        assert 0.5 < row["meta"]["probability"] <= 1
        assert row["meta"]["margin"] > 0
        assert row["meta"]["judge"]["kind"] == ranked_by
    answers = [json.loads(line) for line in (first.checkpoints / ANSWERS_FILE).read_text().splitlines()]
    assert len(answers) == 4 * 4

    second = context_in(tmp_path / "second")
    (second.checkpoints / ANSWERS_FILE).write_bytes((first.checkpoints / ANSWERS_FILE).read_bytes())
    crash_within(first.checkpoints, second.checkpoints, RANKINGS_FILE, 2)
    pairs.run(spec, second)
    assert (second.out / "rows.jsonl").read_bytes() == (first.out / "rows.jsonl").read_bytes()


# ---------------------------------------------------------------------------------------------------------- elsewhere


SHOWN = re.compile(r"Answer A:\n(.*)\n\nAnswer B:\n(.*)\n\n", re.DOTALL)
"""The two answers that a judge is shown."""


def say(text: str) -> str:
    """A judge prefers what is longer; otherwise a new question about what was shown."""
    if judged := SHOWN.search(text):
        return "A" if len(judged[1]) > len(judged[2]) else "B"
    if text.endswith("?"):
        return f"I was asked {text[-6:]}"
    number = sum(map(ord, text)) % 97
    return f"Question: What of number {number} and {number * 7}?\nAnswer: It is {number}."


@pytest.fixture
def elsewhere() -> Iterator[FakeOpenAI]:
    with fake_openai(say) as server:
        os.environ[variable_of(1)] = access_to(server)
        yield server
        os.environ.pop(variable_of(1), None)


def must_claim() -> Claim:
    with writing() as session:
        fleet.beat(session, worker_id="w", name="w", machine="box", devices=[{"id": "w/cpu-0"}])
        claimed = attempts.claim(session, worker_id="w", worker_name="w", free={"w/cpu-0": "CPU"}, most_slots=1)
    assert claimed is not None
    return claimed


def access_to(server: FakeOpenAI, key: str = KEY) -> str:
    return EndpointAccess(name="Elsewhere", base_url=server.address, key=key).model_dump_json()


def test_an_endpoint_that_is_busy_for_a_moment_is_asked_again(
    elsewhere: FakeOpenAI, seeds: Path, tmp_path: Path
) -> None:
    elsewhere.statuses = [429, 503]
    context = context_in(tmp_path / "job")
    summary = generate.run(writing_spec("endpoint:1#big", seeds, num_rows=4, most_alike=1), context)
    assert summary["rows"] == 4
    assert rows_in(context.out)[0]["meta"]["model"] == {"name": "big", "endpoint": "Elsewhere"}
    assert {request["model"] for request in elsewhere.requests} == {"big"}


def test_a_model_that_keeps_to_no_form_answers_its_own_question_apart(elsewhere: FakeOpenAI, tmp_path: Path) -> None:
    notes = tmp_path / "rows.jsonl"
    notes.write_text("".join(json.dumps({"text": f"Note {n}."}) + "\n" for n in range(3)))
    context = context_in(tmp_path / "job")
    generate.run(writing_spec("endpoint:1#big", notes, num_rows=3, most_alike=1, answered="apart"), context)
    for row in rows_in(context.out):
        question, answer = (message["content"] for message in row["messages"])
        assert answer == f"I was asked {question[-6:]}"
        assert "Note" not in question
    asked = [request["messages"][0]["content"] for request in elsewhere.requests]
    assert any(re.fullmatch(r"Note \d\.\n\nWhat of number .*\?", text) for text in asked)


def test_a_wrong_key_ends_the_job_and_is_not_repeated(elsewhere: FakeOpenAI, seeds: Path, tmp_path: Path) -> None:
    os.environ[variable_of(1)] = access_to(elsewhere, key="sk-wrong-key")
    with pytest.raises(EndpointFailed, match="status 401: Wrong key: Bearer …") as failure:
        generate.run(writing_spec("endpoint:1#big", seeds), context_in(tmp_path / "job"))
    assert "sk-wrong-key" not in str(failure.value)
    assert elsewhere.address not in str(failure.value)


def test_a_judge_elsewhere_is_asked_in_both_orders(
    elsewhere: FakeOpenAI, model: Path, seeds: Path, tmp_path: Path
) -> None:
    spec = PairsSpec(model=str(model), dataset=str(seeds), judge_model="endpoint:1#big", max_tokens=40, num_answers=3)
    context = context_in(tmp_path / "job")
    summary = pairs.run(spec, context)
    for row in rows_in(context.out):
        assert len(row["chosen"][0]["content"]) > len(row["rejected"][0]["content"])
        assert row["meta"]["probability"] == 1
    assert summary["rows"]
    asked = [request["messages"][0]["content"] for request in elsewhere.requests]
    pairs_asked = {shown.groups() for text in asked if (shown := SHOWN.search(text))}
    assert pairs_asked == {(second, first) for first, second in pairs_asked}


def test_a_job_asks_an_endpoint_and_leaves_neither_key_nor_address_behind(
    elsewhere: FakeOpenAI, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONE_WARM_START", "0")
    settings.cache_clear()
    texts = add_rows(home, "notes", "text", [{"text": f"Note number {n} is about hens."} for n in range(5)])
    with writing() as session:
        endpoint = endpoints.add_endpoint(session, name="Elsewhere", base_url=elsewhere.address, key=KEY)
        (model,) = endpoints.add_models(session, endpoint.id, ["org/big"])
        values = {"model": f"model:{model.id}", "dataset": f"dataset:{texts}", "num_rows": 3, "most_alike": 1}
        job_id = jobs.submit(session, "generate", values).id
    claimed = must_claim()
    assert KEY not in repr(claimed)
    run_attempt(claimed, [], threading.Event())
    with reading() as session:
        job = jobs.load_job(session, job_id)
        assert (job.state, job.error_message) == (JobState.SUCCEEDED, None)
        assert job.summary is not None
        version = datasets.get_version(session, job.summary["dataset_version"])
    assert version.kind == "instruction"
    assert [row["meta"]["from"]["dataset"] for row in datasets.rows_of(version)] == [b"notes".hex().ljust(64, "0")] * 3
    for file in (path for path in home.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert KEY.encode() not in content, file
        if not file.name.startswith("hone.db"):
            assert elsewhere.address.encode() not in content, file


def test_a_job_whose_endpoint_is_gone_fails_and_says_so(home: Path) -> None:
    texts = add_rows(home, "notes", "text", [{"text": "A note."}])
    with writing() as session:
        endpoint = endpoints.add_endpoint(session, name="Elsewhere", base_url="http://127.0.0.1:9/v1", key=KEY)
        (model,) = endpoints.add_models(session, endpoint.id, ["big"])
        job_id = jobs.submit(session, "generate", {"model": f"model:{model.id}", "dataset": f"dataset:{texts}"}).id
    claimed = must_claim()
    with writing() as session:
        endpoints.get_endpoint(session, endpoint.id).deleted_at = endpoint.created_at
    run_attempt(claimed, [], threading.Event())
    with reading() as session:
        job = jobs.get_job(session, job_id)
    assert job.state == JobState.FAILED
    assert "There is no endpoint" in (job.error_message or "")
