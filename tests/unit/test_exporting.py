"""Exports: what TRL and `datasets` open, and what makes the same rows when it is imported again."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.dataset_card import CardFacts
from pipeline.data.exporting import ExportedSplit, export_jsonl, export_parquet, export_zip
from pipeline.data.formats import Kind
from pipeline.data.importing import ImportReport, import_file, import_rows

CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Łódź", "days": [1, 2]}}, "id": "c1"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


ROWS: dict[Kind, list[dict[str, Any]]] = {
    "text": [{"text": 'A "quoted" line\nand \\"tools\\": none.'}, {"text": "\x00 and \u2028"}],
    "instruction": [
        {"messages": [said("user", "Hi."), said("assistant", "Hello.")], "tags": ["greeting"]},
        {
            "messages": [
                said("system", "Be brief."),
                said("user", "How warm?"),
                said("assistant", "", reasoning_content="Look it up.", tool_calls=[CALL]),
                said("tool", "21", tool_call_id="c1", name="weather"),
                said("assistant", "21 °C."),
            ],
            "tools": [TOOL],
        },
    ],
    "preference": [
        {"prompt": [said("user", "Hi.")], "chosen": [said("assistant", "Yes?")], "rejected": [said("assistant", "No.")]}
    ],
    "unpaired": [
        {"prompt": [said("user", "Hi.")], "completion": [said("assistant", "Yes?")], "label": True},
        {"prompt": [said("user", "Ho.")], "completion": [said("assistant", "No.")], "label": False},
    ],
}
FACTS = CardFacts("---\nname: <b>`x`</b>: [1](2)", 3, "ab" * 32, (("Made by", "upload\n---"),))


def kept(tmp_path: Path, kind: Kind) -> tuple[Path, ImportReport]:
    report = import_rows(ROWS[kind], "rows", tmp_path / "rows", kind=kind)
    assert report.num_rejected == 0
    return tmp_path / "rows" / "rows.jsonl", report


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_export_that_is_imported_again_makes_the_same_rows(tmp_path: Path, kind: Kind, ending: str) -> None:
    rows, report = kept(tmp_path, kind)
    path = tmp_path / f"export.{ending}"
    path.write_bytes(b"".join(export_jsonl(rows) if ending == "jsonl" else export_parquet(rows, kind)))
    again = import_file(path, path.name, tmp_path / "again")
    assert (again.num_rejected, again.sha256) == (0, report.sha256)


def test_trl_takes_an_exported_preference_set_and_an_exported_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    from trl.data_utils import is_conversational, maybe_extract_prompt

    pair = opened(tmp_path / "pairs", "preference")[0]
    assert is_conversational(pair)
    assert maybe_extract_prompt(pair)["prompt"] == ROWS["preference"][0]["prompt"]
    rows = opened(tmp_path / "talks", "instruction")
    assert is_conversational(rows[0])
    assert rows[1]["tools"] == [TOOL]
    assert rows[1]["messages"][2]["tool_calls"] == [CALL]


def opened(folder: Path, kind: Kind) -> Any:
    """The zip with its card, as `datasets` opens the folder that it is unpacked to."""
    import datasets

    folder.mkdir()
    rows, report = kept(folder, kind)
    splits = [ExportedSplit("train", rows, report.num_rows), ExportedSplit("test", rows, report.num_rows)]
    data = b"".join(export_zip(splits, kind, "parquet", FACTS))
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        assert package.testzip() is None
        assert package.namelist() == ["README.md", "data/train.parquet", "data/test.parquet"]
        package.extractall(folder / "package")
    found = datasets.load_dataset(str(folder / "package"), cache_dir=str(folder / "cache"))
    assert {name: len(split) for name, split in found.items()} == {"train": len(ROWS[kind]), "test": len(ROWS[kind])}
    return found["train"]


def test_a_card_is_yaml_with_an_open_licence_and_shows_a_hostile_name_as_text(tmp_path: Path) -> None:
    import yaml

    rows, report = kept(tmp_path, "text")
    data = b"".join(export_zip([ExportedSplit("train", rows, report.num_rows)], "text", "jsonl", FACTS))
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        _, header, body = package.read("README.md").decode().split("---\n", 2)
        assert package.read("data/train.jsonl") == rows.read_bytes()
    told = yaml.safe_load(header)
    assert (told["license"], told["size_categories"], told["pretty_name"]) == (
        None,
        ["n<1K"],
        "--- name: <b>`x`</b>: [1](2)",
    )
    assert "<b>" not in body
    assert FACTS.sha256 in body
