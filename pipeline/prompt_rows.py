"""Prompt rows: rows of any kind that asks something, read as the prompts that models answer."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.errors import BadData
from pipeline.training.rows import RowKind, read_rows

Message = dict[str, Any]


def prompt_of(row: Mapping[str, Any]) -> list[Message]:
    """What a row asks: its prompt, or the conversation before its last answer; empty where nothing is asked.

    >>> prompt_of({"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes?"}]})
    [{'role': 'user', 'content': 'Hello'}]
    """
    if "prompt" in row:
        return list(row["prompt"])
    messages = list(row["messages"])
    while messages and messages[-1]["role"] != "user":
        messages.pop()
    return messages


def read_prompts(path: str | Path, *kinds: RowKind, most: int) -> dict[int, list[Message]]:
    """The first `most` rows that ask something, by their number in the file, from 0.

    Raises:
        BadData: if none does, or the rows are not of one of `kinds`.
    """
    asked = ((row, prompt_of(values)) for row, values in enumerate(read_rows(path, *kinds)))
    prompts = dict(islice(((row, prompt) for row, prompt in asked if prompt), most))
    if not prompts:
        raise BadData("No row of the dataset asks anything.", "Choose a dataset with questions of a user.")
    return prompts


def tags_of(row: Mapping[str, Any]) -> list[str]:
    """What the row says that it is about."""
    tags = row.get("tags") or []
    return [str(tag) for tag in ([tags] if isinstance(tags, str) else tags)]
