"""Ratings against values derived by hand, by brute force, and by simulated voters whose preferences are known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import choix
import numpy as np
import pytest

from pipeline.ratings import ELO_PER_LOGIT, Z_95, Outcome, Prior, Tally, fit_ratings


def simulate_votes(
    rng: np.random.Generator, strengths: np.ndarray, num_votes: int, *, log_tie: float = -0.5
) -> list[Tally]:
    """Votes on evenly drawn pairs by voters who follow Davidson's model exactly; model ids are 0, 1, 2, …"""
    pairs = [(a, b) for a in range(len(strengths)) for b in range(a + 1, len(strengths))]
    votes_on_pair = rng.multinomial(num_votes, [1 / len(pairs)] * len(pairs))
    outcomes: tuple[Outcome, ...] = ("a", "b", "tie")
    tallies = []
    for (a, b), votes in zip(pairs, votes_on_pair, strict=True):
        gap = strengths[a] - strengths[b]
        weights = np.exp([gap / 2, -gap / 2, log_tie])
        counts = rng.multinomial(votes, weights / weights.sum())
        tallies += [Tally(a, b, outcome, int(count)) for outcome, count in zip(outcomes, counts, strict=True)]
    return tallies


def test_one_win_each_is_no_difference_with_the_variance_derived_by_hand() -> None:
    ratings = fit_ratings([Tally(1, 2, "a", 1), Tally(1, 2, "b", 1)])
    difference = ratings.difference(1, 2)
    assert difference.points == pytest.approx(0)
    assert difference.probability_better == pytest.approx(0.5)
    # At d = 0 each vote has information (1 − P(tie)) / 4 about d, and the prior of d = θ_1 − θ_2 has variance 2.
    # ln ν does not move the variance there, because its cross term with d is zero by symmetry.
    tie = math.exp(ratings.log_tie) / (2 + math.exp(ratings.log_tie))
    variance = 1 / (1 / 2 + 2 * (1 - tie) / 4)
    assert difference.half_width == pytest.approx(Z_95 * math.sqrt(variance) * ELO_PER_LOGIT)


def test_the_mode_is_the_highest_point_that_a_search_of_the_posterior_finds() -> None:
    wins, losses, ties = 7, 3, 4
    ratings = fit_ratings([Tally(1, 2, "a", wins), Tally(1, 2, "b", losses), Tally(1, 2, "tie", ties)])

    # By symmetry θ_1 = −θ_2 = d / 2, whose prior density is exp(−d² / 4); that of ln ν is exp(−(ln ν)² / 8).
    gap, log_tie = np.meshgrid(np.linspace(-2, 3, 2001), np.linspace(-4, 2, 2001), indexing="ij")
    log_total = np.log(np.exp(gap / 2) + np.exp(-gap / 2) + np.exp(log_tie))
    posterior = wins * gap / 2 - losses * gap / 2 + ties * log_tie - (wins + losses + ties) * log_total
    posterior -= gap**2 / 4 + log_tie**2 / 8
    best = np.unravel_index(posterior.argmax(), posterior.shape)
    assert ratings.strengths[0] - ratings.strengths[1] == pytest.approx(gap[best], abs=0.003)
    assert ratings.log_tie == pytest.approx(log_tie[best], abs=0.003)


def test_an_undefeated_model_has_a_finite_rating_and_an_honest_interval() -> None:
    ratings = fit_ratings(
        [Tally(1, 2, "a", 4), Tally(1, 3, "a", 4), Tally(2, 3, "a", 4), Tally(2, 3, "b", 4)]
    )  # 16 votes; model 1 won all of its 8
    best = ratings.difference(1, 2)
    assert 200 < best.points < 400
    assert 200 < best.half_width < 350
    assert 0.95 < best.probability_better < 0.999


def test_a_model_without_votes_stands_at_the_prior() -> None:
    ratings = fit_ratings([Tally(1, 2, "a", 3)], models=[1, 2, 3, 4])
    unseen = ratings.difference(3, 4)
    assert unseen.points == 0
    assert unseen.half_width == pytest.approx(Z_95 * math.sqrt(2) * ELO_PER_LOGIT)
    assert ratings.win_share(3, 4) is None


