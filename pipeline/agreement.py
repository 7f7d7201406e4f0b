"""Agreement: how far people who judge the same battles say the same, and how far one person does who judges it twice.

Krippendorff's α compares the disagreement that was seen with the one that chance would make: 1 is agreement without
exception, 0 what chance makes, below 0 is more disagreement than that. It allows for battles that few people judged.
Here values are nominal: any two that differ, differ as much.

Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: with o_ck the pairs of values c
and k within battles, each pair weighted by 1 / (m − 1) for m judgements of its battle, and n_c = Σ_k o_ck,

    α = 1 − (n − 1) (n − Σ_c o_cc) / (n² − Σ_c n_c²)
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

FEWEST_SHARED = 10
"""Battles that two people or more must have judged before a figure of agreement is worth saying."""

NUM_RESAMPLES = 400


@dataclass(frozen=True)
class Opinion:
    """What a person said of a battle."""

    battle: Hashable
    person: int
    value: str


@dataclass(frozen=True)
class Agreement:
    """How far people agree.

    Args:
        alpha: Krippendorff's α; None where nothing was judged twice or everybody always said the same one thing.
        low: The lower end of its 95 % interval, by resampling battles; None with α, or with one battle alone.
        high: Its upper end.
        num_shared: Battles that two people or more have judged.
        num_people: Who judged any of those.
    """

    alpha: float | None
    low: float | None
    high: float | None
    num_shared: int
    num_people: int

    @property
    def is_enough(self) -> bool:
        return self.alpha is not None and self.num_shared >= FEWEST_SHARED


@dataclass(frozen=True)
class PersonAgreement:
    """How often a person said what others did of the same battle.

    Args:
        share: Of the comparisons, a battle with more people weighing no more than one with two.
        expected: What the share would be if this person's words were dealt out over those battles by chance.
        num_shared: Battles that the person and somebody else have judged.
    """

    person: int
    share: float
    expected: float
    num_shared: int


@dataclass(frozen=True)
class Consistency:
    """How often a person who was shown a battle again, its sides swapped, said the same."""

    same: int
    asked: int

    @property
    def share(self) -> float | None:
        return self.same / self.asked if self.asked else None

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.same, self.asked)


def agreement(opinions: Iterable[Opinion], *, seed: int = 0) -> Agreement:
    """α of all opinions, with an interval; a person's first opinion of a battle counts."""
    shared = _shared(opinions)
    counts = [Counter(judged.values()) for judged in shared.values()]
    low, high = _interval(counts, seed)
    people = {person for judged in shared.values() for person in judged}
    return Agreement(krippendorff_alpha(counts), low, high, len(shared), len(people))


def agreement_by_person(opinions: Iterable[Opinion]) -> list[PersonAgreement]:
    """Everybody who shares a battle with another, who agrees least first."""
    shared = _shared(opinions)
    said: dict[int, list[str]] = defaultdict(list)
    others: dict[int, list[Counter[str]]] = defaultdict(list)
    for judged in shared.values():
        everyone = Counter(judged.values())
        for person, value in judged.items():
            said[person].append(value)
            others[person].append(everyone - Counter([value]))
    found = []
    for person, values in said.items():
        seen = others[person]
        share = sum(other[value] / other.total() for value, other in zip(values, seen, strict=True)) / len(values)
        usual = Counter(values)
        expected = sum(
            usual[value] / len(values) * count / other.total() for other in seen for value, count in other.items()
        ) / len(values)
        found.append(PersonAgreement(person, share, expected, len(values)))
    return sorted(found, key=lambda one: (one.share - one.expected, one.person))


def consistency(pairs: Iterable[tuple[str, str]]) -> Consistency:
    """Of pairs of a person's first and second word on a battle, both by the first one's sides."""
    same = [first == second for first, second in pairs]
    return Consistency(sum(same), len(same))


def krippendorff_alpha(units: Iterable[Counter[str]]) -> float | None:
    """Nominal α.

    Args:
        units: Of each thing that was judged, how often each value was given; missing values are left out.
    """
    values: Counter[str] = Counter()
    same = 0.0
    for unit in units:
        num_judgements = unit.total()
        if num_judgements < 2:
            continue
        values.update(unit)
        same += sum(count * (count - 1) for count in unit.values()) / (num_judgements - 1)
    n = values.total()
    expected = n**2 - sum(count**2 for count in values.values())
    return 1 - (n - 1) * (n - same) / expected if expected else None


def wilson_interval(successes: float, trials: float, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score (1927, JASA 22); (0, 1) where nothing was tried."""
    if not trials:
        return 0.0, 1.0
    share, shrink = successes / trials, 1 + z**2 / trials
    middle = (share + z**2 / (2 * trials)) / shrink
    reach = z / shrink * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _shared(opinions: Iterable[Opinion]) -> dict[Hashable, dict[int, str]]:
    """By battle, what each person first said of it; only battles that two or more have judged."""
    judged: dict[Hashable, dict[int, str]] = defaultdict(dict)
    for opinion in opinions:
        judged[opinion.battle].setdefault(opinion.person, opinion.value)
    return {battle: said for battle, said in judged.items() if len(said) > 1}


def _interval(units: Sequence[Counter[str]], seed: int) -> tuple[float | None, float | None]:
    """Of α, by drawing as many battles with replacement, over and over: as sums over battles, so that it is quick."""
    if len(units) < 2:
        return None, None
    names = sorted({value for unit in units for value in unit})
    counts = np.array([[unit[name] for name in names] for unit in units], dtype=float)  # (U, values)
    judgements = counts.sum(axis=1)
    same = (counts * (counts - 1)).sum(axis=1) / (judgements - 1)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), size=NUM_RESAMPLES)  # (R, U)
    totals, n, agreed = times @ counts, times @ judgements, times @ same
    expected = n**2 - (totals**2).sum(axis=1)
    usable = expected > 0
    if not usable.any():
        return None, None
    alphas = 1 - (n[usable] - 1) * (n[usable] - agreed[usable]) / expected[usable]
    low, high = np.quantile(alphas, [0.025, 0.975])
    return float(low), float(high)
