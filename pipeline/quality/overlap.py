"""Overlap: what a dataset shares with the sets that a model is to be measured on.

Three ways, from certain to likely: the same question; a long run of words that stands in both (13 words, as in Brown
et al. 2020, appendix C, arXiv 2005.14165); and rows, or questions, that are nearly the same by MinHash. Runs that stand
in more than `MOST_ROWS_OF_A_RUN` rows of the evaluation sets are their common wording, and count for nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.quality.near import NUM_BANDS, SHINGLE_WORDS, band_hashes, is_blank, signatures_of, similarity
from pipeline.quality.texts import RowTexts, hash_of, shingles_of, words_of

RUN_WORDS = 13
MOST_ROWS_OF_A_RUN = 10
LEAST_QUESTION_WORDS = 3
"""Shorter questions ("Continue.") are the same by chance."""
_BATCH = 1000

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Place:
    """A row of an evaluation set: the set's number, and the row's, from 0."""

    set: int
    row: int


@dataclass
class EvaluationRows:
    """Everything that evaluation sets are looked up by; 8 bytes a word, and 1 kB a row."""

    threshold: float
    places: list[Place] = field(default_factory=list)
    questions: dict[int, int] = field(default_factory=dict)
    """The first row that asks a question, by the hash of that."""
    _runs: array[int] = field(default_factory=lambda: array("Q"))
    _run_rows: array[int] = field(default_factory=lambda: array("L"))
    _signatures: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    _owners: list[int] = field(default_factory=list)
    _pending: list[list[str]] = field(default_factory=list)

    def add(self, texts: RowTexts, place: Place) -> None:
        index = len(self.places)
        self.places.append(place)
        if (question := question_hash(texts)) is not None:
            self.questions.setdefault(question, index)
        words = words_of(texts.compared)
        runs = run_hashes(words)
        self._runs.extend(runs)
        self._run_rows.extend([index] * len(runs))
        for shingles in near_sets(texts, words):
            self._pending.append(shingles)
            self._owners.append(index)
        if len(self._pending) >= _BATCH:
            self._sign()

    def close(self) -> None:
        """Sort everything once all rows are in; nothing is looked up before."""
        self._sign()
        self.signatures = np.concatenate(self._signatures) if self._signatures else signatures_of([])
        self.owners = np.array(self._owners, dtype=np.int64)
        blank = is_blank(self.signatures)
        self.signatures, self.owners = self.signatures[~blank], self.owners[~blank]
        self._bands = [_sorted(band_hashes(self.signatures, band)) for band in range(NUM_BANDS)]
        self._close_runs()

    def rows_with_run_of(self, runs: Hashes) -> npt.NDArray[np.int64]:
        """For each run of words a row that has it too, or -1."""
        return _found(self.runs, self.run_rows, runs)

    def rows_like(self, signatures: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """For each signature a row that is alike to the threshold, or -1."""
        found = np.full(len(signatures), -1, np.int64)
        if not len(self.signatures):
            return found
        for band, (ranked, order) in enumerate(self._bands):
            near = _found(ranked, order, band_hashes(signatures, band))
            asked = np.flatnonzero((near >= 0) & (found < 0))
            alike = similarity(signatures[asked], self.signatures[near[asked]]) >= self.threshold
            found[asked[alike]] = self.owners[near[asked[alike]]]
        found[is_blank(signatures)] = -1
        return found

    def _sign(self) -> None:
        self._signatures.append(signatures_of(self._pending))
        self._pending = []

    def _close_runs(self) -> None:
        """Each run once, with the first row that has it; those of too many rows are dropped."""
        runs, rows = np.array(self._runs, dtype=np.uint64), np.array(self._run_rows, dtype=np.int64)
        order = np.lexsort((rows, runs))
        runs, rows = runs[order], rows[order]
        is_new = np.ones(len(runs), np.bool_)
        is_new[1:] = (runs[1:] != runs[:-1]) | (rows[1:] != rows[:-1])
        runs, rows = runs[is_new], rows[is_new]
        self.runs, first, counts = np.unique(runs, return_index=True, return_counts=True)
        is_telling = counts <= MOST_ROWS_OF_A_RUN
        self.runs, self.run_rows = self.runs[is_telling], rows[first[is_telling]]
        self._runs, self._run_rows = array("Q"), array("L")


def question_hash(texts: RowTexts) -> int | None:
    """What a row asks, or what it says where it only says something; None where that is too short to tell."""
    question = texts.asked or (texts.answer if "text" in texts.row else "")
    return hash_of(question) if len(words_of(question)) >= LEAST_QUESTION_WORDS else None


def run_hashes(words: list[str]) -> list[int]:
    """One 64-bit number a run of `RUN_WORDS` words."""
    from rensa import RMinHash

    if len(words) < RUN_WORDS:
        return []
    hashes: list[int] = RMinHash.hash_token_sets([shingles_of(words, RUN_WORDS)])[0]
    return hashes


def near_sets(texts: RowTexts, words: list[str]) -> tuple[list[str], list[str]]:
    """What rows are compared by: the shingles of all of it, and those of the question."""
    return shingles_of(words, SHINGLE_WORDS), shingles_of(words_of(texts.asked), SHINGLE_WORDS)


def _sorted(hashes: Hashes) -> tuple[Hashes, npt.NDArray[np.int64]]:
    order = np.argsort(hashes, kind="stable")
    return hashes[order], order


def _found(ranked: Hashes, values: npt.NDArray[np.int64], wanted: Iterable[int] | Hashes) -> npt.NDArray[np.int64]:
    """The value beside each wanted hash in a sorted list, or -1 where it is not there."""
    asked = np.asarray(wanted, dtype=np.uint64)
    if not len(ranked) or not len(asked):
        return np.full(len(asked), -1, np.int64)
    at = np.minimum(np.searchsorted(ranked, asked), len(ranked) - 1)
    return np.where(ranked[at] == asked, values[at], -1)
