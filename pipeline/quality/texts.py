"""Texts: what there is to read in a canonical row, part by part, and the words that rows are compared by."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import orjson

Row = dict[str, Any]
Path = tuple[str | int, ...]
Voice = Literal["text", "system", "asked", "answer", "thought", "rejected"]
"""Who speaks: a text; a system prompt; people and tools; what is trained on, and the reasoning before it; what is
trained against."""

# Scripts that put no spaces between words are read a character at a time: Thai to Myanmar, kana, and Han.
_UNSPACED = "\u0e00-\u109f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")


@dataclass(frozen=True)
class Part:
    """One text of a row: where it stands in the row, who says it, and whether it answers."""

    path: Path
    voice: Voice
    text: str


class RowTexts:
    """The texts of one row."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.parts = tuple(parts_of(row))

    @cached_property
    def asked(self) -> str:
        """What people and tools said, without the system prompt."""
        return self._said("asked")

    @cached_property
    def prompt(self) -> str:
        """All that stands before the last answer: two rows with the same prompt ask for the same."""
        last = max((n for n, part in enumerate(self.parts) if part.voice in ("answer", "rejected")), default=0)
        return "\n".join(
            part.text
            for n, part in enumerate(self.parts)
            if part.voice in ("system", "asked") or (part.voice == "answer" and n < last and "messages" in self.row)
        )

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """Every answer that is trained on, in order."""
        return tuple(part.text for part in self.parts if part.voice == "answer")

    @cached_property
    def answer(self) -> str:
        """The last answer that is trained on; of a pair the chosen one, of a text all of it."""
        if "text" in self.row:
            return str(self.row["text"])
        if "messages" in self.row:
            return self.answers[-1] if self.answers else ""
        return "\n".join(self.answers)

    @cached_property
    def rejected(self) -> str:
        return self._said("rejected")

    @cached_property
    def compared(self) -> str:
        """Everything but system prompts, which many rows share."""
        return "\n".join(part.text for part in self.parts if part.voice != "system")

    def _said(self, voice: Voice) -> str:
        return "\n".join(part.text for part in self.parts if part.voice == voice)


def parts_of(row: Mapping[str, Any]) -> Iterator[Part]:
    """Every text of a row in the order in which it is read."""
    if "text" in row:
        yield Part(("text",), "text", row["text"])
    for field, answer in (("messages", "answer"), ("prompt", "asked"), ("completion", "answer"), ("chosen", "answer")):
        yield from _of_messages(row, field, answer)
    yield from _of_messages(row, "rejected", "rejected")


def _of_messages(row: Mapping[str, Any], field: str, answer: Any) -> Iterator[Part]:
    for number, message in enumerate(row.get(field) or ()):
        voice = {"system": "system", "assistant": answer}.get(message["role"], "asked")
        if isinstance(message.get("reasoning_content"), str):
            yield Part((field, number, "reasoning_content"), "thought", message["reasoning_content"])
        if isinstance(message.get("content"), str):
            yield Part((field, number, "content"), voice, message["content"])


def with_texts(row: Row, texts: Mapping[Path, str]) -> Row:
    """The row with other texts in some of its places."""
    changed = copy.deepcopy(row)
    for path, text in texts.items():
        place: Any = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = text
    return changed


def words_of(text: str) -> list[str]:
    """The words by which texts are compared: lower case, no punctuation.

    >>> words_of("It's 5 o'clock, 東京!")
    ['it', 's', '5', 'o', 'clock', '東', '京']
    """
    return _WORD.findall(text.lower())


def shingles_of(words: list[str], size: int) -> list[str]:
    """Every run of `size` words; all the words where there are fewer, nothing where there are none."""
    if not words:
        return []
    return [" ".join(words[start : start + size]) for start in range(max(1, len(words) - size + 1))]


def hash_of(text: str) -> int:
    """64 bits of a text, blind to case and to how its words are spaced; 0 for an empty one."""
    plain = " ".join(text.lower().split())
    return _hash(plain.encode("utf-8", "surrogatepass")) if plain else 0


def hash_of_row(row: Mapping[str, Any]) -> int:
    """64 bits of what is trained on; what is merely known of the row (`meta`, `tags`) does not count."""
    content = {key: value for key, value in row.items() if key not in ("meta", "tags")}
    return _hash(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") or 1
