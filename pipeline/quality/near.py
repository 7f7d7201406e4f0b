"""Near duplicates: MinHash signatures of rows, and the groups of rows that are nearly the same.

MinHash estimates the Jaccard similarity of two sets of shingles as the share of equal places in their signatures
(Broder 1997); rows that agree on a whole band of places are candidates (locality-sensitive hashing; Leskovec,
Rajaraman and Ullman, Mining of Massive Datasets, chapter 3). The signatures are rensa's. They lie in a file and the
bands are sorted one after another, so that a million rows take half a gigabyte of disk, of
which the system keeps in memory what it has room for, and under 100 MB beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

NUM_PLACES = 128
"""Of a signature: the estimate of a similarity of 0.8 has a standard error of 0.035."""
NUM_BANDS, BAND_PLACES = 21, 6
"""Rows that are alike to 0.8 share a band with a probability of 0.998, to 0.7 of 0.93."""
SHINGLE_WORDS = 5
_SEED = 42
_CHUNK = 4096

Signatures = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int64]


def signatures_of(shingles: list[list[str]]) -> Signatures:
    """One signature a set of shingles, (sets, NUM_PLACES); that of an empty set has the greatest number everywhere."""
    from rensa import RMinHash

    if not shingles:
        return np.empty((0, NUM_PLACES), np.uint32)
    matrix = RMinHash.digest_matrix_from_token_sets(shingles, NUM_PLACES, _SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32)


def new_signature_file(path: Path, num_rows: int) -> Signatures:
    """Room on disk for the signatures of so many rows."""
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint32, shape=(num_rows, NUM_PLACES))


def band_hashes(signatures: Signatures, band: int) -> npt.NDArray[np.uint64]:
    """One number a row for a band: equal where all its places are."""
    places = np.asarray(signatures[:, band * BAND_PLACES : (band + 1) * BAND_PLACES], dtype=np.uint64)
    hashed = np.zeros(len(places), np.uint64)
    for place in places.T:
        hashed = (hashed ^ place) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    return hashed


def similarity(first: Signatures, second: Signatures) -> npt.NDArray[np.float64]:
    """The estimated Jaccard similarity of each pair of rows."""
    shares: npt.NDArray[np.float64] = np.mean(first == second, axis=1)
    return shares


def is_blank(signatures: Signatures) -> npt.NDArray[np.bool_]:
    """Rows without a word: alike only in having none."""
    blank: npt.NDArray[np.bool_] = np.all(signatures == np.iinfo(np.uint32).max, axis=1)
    return blank


def first_alike(signatures: Signatures, threshold: float, on_band: Callable[[int], None] = lambda band: None) -> Rows:
    """For each row the first one of its group: rows that are alike to `threshold`, or by way of others that are.

    A row without its like is its own first.
    """
    parent = np.arange(len(signatures), dtype=np.int64)
    has_words = ~_by_chunks(signatures, is_blank)
    present = np.flatnonzero(has_words)
    for band in range(NUM_BANDS):
        on_band(band)
        hashed = _by_chunks(signatures, partial(band_hashes, band=band))
        for first, second in _pairs_of_equal(hashed[present], present):
            alike = similarity(signatures[first], signatures[second]) >= threshold
            for a, b in zip(first[alike].tolist(), second[alike].tolist(), strict=True):
                _join(parent, a, b)
    for row in range(len(parent)):
        parent[row] = parent[parent[row]]  # parents come before their rows, so one step is enough
    return parent


def _by_chunks(signatures: Signatures, make: Callable[[Signatures], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """One value a row, from as many rows at once as is good for the memory."""
    chunks = [make(signatures[start : start + _CHUNK]) for start in _starts(len(signatures))]
    return np.concatenate(chunks) if chunks else make(signatures)


def _starts(count: int) -> range:
    return range(0, count, _CHUNK)


def _pairs_of_equal(hashed: npt.NDArray[np.uint64], rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Each row with the first of those that share its hash, and with the one before it, a chunk at a time."""
    order = np.argsort(hashed, kind="stable")
    ranked, rows = hashed[order], rows[order]
    is_first = np.ones(len(ranked), np.bool_)
    is_first[1:] = ranked[1:] != ranked[:-1]
    firsts = np.maximum.accumulate(np.where(is_first, np.arange(len(ranked)), 0))
    others = np.flatnonzero(~is_first)
    for start in _starts(len(others)):
        chunk = others[start : start + _CHUNK]
        yield rows[firsts[chunk]], rows[chunk]
        apart = chunk[firsts[chunk] != chunk - 1]
        yield rows[apart - 1], rows[apart]


def _join(parent: Rows, a: int, b: int) -> None:
    first, second = _root(parent, a), _root(parent, b)
    parent[max(first, second)] = min(first, second)


def _root(parent: Rows, row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = int(parent[row])
    return row
