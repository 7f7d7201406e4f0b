"""From raw rows of every format to canonical ones, and why some cannot be."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.formats import CANONICAL_MAPPINGS, Mapping, recognise, suggest
from pipeline.data.messages import RowFault
from pipeline.data.normalising import normaliser

Row = dict[str, Any]


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def assistant(text: str) -> Row:
    return {"role": "assistant", "content": text}


def system(text: str) -> Row:
    return {"role": "system", "content": text}


def normalised(row: Row) -> Row:
    known = recognise(row)
    assert known is not None, f"not recognised: {list(row)}"
    return normaliser(known.mapping)(row)


def fault(row: Row) -> str:
    with pytest.raises(RowFault) as caught:
        normalised(row)
    return caught.value.reason


NO_PROMPT = "there is no prompt: the answers do not hold it, and no column does"
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}

ACCEPTED: list[tuple[str, Row, Row]] = [
    (
        "alpaca",
        {"instruction": "Add", "input": "1 and 2", "output": "3", "system": "Be brief", "history": [["hi", "hello"]]},
        {"messages": [system("Be brief"), user("hi"), assistant("hello"), user("Add\n1 and 2"), assistant("3")]},
    ),
    ("alpaca", {"instruction": "Add", "input": " ", "output": "3"}, {"messages": [user("Add"), assistant("3")]}),
    ("prompt and completion", {"prompt": "q", "completion": "a"}, {"messages": [user("q"), assistant("a")]}),
    (
        "prompt and completion",
        {"prompt": [user("q")], "completion": [assistant("a")]},
        {"messages": [user("q"), assistant("a")]},
    ),
    (
        "messages",
        {"messages": [user("q"), {"role": "assistant", "content": None, "tool_calls": [CALL]},
                      {"role": "tool", "content": "3", "name": "add"}, assistant("3")], "tools": '[{"name": "add"}]'},
        {"messages": [user("q"), {"role": "assistant", "content": "", "tool_calls": [CALL]},
                      {"role": "tool", "content": "3", "name": "add"}, assistant("3")], "tools": [{"name": "add"}]},
    ),
    (
        "messages",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}], "name": None},
                      {"role": "assistant", "content": "a", "reasoning": "because"}]},
        {"messages": [user("q"), {"role": "assistant", "content": "a", "reasoning_content": "because"}]},
    ),
    (
        "ShareGPT",
        {"conversations": [{"from": "human", "value": "q"},
                           {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1}}'},
                           {"from": "observation", "value": "3"}, {"from": "gpt", "value": "a"}], "system": "s"},
        {"messages": [system("s"), user("q"), {"role": "assistant", "content": "", "tool_calls": [CALL]},
                      {"role": "tool", "content": "3"}, assistant("a")]},
    ),
    (
        "preference",
        {"prompt": "q", "chosen": "good", "rejected": "bad", "system": "s"},
        {"prompt": [system("s"), user("q")], "chosen": [assistant("good")], "rejected": [assistant("bad")]},
    ),
    (
        "preference",
        {"prompt": "q", "chosen": [user("q"), assistant("good")], "rejected": [user("q"), assistant("bad")]},
        {"prompt": [user("q")], "chosen": [assistant("good")], "rejected": [assistant("bad")]},
    ),
    (
        "preference, implicit prompt",
        {"chosen": [user("q"), assistant("a"), user("r"), assistant("same start, good")],
         "rejected": [user("q"), assistant("a"), user("r"), assistant("same start, bad")]},
        {"prompt": [user("q"), assistant("a"), user("r")], "chosen": [assistant("same start, good")],
         "rejected": [assistant("same start, bad")]},
    ),
    (
        "preference, implicit prompt",
        {"chosen": "\n\nHuman: q\n\nAssistant: a\n\nHuman: r\n\nAssistant: good",
         "rejected": "\n\nHuman: q\n\nAssistant: a\n\nHuman: r\n\nAssistant: bad"},
        {"prompt": [user("q"), assistant("a"), user("r")], "chosen": [assistant("good")],
         "rejected": [assistant("bad")]},
    ),
    (
        "preference",
        {"prompt": "\n\nHuman: q\n\nAssistant:", "chosen": "good", "rejected": "bad"},
        {"prompt": [user("q")], "chosen": [assistant("good")], "rejected": [assistant("bad")]},
    ),
    (
        "ShareGPT preference",
        {"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "good"},
         "rejected": {"from": "gpt", "value": "bad"}},
        {"prompt": [user("q")], "chosen": [assistant("good")], "rejected": [assistant("bad")]},
    ),
    (
        "unpaired",
        {"prompt": "q", "completion": "a", "label": "False"},
        {"prompt": [user("q")], "completion": [assistant("a")], "label": False},
    ),
    (
        "unpaired",
        {"prompt": "q", "completion": "a", "label": 1},
        {"prompt": [user("q")], "completion": [assistant("a")], "label": True},
    ),
    ("text", {"text": "once"}, {"text": "once"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "raw", "canonical"), ACCEPTED)
def test_each_format_is_recognised_and_becomes_its_canonical_row(name: str, raw: Row, canonical: Row) -> None:
    known = recognise(raw)
    assert known is not None
    assert known.name == name
    assert normaliser(known.mapping)(raw) == canonical


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instruction": "q", "output": ""}, "`output` is empty"),
        ({"instruction": "q", "output": " \n"}, "`output` is empty"),
        ({"instruction": "q", "output": None}, "`output` is null"),
        ({"instruction": "q", "output": 42}, "`output` is a number, not text"),
        ({"instruction": 42, "output": "a"}, "`instruction` is a number, not text"),
        ({"instruction": {"a": 1}, "output": "a"}, "`instruction` is an object"),
        ({"instruction": "q", "output": "a", "history": ["x"]}, "`history` is not a list of [question, answer] pairs"),
        ({"messages": []}, "`messages` is empty"),
        ({"messages": None}, "`messages` is null, not a list of messages"),
        ({"messages": [None, user("q")]}, "a message is not an object with a role and content"),
        ({"messages": [user("q"), {"role": "assistant", "content": None}]}, "a message's content is null"),
        ({"messages": [assistant("a"), user("q")]}, "roles out of order: assistant after the start"),
        ({"messages": [user("q"), user("q")]}, "roles out of order: user after user"),
        ({"messages": [user("q"), system("s"), assistant("a")]}, "roles out of order: system after user"),
        ({"messages": [user("q")]}, "the conversation ends with the user's turn: there is no answer to learn"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "the role 'wizard' is not known"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "a message holds something other than text",
        ),
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "`chosen` and `rejected` are identical"),
        ({"prompt": "", "chosen": "a", "rejected": "b"}, NO_PROMPT),
        ({"chosen": "a", "rejected": "b"}, NO_PROMPT),
        (
            {"chosen": [user("q"), assistant("a")], "rejected": [user("other"), assistant("b")]},
            "the chosen and the rejected conversation do not begin with the same question",
        ),
        (
            {"chosen": [user("q"), assistant("a")], "rejected": [user("q"), assistant("a")]},
            "the chosen and the rejected conversation are identical",
        ),
        ({"prompt": [user("q"), assistant("x")], "chosen": "a", "rejected": "b"},
         "the prompt ends with the assistant's turn, not with a question"),
        ({"prompt": "q", "completion": "a", "label": "maybe"}, "`label` is neither true nor false"),
        ({"prompt": "q", "completion": "a", "label": None}, "`label` is neither true nor false"),
        ({"text": 7}, "`text` is a number, not text"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_says_why(row: Row, reason: str) -> None:
    assert fault(row) == reason


def test_a_missing_column_is_told_from_an_empty_one() -> None:
    mapping = Mapping(layout="turns", columns={"instruction": "question", "output": "answer"})
    with pytest.raises(RowFault, match="`answer` is missing"):
        normaliser(mapping)({"question": "q"})


def test_unknown_columns_are_not_guessed_but_suggested() -> None:
    assert recognise(["question", "answer"]) is None
    assert suggest(["question", "answer"]) == Mapping(
        layout="turns", columns={"instruction": "question", "output": "answer"}
    )
    assert suggest(["id", "score"]) is None


def test_a_mapping_must_name_what_its_rows_need() -> None:
    with pytest.raises(ValueError, match="choose a column for output"):
        Mapping(layout="turns", columns={"instruction": "q"})
    with pytest.raises(ValueError, match="has no part named chosen"):
        Mapping(layout="text", columns={"text": "t", "chosen": "c"})


# ------------------------------------------------------------------------------------------------------- properties

_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(lambda text: not text.isspace())
_arguments = st.dictionaries(
    _text, st.one_of(_text, st.integers(-(2**53), 2**53), st.booleans(), st.none()), max_size=3
)
_call = st.builds(
    lambda name, arguments: {"type": "function", "function": {"name": name, "arguments": arguments}}, _text, _arguments
)


@st.composite
def _turns(draw: st.DrawFn) -> list[Row]:
    turns = [system(draw(_text))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns.append(user(draw(_text)))
        if draw(st.booleans()):
            turns.append(
                {"role": "assistant", "content": "", "tool_calls": draw(st.lists(_call, min_size=1, max_size=2))}
            )
            turns.append({"role": "tool", "content": draw(_text)})
        turns.append(assistant(draw(_text)))
    return turns


def _raw_preference(turns: list[Row], answers: tuple[str, str]) -> Row:
    *prompt, _ = turns
    return {"chosen": [*prompt, assistant(answers[0])], "rejected": [*prompt, assistant(answers[1])]}


_different = st.tuples(_text, _text).filter(lambda pair: pair[0] != pair[1])
_any_text = st.text()
_raw_rows = st.one_of(
    st.builds(lambda text: {"text": text}, _text),
    st.builds(
        lambda q, a, i, s: {"instruction": q, "output": a, "input": i, "system": s}, _text, _text, st.text(), st.text()
    ),
    st.builds(lambda turns: {"messages": turns}, _turns()),
    st.builds(
        lambda turns: {"conversations": [{"from": t["role"], "value": t["content"]} for t in turns if t["content"]]},
        _turns(),
    ),
    st.builds(_raw_preference, _turns(), _different),
    st.builds(lambda q, pair: {"prompt": q, "chosen": pair[0], "rejected": pair[1]}, _text, _different),
    st.builds(lambda q, a, label: {"prompt": q, "completion": a, "label": label}, _text, _text, st.booleans()),
)


@given(_raw_rows)
def test_a_canonical_row_written_and_read_again_is_itself(raw: Row) -> None:
    known = recognise(raw)
    assert known is not None
    try:
        canonical = normaliser(known.mapping)(raw)
    except RowFault:
        return
    written = orjson.dumps(canonical)
    read_again = orjson.loads(written)
    again = recognise(read_again)
    assert again is not None
    assert again.mapping.kind == known.mapping.kind
    for mapping in (again.mapping, CANONICAL_MAPPINGS[known.mapping.kind]):
        assert orjson.dumps(normaliser(mapping)(read_again)) == written


_leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
_columns = st.sampled_from(
    ["text", "messages", "instruction", "output", "chosen", "rejected", "prompt", "completion", "label"]
)


@given(_values, _columns)
def test_no_value_whatever_in_a_column_does_more_than_reject_its_row(value: Any, column: str) -> None:
    for row in (
        {"text": "t"},
        {"messages": [user("q"), assistant("a")], "tools": value},
        {"instruction": "q", "output": "a", "input": value, "history": value, "system": value},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": "q", "completion": "a", "label": True},
    ):
        damaged = row | ({column: value} if column in row else {})
        known = recognise(damaged)
        assert known is not None
        try:
            orjson.dumps(normaliser(known.mapping)(damaged))
        except (RowFault, TypeError):
            continue


def test_what_an_instruction_is_about_stays_with_it() -> None:
    row = {"instruction": "Add 2 and 3.", "output": "5"}
    assert normalised(row | {"tags": "sums"})["tags"] == ["sums"]
    assert normalised(row | {"tags": ["sums", "short"]})["tags"] == ["sums", "short"]
    assert "tags" not in normalised(row | {"tags": [1]})
    assert "tags" not in normalised(row)


@pytest.mark.parametrize(
    "row",
    [
        {"text": "Bread."},
        {"messages": [user("q"), assistant("a")]},
        {"prompt": [user("q")], "chosen": [assistant("a")], "rejected": [assistant("b")]},
        {"prompt": [user("q")], "completion": [assistant("a")], "label": True},
    ],
)
def test_what_is_known_of_a_row_of_any_kind_is_kept_where_it_is_an_object(row: Row) -> None:
    known = row | {"meta": {"made_by": "generate"}}
    assert normalised(known) == known
    assert normalised(row | {"meta": "a word"}) == row
