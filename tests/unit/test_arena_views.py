"""What the arena draws: nothing of a model before the vote, and plain sentences after it."""

from __future__ import annotations

import re

from pipeline.ratings import Standing, Tally, fit_ratings
from store.schema import Battle, Model, Vote
from store.vote_pairs import VoteRows
from webapp.arena.views import blind_view, change_view, failed_view, revealed_view, waiting_view
from webapp.arena.views_board import board_view, interval_bar, percent, points, verdict
from webapp.arena.views_vote_data import ModelToTrain, rows_view

NAMES = {1: "sft-7", 2: "dpo-3"}


def make_battle(answer_a: str = "Red.", answer_b: str = "Gladly. Red.") -> Battle:
    return Battle(
        id="secret",
        messages=[{"role": "user", "content": "What colour does <Rosa> wear?"}],
        model_a=Model(id=71, name="sft-7"),
        model_b=Model(id=72, name="dpo-3"),
        model_a_id=71,
        model_b_id=72,
        answer_a=answer_a,
        answer_b=answer_b,
        finish_a="stop",
        finish_b="length",
        error="The server is away.",
    )


def sentence(*tallies: Tally) -> str:
    return re.sub("<[^>]+>", "", verdict(fit_ratings(tallies).difference(2, 1), NAMES))


def test_before_the_vote_neither_name_nor_number_of_a_model_is_drawn() -> None:
    battle = make_battle()
    for view in (waiting_view(battle, 5), blind_view(battle), failed_view(battle)):
        assert not re.search("sft-7|dpo-3|71|72", view)
    assert "5 s" in waiting_view(battle, 5)
    assert "Cut off" in blind_view(battle)


def test_after_the_vote_both_names_are_links_beside_the_choice() -> None:
    view = revealed_view(make_battle(), Vote(outcome="b"), "")
    assert view.index('href="/model?id=71"') < view.index('href="/model?id=72"') < view.index("your choice")
    assert "You preferred answer B." in view


def test_prompts_and_answers_are_text_and_never_markup() -> None:
    view = blind_view(make_battle(answer_a="<img src=x onerror=alert(1)>", answer_b="[go](javascript:alert(1))"))
    assert "<img" not in view
    assert 'href="javascript' not in view
    assert "&lt;Rosa&gt;" in view


def test_an_empty_answer_says_so() -> None:
    assert "answered nothing" in blind_view(make_battle(answer_a=" \n"))


def test_a_vote_that_does_not_count_says_why() -> None:
    battle = fit_ratings([Tally(1, 2, "a", 3)]).difference(1, 2)
    view = change_view(Vote(outcome="a", uncounted_because="Answer A says its name."), None, battle, NAMES)
    assert "not counted. Answer A says its name." in view


def test_a_vote_that_counts_shows_the_difference_before_and_after() -> None:
    before = fit_ratings([Tally(1, 2, "a", 3)]).difference(1, 2)
    after = fit_ratings([Tally(1, 2, "a", 4)]).difference(1, 2)
    view = change_view(Vote(outcome="a"), before, after, NAMES)
    assert (
        f"{points(before.points)} ± {before.half_width:.0f} → {points(after.points)} ± {after.half_width:.0f}" in view
    )


def test_the_verdict_is_as_sure_as_the_votes_are() -> None:
    assert sentence(Tally(2, 1, "a", 30), Tally(2, 1, "b", 3)) == "dpo-3 is better than sft-7: over 99 % sure."
    probably = sentence(Tally(2, 1, "a", 12), Tally(2, 1, "b", 7))
    assert re.fullmatch(
        r"dpo-3 is probably better than sft-7: 8\d %; about \d+ more votes on these two would settle it\.", probably
    )
    unsure = sentence(Tally(2, 1, "a", 8), Tally(2, 1, "b", 7))
    assert unsure.startswith("dpo-3 and sft-7 cannot be told apart yet")
    assert "more than 1\u202f000 further votes" in sentence(Tally(2, 1, "a", 50), Tally(2, 1, "b", 50))


def test_no_share_claims_to_be_certain() -> None:
    assert [percent(share) for share in (0.0, 0.004, 0.5, 0.91, 0.997, 1.0)] == [
        "under 1 %",
        "under 1 %",
        "50 %",
        "91 %",
        "over 99 %",
        "over 99 %",
    ]
    assert [points(value) for value in (12.4, -12.6, 0.2)] == ["+12", "−13", "0"]


def test_the_interval_bar_places_its_parts_on_the_common_scale() -> None:
    standing = Standing(model=1, points=50, half_width=50, wins=1, losses=0, ties=0)
    bar = interval_bar(standing, low=-100, high=100)
    # 224 of the 240 units hold the 200 points, from 8 on: 0 → 120, 50 → 176, 100 → 232.
    assert 'x1="120.0" x2="232.0"' in bar
    assert 'cx="176.0"' in bar
    assert "+50 ± 50" in bar


def test_the_board_names_every_model_and_escapes_it() -> None:
    ratings = fit_ratings([Tally(1, 2, "a", 3), Tally(1, 2, "tie", 1)])
    view = board_view(ratings, {1: "<b>", 2: "dpo-3"}, 2, num_uncounted=2)
    assert "&lt;b&gt;" in view
    assert "<b><b></b>" not in view
    assert "4 votes; 2 more not counted" in view
    assert "88 %" in view  # three wins and half a tie of four
    assert "3 / 1 / 0" in view


def test_the_account_of_pairs_says_what_was_left_out_and_whom_it_would_train() -> None:
    pairs = VoteRows(
        outcomes={"one": "a", "two": "b"},
        sides={"one": (1, 2), "two": (3, 4)},
        num_votes=5,
        left_out={"the vote was a tie": 3},
    )
    view = rows_view(pairs, ModelToTrain(1, "<sft>", frozenset({1, 9})))
    assert "5 votes make <b>2 preference pairs</b>" in view
    assert "3 votes left out" in view
    assert "<b>&lt;sft&gt;</b>" in view
    assert "1 of them (50 %) are off-policy" in view
    assert "no votes here" in rows_view(VoteRows(), None)
    assert "No model" in rows_view(pairs, None)
