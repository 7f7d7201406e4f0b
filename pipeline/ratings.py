"""Ratings: how strong each model is, and how sure we are of it, from the votes of blind battles.

The model is Bradley and Terry's with Davidson's ties. Models a and b have strengths θ; with d = θ_a − θ_b and ν ≥ 0

    P(a wins) = e^{d/2} / Z     P(b wins) = e^{−d/2} / Z     P(tie) = ν / Z     Z = e^{d/2} + e^{−d/2} + ν

so that d is the log-odds that a wins, given that one of them does. A tie is evidence of closeness, not half a win:
half wins would pull every gap together. The strengths have the prior N(0, 1), which keeps an undefeated model finite,
and the posterior is summarised by its mode and its curvature there (Laplace's approximation). Everything is computed
from counts, so a million votes cost as much as a hundred.

Sources: Bradley & Terry, "Rank analysis of incomplete block designs", Biometrika 39 (1952), eq. 3; Davidson, "On
extending the Bradley-Terry model to accommodate ties in paired comparison experiments", JASA 65 (1970), eq. 2.3-2.4
(his π_i is e^{θ_i}); MacKay, "Information Theory, Inference, and Learning Algorithms" (2003), ch. 27, for Laplace's
method; Chiang et al., "Chatbot Arena" (2024), sec. 4-5, for choosing pairs by the variance that a vote removes.

The votes are taken to be independent. Where people's tastes differ, those of one person are not, and the intervals are
narrower than they ought to be. A sandwich estimate clustered by person is no cure for a team: with three people it
holds the truth less often than Laplace, with five as often, and with thirty still short of 95 %
(`bench/RESULTS.md`). So Laplace's intervals stay, and how far people agree is told beside them (`pipeline.agreement`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Outcome = Literal["a", "b", "tie", "both_good", "both_bad"]
"""What a voter said of a battle. For the ratings "both good" and "both bad" are ties: neither answer was the better.
A skip is no judgement, and never comes here."""

Array = NDArray[np.float64]

ELO_PER_LOGIT = 400 / math.log(10)
"""Rating points are log-odds on Elo's scale: 400 points are odds of ten to one."""

Z_95 = 1.959964
"""Half the width of a 95 % interval, in standard deviations."""

STRENGTH_PRIOR_VARIANCE = 1.0
TIE_PRIOR_VARIANCE = 4.0
"""ln ν has the prior N(0, 4): between 1 % and 98 % of the battles of equal models are ties, 95 times in 100."""

NEITHER_BETTER = frozenset({"tie", "both_good", "both_bad"})

UNIFORM_FLOOR = 0.2
"""The share of battles whose pair is drawn evenly, so that every pair keeps being looked at."""

MOST_VOTES_FORESEEN = 1_000

CONVERGED = 1e-12
"""Newton stops when it is within a millionth of a posterior standard deviation of the mode."""


@dataclass(frozen=True)
class Prior:
    """What is believed before the first vote: θ is N(0, `strength_variance`), ln ν N(`tie_mean`, `tie_variance`)."""

    strength_variance: float = STRENGTH_PRIOR_VARIANCE
    tie_mean: float = 0.0
    tie_variance: float = TIE_PRIOR_VARIANCE


DEFAULT_PRIOR = Prior()


@dataclass(frozen=True)
class Tally:
    """How many votes with this `outcome` were given to battles with model `a` on one side and `b` on the other."""

    a: int
    b: int
    outcome: Outcome
    votes: int


@dataclass(frozen=True)
class Difference:
    """How much better `a` is than `b`, in rating points; the 95 % interval is `points` ± `half_width`."""

    a: int
    b: int
    points: float
    half_width: float
    probability_better: float
    votes_needed: int | None
    """Further votes on this pair that would tell it apart; 0 when it is, None when more than `MOST_VOTES_FORESEEN`."""

    @property
    def is_told_apart(self) -> bool:
        return abs(self.points) > self.half_width


@dataclass(frozen=True)
class Standing:
    """One line of the board: a model against the reference, with its whole record."""

    model: int
    points: float
    half_width: float
    wins: int
    losses: int
    ties: int

    @property
    def votes(self) -> int:
        return self.wins + self.losses + self.ties