def test_no_votes_and_no_models_is_an_empty_board() -> None:
    assert fit_ratings([]).models == ()
    assert [standing.points for standing in fit_ratings([], models=[5, 6]).board(reference=5)] == [0, 0]


def test_without_prior_and_ties_the_strengths_are_those_of_an_independent_library() -> None:
    rng = np.random.default_rng(41)
    no_prior = Prior(strength_variance=1e9, tie_mean=-40.0, tie_variance=1e-9)
    for _ in range(20):
        num_models = int(rng.integers(2, 8))
        counts = rng.integers(1, 12, size=(num_models, num_models))  # each beats each, so that the maximum is finite
        duels = [(a, b) for a in range(num_models) for b in range(num_models) if a != b]
        ours = fit_ratings([Tally(a, b, "a", int(counts[a, b])) for a, b in duels], prior=no_prior).strengths
        one_by_one = [duel for duel in duels for _ in range(counts[duel])]
        theirs = choix.opt_pairwise(num_models, one_by_one, tol=1e-12)
        np.testing.assert_allclose(ours - ours.mean(), theirs - theirs.mean(), atol=1e-5)


def test_a_skip_is_never_rated() -> None:
    with pytest.raises(AssertionError, match="skip"):
        fit_ratings([Tally(1, 2, "skip", 1)])  # type: ignore[arg-type]


def test_ties_keep_the_gap_that_half_wins_would_shrink() -> None:
    rng = np.random.default_rng(3)
    strengths = np.array([0.0, 120.0]) / ELO_PER_LOGIT
    ratings = fit_ratings(simulate_votes(rng, strengths, 50_000, log_tie=0.7))
    assert ratings.difference(1, 0).points == pytest.approx(120, abs=6)
    wins, losses, ties = ratings.wins[1, 0], ratings.wins[0, 1], ratings.ties[0, 1]
    as_half_wins = math.log((wins + ties / 2) / (losses + ties / 2)) * ELO_PER_LOGIT
    assert as_half_wins < 70


def test_both_good_and_both_bad_count_as_ties() -> None:
    spoken = fit_ratings([Tally(1, 2, "a", 5), Tally(1, 2, "both_good", 2), Tally(1, 2, "both_bad", 1)])
    plain = fit_ratings([Tally(1, 2, "a", 5), Tally(1, 2, "tie", 3)])
    assert spoken.difference(1, 2) == plain.difference(1, 2)


def test_neither_the_order_of_the_tallies_nor_of_the_sides_matters() -> None:
    tallies = simulate_votes(np.random.default_rng(5), np.array([0.0, 0.4, -0.9, 1.1]), 200)
    other_side: dict[Outcome, Outcome] = {"a": "b", "b": "a", "tie": "tie"}
    mirrored = [Tally(t.b, t.a, other_side[t.outcome], t.votes) for t in reversed(tallies)]
    ours, theirs = fit_ratings(tallies), fit_ratings(mirrored)
    np.testing.assert_allclose(ours.strengths, theirs.strengths, atol=1e-9)
    np.testing.assert_allclose(ours.covariance, theirs.covariance, atol=1e-9)


@pytest.mark.parametrize("num_votes", [20, 300])
def test_95_percent_intervals_hold_the_truth_95_times_in_100(num_votes: int) -> None:
    rng = np.random.default_rng(num_votes)
    num_hits = num_intervals = 0
    for _ in range(1500):
        strengths = rng.normal(size=4)
        ratings = fit_ratings(simulate_votes(rng, strengths, num_votes), models=range(4))
        for a, b in ((0, 1), (1, 2), (2, 3), (0, 3)):
            difference = ratings.difference(a, b)
            truth = (strengths[a] - strengths[b]) * ELO_PER_LOGIT
            num_hits += abs(difference.points - truth) <= difference.half_width
            num_intervals += 1
    assert 0.93 < num_hits / num_intervals < 0.97


def test_intervals_of_a_fixed_ladder_hold_at_300_votes() -> None:
    strengths = np.array([0.0, 60.0, 120.0, 200.0]) / ELO_PER_LOGIT
    rng = np.random.default_rng(11)
    hits = []
    for _ in range(800):
        ratings = fit_ratings(simulate_votes(rng, strengths, 300))
        for standing in ratings.board(reference=0):
            if standing.model != 0:
                truth = strengths[standing.model] * ELO_PER_LOGIT
                hits.append(abs(standing.points - truth) <= standing.half_width)
    assert 0.93 < np.mean(hits) < 0.97


