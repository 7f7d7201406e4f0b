"""Splits and mixtures: rows of kept versions put apart, or together, into datasets of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipeline.data.mapped_rows import MappedRows
from pipeline.data.row_hashes import falls_below, prompt_hash, row_hash
from pipeline.errors import BadData, DiskFull
from store import datasets
from store.datasets import Added
from store.derived import derive
from store.schema import DatasetVersion
from store.settings import settings

RESERVED_BYTES = 256 << 20
MAX_ROWS = 100_000_000
_PROGRESS_ROWS = 500
Told = Callable[[int, int], None]
"""Told how many rows are done, of how many; raises what the work is to end with."""


@dataclass(frozen=True)
class Part:
    """One version in a mixture.

    Args:
        version: Whose rows.
        num_rows: How many of them; more than there are repeat all of them.
        weight: What a person asked for, kept for the record: a share, or epochs.
    """

    version: DatasetVersion
    num_rows: int
    weight: float


def split(
    version: DatasetVersion,
    *,
    test_share: float,
    by: Literal["prompt", "row"],
    seed: int,
    names: tuple[str, str],
    person_id: int | None,
    tell: Told = lambda done, total: None,
) -> tuple[Added, Added]:
    """Put a version's rows into a training and a test dataset by the hash of each row, or of its prompt.

    The side is decided by hash, share and seed alone: the same row falls on the same side in every version, and by
    prompt, no prompt stands on both sides.

    Raises:
        BadData: if the share is no share, or a side would have no row.
    """
    if not 0 < test_share < 1:
        raise BadData(f"The share for tests is {test_share:g}.", "Give a share between 0 and 1, such as 0.1.")
    names = datasets.checked_name(names[0]), datasets.checked_name(names[1])
    if names[0] == names[1]:
        raise BadData(f"Both sides are named “{names[0]}”.", "Give the two datasets different names.")
    _check_room(version.size_bytes)
    hash_of = prompt_hash if by == "prompt" else row_hash
    is_test = np.zeros(version.num_rows, bool)
    for number, row in enumerate(datasets.rows_of(version)):
        is_test[number] = falls_below(hash_of(row), test_share, seed)
        if number % _PROGRESS_ROWS == 0:
            tell(number // 2, version.num_rows)
    for is_empty, side in ((not is_test.any(), "test"), (is_test.all(), "training")):
        if is_empty:
            raise BadData(
                f"None of the {version.num_rows:,} rows falls on the {side} side.",
                "Choose another share or seed, or split by row instead of by prompt.",
            )
    done = version.num_rows // 2
    sides = []
    for name, side, mask in ((names[0], "train", ~is_test), (names[1], "test", is_test)):
        how = {"made_by": "split", "side": side, "by": by, "test_share": test_share, "seed": seed}
        rows = _told(_chosen(version, np.flatnonzero(mask)), tell, done, version.num_rows, step=2)
        sides.append(derive(version, rows, how=how, person_id=person_id, name=name))
        done += int(mask.sum()) // 2
    return sides[0], sides[1]


def parts_of_total(versions: Sequence[DatasetVersion], weights: Sequence[float], total: int) -> list[Part]:
    """Parts that hold `total` rows together, in the ratio of the weights; what rounding leaves goes to the largest
    remainders.

    Raises:
        BadData: if the weights or the total cannot be meant.
    """
    if not 1 <= total <= MAX_ROWS:
        raise BadData(f"The mixture would have {total:,} rows.", f"Ask for 1 to {MAX_ROWS:,}.")
    _check_weights(versions, weights)
    exact = np.array(weights) / sum(weights) * total
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return [Part(v, int(n), w) for v, n, w in zip(versions, counts, weights, strict=True) if n]


def parts_of_epochs(versions: Sequence[DatasetVersion], epochs: Sequence[float]) -> list[Part]:
    """Parts that go through each version as often as is asked: 0.5 takes half of its rows, 2 takes all of them twice.

    Raises:
        BadData: if the epochs cannot be meant.
    """
    _check_weights(versions, epochs)
    return [Part(v, max(1, round(e * v.num_rows)), e) for v, e in zip(versions, epochs, strict=True) if e]


def mix(
    parts: Sequence[Part],
    *,
    name: str,
    seed: int,
    asked: Literal["weights", "epochs"],
    person_id: int | None,
    tell: Told = lambda done, total: None,
) -> Added:
    """Make a dataset of rows of several versions, drawn and shuffled by the seed; it names all of them.

    Raises:
        BadData: if the versions are of several kinds, or the name cannot be used.
    """
    kinds = sorted({part.version.kind for part in parts})
    if len(kinds) != 1:
        raise BadData(f"A mixture needs versions of one kind; these are {', '.join(kinds) or 'none'}.")
    total = sum(part.num_rows for part in parts)
    if total > MAX_ROWS:
        raise BadData(f"The mixture would have {total:,} rows.", f"Ask for {MAX_ROWS:,} at most.")
    _check_room(sum(p.version.size_bytes * p.num_rows // max(1, p.version.num_rows) for p in parts))
    how = {
        "made_by": "mixture",
        "asked": asked,
        "seed": seed,
        "parts": [
            {
                "version_id": part.version.id,
                "name": part.version.dataset.name,
                "number": part.version.number,
                "sha256": part.version.sha256,
                "weight": part.weight,
                "rows": part.num_rows,
            }
            for part in parts
        ],
    }
    rows = _told(_mixed(parts, seed), tell, 0, total)
    return derive(parts[0].version, rows, how=how, person_id=person_id, name=name)


def _mixed(parts: Sequence[Part], seed: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    sources = np.repeat(np.arange(len(parts), dtype=np.uint16), [part.num_rows for part in parts])
    numbers = np.concatenate([_drawn(rng, part) for part in parts])
    order = rng.permutation(len(sources))
    with ExitStack() as stack:
        files = [stack.enter_context(MappedRows(datasets.rows_of(part.version).path)) for part in parts]
        for place in order:
            yield from files[sources[place]].rows((numbers[place],))


def _drawn(rng: np.random.Generator, part: Part) -> np.ndarray:
    """Row numbers: every row as often as whole rounds allow, and a draw without repetition for the rest."""
    rounds, rest = divmod(part.num_rows, part.version.num_rows)
    whole = np.tile(np.arange(part.version.num_rows, dtype=np.uint32), rounds)
    return np.concatenate([whole, rng.choice(part.version.num_rows, rest, replace=False).astype(np.uint32)])


def _chosen(version: DatasetVersion, numbers: np.ndarray) -> Iterator[dict[str, Any]]:
    with MappedRows(datasets.rows_of(version).path) as file:
        yield from file.rows(numbers)


def _told(
    rows: Iterator[dict[str, Any]], tell: Told, done: int, total: int, *, step: int = 1
) -> Iterator[dict[str, Any]]:
    for count, row in enumerate(rows):
        if count % _PROGRESS_ROWS == 0:
            tell(done + count // step, total)
        yield row


def _check_weights(versions: Sequence[DatasetVersion], weights: Sequence[float]) -> None:
    if len(versions) < 2:
        raise BadData(f"A mixture needs two versions or more; {len(versions)} are chosen.", "Choose more.")
    wrong = [weight for weight in weights if not 0 <= weight < float("inf")]
    if wrong or not any(weights):
        raise BadData(
            f"The weights are {', '.join(f'{weight:g}' for weight in weights)}.", "Give numbers from 0 up, not all 0."
        )


def _check_room(size_bytes: int) -> None:
    free = shutil.disk_usage(settings().home).free
    if free < size_bytes + RESERVED_BYTES:
        raise DiskFull(
            f"The disk has {free / 1e6:,.0f} MB free; {size_bytes / 1e6:,.0f} MB more would fill it.",
            "Free some space in the data folder, then try again.",
        )
