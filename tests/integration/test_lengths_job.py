"""Measuring lengths, and the inference server's own routes that show what is trained, on real tiny models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.context import Context
from pipeline.errors import Stopped
from pipeline.events import Event, LogLine, Progress
from pipeline.recipes.lengths import RECIPE, LengthsSpec
from pipeline.training.lengths import NUMBERS_FILE, REPORT_FILE, read_numbers
from store.schema import Model
from tests.integration.test_inference_server import start_server
from tests.tiny_models import make_base
from webapp.data.trained import NotShown, SampledNumbers, TrainedRow, require_tokenizer
from webapp.inference_client import InferenceClient

TEMPLATE = (
    "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('I will not') }}{% endif %}"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}"
    "{% else %}{{ m.content }}: {% endif %}{% endfor %}"
)
ENDLESS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% generation %}{% endgeneration %}"
)


def conversation(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


ROWS = [conversation("Q" * (n % 50), "A" * (n % 7)) for n in range(600)]
ROWS[500] = conversation("no", "never")
"""Of one byte a token: n % 50 + 2 for a question, n % 7 + 1 for an answer with its end."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "base": make_base(folder / "base", chat_template=TEMPLATE, hidden=32),
        "endless": make_base(folder / "endless", chat_template=ENDLESS, hidden=32),
    }


@pytest.fixture(scope="module")
def address(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    named = [part for name, folder in models.items() for part in ("--model", f"{name}={folder}")]
    process, address = start_server(tmp_path_factory.mktemp("home"), *named)
    yield address
    process.terminate()
    process.wait(20)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return file


def context_in(folder: Path, events: list[Event]) -> Context:
    for name in ("out", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Context(out=folder / "out", checkpoints=folder / "checkpoints", report=events.append)


def test_every_row_is_measured_and_one_that_the_template_refuses_is_named(
    models: dict[str, Path], rows: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    context = context_in(tmp_path / "job", events)
    summary = RECIPE.run(LengthsSpec(model=str(models["base"]), dataset=str(rows), max_length=40), context)
    expected = [(n % 50) + 2 + (n % 7) + 1 for n in range(600)]
    expected[500] = 0
    lengths = read_numbers(context.out, "instruction")
    assert lengths.whole.tolist() == expected
    told = json.loads((context.out / REPORT_FILE).read_text(encoding="utf-8"))
    at = told["at"]["40"]
    assert (summary["rows"], summary["rows_refused"], at["rows_cut"]) == (600, 1, sum(e > 40 for e in expected))
    assert told["refused"][0]["row"] == 501
    assert "I will not" in told["refused"][0]["reason"]
    assert at["tokens"] == sum(min(e, 40) for n, e in enumerate(expected) if e and (n % 50) + 2 < 40)
    edges, counts = told["histogram"]
    assert sum(counts) == 599
    assert len(edges) == len(counts) + 1
    assert any(isinstance(event, LogLine) and "Row 501" in event.text for event in events)
    assert [(event.step, event.total_steps) for event in events if isinstance(event, Progress)][-1] == (600, 600)


def test_a_second_attempt_goes_on_after_the_last_row_that_is_whole(
    models: dict[str, Path], rows: Path, tmp_path: Path
) -> None:
    spec = LengthsSpec(model=str(models["base"]), dataset=str(rows))
    first = context_in(tmp_path / "first", [])
    RECIPE.run(spec, first)
    numbers = (first.out / NUMBERS_FILE).read_bytes()
    events: list[Event] = []
    second = context_in(tmp_path / "second", events)
    (second.checkpoints / NUMBERS_FILE).write_bytes(numbers[: 16 * 100 + 5])  # a crash in the middle of row 101
    RECIPE.run(spec, second)
    assert (second.out / NUMBERS_FILE).read_bytes() == numbers
    assert next(event.step for event in events if isinstance(event, Progress)) == 100


def test_measuring_that_is_stopped_leaves_no_report(models: dict[str, Path], rows: Path, tmp_path: Path) -> None:
    context = context_in(tmp_path / "job", [])
    context.stop.request("cancel")
    with pytest.raises(Stopped):
        RECIPE.run(LengthsSpec(model=str(models["base"]), dataset=str(rows)), context)
    assert not list(context.out.iterdir())


def test_the_server_shows_and_counts_rows_without_loading_the_model(address: str) -> None:
    async def run() -> None:
        client = InferenceClient(address)
        body = {"model": "base", "row": conversation("Why 🦦?", "So."), "max_length": 12}
        row = await client.ask_for(TrainedRow, "/hone/trained", body, fault=NotShown)
        (sequence,) = row.sequences
        assert "".join(token.text for token in sequence.tokens) == "Why 🦦?: So.<|im_end|>"
        trained = "".join(token.text for token in sequence.tokens if token.is_trained and not token.is_cut)
        assert (trained, row.max_length, row.context_length) == ("S", 12, 256)
        numbers = await client.ask_for(
            SampledNumbers, "/hone/lengths", {"model": "base", "rows": ROWS[:3]}, fault=NotShown
        )
        assert np.array(numbers.numbers)[:, 0].tolist() == [3, 5, 7]
        states = {model.name: model.state for model in await client.list_models()}  # type: ignore[union-attr]
        assert states == {"base": "not_loaded", "endless": "not_loaded"}
        await client.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("model", "row", "max_length", "words"),
    [
        ("endless", conversation("Hi", "Ho"), 0, "more than 2 seconds"),
        ("base", conversation("no", "Ho"), 0, "I will not"),
        ("base", {"prompt": [], "completion": [], "label": True}, 0, "No recipe trains on unpaired rows"),
        ("base", conversation("Hi", "Ho"), 1000, "the model reads at most 256 tokens"),
        ("nobody", conversation("Hi", "Ho"), 0, "No model named 'nobody'"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(
    address: str, model: str, row: dict[str, Any], max_length: int, words: str
) -> None:
    async def run() -> None:
        client = InferenceClient(address)
        with pytest.raises(NotShown, match=words):
            await client.ask_for(
                TrainedRow, "/hone/trained", {"model": model, "row": row, "max_length": max_length}, fault=NotShown
            )
        await client.close()

    asyncio.run(run())


def test_a_model_of_an_endpoint_has_no_tokenizer_here() -> None:
    with pytest.raises(Exception, match="far is answered by an endpoint, so its tokenizer is not here"):
        require_tokenizer(Model(name="far", kind="endpoint", endpoint_id=1))
