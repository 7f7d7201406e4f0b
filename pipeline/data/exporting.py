"""Exporting: a version's rows as JSON lines or Parquet in TRL's columns, and both with a dataset card as a zip.

    text         text
    instruction  messages, tools?
    preference   prompt, chosen, rejected, tools?
    unpaired     prompt, completion, label

`tags` and `meta` stand beside them where rows have them. In Parquet, what has no one shape (arguments of tool calls,
schemas, `meta`) is of Arrow's JSON type, which `datasets` gives back as objects. Everything is made as it is sent: no
export is ever whole in memory or on disk. An export that is imported again makes the same rows.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from pipeline.data.dataset_card import CardFacts, dataset_card

ExportFormat = Literal["jsonl", "parquet"]
_CHUNK_BYTES = 1 << 20
_BATCH_BYTES = 16_000_000
_OPTIONAL_KEYS = ("reasoning_content", "tool_calls", "tool_call_id", "name")


@dataclass(frozen=True)
class ExportedSplit:
    """A file of rows, and what a training script calls it: "train" or "test"."""

    name: str
    rows: Path
    num_rows: int


def export_jsonl(rows: Path) -> Iterator[bytes]:
    """The canonical rows are in TRL's columns already."""
    with rows.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def export_parquet(rows: Path, kind: str) -> Iterator[bytes]:
    """Parquet, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet

    told, stored = parquet_schema(rows, kind, as_json=True), parquet_schema(rows, kind, as_json=False)
    sink = _Sink()
    with pyarrow.parquet.ParquetWriter(pa.PythonFile(sink, "w"), told, compression="zstd") as writer:
        for table in _tables(rows, stored, is_free=told != stored):
            writer.write_table(table.cast(told))
            yield sink.take()
    yield sink.take()


def export_zip(splits: list[ExportedSplit], kind: str, file_format: ExportFormat, facts: CardFacts) -> Iterator[bytes]:
    """A zip of `README.md` and one file a split under `data/`, which `datasets.load_dataset` opens as a folder."""
    sink = _Sink()
    columns = parquet_columns(splits[0].rows, kind)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as package:
        sizes = {split.name: split.num_rows for split in splits}
        package.writestr("README.md", dataset_card(facts, kind, columns, sizes, file_format))
        for split in splits:
            entry = zipfile.ZipInfo(f"data/{split.name}.{file_format}", date_time=(2020, 1, 1, 0, 0, 0))
            # Parquet is compressed already.
            entry.compress_type = zipfile.ZIP_STORED if file_format == "parquet" else zipfile.ZIP_DEFLATED
            with package.open(entry, "w", force_zip64=True) as file:
                data = export_jsonl(split.rows) if file_format == "jsonl" else export_parquet(split.rows, kind)
                for chunk in data:
                    file.write(chunk)
                    yield sink.take()
    yield sink.take()


def parquet_columns(rows: Path, kind: str) -> dict[str, str]:
    """Each column and what it holds, in the words of the dataset card."""
    messages = f"list of messages ({', '.join(['role', 'content', *_keys_in(rows, _OPTIONAL_KEYS)])})"
    words = {"text": "string", "label": "bool", "tools": "json", "tags": "list of strings", "meta": "json"}
    return {name: words.get(name, messages) for name in _columns(rows, kind)}


def parquet_schema(rows: Path, kind: str, *, as_json: bool) -> Any:
    """The Arrow schema of an export: only columns that some row has.

    Args:
        as_json: Whether what has no one shape is of the JSON type, as it is told, or text, as it is made.
    """
    import pyarrow as pa

    free = pa.json_() if as_json else pa.string()
    function = pa.struct([("name", pa.string()), ("arguments", free)])
    keys = _keys_in(rows, _OPTIONAL_KEYS)
    call_keys = [("type", pa.string()), ("function", function)]
    if "tool_calls" in keys and _keys_in(rows, ("id",)):
        call_keys.append(("id", pa.string()))
    kinds = {"tool_calls": pa.list_(pa.struct(call_keys))}
    message = pa.struct(
        [("role", pa.string()), ("content", pa.string()), *((k, kinds.get(k, pa.string())) for k in keys)]
    )
    types = {"text": pa.string(), "label": pa.bool_(), "tools": free, "tags": pa.list_(pa.string()), "meta": free}
    return pa.schema([(name, types.get(name, pa.list_(message))) for name in _columns(rows, kind)])


def _columns(rows: Path, kind: str) -> list[str]:
    always = {
        "text": ["text"],
        "instruction": ["messages"],
        "preference": ["prompt", "chosen", "rejected"],
        "unpaired": ["prompt", "completion", "label"],
    }[kind]
    return always + _keys_in(rows, ("tools", "tags", "meta"))


def _keys_in(rows: Path, keys: tuple[str, ...]) -> list[str]:
    """Those keys that some object in the file has; within a text, a backslash stands before their quotes."""
    missing = {key: f'"{key}":'.encode() for key in keys}
    with rows.open("rb") as file:
        before = b""
        while missing and (chunk := file.read(4 * _CHUNK_BYTES)):
            window = before + chunk
            missing = {key: needle for key, needle in missing.items() if needle not in window}
            before = chunk[-64:]
    return [key for key in keys if key not in missing]


def _tables(rows: Path, stored: Any, *, is_free: bool) -> Iterator[Any]:
    """Arrow tables of rows, few enough at a time for any length.

    Arrow parses JSON twice as fast as it takes Python's objects.

    Args:
        stored: The schema.
        is_free: Whether some column holds what has no one shape, which is written as text first.
    """
    import pyarrow.json

    parsing = pyarrow.json.ParseOptions(explicit_schema=stored, unexpected_field_behavior="ignore")
    for lines in _batches(rows):
        if is_free:
            flat = (orjson.dumps(_flattened(orjson.loads(line))) for line in lines)
            data = b"\n".join(flat)
        else:
            data = b"".join(lines)
        reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1)
        yield pyarrow.json.read_json(io.BytesIO(data), reading, parsing).select(stored.names)


def _batches(rows: Path) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    num_bytes = 0
    with rows.open("rb") as file:
        for line in file:
            batch.append(line)
            num_bytes += len(line)
            if num_bytes >= _BATCH_BYTES:
                yield batch
                batch, num_bytes = [], 0
    if batch:
        yield batch


def _flattened(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what has no one shape as JSON text."""
    flat = dict(row)
    for key in ("tools", "meta"):
        if key in flat:
            flat[key] = _json(flat[key])
    for key in ("messages", "prompt", "chosen", "rejected", "completion"):
        if key in flat:
            flat[key] = [_flat_message(message) for message in flat[key]]
    return flat


def _flat_message(message: dict[str, Any]) -> dict[str, Any]:
    if "tool_calls" not in message:
        return message
    calls = [
        call | {"function": call["function"] | {"arguments": _json(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return message | {"tool_calls": calls}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


class _Sink:
    """A file that only grows, whose bytes are taken away as they come."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """What was written is still to be taken."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts = []
        return taken
