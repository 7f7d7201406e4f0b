"""Rows: what is not of the recipe's kind is refused by number, and a split never shares a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import BadData
from pipeline.training.rows import num_held_out, read_rows, split_rows
from pipeline.training.settings import EpochsByRows


def _write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_rows_of_another_kind_are_refused_with_both_kinds_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "rows.jsonl", {"text": "a"})
    with pytest.raises(BadData, match=r"holds text rows.*needs instruction"):
        read_rows(path, "instruction")


def test_a_row_that_differs_from_the_first_is_named_by_number(tmp_path: Path) -> None:
    path = _write(tmp_path / "rows.jsonl", {"text": "a"}, {"prompt": "b"})
    with pytest.raises(BadData, match="Row 2"):
        read_rows(path, "text")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadData, match="no rows"):
        read_rows(path, "text")


def test_a_line_that_is_not_json_is_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"text": \n', encoding="utf-8")
    with pytest.raises(BadData, match="Line 2"):
        read_rows(path, "text")


def test_an_address_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no dataset file"):
        read_rows("https://example.org/rows.jsonl", "text")


def test_every_row_is_either_trained_on_or_held_out() -> None:
    rows = [{"text": str(number)} for number in range(100)]
    split = split_rows(rows, held_out_share=0.1, seed=3)
    assert len(split.held_out) == 10
    assert sorted(int(row["text"]) for row in split.train + split.held_out) == list(range(100))
    assert split == split_rows(rows, held_out_share=0.1, seed=3)


@pytest.mark.parametrize(
    ("num_rows", "share", "expected"), [(9, 0.05, 0), (10, 0.05, 1), (10, 0, 0), (10_000, 0.05, 256)]
)
def test_few_rows_are_all_trained_on_and_of_many_no_more_are_held_out_than_needed(
    num_rows: int, share: float, expected: int
) -> None:
    assert num_held_out(num_rows, share) == expected


def test_a_split_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(BadData, match="none is left to train on"):
        split_rows([{"text": "a"}, {"text": "b"}], held_out_share=0.9, seed=0)


def test_few_rows_are_gone_through_often_and_many_a_few_times() -> None:
    epochs = EpochsByRows(least=3, most=10, enough_rows=3500)
    assert [epochs.of(num_rows) for num_rows in (1, 350, 700, 100_000)] == [10, 10, 5, 3]