@dataclass(frozen=True)
class Ratings:
    """The fitted strengths of n models.

    Args:
        models: Their ids, ascending; every array below is in this order.
        strengths: θ, log-odds, shape (n,). Only differences mean anything.
        covariance: Of θ, ln ν integrated out, shape (n, n).
        log_tie: ln ν.
        wins: `wins[i, j]` votes preferred model i to model j, shape (n, n).
        ties: `ties[i, j]` votes preferred neither, symmetric, shape (n, n).
    """

    models: tuple[int, ...]
    strengths: Array
    covariance: Array
    log_tie: float
    wins: Array
    ties: Array

    def difference(self, a: int, b: int) -> Difference:
        """Model `a` against model `b`, with the variance V_aa + V_bb − 2 V_ab: what they share cancels out."""
        i, j = self._index[a], self._index[b]
        gap = float(self.strengths[i] - self.strengths[j])
        variance = float(self._gap_variances[i, j])
        deviation = math.sqrt(variance)
        return Difference(
            a=a,
            b=b,
            points=gap * ELO_PER_LOGIT,
            half_width=Z_95 * deviation * ELO_PER_LOGIT,
            probability_better=_normal_cdf(gap / deviation) if deviation else 0.5,
            votes_needed=_votes_to_tell_apart(gap, variance, float(self._information_a_vote[i, j])),
        )

    def board(self, reference: int) -> list[Standing]:
        """Every model against `reference` (which stands at 0 ± 0), the strongest first."""
        standings = []
        for i, model in enumerate(self.models):
            difference = self.difference(model, reference)
            standings.append(
                Standing(
                    model=model,
                    points=difference.points,
                    half_width=difference.half_width,
                    wins=int(self.wins[i].sum()),
                    losses=int(self.wins[:, i].sum()),
                    ties=int(self.ties[i].sum()),
                )
            )
        return sorted(standings, key=lambda standing: (-standing.points, standing.model))

    def win_share(self, a: int, b: int) -> float | None:
        """The share of the votes between them that `a` won, a tie counted as half; None where there are no votes."""
        i, j = self._index[a], self._index[b]
        num_votes = self.wins[i, j] + self.wins[j, i] + self.ties[i, j]
        return float((self.wins[i, j] + self.ties[i, j] / 2) / num_votes) if num_votes else None

    def votes_between(self, a: int, b: int) -> int:
        i, j = self._index[a], self._index[b]
        return int(self.wins[i, j] + self.wins[j, i] + self.ties[i, j])

    def pair_probabilities(self) -> dict[tuple[int, int], float]:
        """How often each pair (a < b) should be shown next, so that a vote teaches as much as it can.

        A pair weighs as much as one more vote on it would lower the variance of its difference, v − 1 / (1/v + I),
        where I is the information of a vote. `UNIFORM_FLOOR` of the probability is spread evenly.
        """
        rows, columns = np.triu_indices(len(self.models), k=1)
        variance = self._gap_variances[rows, columns]
        gain = variance - 1 / (1 / variance + self._information_a_vote[rows, columns])
        probability = UNIFORM_FLOOR / len(rows) + (1 - UNIFORM_FLOOR) * gain / gain.sum()
        return {(self.models[i], self.models[j]): float(p) for i, j, p in zip(rows, columns, probability, strict=True)}

    @cached_property
    def _index(self) -> dict[int, int]:
        return {model: i for i, model in enumerate(self.models)}

    @cached_property
    def _gap_variances(self) -> Array:
        variances = np.diag(self.covariance)
        return variances[:, None] + variances[None, :] - 2 * self.covariance

    @cached_property
    def _information_a_vote(self) -> Array:
        """Fisher information about d in one vote on each pair, if ν is known."""
        a_wins, b_wins, _ = _outcome_probabilities(self.strengths, self.log_tie)
        return (a_wins + b_wins - (a_wins - b_wins) ** 2) / 4


def fit_ratings(tallies: Iterable[Tally], models: Collection[int] = (), *, prior: Prior = DEFAULT_PRIOR) -> Ratings:
    """Find the posterior mode by Newton's method, and the covariance at it.

    Args:
        tallies: Counts of votes, in any order; a pair may come in both orders.
        models: Models to rate besides those with votes: they stand at the prior.
    """
    tallies = list(tallies)
    names = tuple(sorted({*models, *(t.a for t in tallies), *(t.b for t in tallies)}))
    wins, ties = _count_matrices(tallies, names)
    strengths, log_tie, precision = _find_mode(wins, ties, prior)
    covariance = np.linalg.inv(precision)[:-1, :-1].astype(np.float64)
    return Ratings(names, strengths, covariance, log_tie, wins, ties)


def _count_matrices(tallies: list[Tally], models: tuple[int, ...]) -> tuple[Array, Array]:
    index = {model: i for i, model in enumerate(models)}
    wins = np.zeros((len(models), len(models)))
    ties = np.zeros_like(wins)
    for tally in tallies:
        i, j = index[tally.a], index[tally.b]
        if tally.outcome == "a":
            wins[i, j] += tally.votes
        elif tally.outcome == "b":
            wins[j, i] += tally.votes
        else:
            assert tally.outcome in NEITHER_BETTER, f"{tally.outcome} is no judgement to count"
            ties[i, j] += tally.votes
            ties[j, i] += tally.votes
    return wins, ties


