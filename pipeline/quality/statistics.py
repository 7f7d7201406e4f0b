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

    Each side of the median has its own deviation, so that a long tail on one side, which lengths often have, is no
    heap of outliers. Where more than half of a side are equal to the median the mean deviation stands in for the
    median one; where all are, no value is out of line.
    """
    if not len(values):
        return values
    distance = values - np.median(values)
    below, above = _spread(-distance[distance <= 0]), _spread(distance[distance >= 0])
    spread = np.where(distance < 0, below, above)
    return np.divide(distance, spread, out=np.zeros_like(distance), where=spread > 0)


def _spread(distances: npt.NDArray[np.float64]) -> float:
    """The standard deviation that a normal with these distances from its median would have."""
    median = float(np.median(distances)) / _NORMAL_MAD
    return median or float(np.mean(distances)) / _NORMAL_MEAN_DEVIATION


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
