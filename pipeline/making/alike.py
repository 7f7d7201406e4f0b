"""Alike: how near two texts are, as ROUGE-L has it, and which of many is the nearest."""

from __future__ import annotations

import re

from rapidfuzz import process
from rapidfuzz.distance import Indel

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
"""A word; of Chinese and Japanese, which leave no space between words, a character."""
_FIRST_LETTER, _SURROGATES, _MOST_LETTERS = 1, range(0xD800, 0xE000), 0x10F000


class SeenTexts:
    """Texts, and how near another one comes to any of them.

    The measure is ROUGE-L's F1 (Lin 2004): twice the longest common subsequence of words, over the words of both. It is
    what the normalised insertion and deletion distance leaves of 1, which rapidfuzz computes for strings of characters
    faster than for lists: so each word is one character here.
    """

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        self._texts.append(self._spelt(text))

    def nearest(self, text: str, *, at_least: float) -> float | None:
        """How near the nearest one is, 0 to 1; None where none is as near as `at_least`."""
        found = process.extractOne(
            self._spelt(text), self._texts, scorer=Indel.normalized_similarity, score_cutoff=at_least
        )
        return None if found is None else float(found[1])

    def _spelt(self, text: str) -> str:
        return "".join(map(self._letter, _WORD.findall(text.lower())))

    def _letter(self, word: str) -> str:
        if word not in self._letters:
            number = _FIRST_LETTER + len(self._letters) % _MOST_LETTERS
            self._letters[word] = chr(number + len(_SURROGATES) if number >= _SURROGATES.start else number)
        return self._letters[word]
