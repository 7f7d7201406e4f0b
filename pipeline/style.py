"""Style: how long an answer is and how it is marked up, as numbers that a rating can be controlled for."""

from __future__ import annotations

import math
import re

Style = tuple[float, ...]
"""One number a feature, in the order of `FEATURES`."""

FEATURES = ("length", "headers", "bold", "lists")

_HEADER = re.compile(r"^ {0,3}#{1,6}\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s", re.MULTILINE)
_CODE_BLOCK = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


def style_of(answer: str) -> Style:
    """log₂(1 + n) of an answer's characters, headers, bold passages and list items.

    A difference of one is a doubling, so that one list item more weighs much in an answer of two and little in one of
    thirty. Marks within code blocks are code, and not counted.

    >>> style_of("abc"), style_of("- a\\n- b\\n- c")[3]
    ((2.0, 0.0, 0.0, 0.0), 2.0)
    """
    prose = _CODE_BLOCK.sub("", answer) if "```" in answer else answer
    counts = (len(answer.strip()), *(_count(mark, prose) for mark in (_HEADER, _BOLD, _LIST_ITEM)))
    return tuple(math.log2(1 + count) for count in counts)


def style_difference(answer_a: str, answer_b: str) -> Style:
    """By how much answer A is the longer and the more marked up, in doublings."""
    return tuple(a - b for a, b in zip(style_of(answer_a), style_of(answer_b), strict=True))


def _count(mark: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in mark.finditer(text))
