"""JSON rows: objects one a line, and the elements of an array of any size, without holding the file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from pipeline.data.raw import MAX_ROW_BYTES, TOO_LONG, BadRow, RawRow, excerpt_of

_BLOCK_BYTES = 1 << 20
_KINDS = {str: "text", int: "a number", float: "a number", bool: "true or false", type(None): "null", list: "a list"}


def read_lines(stream: io.BufferedReader) -> Iterator[RawRow | BadRow]:
    """One JSON object a line; blank lines are passed over."""
    number = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            _skip_line(stream)
            yield BadRow(number, TOO_LONG, "", excerpt_of(line))
        elif not line.isspace():
            yield parse_row(number, line)


def _skip_line(stream: io.BufferedReader) -> None:
    while (piece := stream.readline(_BLOCK_BYTES)) and not piece.endswith(b"\n"):
        pass


def read_elements(stream: io.BufferedReader, *, in_array: bool) -> Iterator[RawRow | BadRow]:
    """The elements of one JSON array, or objects that follow each other with or without commas between them.

    An element is cut out by its brackets and only then parsed, so that a bad one costs itself alone. One that never
    closes is given up after `MAX_ROW_BYTES`, and reading goes on where the next object seems to begin.
    """
    window = _Window(stream)
    number = 0
    if in_array:
        window.skip(_OPENING)
    while True:
        window.skip(_SEPARATORS)
        if window.is_at_end():
            if in_array:
                yield BadRow(number + 1, "the file ends inside the array", "its closing bracket is missing", "")
            return
        if in_array and window.starts_with(b"]"):
            yield from _after_array(window, number)
            return
        number += 1
        element = window.take_element()
        if element is not None:
            yield parse_row(number, element)
            continue
        lost = window.give_up_element()
        is_long = len(lost) >= MAX_ROW_BYTES
        reason = f"{TOO_LONG}, or never closes" if is_long else "the row never closes: a bracket or a quote is missing"
        yield BadRow(number, reason, "", excerpt_of(lost))


def _after_array(window: _Window, number: int) -> Iterator[BadRow]:
    window.skip(_CLOSING)
    if not window.is_at_end():
        detail = f"{excerpt_of(window.rest(), 80)!r}"
        yield BadRow(number + 1, "there is more after the end of the array", detail, excerpt_of(window.rest()))


def parse_row(number: int, data: bytes) -> RawRow | BadRow:
    """Parse one object; what Python's own decoder accepts beyond the standard (NaN) is accepted too."""
    try:
        value: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(data)
        except json.JSONDecodeError as error:
            return BadRow(
                number,
                "not valid JSON",
                f"{error.msg.removesuffix(' at')} at character {error.pos + 1}",
                excerpt_of(data),
            )
        except UnicodeDecodeError as error:
            return BadRow(number, "not valid UTF-8", f"at byte {error.start + 1} of the row", excerpt_of(data))
        except RecursionError:
            return BadRow(number, "nested too deeply", "", excerpt_of(data))
        except ValueError as error:  # an integer of thousands of digits
            return BadRow(number, "not valid JSON", str(error).split(";")[0], excerpt_of(data))
    if type(value) is not dict:
        return BadRow(number, f"the row is {_KINDS[type(value)]}, not an object with fields", "", excerpt_of(data))
    if not is_written_with(data, num_keys(value)) and (twice := _repeated_key(data)):
        return BadRow(number, f"the field `{twice[:60]}` is there twice", "", excerpt_of(data))
    return RawRow(number, value)


def is_written_with(data: bytes, num_keys: int) -> bool:
    """Whether valid JSON is written with so many keys; False also where a space stands before a colon."""
    marks = data.count(b'":')
    return marks == num_keys or (marks > num_keys and marks - data.count(b'\\":') == num_keys)


def num_keys(value: dict[str, Any]) -> int:
    """How many keys an object and everything in it has; a decoder keeps the last of those that are there twice."""
    count = len(value)
    for item in value.values():
        if type(item) is dict:
            count += num_keys(item)
        elif type(item) is list:
            count += _num_keys_in(item)
    return count


def _num_keys_in(items: list[Any]) -> int:
    return sum(num_keys(i) if type(i) is dict else _num_keys_in(i) if type(i) is list else 0 for i in items)


def _repeated_key(data: bytes) -> str | None:
    """The first key that one of the row's objects has twice; a decoder keeps the last and says nothing."""
    repeated: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            repeated.append(next(key for key in keys if keys.count(key) > 1))

    json.loads(data, object_pairs_hook=look)
    return repeated[0] if repeated else None


def _element_pattern(depth: int) -> bytes:
    """A bracketed value of at most `depth` levels; possessive throughout, so that matching is linear in its length."""
    plain, string = rb'[^{}\[\]"]++', rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    nested = b"(?!)"
    for _ in range(depth):
        nested = rb"[\[{](?:" + plain + b"|" + string + b"|" + nested + rb")*+[\]}]"
    return nested


_OPENING = re.compile(rb"\s*\[")
_CLOSING = re.compile(rb"\]\s*")
_SEPARATORS = re.compile(rb"[\s,]*")
_ELEMENT = re.compile(_element_pattern(12) + rb'|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^\s,{}\[\]"]++(?=[\s,\]])', re.DOTALL)
_NEXT_OBJECT = re.compile(rb'[,\n]\s*\{\s*"')


class _Window:
    """The part of a stream that is being looked at: it slides on, and grows only while one element needs it."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._data = b""
        self._at = 0
        self._is_last = False

    def skip(self, pattern: re.Pattern[bytes]) -> None:
        """Move over what matches; a match that reaches the end of the window goes on in what follows."""
        while True:
            found = pattern.match(self._data, self._at)
            if found and found.end() < len(self._data):
                self._at = found.end()
                return
            if self._is_last:
                self._at = found.end() if found else self._at
                return
            self._grow()

    def is_at_end(self) -> bool:
        while self._at >= len(self._data) and not self._is_last:
            self._grow()
        return self._at >= len(self._data)

    def starts_with(self, prefix: bytes) -> bool:
        return self._data.startswith(prefix, self._at)

    def rest(self) -> bytes:
        return self._data[self._at :]

    def take_element(self) -> bytes | None:
        """The element that begins here, or None where it does not end within `MAX_ROW_BYTES` or the file."""
        while True:
            found = _ELEMENT.match(self._data, self._at)
            if found:
                self._at = found.end()
                return found.group()
            if self._is_last or len(self._data) - self._at > MAX_ROW_BYTES:
                return None
            self._grow()

    def give_up_element(self) -> bytes:
        """Move to where the next object seems to begin, and return the beginning of what is left behind."""
        lost = self._data[self._at : self._at + MAX_ROW_BYTES]
        self._at += 1
        while not (found := _NEXT_OBJECT.search(self._data, self._at)):
            self._at = max(self._at, len(self._data) - 1024)
            if self._is_last:
                self._at = len(self._data)
                return lost
            self._grow()
        self._at = found.start() + 1
        return lost

    def _grow(self) -> None:
        kept = self._data[self._at :]
        doubled = min(len(kept), MAX_ROW_BYTES - len(kept))  # doubling keeps a long element linear
        more = self._stream.read(max(_BLOCK_BYTES, doubled))
        self._is_last = not more
        self._data, self._at = kept + more, 0
