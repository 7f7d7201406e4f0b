"""Ratings: whether intervals hold what they promise, and how long a million votes take.

    python -m bench.ratings

Simulated voters follow the model that is fitted, but for the last part, where each person has a taste of their own.
"""

from __future__ import annotations

import time

import numpy as np

from pipeline.ratings import ELO_PER_LOGIT, Z_95, Outcome, Tally, fit_ratings
from pipeline.style_control import StyledVotes, fit_controlled

TRIALS = 2000
LOG_TIE = -0.5


def main() -> None:
    rng = np.random.default_rng(1)
    print("| models | votes | intervals | hold the truth | half-width, points |\n|---|---|---|---|---|")
    for num_models, num_votes in ((2, 20), (4, 20), (4, 50), (4, 300), (10, 100), (10, 1000)):
        print(_coverage(rng, num_models, num_votes))
    print()
    _time_counts(rng)
    _time_rows(rng)
    print("\n| people | votes each | Laplace holds | sandwich by person holds |\n|---|---|---|---|")
    for num_people, votes_each in ((3, 20), (5, 20), (10, 20), (30, 20)):
        print(_clustered(rng, num_people, votes_each))


def draw_outcomes(rng: np.random.Generator, gaps: np.ndarray) -> np.ndarray:
    """1 where side A wins, −1 where B does, 0 for a tie, of gaps of any shape (N,)."""
    weights = np.exp(np.column_stack([gaps / 2, -gaps / 2, np.full(len(gaps), LOG_TIE)]))
    limits = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    return np.array([1, -1, 0])[np.minimum((rng.random(len(gaps))[:, None] > limits).sum(axis=1), 2)]


def draw_pairs(rng: np.random.Generator, num_models: int, num_votes: int) -> tuple[np.ndarray, np.ndarray]:
    a = rng.integers(num_models, size=num_votes)
    return a, (a + rng.integers(1, num_models, size=num_votes)) % num_models


def tallies_of(a: np.ndarray, b: np.ndarray, outcomes: np.ndarray) -> list[Tally]:
    words: dict[int, Outcome] = {1: "a", -1: "b", 0: "tie"}
    rows, counts = np.unique(np.column_stack([a, b, outcomes]), axis=0, return_counts=True)
    return [Tally(int(i), int(j), words[int(o)], int(n)) for (i, j, o), n in zip(rows, counts, strict=True)]


def _coverage(rng: np.random.Generator, num_models: int, num_votes: int) -> str:
    hits, widths = [], []
    for _ in range(TRIALS if num_models < 10 else TRIALS // 4):
        strengths = rng.normal(size=num_models)
        a, b = draw_pairs(rng, num_models, num_votes)
        outcomes = draw_outcomes(rng, strengths[a] - strengths[b])
        ratings = fit_ratings(tallies_of(a, b, outcomes), models=range(num_models))
        for i in range(num_models - 1):
            difference = ratings.difference(i, i + 1)
            truth = (strengths[i] - strengths[i + 1]) * ELO_PER_LOGIT
            hits.append(abs(difference.points - truth) <= difference.half_width)
            widths.append(difference.half_width)
    share = f"{np.mean(hits) * 100:.1f} %"
    return f"| {num_models} | {num_votes:,} | {len(hits):,} | {share} | {np.median(widths):.0f} |"


def _time_counts(rng: np.random.Generator) -> None:
    strengths = rng.normal(size=100)
    a, b = draw_pairs(rng, 100, 1_000_000)
    tallies = tallies_of(a, b, draw_outcomes(rng, strengths[a] - strengths[b]))
    start = time.perf_counter()
    fit_ratings(tallies)
    print(f"1,000,000 votes over 100 models, from {len(tallies):,} counts: {time.perf_counter() - start:.2f} s")


def _time_rows(rng: np.random.Generator) -> None:
    strengths, effects = rng.normal(size=100), np.array([0.3, 0.0, 0.1, -0.1])
    a, b = draw_pairs(rng, 100, 1_000_000)
    style = rng.normal(size=(len(a), 4))
    outcomes = draw_outcomes(rng, strengths[a] - strengths[b] + style @ effects)
    start = time.perf_counter()
    fitted = fit_controlled(StyledVotes(a, b, outcomes, style, np.ones(len(a))))
    seconds = time.perf_counter() - start
    found = ", ".join(f"{effect.points / ELO_PER_LOGIT:.3f}" for effect in fitted.effects)
    print(f"The same with four features of style, row by row: {seconds:.2f} s; effects {found} (0.3, 0, 0.1, −0.1)")


def _clustered(rng: np.random.Generator, num_people: int, votes_each: int) -> str:
    """Two models, and people whose own gap scatters around the common one by half a logit (no ties)."""
    laplace, sandwich = [], []
    for _ in range(TRIALS):
        truth = rng.normal(0, np.sqrt(2))
        own = rng.normal(truth, 0.5, size=num_people)
        wins = rng.binomial(votes_each, 1 / (1 + np.exp(-own)))
        gap = _mode(wins.sum(), num_people * votes_each)
        probability = 1 / (1 + np.exp(-gap))
        precision = num_people * votes_each * probability * (1 - probability) + 1 / 2
        scores = wins - votes_each * probability
        laplace.append(abs(gap - truth) <= Z_95 / np.sqrt(precision))
        sandwich.append(abs(gap - truth) <= Z_95 * np.sqrt((scores**2).sum()) / precision)
    return f"| {num_people} | {votes_each} | {np.mean(laplace) * 100:.1f} % | {np.mean(sandwich) * 100:.1f} % |"


def _mode(wins: int, votes: int) -> float:
    """The posterior mode of the gap of two models, whose prior is N(0, 2)."""
    gap = 0.0
    for _ in range(50):
        probability = 1 / (1 + np.exp(-gap))
        gap += (wins - votes * probability - gap / 2) / (votes * probability * (1 - probability) + 1 / 2)
    return float(gap)


if __name__ == "__main__":
    main()