def test_the_probability_of_being_better_is_right_as_often_as_it_says() -> None:
    rng = np.random.default_rng(17)
    said, true = [], []
    for _ in range(3000):
        strengths = rng.normal(size=2)
        said.append(fit_ratings(simulate_votes(rng, strengths, 20), models=(0, 1)).difference(0, 1).probability_better)
        true.append(strengths[0] > strengths[1])
    confident = np.array(said) > 0.8
    assert np.mean(np.array(true)[confident]) == pytest.approx(np.mean(np.array(said)[confident]), abs=0.03)


def test_as_many_votes_as_foreseen_tell_two_models_apart_four_times_in_five() -> None:
    before = [Tally(0, 1, "a", 24), Tally(0, 1, "b", 16), Tally(0, 1, "tie", 10)]
    ratings = fit_ratings(before)
    votes_needed = ratings.difference(0, 1).votes_needed
    assert votes_needed
    rng = np.random.default_rng(23)
    told_apart = [
        fit_ratings([*before, *simulate_votes(rng, ratings.strengths, votes_needed, log_tie=ratings.log_tie)])
        .difference(0, 1)
        .is_told_apart
        for _ in range(1500)
    ]
    assert np.mean(told_apart) == pytest.approx(0.8, abs=0.05)


def test_no_further_votes_are_asked_for_when_the_interval_is_clear_and_no_number_is_made_up_for_equals() -> None:
    clear = fit_ratings([Tally(1, 2, "a", 40), Tally(1, 2, "b", 5)]).difference(1, 2)
    assert clear.is_told_apart
    assert clear.votes_needed == 0
    equals = fit_ratings([Tally(1, 2, "a", 500), Tally(1, 2, "b", 500)]).difference(1, 2)
    assert equals.votes_needed is None


def test_the_board_is_relative_to_its_reference_and_carries_each_record() -> None:
    ratings = fit_ratings([Tally(1, 2, "a", 6), Tally(2, 1, "a", 2), Tally(1, 2, "both_bad", 1), Tally(3, 2, "b", 14)])
    board = ratings.board(reference=2)
    assert [standing.model for standing in board] == [1, 2, 3]
    best, reference, worst = board
    assert (best.wins, best.losses, best.ties, best.votes) == (6, 2, 1, 9)
    assert (reference.points, reference.half_width) == (0, 0)
    assert worst.points < -worst.half_width
    assert ratings.win_share(1, 2) == pytest.approx(6.5 / 9)
    assert ratings.win_share(2, 1) == pytest.approx(2.5 / 9)
    assert ratings.votes_between(2, 1) == 9
    assert ratings.win_share(1, 3) is None


def test_pairs_are_drawn_evenly_at_first_and_then_where_a_vote_teaches_most() -> None:
    even = fit_ratings([], models=[1, 2, 3]).pair_probabilities()
    assert even == pytest.approx({(1, 2): 1 / 3, (1, 3): 1 / 3, (2, 3): 1 / 3})

    learned = fit_ratings([Tally(1, 2, "a", 60), Tally(1, 2, "b", 30)], models=[1, 2, 3]).pair_probabilities()
    assert sum(learned.values()) == pytest.approx(1)
    assert learned[(1, 2)] < learned[(1, 3)]
    assert learned[(1, 2)] > 0.2 / 3  # the uniform floor


def test_a_million_votes_over_a_hundred_models_are_rated_from_their_counts(
    record_property: Callable[..., None],
) -> None:
    rng = np.random.default_rng(29)
    strengths = rng.normal(size=100)
    tallies = simulate_votes(rng, strengths, 1_000_000)
    start = time.perf_counter()
    ratings = fit_ratings(tallies)
    seconds = time.perf_counter() - start
    record_property("seconds", seconds)
    print(f"1,000,000 votes over 100 models: {seconds:.3f} s")
    errors = (ratings.strengths - ratings.strengths.mean() - strengths + strengths.mean()) * ELO_PER_LOGIT
    assert np.abs(errors).max() < 15
