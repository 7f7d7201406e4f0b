"""Searchable text: the words of a row, and of a search, in one form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from pipeline.errors import BadData

# Scripts that put no space between words: each sign is a word of its own, so that any run of them can be found.
_UNSPACED = re.compile(r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
MIN_OPEN_LETTERS = 3
"""Nearly every row has a word that begins with one given letter."""
_TERM = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')


def searchable_text(row: dict[str, Any]) -> str:
    """Everything that a row says, one part a line: texts, reasoning, tool calls."""
    return spaced("\n".join(_texts(row)))


def spaced(text: str) -> str:
    """The text with a space around every sign of a script that has none between words."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)


def terms_of(words: str) -> tuple[list[str], list[str]]:
    """The terms of a search that rows must hold, and those that they must not, each as SQLite's FTS5 takes it.

    `two words` must both be there; `"two words"` beside each other; `-word` must not. The last word may be the
    beginning of one, from its third letter on.

    Raises:
        BadData: if there is nothing to search for, such as a lone `!`.
    """
    wanted: list[str] = []
    unwanted: list[str] = []
    for match in _TERM.finditer(words):
        is_phrase = match.group(2) is not None
        term = " ".join(re.findall(r"\w+", spaced(match.group(2) if is_phrase else match.group(3))))
        if term:
            is_open = match.end() == len(words) and not is_phrase and len(term) >= MIN_OPEN_LETTERS
            (unwanted if match.group(1) else wanted).append(f'"{term}"' + ("*" if is_open else ""))
    if not wanted and not unwanted:
        raise BadData(f"“{words[:80]}” holds no word to search for.", "Search for letters or figures.")
    return wanted, unwanted


def _texts(row: dict[str, Any]) -> Iterator[str]:
    if "text" in row:
        yield row["text"]
    for key in ("messages", "prompt", "chosen", "rejected", "completion"):
        for message in row.get(key) or ():
            if message.get("reasoning_content"):
                yield message["reasoning_content"]
            if message["content"]:
                yield message["content"]
            for call in message.get("tool_calls") or ():
                yield f"{call['function']['name']} {orjson.dumps(call['function']['arguments']).decode()}"
