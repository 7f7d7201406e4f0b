"""Prompt rows: a set of instruction rows, read as the prompts that several models answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]


def prompt_of(row: Mapping[str, Any]) -> list[Message]:
    """The conversation before its last answer; empty where nothing is asked.

    >>> prompt_of({"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes?"}]})
    [{'role': 'user', 'content': 'Hello'}]
    """
    messages = list(row["messages"])
    while messages and messages[-1]["role"] != "user":
        messages.pop()
    return messages


def tags_of(row: Mapping[str, Any]) -> list[str]:
    """What the row says that it is about."""
    tags = row.get("tags") or []
    return [str(tag) for tag in ([tags] if isinstance(tags, str) else tags)]
