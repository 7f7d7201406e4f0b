"""Rows as they are drawn, and the addresses that ask for them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.data.row_index import Field
from pipeline.data.row_query import RowQuery
from pipeline.errors import BadData
from store.schema import Dataset, DatasetVersion
from webapp.data.exports import file_stem
from webapp.data.row_addresses import query_of, rows_address
from webapp.data.views_filters import filters_view
from webapp.data.views_rows import list_row, row_body


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_what_people_wrote_is_shown_as_text_wherever_it_stands() -> None:
    evil = '<img src=x onerror="alert(1)">'
    call = {"type": "function", "function": {"name": evil, "arguments": {evil: evil}}}
    row = {
        "messages": [
            said("user", evil),
            said("assistant", evil, reasoning_content=evil, tool_calls=[call]),
            said("tool", evil, name=evil),
        ],
        "tools": [{"x": evil}],
        "tags": [evil],
        "meta": {evil: evil},
    }
    drawn = list_row(row, 1, 1)
    assert "<img" not in drawn
    assert drawn.count("&lt;img") >= 10


def test_fifty_megabytes_in_one_field_are_cut_on_the_server() -> None:
    drawn = list_row({"text": "x" * 50_000_000}, 7, 3)
    assert len(drawn) < 10_000
    assert "more characters" in drawn
    assert "/api/datasets/7/browse/rows/3/json" in drawn
    assert len(list_row({"text": "x" * 50_000_000}, 7, 3, is_whole=True)) < 500_000


def test_what_only_one_answer_of_a_pair_has_is_marked() -> None:
    pair = {
        "prompt": [said("user", "Why?")],
        "chosen": [said("assistant", "Because of rain.")],
        "rejected": [said("assistant", "Because of <b>sun</b>.")],
    }
    body = row_body(pair)
    assert '<mark class="h-added">rain</mark>' in body
    assert "&lt;" in body.split("Rejected")[1]
    assert "<b>" not in body


def test_a_row_links_to_itself() -> None:
    assert 'href="/dataset?id=7&amp;row=3"' in list_row({"text": "x"}, 7, 3)


def test_an_address_says_which_rows_are_wanted() -> None:
    query = query_of(
        [
            ("id", "1"),
            ("q", "red fox"),
            ("min_turns", "2"),
            ("is.tags", "a,b"),
            ("from.meta.score", "0.5"),
            ("rows", "3,17"),
        ]
    )
    assert query == RowQuery(
        words="red fox", min_turns=2, values=(("tags", "a,b"),), ranges=(("meta.score", 0.5, None),), only=(2, 16)
    )
    assert query_of([("row", "3"), ("id", "1"), ("q", " ")]).takes_all
    assert rows_address(3, not_in=2, q=None) == "/dataset?id=3&not_in=2"


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_turns", "many"), ("sort", "random"), ("rows", "1;2"), ("from.meta.score", "high"), ("label", "x" * 500)],
)
def test_an_address_that_cannot_be_meant_is_refused_with_what_was_received(name: str, value: str) -> None:
    with pytest.raises(BadData, match=f"`{name}` is “{value[:80]}”"):
        query_of([(name, value)])


def test_filters_fit_the_kind_and_keep_what_is_chosen() -> None:
    field = Field(name="meta.source", kind="values", values=['"web"'], counts=[3])
    text = filters_view("text", [field], RowQuery(values=(("meta.source", '"web"'),), min_characters=5))
    assert 'name="min_turns"' not in text
    assert '<option value="&quot;web&quot;" selected>' in text
    assert 'name="min_length"' in text
    assert 'value="5"' in text
    assert 'name="label"' in filters_view("unpaired", [], RowQuery())


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../etc/passwd", "etc-passwd-v2"),
        ('a"b\\c; filename=x', "a-b-c-filename-x-v2"),
        ("данные", "dataset-v2"),
        ("é" * 80, f"{'e' * 60}-v2"),
    ],
)
def test_a_file_is_named_safely_whatever_the_dataset_is_called(name: str, stem: str) -> None:
    version = DatasetVersion(dataset=Dataset(name=name), number=2, created_at=datetime.now(UTC))
    assert file_stem(version) == stem
