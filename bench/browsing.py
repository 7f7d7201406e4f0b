"""Browsing: how long the index of a million rows takes, and how soon a search, a filter or an order answers.

    python -m bench.browsing [ROWS]

Rows are conversations of invented words, 1.1 kB each, of which a few hundred words make up most. Each question is asked
three times of an index that is on disk; the median counts. Then both kinds of file are exported.
"""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.data.exporting import export_jsonl, export_parquet
from pipeline.data.importing import import_rows
from pipeline.data.mapped_rows import MappedRows
from pipeline.data.row_differences import row_differences
from pipeline.data.row_index import RowIndex
from pipeline.data.row_query import RowQuery, select_rows

QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a word of one row", {"words": "123456"}),
    ("a word of a fifth of all rows", {"words": "kind"}),
    ("the beginning of a word", {"words": "kal"}),
    ("a phrase", {"words": '"ta ka"'}),
    ("a word, longest first", {"words": "kind", "order": "longest"}),
    ("all rows, longest first", {"order": "longest"}),
    ("four turns or more, with a system prompt", {"min_turns": 4, "system": "yes"}),
    ("a tag", {"values": (("tags", "topic-3"),)}),
)


def main() -> None:
    num_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "rows"
        report = import_rows(conversations(num_rows), "bench", folder, kind="instruction")
        print(f"{report.num_rows:,} rows, {report.size_bytes / 1e6:,.0f} MB\n")
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "pipeline.data.indexing", str(folder)], check=True, capture_output=True)
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
        size = sum(path.stat().st_size for path in (folder / "browsing-1").rglob("*") if path.is_file())
        print(f"index: {time.monotonic() - begun:,.0f} s, {size / 1e6:,.0f} MB on disk, {memory:,.0f} MB of memory\n")
        ask(folder)
        export(folder)


def conversations(num_rows: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(5)
    syllables = [consonant + vowel for consonant in "bcdfghklmnprstvw" for vowel in "aeiou"]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(50_000)]
    passages = [passage(rng, words) for _ in range(20_000)]
    for number in range(num_rows):
        messages = [{"role": "system", "content": "You are kind."}] if number % 5 == 0 else []
        for _ in range(1 + number % 3):
            messages.append({"role": "user", "content": f"{rng.choice(words)} {number} {rng.choice(passages)}"})
            messages.append({"role": "assistant", "content": f"{rng.choice(words)} {rng.choice(passages)}"})
        yield {"messages": messages} | ({"tags": [f"topic-{number % 23}"]} if number % 4 == 0 else {})


def passage(rng: random.Random, words: list[str]) -> str:
    count = rng.randint(20, 60)
    return " ".join(rng.choice(words[:400] if rng.random() < 0.7 else words) for _ in range(count))


def ask(folder: Path) -> None:
    index = RowIndex(folder)
    print("| question | rows | milliseconds |\n|---|---|---|")
    for words, question in QUESTIONS:
        found, milliseconds = timed(lambda question=question: select_rows(index, RowQuery.model_validate(question)))
        print(f"| {words} | {len(found):,} | {milliseconds:,.0f} |")
    same, milliseconds = timed(lambda: row_differences(index, index))
    print(f"| what differs between two versions | {same.unchanged:,} | {milliseconds:,.0f} |")
    middle = range(len(index.column("turns")) // 2, len(index.column("turns")) // 2 + 20)
    with MappedRows(folder / "rows.jsonl") as rows:
        shown, milliseconds = timed(lambda: list(rows.rows(middle)))
    print(f"| twenty rows from the middle, read | {len(shown)} | {milliseconds:,.1f} |\n")


def export(folder: Path) -> None:
    rows = folder / "rows.jsonl"
    for words, data in (("JSON lines", export_jsonl(rows)), ("Parquet", export_parquet(rows, "instruction"))):
        begun = time.monotonic()
        size = sum(map(len, data))
        print(f"export as {words}: {time.monotonic() - begun:,.1f} s, {size / 1e6:,.0f} MB")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB at most")


def timed(work: Any) -> tuple[Any, float]:
    """What the work returns, and the median of three times in milliseconds."""
    spans = []
    for _ in range(3):
        begun = time.monotonic()
        result = work()
        spans.append(1000 * (time.monotonic() - begun))
    return result, statistics.median(spans)


if __name__ == "__main__":
    main()
