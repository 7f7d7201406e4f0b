"""Row differences: how many rows two versions share, by the hash of each row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.data.row_index import RowIndex


@dataclass(frozen=True)
class RowDifferences:
    """Rows of the later version that the earlier has not, of the earlier that the later has not, and that both have.

    Rows that stand several times are counted each time, in the version that they are counted in; `unchanged` in the
    later one.
    """

    added: int
    removed: int
    unchanged: int


def row_differences(earlier: RowIndex, later: RowIndex) -> RowDifferences:
    before, after = earlier.column("row_hashes"), later.column("row_hashes")
    unchanged = int(np.isin(after, before).sum())
    return RowDifferences(len(after) - unchanged, len(before) - int(np.isin(before, after).sum()), unchanged)
