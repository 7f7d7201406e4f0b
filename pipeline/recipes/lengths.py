"""Lengths: how long every row of a dataset is in a model's tokens, and what is cut off at each length."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pipeline.context import Context
from pipeline.pace import Pace
from pipeline.recipes import Chart, Recipe
from pipeline.spec import DatasetRef, ModelRef, Spec, setting
from pipeline.training.lengths import (
    COLUMNS,
    NUMBERS_FILE,
    REPORT_FILE,
    Lengths,
    figures,
    histogram,
    measure,
    read_numbers,
    usual_lengths,
)
from pipeline.training.rows import Row, RowKind, kind_of, stream_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS_AT_ONCE = 256
MOST_REFUSED_NAMED = 20
PERCENTILES = (50, 90, 95, 99, 100)


class LengthsSpec(Spec):
    model: Annotated[str, ModelRef()] = setting(
        help="The model whose tokenizer and chat template count; its weights are not loaded.", basic=True, min_length=1
    )
    dataset: Annotated[str, DatasetRef(("instruction", "preference", "text"))] = setting(
        help="The rows to measure.", basic=True, min_length=1
    )
    max_length: int = setting(
        0,
        help="Longest sequence kept, as training would have it; 0 is the model's limit, 2,048 at most.",
        unit="tokens",
        basic=True,
        ge=0,
        le=1 << 20,
    )
    batch_size: int = setting(8, help="Rows in the batches whose padding is counted.", unit="sequences", ge=1, le=4096)


def run(spec: LengthsSpec, context: Context) -> dict[str, Any]:
    """Tokenize every row as training does; its numbers are on disk at once, so that a second attempt goes on there."""
    kind = kind_of(next(stream_rows(spec.dataset, "instruction", "preference", "text")))
    assert kind is not None, "stream_rows lets no other through"

    context.phase("Loading the tokenizer")
    from pipeline.loading import context_length_at, load_tokenizer
    from pipeline.training.finetune import length_within

    tokenizer = load_tokenizer(spec.model)
    context_length = context_length_at(spec.model)
    max_length = length_within(context_length, spec.max_length)

    started = time.monotonic()
    refused, num_measured = _measure_all(spec, kind, tokenizer, max_length, context)
    seconds = time.monotonic() - started

    context.phase("Counting")
    (context.out / NUMBERS_FILE).write_bytes((context.checkpoints / NUMBERS_FILE).read_bytes())
    lengths = read_numbers(context.out, kind)
    report = report_of(lengths, context_length, max_length, batch_size=spec.batch_size)
    report["refused"] = [{"row": row, "reason": refused.get(row, "")} for row in first_refused(lengths)]
    (context.out / REPORT_FILE).write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
    chosen = report["at"][str(max_length)]
    return {
        "rows": len(lengths),
        "rows_refused": report["rows_refused"],
        "max_length": max_length,
        "rows_cut": chosen["rows_cut"],
        "rows_left_out": chosen["rows_left_out"],
        "tokens": chosen["tokens"],
        "longest": report["longest"],
        "rows_per_second": round(num_measured / seconds) if num_measured and seconds else None,
    }


def report_of(lengths: Lengths, context_length: int | None, max_length: int, *, batch_size: int) -> dict[str, Any]:
    """Everything that is told of the rows, in JSON's values; lengths are in tokens, shares from 0 to 1."""
    whole = lengths.whole[~lengths.is_refused]
    longest = int(whole.max(initial=0))
    parts = {"preference": ("prompt", "chosen", "rejected"), "instruction": ("length",), "text": ("length",)}
    wanted = sorted({*usual_lengths(context_length, longest), max_length})
    return {
        "kind": lengths.kind,
        "rows": len(lengths),
        "rows_refused": int(lengths.is_refused.sum()),
        "context_length": context_length,
        "max_length": max_length,
        "batch_size": batch_size,
        "longest": longest,
        "tokens_whole": int(whole.sum()),
        "tokens_trained": int(lengths.column("trained").sum()) if lengths.kind == "instruction" else None,
        "tokens_trained_kept": int(lengths.column("trained_kept").sum()) if lengths.kind == "instruction" else None,
        "percentiles": {name: _percentiles(lengths, name) for name in parts[lengths.kind]},
        "histograms": {name: histogram(lengths.column(name)) for name in parts[lengths.kind]},
        "histogram": histogram(lengths.whole),
        "at": {str(length): figures(lengths, length, batch_size=batch_size) for length in wanted},
    }


