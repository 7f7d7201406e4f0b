"""Text rows: plain text cut into passages, at blank lines where there are some."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

from pipeline.data.raw import MAX_ROW_BYTES, TOO_LONG, BadRow, RawRow, excerpt_of, printable
from pipeline.data.unpacking import text_members, unpack_members

MAX_PASSAGE_CHARACTERS = 8_000


def read_text(stream: io.BufferedReader) -> Iterator[RawRow]:
    """Passages of at most `MAX_PASSAGE_CHARACTERS`, in order; joined, they are the text (but for all-blank ones).

    A passage ends at the last blank line that fits, else at the last line end, else in mid-line. Its number is that of
    the line on which it begins.
    """
    passage: list[str] = []
    size = 0
    paragraph_end = 0  # how many pieces of `passage` stand before its last blank line
    first_line = 1
    for piece in _pieces(stream):
        if size + len(piece) > MAX_PASSAGE_CHARACTERS:
            cut = paragraph_end or len(passage)
            whole, passage = "".join(passage[:cut]), passage[cut:]
            if not whole.isspace():
                yield RawRow(first_line, {"text": whole})
            first_line += whole.count("\n")
            size = sum(map(len, passage))
            paragraph_end = 0
        passage.append(piece)
        size += len(piece)
        if piece.isspace():
            paragraph_end = len(passage)
    if not (whole := "".join(passage)).isspace() and whole:
        yield RawRow(first_line, {"text": whole})


def read_documents(path: Path) -> Iterator[RawRow | BadRow]:
    """The texts of a zip archive, each a document of its own with its file's name; blank ones are passed over."""
    members = text_members(path)
    for number, (member, stream) in enumerate(unpack_members(path, members), 1):
        data = stream.read(MAX_ROW_BYTES + 1)
        if len(data) > MAX_ROW_BYTES:
            yield BadRow(number, TOO_LONG, member.filename[:200], excerpt_of(data))
        elif not data.isspace() and data:
            text = data.decode("utf-8", "surrogateescape")
            yield RawRow(number, {"text": text, "meta": {"file": printable(member.filename)}})


def _pieces(stream: io.BufferedReader) -> Iterator[str]:
    """Lines with their ends; a line too long for a passage in several pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    pending = ""
    while block := stream.read(1 << 18):
        *lines, pending = (pending + decoder.decode(block)).split("\n")
        for line in lines:
            yield from _cut(line + "\n")
        if len(pending) > MAX_PASSAGE_CHARACTERS:
            *whole, pending = _cut(pending)
            yield from whole
    yield from _cut(pending + decoder.decode(b"", final=True))


def _cut(line: str) -> list[str]:
    limit = MAX_PASSAGE_CHARACTERS
    return [line[start : start + limit] for start in range(0, len(line), limit)]
