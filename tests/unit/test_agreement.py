"""Agreement against the values of Krippendorff's own example, and cases that can be counted by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline.agreement import (
    Opinion,
    agreement,
    agreement_by_person,
    consistency,
    krippendorff_alpha,
    wilson_interval,
)


def test_alpha_is_that_of_krippendorffs_published_example_with_missing_values() -> None:
    # "Computing Krippendorff's Alpha-Reliability" (2011), C: four observers, twelve units, nominal α = 0.743.
    observers = (
        (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
        (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
        (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
        (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
    )
    opinions = [
        Opinion(unit, observer, str(value))
        for observer, values in enumerate(observers)
        for unit, value in enumerate(values)
        if value is not None
    ]
    found = agreement(opinions)
    assert found.alpha == pytest.approx(0.743, abs=0.0005)
    assert found.num_shared == 11  # the twelfth was judged by one observer alone
    assert found.num_people == 4
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.alpha < found.high


def test_alpha_is_that_of_krippendorffs_published_example_of_two_values() -> None:
    # The same paper, A: two observers, ten units, α = 0.095.
    first, second = "0100000010", "1110010000"
    units = [Counter(pair) for pair in zip(first, second, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.095, abs=0.0005)


def test_people_who_always_say_the_same_agree_and_those_who_never_do_agree_less_than_chance() -> None:
    agreeing = [Opinion(battle, person, "ab"[battle % 2]) for battle in range(10) for person in (1, 2)]
    assert agreement(agreeing).alpha == 1
    opposed = [Opinion(battle, person, "ab"[(battle + person) % 2]) for battle in range(10) for person in (1, 2)]
    alpha = agreement(opposed).alpha
    assert alpha is not None
    assert alpha < -0.8


def test_nothing_is_said_of_agreement_that_could_not_show() -> None:
    alone = agreement([Opinion(1, 1, "a"), Opinion(2, 2, "b")])
    assert (alone.alpha, alone.num_shared, alone.is_enough) == (None, 0, False)
    one_word = agreement([Opinion(battle, person, "a") for battle in range(20) for person in (1, 2)])
    assert one_word.alpha is None
    few = agreement([Opinion(battle, person, "ab"[battle % 2]) for battle in range(9) for person in (1, 2)])
    assert few.alpha == 1
    assert not few.is_enough


def test_who_agrees_least_with_the_others_comes_first() -> None:
    opinions = []
    for battle in range(12):
        usual, other = ("a", "b") if battle % 2 else ("b", "a")
        opinions += [Opinion(battle, 1, usual), Opinion(battle, 2, usual), Opinion(battle, 3, other)]
    least, *rest = agreement_by_person(opinions)
    assert (least.person, least.share, least.num_shared) == (3, 0, 12)
    assert [(one.person, one.share) for one in rest] == [(1, 0.5), (2, 0.5)]
    assert least.expected == pytest.approx(0.5)  # a and b equally often, by everybody


def test_a_second_word_of_one_person_is_no_second_opinion() -> None:
    assert agreement([Opinion(1, 1, "a"), Opinion(1, 1, "b")]).num_shared == 0


def test_consistency_counts_the_same_word_twice() -> None:
    found = consistency([("a", "a"), ("a", "b"), ("neither", "neither"), ("b", "b")])
    assert (found.same, found.asked, found.share) == (3, 4, 0.75)
    assert consistency([]).share is None


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=0.0001)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=0.0001)
    assert wilson_interval(0, 0) == (0.0, 1.0)
