"""Sniffing: what a file is, by its content first and its name second."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import orjson

from pipeline.data.unpacking import Packing, packing_of, text_members, unpack
from pipeline.errors import BadData

Syntax = Literal["json_array", "json_lines", "json_values", "csv", "parquet", "arrow", "text", "documents"]

HEAD_BYTES = 1 << 16
SYNTAX_TITLES: dict[Syntax, str] = {
    "json_array": "JSON array",
    "json_lines": "JSON lines",
    "json_values": "JSON objects",
    "csv": "table",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "text": "plain text",
    "documents": "text documents",
}
_NAMED = SYNTAX_TITLES | {"json_array": "JSON"}
_FOREIGN = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"GGUF", "a GGUF model"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
)
_SYNTAX_OF_ENDING: dict[str, Syntax] = {
    ".json": "json_array",
    ".jsonl": "json_lines",
    ".ndjson": "json_lines",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".markdown": "text",
}
_COUNTED_BY_ROW = ("json_array", "json_values", "parquet", "arrow", "documents")
_PACKED_ENDINGS = {".gz", ".zst", ".zstd", ".zip"}
_ARRAY_START = re.compile(rb"\s*\[\s*[\[{\]\"0-9tfn-]")
_OBJECT_START = re.compile(rb"\s*\{\s*[\"}]")
_ACCEPTED = "Hone reads JSON, JSON lines, CSV, TSV, Parquet, Arrow, .txt and .md files, and .gz, .zst or .zip of them."


@dataclass(frozen=True)
class FileShape:
    """How a file is written down: syntax, and what it is packed and encoded in."""

    syntax: Syntax
    packing: Packing | None = None
    encoding: str = "utf-8"
    delimiter: str = ","

    @property
    def title(self) -> str:
        title = {",": "CSV", "\t": "TSV"}.get(self.delimiter, "CSV") if self.syntax == "csv" else None
        packed = f", {self.packing}" if self.packing else ""
        encoded = (
            f", {self.encoding.upper().removesuffix('-LE').removesuffix('-BE')}" if self.encoding != "utf-8" else ""
        )
        return f"{title or SYNTAX_TITLES[self.syntax]}{packed}{encoded}"

    @property
    def counted_in(self) -> Literal["line", "row"]:
        """What a raw row's number counts."""
        return "row" if self.syntax in _COUNTED_BY_ROW else "line"


def sniff(path: Path, name: str) -> FileShape:
    """Decide what a file is.

    Args:
        path: Where it lies.
        name: What its owner calls it; only its endings matter.

    Raises:
        BadData: if it is empty, or is nothing that holds rows, or is not what its name says.
    """
    if path.stat().st_size == 0:
        raise BadData(
            f"{_shown(name)} is empty: 0 bytes.", "Check that the file was written whole, and upload it again."
        )
    packing = packing_of(path)
    if text_members(path):
        return FileShape("documents", packing)
    with unpack(path) as unpacked:
        head, encoding = unpacked.stream.read(HEAD_BYTES), unpacked.encoding
    if head.startswith((b"PAR1", b"ARROW1")):
        if packing:
            raise BadData(
                f"{_shown(name)} is a Parquet or Arrow file inside {packing}.", "Unpack it and upload it as it is."
            )
        return FileShape("parquet" if head.startswith(b"PAR1") else "arrow")
    if head.startswith(b"\xff\xff\xff\xff") and not packing:
        return FileShape("arrow")
    _refuse_foreign(head, name)
    if not head.strip():
        raise BadData(f"{_shown(name)} holds nothing but white space.", "Check the file, and upload it again.")
    named = _syntax_by_name(name)
    syntax = _json_syntax(head, named) or _syntax_of_text(head, named, name)
    delimiter = _delimiter(head) if syntax == "csv" else ","
    return FileShape(syntax, packing, encoding, delimiter)


def _refuse_foreign(head: bytes, name: str) -> None:
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            raise BadData(f"{_shown(name)} is {what}, not rows of text.", _ACCEPTED)
    if head[:1024].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise BadData(
            f"{_shown(name)} is a web page (HTML), perhaps an error page saved in place of the data.",
            "Download the data itself, and upload that.",
        )
    if b"\0" in head:
        raise BadData(f"{_shown(name)} holds binary data that begins {head[:12]!r}, not rows of text.", _ACCEPTED)


def _syntax_by_name(name: str) -> Syntax | None:
    endings = [ending.lower() for ending in PurePath(name).suffixes]
    if endings and endings[-1] in _PACKED_ENDINGS:
        endings.pop()
    return _SYNTAX_OF_ENDING.get(endings[-1]) if endings else None


def _json_syntax(head: bytes, named: Syntax | None) -> Syntax | None:
    if _ARRAY_START.match(head):
        if named == "text" and not _OBJECT_START.match(head.lstrip()[1:]):
            return None  # prose may begin with a bracket
        return "json_array"
    if not _OBJECT_START.match(head):
        return None
    *whole_lines, last = head.split(b"\n")
    is_lines = any(_is_object(line) for line in whole_lines) or _is_object(last)
    if is_lines or not any(line.strip() for line in whole_lines) or named == "json_lines":
        return "json_lines"
    return "json_values" if named != "text" else None


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _syntax_of_text(head: bytes, named: Syntax | None, name: str) -> Syntax:
    if named in ("csv", "text"):
        return named
    if named is None:
        return "csv" if _has_table_header(head) else "text"
    begins = head.lstrip()[:40].decode("utf-8", "replace").splitlines()[0]
    raise BadData(
        f"{_shown(name)} is named as {_NAMED[named]}, but its content is text that begins {begins!r}.",
        "If it is plain text, rename it to .txt; if it is a table, to .csv; otherwise export it again.",
    )


def _has_table_header(head: bytes) -> bool:
    first, *others = head.decode("utf-8", "replace").splitlines()[:3]
    delimiter = _delimiter(head)
    return first.count(delimiter) > 0 and all(delimiter in line for line in others) and len(first) < 500


def _delimiter(head: bytes) -> str:
    first_line = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    return max(",\t;|", key=first_line.count)


def _shown(name: str) -> str:
    return f"“{name[:80]}”"
