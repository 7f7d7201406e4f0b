"""Row differences: how many rows two versions share, by the hash of each row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.data.row_index import RowIndex, stand_in


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
    before, after = np.sort(earlier.column("row_hashes")), np.sort(later.column("row_hashes"))
    unchanged = int(stand_in(after, before).sum())
    return RowDifferences(len(after) - unchanged, len(before) - int(stand_in(before, after).sum()), unchanged)
