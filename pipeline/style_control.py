"""Style control: ratings with what voters give for length and markup taken out.

Davidson's model of `pipeline.ratings`, with d = θ_a − θ_b + x·β for each battle, where x is how much longer and more
marked up answer A was (`pipeline.style`). β has the prior N(0, 1) for each feature: a doubling seldom moves the odds by
more than seven to one. What is left in θ is what voters prefer between answers of one length and markup.

Source of the idea: Li, Angelopoulos & Chiang, "Does style matter? Disentangling style and substance in Chatbot Arena"
(2024); they normalise differences by sums, and have no prior.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.ratings import CONVERGED, DEFAULT_PRIOR, ELO_PER_LOGIT, Z_95, Array, Prior, Ratings

EFFECT_PRIOR_VARIANCE = 1.0

A_WON, B_WON, NEITHER = 1, -1, 0


@dataclass(frozen=True)
class StyledVotes:
    """Votes one by one, with m features of style.

    Args:
        a: Model ids of side A, shape (N,).
        b: Those of side B, shape (N,).
        outcome: `A_WON`, `B_WON` or `NEITHER`, shape (N,).
        style: x, how much more of each feature answer A has, shape (N, m).
        weight: How many such votes, shape (N,).
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    outcome: NDArray[np.int64]
    style: Array
    weight: Array

    def grouped(self) -> StyledVotes:
        """The same votes with equal rows counted together."""
        rows = np.column_stack([self.a, self.b, self.outcome, self.style])
        unique, inverse = np.unique(rows, axis=0, return_inverse=True)
        weight: Array = np.bincount(inverse.ravel(), self.weight).astype(np.float64)
        ids = unique[:, :3].astype(np.int64)
        return StyledVotes(ids[:, 0], ids[:, 1], ids[:, 2], unique[:, 3:], weight)


@dataclass(frozen=True)
class Effect:
    """What voters give for one doubling of a feature, in rating points ± the half-width of the 95 % interval."""

    points: float
    half_width: float

    @property
    def is_clear(self) -> bool:
        return abs(self.points) > self.half_width


@dataclass(frozen=True)
class StyleControlled:
    ratings: Ratings
    """With the records as they were; strengths and covariance are those at equal style."""
    effects: tuple[Effect, ...]
    """One a feature."""


def fit_controlled(
    votes: StyledVotes, models: Collection[int] = (), *, prior: Prior = DEFAULT_PRIOR
) -> StyleControlled:
    """Find the posterior mode of (θ, β, ln ν) by Newton's method, and the covariance at it.

    Newton's steps cost O(N m² + n³) for N distinct rows, m features and n models.
    """
    names = np.unique(np.concatenate([votes.a, votes.b, np.array(list(models), dtype=np.int64)]))
    problem = _Problem.of(votes, names, prior)
    point = np.zeros(len(problem.prior_precision))
    value = problem.log_posterior(point)
    while True:
        gradient, precision = problem.derivatives(point)
        step = np.linalg.solve(precision, gradient)
        if gradient @ step < CONVERGED:
            break
        rounding = 1e-12 * abs(value)
        while (next_value := problem.log_posterior(point + step)) < value - rounding:
            step /= 2
        point, value = point + step, next_value
    covariance = np.linalg.inv(precision).astype(np.float64)
    n = len(names)
    wins, ties = _records(votes, problem)
    ratings = Ratings(
        tuple(int(name) for name in names), point[:n], covariance[:n, :n], float(point[-1]), wins, ties
    )  # fmt: skip
    deviations = np.sqrt(np.diag(covariance)[n:-1])
    effects = tuple(
        Effect(float(beta) * ELO_PER_LOGIT, Z_95 * float(deviation) * ELO_PER_LOGIT)
        for beta, deviation in zip(point[n:-1], deviations, strict=True)
    )
    return StyleControlled(ratings, effects)


