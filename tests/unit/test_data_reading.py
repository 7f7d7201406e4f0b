"""Reading files of every shape, whole and damaged: each row is either there or reported."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pipeline.data.raw import BadRow, RawRow
from pipeline.data.reading import open_raw
from pipeline.data.text_rows import MAX_PASSAGE_CHARACTERS
from pipeline.errors import BadData

ROWS = [{"instruction": f"Say {n} \u00e9\u4e16", "output": f'"{n}" {{[,]}} \\ end'} for n in range(5)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def read(folder: Path, content: bytes | str, name: str) -> list[RawRow | BadRow]:
    path = folder / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(open_raw(path, name).rows())


def values(rows: list[RawRow | BadRow]) -> list[dict[str, Any]]:
    assert all(isinstance(row, RawRow) for row in rows), rows
    return [row.value for row in rows if isinstance(row, RawRow)]


def refusal(folder: Path, content: bytes | str, name: str) -> str:
    with pytest.raises(BadData) as caught:
        read(folder, content, name)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_lines_are_read_in_every_unicode_encoding(tmp_path: Path, encoding: str) -> None:
    assert values(read(tmp_path, LINES.encode(encoding), "rows.jsonl")) == ROWS


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", content)
    return buffer.getvalue()


def zstandard_frames(content: bytes) -> bytes:
    """Two frames after each other, as `zstd a b` writes them."""
    half = len(content) // 2
    return zstandard.compress(content[:half]) + zstandard.compress(content[half:])


@pytest.mark.parametrize("pack", [gzip.compress, zstandard_frames, zipped])
def test_packed_files_are_read_as_what_is_in_them(tmp_path: Path, pack: Any) -> None:
    assert values(read(tmp_path, pack(LINES.encode()), "rows.jsonl.packed")) == ROWS


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_packed_file_that_ends_early_is_refused_as_incomplete(tmp_path: Path, pack: Any) -> None:
    packed = pack(LINES.encode() * 1000)
    assert "ends early" in refusal(tmp_path, packed[:-10], "rows.jsonl")


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LINES.encode() * 1000))
    packed[40:60] = b"\xff" * 20
    assert "damaged" in refusal(tmp_path, bytes(packed), "rows.jsonl.gz")


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.unpacking.MIN_UNPACKED_LIMIT_BYTES", 1 << 20)
    assert "more than 200 times its size" in refusal(
        tmp_path, gzip.compress(b'{"text": "a"}\n' * 1_000_000), "a.jsonl.gz"
    )


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows", "rows.txt"])
def test_a_json_array_is_known_by_its_content(tmp_path: Path, name: str, indent: int | None) -> None:
    assert values(read(tmp_path, json.dumps(ROWS, indent=indent), name)) == ROWS


def test_objects_that_span_lines_and_follow_each_other_are_read(tmp_path: Path) -> None:
    assert values(read(tmp_path, "\n".join(json.dumps(row, indent=1) for row in ROWS), "rows.json")) == ROWS


def test_a_bad_line_costs_that_line_and_keeps_its_number(tmp_path: Path) -> None:
    lines = [
        '{"text": "one"}',
        '{"text": "two',
        "",
        '["three"]',
        '{"text": "\\ud800"}',
        '{"text": NaN}',
        '{"text": "six"}',
    ]
    rows = read(tmp_path, "\n".join(lines), "rows.jsonl")
    assert [(row.number, type(row)) for row in rows] == [
        (1, RawRow), (2, BadRow), (4, BadRow), (5, RawRow), (6, RawRow), (7, RawRow),
    ]  # fmt: skip
    reasons = [row.reason for row in rows if isinstance(row, BadRow)]
    assert reasons == ["not valid JSON", "the row is a list, not an object with fields"]


def test_a_line_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    rows = read(tmp_path, LINES.encode() + '{"text": "caf\u00e9"}\n'.encode("latin-1"), "rows.jsonl")
    assert isinstance(rows[-1], BadRow)
    assert rows[-1].reason == "not valid UTF-8"


def test_a_key_that_is_there_twice_is_reported_and_a_value_like_a_key_is_not(tmp_path: Path) -> None:
    lines = ['{"text": "a", "text": "b"}', '{"text": "text"}', '{"text": "x", "more": {"text": "y"}}']
    rows = read(tmp_path, "\n".join(lines), "rows.jsonl")
    assert [type(row) for row in rows] == [BadRow, RawRow, RawRow]
    assert isinstance(rows[0], BadRow)
    assert rows[0].reason == "the field `text` is there twice"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ('{"text": tru}', "not valid JSON"),
        ('{"text": "a"]', "not valid JSON"),
        ('"only text"', "the row is text, not an object with fields"),
        ("17", "the row is a number, not an object with fields"),
        ("null", "the row is null, not an object with fields"),
        ('{"text": "never closed', "the row never closes: a bracket or a quote is missing"),
        ('{"text": ["never closed"', "the row never closes: a bracket or a quote is missing"),
    ],
)
def test_a_bad_element_of_an_array_costs_that_element(tmp_path: Path, broken: str, reason: str) -> None:
    good = '{"text": "good"}'
    rows = read(tmp_path, f"[{good},\n{broken},\n{good}, {good}]", "rows.json")
    assert next(row.reason for row in rows if isinstance(row, BadRow)) == reason
    assert values([row for row in rows if isinstance(row, RawRow)])[:1] == [{"text": "good"}]
    assert sum(isinstance(row, RawRow) for row in rows) >= 2


def test_an_array_that_is_cut_off_says_so(tmp_path: Path) -> None:
    rows = read(tmp_path, json.dumps(ROWS)[:-1], "rows.json")
    assert len(rows) == len(ROWS) + 1
    assert isinstance(rows[-1], BadRow)
    assert rows[-1].reason == "the file ends inside the array"


def test_elements_are_whole_wherever_the_blocks_of_the_file_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.dumps(ROWS, indent=1)
    for size in range(1, 40):
        monkeypatch.setattr("pipeline.data.json_rows._BLOCK_BYTES", size)
        assert values(read(tmp_path, content, "rows.json")) == ROWS


@pytest.mark.parametrize("form", ["lines", "array"])
def test_fifty_megabytes_in_one_field_cost_that_row_and_little_memory(tmp_path: Path, form: str) -> None:
    rows = ['{"text": "before"}', '{"text": "' + "a" * 50_000_000 + '"}', '{"text": "after"}']
    (tmp_path / "file").write_text("\n".join(rows) if form == "lines" else "[" + ",\n".join(rows) + "]")
    tracemalloc.start()
    found = list(open_raw(tmp_path / "file", "rows.json").rows())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [type(row) for row in found] == [RawRow, BadRow, RawRow]
    assert "longer than 32 MB" in str(found[1])
    assert peak < 200e6


def test_csv_rows_keep_their_line_numbers_and_ragged_ones_are_reported(tmp_path: Path) -> None:
    content = 'prompt,completion\n"two\nlines",yes\nragged\n\ntoo,many,fields\n"un"closed",x\nlast,one\n'
    rows = read(tmp_path, content, "rows.csv")
    assert [(row.number, type(row)) for row in rows] == [
        (2, RawRow), (4, BadRow), (6, BadRow), (7, BadRow), (8, RawRow),
    ]  # fmt: skip
    assert values(rows[:1]) == [{"prompt": "two\nlines", "completion": "yes"}]
    assert rows[1].detail == "1 where the header has 2"  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t"), ("a", "\t")])
def test_the_delimiter_of_a_table_is_found(tmp_path: Path, name: str, delimiter: str) -> None:
    assert values(read(tmp_path, f"a{delimiter}b\n1{delimiter}2\n", name)) == [{"a": "1", "b": "2"}]


def test_a_header_that_repeats_a_column_is_refused(tmp_path: Path) -> None:
    assert "column 'a' more than once" in refusal(tmp_path, "a,b,a\n1,2,3\n", "a.csv")


def test_parquet_and_arrow_are_read_with_nested_values(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    table = pa.Table.from_pylist([{"messages": [{"role": "user", "content": "hi"}], "id": 1}] * 3)
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(str(tmp_path / "b.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_stream(str(tmp_path / "c.arrow"), table.schema) as writer:
        writer.write_table(table)
    for name in ("a.parquet", "b.arrow", "c.arrow"):
        assert values(list(open_raw(tmp_path / name, name).rows())) == table.to_pylist()


def test_a_damaged_parquet_is_refused(tmp_path: Path) -> None:
    assert "Parquet file cannot be read" in refusal(tmp_path, b"PAR1" + b"x" * 100, "a.parquet")


def test_text_is_cut_at_blank_lines_and_loses_nothing(tmp_path: Path) -> None:
    text = "".join(f"Paragraph {n}. " + "word " * (n % 300) + "\n\n" for n in range(200)) + "x" * 20_000 + "\n\u00e9nd"
    rows = read(tmp_path, text, "book.txt")
    passages = [row["text"] for row in values(rows)]
    assert "".join(passages) == text
    assert max(map(len, passages)) <= MAX_PASSAGE_CHARACTERS
    assert all(passage.endswith("\n\n") for passage in passages[:-4])
    assert [row.number for row in rows[:2]] == [1, passages[0].count("\n") + 1]


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "a.jsonl", "is empty: 0 bytes"),
        (b" \n\t\n", "a.jsonl", "nothing but white space"),
        (b"\xef\xbb\xbf", "a.jsonl", "nothing but white space"),
        (b"First Citizen:\nBefore", "a.json", "named as JSON, but its content is text that begins 'First Citizen:'"),
        (b"First Citizen:\nBefore", "a.parquet", "named as Parquet, but its content is text"),
        (b"%PDF-1.7 ...", "a.txt", "is a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "a.json", "is a PNG picture"),
        (b"\x80\x04\x95abc", "a.jsonl", "is a Python pickle"),
        (b"<!DOCTYPE html><html>", "a.json", "is a web page"),
        (b"abc\x00\x01\x02def\x00\x07", "a.csv", "binary data"),
    ],
)
def test_what_holds_no_rows_is_refused_by_what_it_is(tmp_path: Path, content: bytes, name: str, said: str) -> None:
    assert said in refusal(tmp_path, content, name)


def archive(**texts: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in texts.items():
            packed.writestr(name.replace("__", "."), text)
    return buffer.getvalue()


def test_each_text_of_an_archive_is_a_document(tmp_path: Path) -> None:
    long = "word " * 10_000
    content = archive(
        one__txt=b"\xef\xbb\xbfOnce.", two__md=long.encode(), three__txt=b" \n", four__txt="é".encode("utf-16")
    )
    rows = values(read(tmp_path, content, "books.zip"))
    assert [(row["text"], row["meta"]["file"]) for row in rows] == [
        ("Once.", "one.txt"), (long, "two.md"), ("é", "four.txt"),
    ]  # fmt: skip


def test_an_archive_of_texts_is_a_bomb_by_all_of_them_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.unpacking.MIN_UNPACKED_LIMIT_BYTES", 1 << 20)
    content = archive(**{f"t{n}__txt": b"a" * 200_000 for n in range(30)})
    assert "more than 200 times its size" in refusal(tmp_path, content, "books.zip")


def test_an_archive_of_several_tables_is_refused_with_their_names(tmp_path: Path) -> None:
    assert "'a.csv', 'b.csv'" in refusal(tmp_path, archive(a__csv=b"x", b__csv=b"y"), "tables.zip")