def _find_mode(wins: Array, ties: Array, prior: Prior) -> tuple[Array, float, Array]:
    """The mode (θ, ln ν) of the log-posterior and the negative Hessian there, shape (n + 1, n + 1).

    The log-posterior is strictly concave (a softmax in d/2, −d/2 and ln ν, and Gaussian priors), so that Newton's
    steps, halved while they overshoot, reach its one maximum from anywhere.
    """
    point = np.zeros(len(wins) + 1)
    value = _log_posterior(point, wins, ties, prior)
    while True:
        gradient, precision = _derivatives(point, wins, ties, prior)
        step = np.linalg.solve(precision, gradient)
        if gradient @ step < CONVERGED:
            return point[:-1], float(point[-1]), precision
        rounding = 1e-12 * abs(value)
        while (next_value := _log_posterior(point + step, wins, ties, prior)) < value - rounding:
            step /= 2
        point, value = point + step, next_value


def _log_posterior(point: Array, wins: Array, ties: Array, prior: Prior) -> float:
    strengths, log_tie = point[:-1], point[-1]
    a_wins, _, tie = _outcome_probabilities(strengths, log_tie)
    likelihood = (wins * np.log(a_wins)).sum() + (ties * np.log(tie)).sum() / 2
    strengths_prior = -strengths @ strengths / (2 * prior.strength_variance)
    tie_prior = -((log_tie - prior.tie_mean) ** 2) / (2 * prior.tie_variance)
    return float(likelihood + strengths_prior + tie_prior)


def _derivatives(point: Array, wins: Array, ties: Array, prior: Prior) -> tuple[Array, Array]:
    """Gradient and negative Hessian of the log-posterior in (θ, ln ν).

    Every (n, n) array holds each pair twice, once from either side; sums over all pairs are therefore halved.
    """
    strengths, log_tie = point[:-1], point[-1]
    a_wins, b_wins, tie = _outcome_probabilities(strengths, log_tie)
    votes = wins + wins.T + ties
    lead = a_wins - b_wins

    gap_gradient = (wins - wins.T - votes * lead) / 2
    tie_gradient = (ties - votes * tie).sum() / 2
    gradient = np.append(gap_gradient.sum(axis=1), tie_gradient)
    gradient -= np.append(strengths / prior.strength_variance, (log_tie - prior.tie_mean) / prior.tie_variance)

    gap_information = votes * (a_wins + b_wins - lead**2) / 4
    gap_tie_information = -votes * lead * tie / 2
    precision = np.zeros((len(point), len(point)))
    precision[:-1, :-1] = np.diag(gap_information.sum(axis=1)) - gap_information
    precision[:-1, -1] = precision[-1, :-1] = gap_tie_information.sum(axis=1)
    precision[-1, -1] = (votes * tie * (1 - tie)).sum() / 2
    precision += np.diag([1 / prior.strength_variance] * len(strengths) + [1 / prior.tie_variance])
    return gradient, precision


def _outcome_probabilities(strengths: Array, log_tie: float) -> tuple[Array, Array, Array]:
    """P(row wins), P(column wins), P(tie) of every pair, each of shape (n, n)."""
    half_gap = (strengths[:, None] - strengths[None, :]) / 2
    highest = np.maximum(np.abs(half_gap), log_tie)
    a_wins, b_wins, tie = np.exp(half_gap - highest), np.exp(-half_gap - highest), np.exp(log_tie - highest)
    total = a_wins + b_wins + tie
    return a_wins / total, b_wins / total, tie / total


def _votes_to_tell_apart(gap: float, variance: float, information: float) -> int | None:
    """How many more votes on this pair until its 95 % interval leaves zero out, four times in five.

    An approximation: it takes the gap to be truly as large as it looks now, and the posterior to stay normal. After N
    more votes the precision is P = 1/v + N·I, and the estimate scatters around the gap by √(N·I) / P; the interval is
    clear of zero with 80 % probability when gap − 0.8416 √(N·I) / P ≥ 1.96 / √P.
    """

    def is_told_apart(num_votes: int) -> bool:
        added = num_votes * information
        precision = 1 / variance + added
        return abs(gap) - 0.841621 * math.sqrt(added) / precision >= Z_95 / math.sqrt(precision)

    if variance == 0 or not is_told_apart(MOST_VOTES_FORESEEN):
        return None
    if abs(gap) > Z_95 * math.sqrt(variance):
        return 0
    return next(num_votes for num_votes in range(1, MOST_VOTES_FORESEEN + 1) if is_told_apart(num_votes))


def _normal_cdf(z: float) -> float:
    return (1 + math.erf(z / math.sqrt(2))) / 2
