"""Statistics: the few figures by which findings are told from chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

OUTLIER_Z = 3.5
"""Iglewicz and Hoaglin 1993: modified z-scores above it are labelled as potential outliers."""
_NORMAL_MAD = 0.6745
"""The median absolute deviation of a standard normal."""
_NORMAL_MEAN_DEVIATION = 0.7979
_Z_95 = 1.959964


def robust_z(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Modified z-scores: how far from the median, in deviations that outliers do not stretch.

    Where more than half of the values are equal the mean deviation stands in for the median one; where all are, no
    value is out of line.
    """
    if not len(values):
        return values
    distance = values - np.median(values)
    spread = float(np.median(np.abs(distance))) / _NORMAL_MAD
    if spread == 0:
        spread = float(np.mean(np.abs(distance))) / _NORMAL_MEAN_DEVIATION
    return distance / spread if spread else np.zeros_like(distance)


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927).

    >>> [round(end, 4) for end in wilson_interval(60, 100)]
    [0.502, 0.6906]
    """
    if not total:
        return 0.0, 1.0
    share, z2 = count / total, _Z_95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def jaccard(first: Sequence[str], second: Sequence[str]) -> float:
    """How much two sets share: 1 for the same, 0 for nothing in common; two empty ones are the same."""
    a, b = set(first), set(second)
    return len(a & b) / len(a | b) if a or b else 1.0
