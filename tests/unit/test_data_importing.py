"""Importing: every row of a file is kept or accounted for, in bounded memory, and found again at once."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.formats import Mapping
from pipeline.data.importing import ImportProgress, import_file, import_rows
from pipeline.data.inspecting import inspect_file
from pipeline.data.rows import RowFile, RowWriter
from pipeline.errors import BadData

BY_HAND = Mapping(layout="turns", columns={"instruction": "question", "output": "answer"})


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_rows_and_rejections_together_are_every_row_of_the_file(tmp_path: Path) -> None:
    shuffle = random.Random(1)
    good = [{"prompt": f"q{n}", "completion": f"a{n}"} for n in range(300)]
    bad: list[Any] = (
        [{"prompt": "q", "completion": ""}] * 20 + ["{broken"] * 10 + ['{"prompt": "q", "completion": {}}'] * 5
    )
    lines = good + bad
    shuffle.shuffle(lines)
    report = import_file(write_lines(tmp_path / "a.jsonl", lines), "a.jsonl", tmp_path / "out")
    assert (report.num_rows, report.num_rejected) == (300, 35)
    assert report.reasons == {"`completion` is empty": 20, "not valid JSON": 10, "the role None is not known": 5}
    kept = [row["messages"][0]["content"] for row in RowFile(tmp_path / "out" / "rows.jsonl")]
    assert kept == [line["prompt"] for line in lines if isinstance(line, dict) and line["completion"]]
    rejected = list(RowFile(tmp_path / "out" / "rejected.jsonl"))
    assert [item["row"] for item in rejected] == [
        number for number, line in enumerate(lines, 1) if not (isinstance(line, dict) and line["completion"])
    ]
    assert all(item["raw"] for item in rejected)


def test_the_hash_names_the_bytes_and_the_same_rows_in_another_file_are_the_same(tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {n}", "output": "é", "input": ""} for n in range(20)]
    first = import_file(write_lines(tmp_path / "a.jsonl", rows), "a.jsonl", tmp_path / "one")
    turned = [dict(reversed(row.items())) for row in rows]
    (tmp_path / "b.json").write_text(json.dumps(turned, indent=2))
    second = import_file(tmp_path / "b.json", "b.json", tmp_path / "two")
    assert first.sha256 == second.sha256 == hashlib.sha256((tmp_path / "one" / "rows.jsonl").read_bytes()).hexdigest()


def test_an_import_of_its_own_rows_changes_nothing(tmp_path: Path) -> None:
    rows = [
        {"chosen": f"\n\nHuman: q{n}\n\nAssistant: a", "rejected": f"\n\nHuman: q{n}\n\nAssistant: b"} for n in range(5)
    ]
    first = import_file(write_lines(tmp_path / "a.jsonl", rows), "a.jsonl", tmp_path / "one")
    again = import_file(tmp_path / "one" / "rows.jsonl", "rows.jsonl", tmp_path / "two")
    made = import_rows(RowFile(tmp_path / "one" / "rows.jsonl"), "made", tmp_path / "three", kind="preference")
    assert first.sha256 == again.sha256 == made.sha256


def test_any_page_is_read_through_the_index(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "rows.jsonl") as writer:
        for number in range(1000):
            writer.write({"text": f"row {number} " + "é" * (number % 7)})
    rows = RowFile(tmp_path / "rows.jsonl")
    assert len(rows) == 1000
    for offset, limit in ((0, 3), (500, 10), (997, 10), (1000, 5), (5000, 5), (0, 0)):
        assert [row["text"].split()[1] for row in rows.read(offset, limit)] == [
            str(number) for number in range(offset, min(1000, offset + limit))
        ]


def test_a_row_that_json_cannot_hold_is_not_half_written(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "rows.jsonl") as writer:
        writer.write({"text": "one"})
        with pytest.raises(TypeError):
            writer.write({"text": "\ud800"})
        writer.write({"text": "two"})
    assert [row["text"] for row in RowFile(tmp_path / "rows.jsonl")] == ["one", "two"]
    assert len(RowFile(tmp_path / "rows.jsonl")) == 2


def test_rows_without_their_index_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    with pytest.raises(BadData, match=r"rows\.index are not there"):
        RowFile(tmp_path / "rows.jsonl")


def test_unknown_columns_need_a_mapping_and_take_one(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"question": "1+1?", "answer": "2", "id": 7}])
    with pytest.raises(BadData, match="`question`, `answer`, `id`"):
        import_file(path, "a.jsonl", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = import_file(path, "a.jsonl", tmp_path / "out", mapping=BY_HAND)
    assert (report.format, report.unused_columns) == ("mapped columns", ["id"])


def test_a_file_of_which_nothing_can_be_used_says_why_not(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"text": ""}] * 3 + [{"text": True}])
    with pytest.raises(
        BadData, match=r"None of the 4 rows .* `text` is empty \(3\); `text` is true or false, not text \(1\)"
    ):
        import_file(path, "a.jsonl", tmp_path / "out")
    assert not (tmp_path / "out" / "report.json").exists()


def test_an_inspection_shows_the_first_rows_and_reads_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for number in range(200_000):
            file.write(json.dumps({"prompt": f"q{number}", "completion": "a" * 20 if number % 3 else ""}) + "\n")
    inspection = inspect_file(path, "a.jsonl")
    assert (inspection.format, inspection.kind, inspection.columns) == (
        "prompt and completion", "instruction", ["prompt", "completion"],
    )  # fmt: skip
    assert len(inspection.raw_rows) == 20
    assert len(inspection.rows) + len(inspection.rejected) == 20
    assert inspection.rejected[0].reason == "`completion` is empty"


def test_an_inspection_of_unknown_columns_previews_a_mapping(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"question": "1+1?", "answer": "2"}])
    plain = inspect_file(path, "a.jsonl")
    assert (plain.mapping, plain.rows, plain.suggestion) == (None, [], BY_HAND)
    mapped = inspect_file(path, "a.jsonl", BY_HAND)
    assert mapped.rows[0]["messages"][1] == {"role": "assistant", "content": "2"}


def test_progress_ends_at_the_whole_file(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"text": "x" * 100}] * 5000)
    seen: list[ImportProgress] = []
    import_file(path, "a.jsonl", tmp_path / "out", on_progress=seen.append)
    assert seen[-1].num_rows == 5000
    assert seen[-1].bytes_read == seen[-1].total_bytes == path.stat().st_size


def test_three_hundred_megabytes_are_imported_in_little_memory(tmp_path: Path) -> None:
    row = json.dumps({"instruction": "Tell me of rivers.", "output": "Rivers run. " * 200})
    with (tmp_path / "big.json").open("w") as file:
        file.write("[" + row)
        for _ in range(300_000_000 // len(row)):
            file.write(",\n" + row)
        file.write("]")
    measure = (
        "import sys; from pathlib import Path; from pipeline.data.__main__ import main; code = main(sys.argv[1:]);"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure, str(tmp_path / "big.json"), str(tmp_path / "out")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1])["num_rows"] == 1 + 300_000_000 // len(row)
    peak_kilobytes = int(done.stderr.split()[-1])
    assert peak_kilobytes < 120_000


def test_a_file_without_one_readable_row_is_refused_with_the_reason_of_its_first(tmp_path: Path) -> None:
    path = tmp_path / "latin1.jsonl"
    path.write_bytes(b'{"instruction": "caf\xe9", "output": "x"}\n')
    with pytest.raises(BadData, match=r"line 1: not valid UTF-8 \(at byte 21 of the row\)"):
        inspect_file(path, path.name)
