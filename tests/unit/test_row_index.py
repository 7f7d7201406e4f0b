"""The row index: searching, filtering, sorting and comparing the rows of a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.data.row_differences import row_differences
from pipeline.data.row_hashes import falls_below, prompt_hash, row_hash
from pipeline.data.row_index import MAX_VALUES, RowIndex, build_index
from pipeline.data.row_query import RowQuery, select_rows
from pipeline.data.rows import RowWriter
from pipeline.errors import BadData

ROW_HASH, PROMPT_HASH, SIDE = 12052655060837231983, 16373669313745770323, False


def asked(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


def indexed(folder: Path, *rows: dict[str, Any]) -> RowIndex:
    folder.mkdir()
    with RowWriter(folder / "rows.jsonl") as writer:
        for row in rows:
            writer.write(row)
    build_index(folder)
    return RowIndex(folder)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> RowIndex:
    system = [{"role": "system", "content": "Be brief."}, *asked("Where is Łódź?", "In Poland.")["messages"]]
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    return indexed(
        tmp_path_factory.mktemp("index") / "rows",
        asked("What is a red fox?", "An animal.", tags=["nature", "short"], meta={"source": "book", "score": 0.9}),
        asked(
            "Name a fox that is red.", "Reynard the fox, of whom much is told.", meta={"source": "web", "score": 0.2}
        ),
        {"messages": system, "meta": {"source": "web", "score": 0.5, "seen": True}},
        {
            "messages": [
                {"role": "user", "content": "How warm?"},
                {"role": "assistant", "content": "", "tool_calls": [call]},
            ]
        },
        asked("数据清洗很重要吗？", "是的。", tags=["nature"]),
    )


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({"words": "fox red"}, [0, 1]),
        ({"words": '"red fox"'}, [0]),
        ({"words": "fox -animal"}, [1]),
        ({"words": "-fox"}, [2, 3, 4]),
        ({"words": "ŁODZ"}, [2]),
        ({"words": "anim"}, [0]),
        ({"words": "anim fox"}, []),
        ({"words": "oslo"}, [3]),
        ({"words": "清洗"}, [4]),
        ({"words": "洗清"}, []),
        ({"words": "role"}, []),
        ({"words": 'fox" OR NEAR( *'}, []),
        ({"system": "yes"}, [2]),
        ({"tools": "yes"}, [3]),
        ({"tools": "no", "max_characters": 33}, [0, 2, 4]),
        ({"values": (("tags", "nature"),)}, [0, 4]),
        ({"values": (("meta.source", "web"), ("meta.seen", "true"))}, [2]),
        ({"values": (("meta.nothing", "web"),)}, []),
        ({"ranges": (("meta.score", 0.4, None),)}, [0, 2]),
        ({"ranges": (("meta.score", None, 0.4),)}, [1]),
        ({"only": (4, 1, 99)}, [1, 4]),
        ({"order": "longest"}, [1, 2, 0, 4, 3]),
        ({"order": "shortest", "values": (("tags", "nature"),)}, [4, 0]),
    ],
)
def test_rows_are_found(index: RowIndex, query: dict[str, Any], rows: list[int]) -> None:
    assert select_rows(index, RowQuery.model_validate(query)).tolist() == rows


def test_a_search_without_a_word_is_refused(index: RowIndex) -> None:
    with pytest.raises(BadData, match="holds no word"):
        select_rows(index, RowQuery(words="!?"))


def test_fields_tell_their_values_the_commonest_first(index: RowIndex) -> None:
    fields = {field.name: field for field in index.fields()}
    assert (fields["tags"].values, fields["tags"].counts) == (["nature", "short"], [2, 1])
    assert (fields["meta.score"].least, fields["meta.score"].most) == (0.2, 0.9)


def test_a_field_of_too_many_values_is_left_out(tmp_path: Path) -> None:
    rows = (asked(f"{n}?", "Yes.", meta={"id": f"row-{n}"}) for n in range(MAX_VALUES + 2))
    assert indexed(tmp_path / "rows", *rows).fields() == []


def test_what_a_killed_build_has_left_is_removed_and_made_anew(tmp_path: Path) -> None:
    index = indexed(tmp_path / "rows", {"text": "one"})
    (index.folder / "text.db").rename(index.folder / "text.part")
    (index.folder / "columns.part").mkdir()
    assert not index.has_text
    build_index(tmp_path / "rows")
    assert index.matches('"one"').tolist() == [0]
    assert not list(index.folder.glob("*.part"))


def test_versions_are_compared_by_what_is_trained_on(tmp_path: Path) -> None:
    one, two, three = (asked(f"{n}?", "Yes.") for n in range(3))
    before = indexed(tmp_path / "before", one, two)
    after = indexed(tmp_path / "after", two | {"meta": {"score": 1}}, three, three)
    found = row_differences(before, after)
    assert (found.added, found.removed, found.unchanged) == (2, 1, 1)
    assert select_rows(after, RowQuery(beyond=1), {1: before}).tolist() == [1, 2]
    assert select_rows(after, RowQuery(within=1), {1: before}).tolist() == [0]


def test_hashes_are_the_same_on_every_machine_and_in_every_release() -> None:
    row = asked("Why?", "So.", tags=["x"])
    assert row_hash(row) == row_hash(asked("Why?", "So.")) == ROW_HASH
    assert prompt_hash(row) == prompt_hash(asked(" why?\n", "Otherwise.")) == PROMPT_HASH
    assert falls_below(ROW_HASH, 0.5, seed=0) is SIDE
