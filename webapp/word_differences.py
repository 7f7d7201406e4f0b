"""Word differences: what one text has that another has not, word by word, with all white space kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

MAX_PIECES = 6_000
"""Words and gaps of each text that are compared; the time that it takes grows with their square."""

_PIECE = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Stretch:
    """Text that both have, or only the first, or only the second."""

    kind: Literal["same", "removed", "added"]
    text: str


@dataclass(frozen=True)
class Differences:
    """
    Args:
        stretches: Put together without the added ones they are the first text, without the removed ones the second.
        share_same: Of the words of both texts, how many both have at the same place; 1 where there are none.
        is_cut: Whether only the beginnings of the texts were compared.
    """

    stretches: tuple[Stretch, ...]
    share_same: float
    is_cut: bool


def word_differences(first: str, second: str) -> Differences:
    """How to come from the first text to the second (Ratcliff and Obershelp's matching, from `difflib`)."""
    before, after = _PIECE.findall(first), _PIECE.findall(second)
    is_cut = max(len(before), len(after)) > MAX_PIECES
    before, after = before[:MAX_PIECES], after[:MAX_PIECES]
    # What both begin and end with is set aside: on long texts of few words the matcher would overlook it.
    num_head = _num_common(before, after)
    num_tail = _num_common(before[num_head:][::-1], after[num_head:][::-1])
    head, tail = before[:num_head], before[len(before) - num_tail :]
    middle_before = before[num_head : len(before) - num_tail]
    middle_after = after[num_head : len(after) - num_tail]
    stretches = [Stretch("same", "".join(head))]
    matcher = SequenceMatcher(str.isspace, middle_before, middle_after)
    same = [*head, *tail]
    for operation, i1, i2, j1, j2 in matcher.get_opcodes():
        if operation == "equal":
            stretches.append(Stretch("same", "".join(middle_before[i1:i2])))
            same += middle_before[i1:i2]
            continue
        stretches.append(Stretch("removed", "".join(middle_before[i1:i2])))
        stretches.append(Stretch("added", "".join(middle_after[j1:j2])))
    stretches.append(Stretch("same", "".join(tail)))
    num_words = _num_words(before) + _num_words(after)
    share_same = 2 * _num_words(same) / num_words if num_words else 1.0
    return Differences(tuple(one for one in stretches if one.text), share_same, is_cut)


def _num_common(before: list[str], after: list[str]) -> int:
    for place, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return place
    return min(len(before), len(after))


def _num_words(pieces: list[str]) -> int:
    return sum(not piece.isspace() for piece in pieces)
