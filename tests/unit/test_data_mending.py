"""Mending: what is put right is counted by kind and listed by row, and what cannot be is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import mending
from pipeline.data.converting import Converter, Rejection
from pipeline.data.formats import CANONICAL_MAPPINGS, recognise
from pipeline.data.importing import import_file
from pipeline.data.raw import RawRow
from pipeline.data.rows import RowFile
from store import datasets

Row = dict[str, Any]


def user(text: Any) -> Row:
    return {"role": "user", "content": text}


def assistant(text: Any) -> Row:
    return {"role": "assistant", "content": text}


def system(text: Any) -> Row:
    return {"role": "system", "content": text}


def taken(row: Row) -> tuple[Row, tuple[str, ...]]:
    known = recognise(row, [row])
    assert known is not None
    outcome = Converter(known.mapping).one(RawRow(1, row))
    assert not isinstance(outcome, Rejection), outcome
    return orjson.loads(outcome[0]), outcome[1]


@pytest.mark.parametrize(
    ("raw", "mended", "kind"),
    [
        ({"text": "one \ud83d half"}, {"text": "one \ufffd half"}, mending.HALF_PAIR),
        ({"text": "a\x00b\x07c\td\n"}, {"text": "abc\td\n"}, mending.CONTROLS),
        ({"text": 42}, {"text": "42"}, mending.NUMBER),
        ({"prompt": "2+2?", "completion": 4}, {"messages": [user("2+2?"), assistant("4")]}, mending.NUMBER),
        ({"messages": [user("half of 5?"), assistant(2.5)]}, {"messages": [user("half of 5?"), assistant("2.5")]},
         mending.NUMBER),
        ({"messages": [system("s"), system("t"), user("q"), assistant("a")]},
         {"messages": [system("s\n\nt"), user("q"), assistant("a")]}, mending.SYSTEMS),
        ({"messages": [system(""), user("q"), assistant("a")]}, {"messages": [user("q"), assistant("a")]},
         mending.EMPTY_SYSTEM),
        ({"messages": [assistant("How can I help?"), user("q"), assistant("a")]},
         {"messages": [user("q"), assistant("a")]}, mending.OPENING_ANSWER),
        ({"messages": [user("q"), assistant("a"), user("thanks")]}, {"messages": [user("q"), assistant("a")]},
         mending.LAST_QUESTION),
        ({"prompt": [system(None), user("q")], "chosen": "a", "rejected": "b"},
         {"prompt": [user("q")], "chosen": [assistant("a")], "rejected": [assistant("b")]}, mending.EMPTY_SYSTEM),
    ],
)  # fmt: skip
def test_each_kind_of_repair_is_made_and_named(raw: Row, mended: Row, kind: str) -> None:
    assert taken(raw) == (mended, (kind,))
    assert taken(mended) == (mended, ())


@pytest.mark.parametrize("value", [1e300, float("nan"), float("inf"), True, None, {}])
def test_a_value_that_could_be_written_in_several_ways_is_refused(value: Any) -> None:
    outcome = Converter(CANONICAL_MAPPINGS["text"]).one(RawRow(7, {"text": value}))
    assert isinstance(outcome, Rejection)
    assert outcome.row == 7


@pytest.mark.parametrize(
    "roles", [["user", "user"], ["user", "assistant", "assistant"], ["assistant"], ["user"], ["user", "system"]]
)
def test_roles_out_of_order_are_not_guessed_at(roles: list[str]) -> None:
    row = {"messages": [{"role": role, "content": "x"} for role in roles]}
    outcome = Converter(CANONICAL_MAPPINGS["instruction"]).one(RawRow(1, row))
    assert isinstance(outcome, Rejection)
    assert "out of order" in outcome.reason or "no answer to learn" in outcome.reason


def test_nested_nulls_and_empty_lists_are_as_if_they_were_not_there() -> None:
    message = user("q") | {"name": None, "tool_calls": None, "reasoning_content": None}
    row = {"messages": [message, assistant("a") | {"tool_calls": []}], "tools": [], "system": None, "meta": {"a": None}}
    assert taken(row) == ({"messages": [user("q"), assistant("a")], "meta": {"a": None}}, ())


def test_markup_and_template_code_in_text_are_text() -> None:
    text = '<script>alert(1)</script> {{ cycler.__init__ }} {% for x in y %} <|im_end|> \u202e "'
    assert taken({"prompt": text, "completion": text}) == ({"messages": [user(text), assistant(text)]}, ())


def test_every_row_of_a_file_is_accounted_for(tmp_path: Path) -> None:
    lines = ['{"text": "fine"}', '{"text": "a\\ud800"}', '{"text": ""}', "", '{"text": 5}', "{", '{"text": "x\\u0000"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    report = import_file(tmp_path / "a.jsonl", "a.jsonl", tmp_path / "out")
    assert (report.num_rows, report.num_repaired, report.num_rejected) == (4, 3, 2)
    assert report.repairs == {mending.HALF_PAIR: 1, mending.NUMBER: 1, mending.CONTROLS: 1}
    summary, *rows = datasets.account_of(tmp_path / "out")
    assert (summary["accepted"], summary["repaired"], summary["rejected"]) == (1, 3, 2)
    assert [(row["row"], row["outcome"]) for row in rows] == [
        (2, "repaired"), (3, "rejected"), (5, "repaired"), (6, "rejected"), (7, "repaired"),
    ]  # fmt: skip
    kept = list(RowFile(tmp_path / "out" / "rows.jsonl"))
    assert [kept[row["kept_as"] - 1]["text"] for row in rows if row["outcome"] == "repaired"] == ["a\ufffd", "5", "x"]


# ------------------------------------------------------------------------------------------------------- properties

_any = st.text(max_size=20)  # with control characters and all that JSON can hold
_said = _any.filter(lambda text: not text.isspace() and text != "")
_meta = st.dictionaries(_any, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _any, max_size=2)


def _spoken(names: tuple[str, str], roles: tuple[str, str], turns: list[tuple[str, str]]) -> list[Row]:
    return [{names[0]: role, names[1]: text} for pair in turns for role, text in zip(roles, pair, strict=True)]


_exchanges = st.lists(st.tuples(_said, _said), min_size=1, max_size=3)
_openai = _exchanges.map(lambda turns: _spoken(("role", "content"), ("user", "assistant"), turns))
_sharegpt = _exchanges.map(lambda turns: _spoken(("from", "value"), ("human", "gpt"), turns))
_transcript = _exchanges.map(lambda turns: "".join(f"\n\nHuman: {q}\n\nAssistant: {a}" for q, a in turns))
_raw_rows = st.one_of(
    st.fixed_dictionaries(
        {"instruction": _said, "output": _said | st.integers()},
        optional={"input": _any, "system": _any, "history": _exchanges.map(lambda turns: [list(t) for t in turns])},
    ),
    st.fixed_dictionaries({"prompt": _said, "completion": _said}),
    st.fixed_dictionaries({"messages": _openai}, optional={"system": _any, "tags": st.lists(_any, max_size=2)}),
    st.fixed_dictionaries({"conversations": _sharegpt}, optional={"system": _any}),
    st.fixed_dictionaries({"prompt": _said, "chosen": _said, "rejected": _said}),
    st.fixed_dictionaries({"chosen": _transcript, "rejected": _transcript}),
    st.fixed_dictionaries(
        {"conversations": _sharegpt.map(lambda turns: turns[:-1]), "chosen": _said, "rejected": _said}
    ),
    st.fixed_dictionaries({"prompt": _said, "responses": st.lists(_said, min_size=2, max_size=4)}),
    st.fixed_dictionaries({"prompt": _said, "completion": _said, "label": st.booleans()}),
    st.fixed_dictionaries({"text": _said}),
    st.fixed_dictionaries({"content": _said, "title": _any}),
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(_raw_rows, _meta)
def test_rows_of_every_format_written_out_and_read_again_are_the_same(raw: Row, meta: Row) -> None:
    row = raw | {"meta": meta}
    known = recognise(row, [row])
    assert known is not None
    first = Converter(known.mapping).one(RawRow(1, row))
    if isinstance(first, Rejection):
        return
    exported = orjson.loads(first[0])
    known_again = recognise(exported, [exported])
    assert known_again is not None
    for mapping in (known_again.mapping, CANONICAL_MAPPINGS[known.mapping.kind]):
        assert Converter(mapping).one(RawRow(1, exported)) == (first[0], ())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(_raw_rows.map(json.dumps) | st.sampled_from(["{", "", '{"text":1,"text":2}', "[1]", "{},{}"]), max_size=40)
)
def test_lines_read_together_are_what_they_are_one_by_one(lines: list[str]) -> None:
    converter = Converter(CANONICAL_MAPPINGS["text"])
    together = converter.lines("\n".join(lines).encode())
    alone = [converter.lines(line.encode() + b"\n") for line in lines]
    assert together.data == b"".join(batch.data for batch in alone)
    assert len(together.rejected) == sum(len(batch.rejected) for batch in alone)
    assert len(together.repaired) == sum(len(batch.repaired) for batch in alone)