def first_refused(lengths: Lengths) -> list[int]:
    """The numbers, from 1, of the first rows that the chat template refuses: training would end at them."""
    numbers: list[int] = (lengths.is_refused.nonzero()[0][:MOST_REFUSED_NAMED] + 1).tolist()
    return numbers


def _percentiles(lengths: Lengths, column: str) -> dict[str, int]:
    import numpy as np

    values = lengths.column(column)[~lengths.is_refused]
    if not len(values):
        return {}
    at = np.percentile(values, PERCENTILES, method="inverted_cdf")
    return {str(percent): int(value) for percent, value in zip(PERCENTILES, at, strict=True)}


def _measure_all(
    spec: LengthsSpec, kind: RowKind, tokenizer: PreTrainedTokenizerBase, max_length: int, context: Context
) -> tuple[dict[int, str], int]:
    """Append the numbers of every row that has none yet to the file in `checkpoints`.

    Returns:
        Why the chat template refuses rows, by their number from 1, and how many rows were measured now.

    Raises:
        Stopped: if asked to stop.
    """
    from pipeline.training.loop import raise_if_stopped

    context.phase("Measuring")
    total = _num_lines(Path(spec.dataset))
    file = context.checkpoints / NUMBERS_FILE
    done = num_before = _whole_lines(file, kind)
    if done:
        context.log(f"{done:,} of {total:,} rows were measured by an earlier attempt.")
    refused: dict[int, str] = {}
    context.progress(done, total, unit="rows")
    pace = Pace()
    started = time.monotonic()
    with file.open("ab") as out:
        for rows in _in_parts(spec.dataset, kind, skip=done):
            raise_if_stopped(context)

            def note(row: int, why: str, before: int = done) -> None:
                if len(refused) < MOST_REFUSED_NAMED:
                    refused[before + row + 1] = why

            numbers = measure(kind, tokenizer, rows, max_length=max_length, on_refused=note)
            out.write(numbers.astype("<u4").tobytes())
            out.flush()
            done += len(rows)
            if pace.is_due() or done == total:
                context.progress(done, total, unit="rows")
                seconds = max(time.monotonic() - started, 1e-9)
                context.metrics(done, {"rows_per_second": (done - num_before) / seconds})
    for row, why in refused.items():
        context.log(f"Row {row:,}: {why}", "warning")
    return refused, done - num_before


def _in_parts(dataset: str, kind: RowKind, *, skip: int) -> Iterator[list[Row]]:
    rows = islice(stream_rows(dataset, kind), skip, None)
    while part := list(islice(rows, ROWS_AT_ONCE)):
        yield part


def _num_lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))


def _whole_lines(file: Path, kind: RowKind) -> int:
    """How many rows are measured; numbers that a crash has left half written are cut off."""
    if not file.is_file():
        return 0
    width = 4 * len(COLUMNS[kind])
    count = file.stat().st_size // width
    with file.open("ab") as torn:
        torn.truncate(count * width)
    return count


RECIPE = Recipe(
    name="lengths",
    title="Measure lengths",
    summary="Counts the tokens of every row as training would: what is cut at each length, and how rows are packed.",
    verb="Measure lengths",
    spec=LengthsSpec,
    run=run,
    produces="report",
    charts=(Chart("Speed", ("rows_per_second",), unit="rows/s"),),
)
