"""Pairs: what a whole set of preference pairs teaches beside what it means to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.quality.statistics import wilson_interval

Numbers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

LENGTH_BIAS_ADVICE = (
    "DPO raises whatever tells chosen from rejected answers, so a model trained on this learns that longer is better, "
    "and its answers grow from round to round. Leaving out the listed pairs, those with the largest difference, makes "
    "the rest even."
)


def contradicting_rows(prompts: Hashes, chosen: Hashes, rejected: Hashes) -> tuple[Numbers, Numbers]:
    """Pairs for which another pair of the same prompt has the same answers the other way round.

    Returns:
        Their numbers, and for each the first pair that says the opposite.
    """
    is_turned = chosen > rejected
    low, high = np.minimum(chosen, rejected), np.maximum(chosen, rejected)
    differ = np.flatnonzero(chosen != rejected)
    order = differ[np.lexsort((differ, high[differ], low[differ], prompts[differ]))]
    keys = np.stack([prompts[order], low[order], high[order]], axis=1)
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = np.any(keys[1:] != keys[:-1], axis=1)
    rows: list[int] = []
    partners: list[int] = []
    for group in np.split(order, np.flatnonzero(is_new)[1:]):
        one, other = group[is_turned[group]], group[~is_turned[group]]
        if len(one) and len(other):
            rows += [*one.tolist(), *other.tolist()]
            partners += [int(other[0])] * len(one) + [int(one[0])] * len(other)
    ascending = np.argsort(np.array(rows, dtype=np.int64))
    return np.array(rows, dtype=np.int64)[ascending], np.array(partners, dtype=np.int64)[ascending]


def balancing_rows(chosen: Numbers, rejected: Numbers) -> Numbers:
    """The fewest pairs without which chosen answers are longer as often as shorter; none where chance explains it.

    Args:
        chosen: Characters of the chosen answers.
        rejected: Characters of the rejected ones.
    """
    longer, shorter = int(np.sum(chosen > rejected)), int(np.sum(chosen < rejected))
    if wilson_interval(longer, longer + shorter)[0] <= 0.5:
        return np.empty(0, np.int64)
    excess = np.argsort(-(chosen - rejected), kind="stable")
    return np.sort(excess[: longer - shorter])


def length_bias_words(chosen: Numbers, rejected: Numbers, num_listed: int) -> str:
    """The share with its interval, in a sentence."""
    longer, shorter = int(np.sum(chosen > rejected)), int(np.sum(chosen < rejected))
    low, high = wilson_interval(longer, longer + shorter)
    ratio = float(np.median(chosen / np.maximum(rejected, 1)))
    return (
        f"In {longer / (longer + shorter):.0%} of the pairs (95 % interval: {low:.0%} to {high:.0%}) the chosen answer "
        f"is the longer one, {ratio:.2g} times as long in the middle; without {num_listed} pairs it would be half."
    )
