"""Preparing answers: a real tiny model answers a set of prompts, and goes on after a crash from what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.context import Context
from pipeline.errors import Stopped
from pipeline.events import Event, Progress
from pipeline.recipes.answer import ANSWERS_FILE, AnswerSpec, run
from tests.tiny_models import make_base


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("model"))


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    asked = [f"Question {n}?" for n in range(5)] + ["far too long " * 100]
    rows = [{"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": ""}]} for text in asked]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def spec_of(model: Path, prompts: Path, **values: Any) -> AnswerSpec:
    return AnswerSpec(model=str(model), dataset=str(prompts), max_tokens=8, **values)


def context_in(folder: Path, events: list[Event]) -> Context:
    for name in ("out", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Context(out=folder / "out", checkpoints=folder / "checkpoints", report=events.append)


def answers_in(folder: Path) -> dict[int, dict[str, Any]]:
    lines = (folder / ANSWERS_FILE).read_text(encoding="utf-8").split("\n")
    return {line["row"]: line for line in map(json.loads, filter(None, lines))}


def test_every_prompt_that_fits_is_answered_and_a_second_attempt_writes_only_what_is_missing(
    model: Path, prompts: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    summary = run(spec_of(model, prompts), context_in(tmp_path / "first", events))
    first = answers_in(tmp_path / "first" / "out")
    assert set(first) == {0, 1, 2, 3, 4}
    assert (summary["answers"], summary["prompts_too_long"]) == (5, 1)
    assert len({line["seed"] for line in first.values()}) == 5
    assert all(line["provenance"]["weights_sha256"] for line in first.values())
    assert [(event.step, event.total_steps) for event in events if isinstance(event, Progress)][-1] == (6, 6)

    # A crash in the middle of the third line.
    written = (tmp_path / "first" / "out" / ANSWERS_FILE).read_bytes()
    lines = written.splitlines(keepends=True)
    second = context_in(tmp_path / "second", [])
    (second.checkpoints / ANSWERS_FILE).write_bytes(b"".join(lines[:2]) + lines[2][:20])
    run(spec_of(model, prompts), second)
    again = answers_in(second.out)
    assert {row: line["seed"] for row, line in again.items()} == {row: line["seed"] for row, line in first.items()}
    kept = [json.loads(line)["row"] for line in lines[:2]]
    assert [again[row] for row in kept] == [first[row] for row in kept]


def test_a_job_that_is_stopped_keeps_what_is_written_and_makes_no_result(
    model: Path, prompts: Path, tmp_path: Path
) -> None:
    context = context_in(tmp_path / "job", [])
    context.stop.request("pause")
    with pytest.raises(Stopped):
        run(spec_of(model, prompts), context)
    assert not (context.out / ANSWERS_FILE).exists()