@dataclass(frozen=True)
class _Problem:
    """The votes by the places of their models, and the prior, of n models and m features."""

    i: NDArray[np.intp]
    j: NDArray[np.intp]
    outcome: NDArray[np.int64]
    style: Array
    weight: Array
    num_models: int
    prior_mean: Array
    prior_precision: Array
    """Of (θ, β, ln ν), shape (n + m + 1,); independent of each other."""

    @classmethod
    def of(cls, votes: StyledVotes, names: NDArray[Any], prior: Prior) -> _Problem:
        n, m = len(names), votes.style.shape[1]
        return cls(
            np.searchsorted(names, votes.a),
            np.searchsorted(names, votes.b),
            votes.outcome,
            votes.style,
            votes.weight,
            n,
            np.array([0.0] * (n + m) + [prior.tie_mean]),
            np.array([1 / prior.strength_variance] * n + [1 / EFFECT_PRIOR_VARIANCE] * m + [1 / prior.tie_variance]),
        )

    def log_posterior(self, point: Array) -> float:
        half_gap = self._gaps(point) / 2
        log_tie = point[-1]
        log_total = np.logaddexp(np.logaddexp(half_gap, -half_gap), log_tie)
        said = np.where(self.outcome == NEITHER, log_tie, self.outcome * half_gap)
        off = point - self.prior_mean
        return float(self.weight @ (said - log_total) - (off * off * self.prior_precision).sum() / 2)

    def derivatives(self, point: Array) -> tuple[Array, Array]:
        """Gradient and negative Hessian of the log-posterior in (θ, β, ln ν)."""
        n, m = self.num_models, self.style.shape[1]
        half_gap = self._gaps(point) / 2
        log_total = np.logaddexp(np.logaddexp(half_gap, -half_gap), point[-1])
        a_wins, b_wins, tie = np.exp(half_gap - log_total), np.exp(-half_gap - log_total), np.exp(point[-1] - log_total)
        lead = a_wins - b_wins

        by_gap = self.weight * (self.outcome - lead) / 2  # (N,) as are the next three
        information = self.weight * (a_wins + b_wins - lead**2) / 4
        gap_tie = -self.weight * lead * tie / 2
        styled = self.style * information[:, None]  # (N, m)

        gradient = np.concatenate(
            [self._by_model(by_gap), self.style.T @ by_gap, [self.weight @ ((self.outcome == NEITHER) - tie)]]
        )
        precision = np.zeros((n + m + 1, n + m + 1))
        pairs = np.bincount(self.i * n + self.j, information, minlength=n * n).reshape(n, n)
        pairs = pairs + pairs.T
        precision[:n, :n] = np.diag(pairs.sum(axis=1)) - pairs
        for feature in range(m):
            precision[:n, n + feature] = self._by_model(styled[:, feature])
        precision[n:-1, n:-1] = self.style.T @ styled
        precision[:n, -1] = self._by_model(gap_tie)
        precision[n:-1, -1] = self.style.T @ gap_tie
        precision = np.triu(precision) + np.triu(precision, 1).T
        precision[-1, -1] = self.weight @ (tie * (1 - tie))
        gradient -= (point - self.prior_mean) * self.prior_precision
        return gradient, precision + np.diag(self.prior_precision)

    def _gaps(self, point: Array) -> Array:
        strengths, effects = point[: self.num_models], point[self.num_models : -1]
        gaps: Array = strengths[self.i] - strengths[self.j] + self.style @ effects
        return gaps

    def _by_model(self, of_gap: Array) -> Array:
        """What each model has of a quantity that side A has as it is, and side B with the other sign."""
        n = self.num_models
        sums = np.bincount(self.i, of_gap, minlength=n) - np.bincount(self.j, of_gap, minlength=n)
        return sums.astype(np.float64)


def _records(votes: StyledVotes, problem: _Problem) -> tuple[Array, Array]:
    """The matrices of wins and ties that a `Ratings` carries."""
    n = problem.num_models

    def counted(outcome: int) -> Array:
        chosen = votes.outcome == outcome
        cells = problem.i[chosen] * n + problem.j[chosen]
        return np.bincount(cells, votes.weight[chosen], minlength=n * n).reshape(n, n).astype(np.float64)

    neither = counted(NEITHER)
    return counted(A_WON) + counted(B_WON).T, neither + neither.T
