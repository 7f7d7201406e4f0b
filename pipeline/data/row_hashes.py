"""Row hashes: what a row is, and what it asks, as numbers that are the same in every version and on every machine."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

_BESIDE = frozenset(("meta", "tags"))
"""What is known of a row beside what is trained on: a row that is scored or tagged stays the same row."""
_SPACE_OF_HASHES = 2**64


def row_hash(row: dict[str, Any]) -> int:
    """64 bits of the BLAKE2b of a canonical row, without its `meta` and `tags`, its keys in order.

    Of a million different rows, two share a hash once in forty million datasets.
    """
    trained_on = {key: value for key, value in row.items() if key not in _BESIDE}
    return _hash(orjson.dumps(trained_on, option=orjson.OPT_SORT_KEYS))


def prompt_hash(row: dict[str, Any]) -> int:
    """64 bits of the BLAKE2b of what a row asks first, whatever its case and spaces; of a text, of all of it.

    What is asked first is all that people say before the first answer: conversations that begin alike share it, under
    any system prompt.
    """
    return _hash(" ".join(opening_of(row).split()).casefold().encode())


def opening_of(row: dict[str, Any]) -> str:
    """What a row asks before its first answer, or its text."""
    if "text" in row:
        text: str = row["text"]
        return text
    asked = []
    for message in row.get("messages") or row["prompt"]:
        if message["role"] == "assistant":
            break
        if message["role"] == "user":
            asked.append(message["content"])
    return "\n".join(asked)


def falls_below(hashed: int, share: float, seed: int) -> bool:
    """Whether a hash lies in the first `share` of all hashes, after `seed` has shuffled them."""
    shuffled = _hash(hashed.to_bytes(8, "little") + seed.to_bytes(8, "little"))
    return shuffled < share * _SPACE_OF_HASHES


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
