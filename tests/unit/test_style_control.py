"""Style control against ratings without it, a search of the posterior, and voters who are known to like length."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.ratings import ELO_PER_LOGIT, Outcome, Tally, fit_ratings
from pipeline.style import style_difference, style_of
from pipeline.style_control import StyledVotes, fit_controlled


def simulate(
    rng: np.random.Generator, strengths: np.ndarray, effects: np.ndarray, style: np.ndarray, *, num_votes: int
) -> StyledVotes:
    """Votes by Davidson's model on evenly drawn pairs.

    Args:
        style: Each model's usual style, shape (n, m); an answer's scatters around it by 0.7 doublings.
    """
    a = rng.integers(len(strengths), size=num_votes)
    b = (a + rng.integers(1, len(strengths), size=num_votes)) % len(strengths)
    x = style[a] - style[b] + rng.normal(0, 1, size=(num_votes, len(effects)))
    half_gap = (strengths[a] - strengths[b] + x @ effects) / 2
    weights = np.exp(np.column_stack([half_gap, -half_gap, np.full(num_votes, -0.5)]))
    limits = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    outcome = np.array([1, -1, 0])[np.minimum((rng.random(num_votes)[:, None] > limits).sum(axis=1), 2)]
    return StyledVotes(a, b, outcome, x, np.ones(num_votes))


def test_answers_of_one_style_are_rated_as_without_control() -> None:
    rng = np.random.default_rng(1)
    plain = simulate(rng, np.array([0.0, 0.5, -0.7]), np.zeros(2), np.zeros((3, 2)), num_votes=300)
    same_style = StyledVotes(plain.a, plain.b, plain.outcome, np.zeros((300, 2)), plain.weight)
    outcomes: dict[int, Outcome] = {1: "a", -1: "b", 0: "tie"}
    tallies = [
        Tally(int(a), int(b), outcomes[int(o)], 1) for a, b, o in zip(plain.a, plain.b, plain.outcome, strict=True)
    ]
    ours, theirs = fit_controlled(same_style).ratings, fit_ratings(tallies)
    np.testing.assert_allclose(ours.strengths, theirs.strengths, atol=1e-6)
    np.testing.assert_allclose(ours.covariance, theirs.covariance, atol=1e-6)
    np.testing.assert_array_equal(ours.wins, theirs.wins)
    np.testing.assert_array_equal(ours.ties, theirs.ties)


def test_the_mode_is_the_highest_point_that_a_search_of_the_posterior_finds() -> None:
    # Three wins of side A when it is longer by 1, 2 and 0.5 doublings, and one loss when it is shorter by 1.
    x, outcome = np.array([1.0, 2.0, 0.5, -1.0]), np.array([1, 1, 1, -1])
    votes = StyledVotes(np.zeros(4, int), np.ones(4, int), outcome, x[:, None], np.ones(4))
    fitted = fit_controlled(votes)
    gap = fitted.ratings.strengths[0] - fitted.ratings.strengths[1]
    log_tie = fitted.ratings.log_tie
    gaps, effects = np.meshgrid(np.linspace(-2, 2, 801), np.linspace(-1, 3, 801), indexing="ij")
    posterior = -(gaps**2) / 4 - effects**2 / 2
    for features, won in zip(x, outcome, strict=True):
        half = (gaps + features * effects) / 2
        posterior += won * half - np.log(np.exp(half) + np.exp(-half) + np.exp(log_tie))
    best = np.unravel_index(posterior.argmax(), posterior.shape)
    assert gap == pytest.approx(gaps[best], abs=0.006)
    assert fitted.effects[0].points / ELO_PER_LOGIT == pytest.approx(effects[best], abs=0.006)


def test_voters_who_like_length_are_seen_through() -> None:
    rng = np.random.default_rng(7)
    # The chatty model is the weaker one, but answers two doublings longer, which is worth 0.5 each to these voters.
    strengths, style = np.array([0.4, 0.0]), np.array([[0.0], [2.0]])
    votes = simulate(rng, strengths, np.array([0.5]), style, num_votes=4000)
    fitted = fit_controlled(votes)
    (effect,) = fitted.effects
    assert abs(effect.points / ELO_PER_LOGIT - 0.5) < effect.half_width / ELO_PER_LOGIT
    assert fitted.ratings.difference(0, 1).points == pytest.approx(0.4 * ELO_PER_LOGIT, abs=25)
    uncontrolled = fit_controlled(StyledVotes(votes.a, votes.b, votes.outcome, votes.style * 0, votes.weight))
    assert uncontrolled.ratings.difference(0, 1).points < -40


def test_95_percent_intervals_of_effects_hold_the_truth_95_times_in_100() -> None:
    rng = np.random.default_rng(11)
    hits = []
    for _ in range(400):
        effects = rng.normal(size=2)
        votes = simulate(rng, rng.normal(size=3), effects, np.zeros((3, 2)), num_votes=60)
        for fitted, truth in zip(fit_controlled(votes).effects, effects, strict=True):
            hits.append(abs(fitted.points - truth * ELO_PER_LOGIT) <= fitted.half_width)
    assert 0.93 < np.mean(hits) < 0.97


def test_equal_rows_counted_together_are_rated_as_one_by_one() -> None:
    rng = np.random.default_rng(13)
    votes = simulate(rng, np.array([0.0, 0.5, -0.7]), np.array([0.3]), np.zeros((3, 1)), num_votes=400)
    coarse = StyledVotes(votes.a, votes.b, votes.outcome, np.round(votes.style), votes.weight)
    grouped = coarse.grouped()
    assert len(grouped.a) < 200
    one_by_one, together = fit_controlled(coarse), fit_controlled(grouped)
    np.testing.assert_allclose(one_by_one.ratings.strengths, together.ratings.strengths, atol=1e-9)
    np.testing.assert_array_equal(one_by_one.ratings.wins, together.ratings.wins)


def test_style_counts_marks_of_prose_and_not_of_code() -> None:
    answer = "# Title\n\n**Bold** and __bold__\n\n- one\n* two\n1. three\n\n```\n# a comment\n- not a list\n```\n"
    _, headers, bold, lists = style_of(answer)
    assert (2**headers - 1, 2**bold - 1, 2**lists - 1) == pytest.approx((1, 2, 3))


def test_a_difference_of_style_is_in_doublings_and_turns_with_the_sides() -> None:
    longer, shorter = "x" * 63, "x" * 31
    assert style_difference(longer, shorter) == (1, 0, 0, 0)
    assert style_difference(shorter, longer) == (-1, 0, 0, 0)
