"""Votes in the record: blind battles, one vote a person, and standings."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from pipeline.ratings import fit_ratings
from store import votes
from store.database import reading, writing
from store.judgements import is_held_out
from store.schema import Battle, Model, Person, Vote
from store.votes import BadVote, NoBattle, TooFewModels

pytestmark = pytest.mark.usefixtures("home")


def add_model(name: str, kind: str = "full") -> int:
    with writing() as session:
        model = Model(name=name, kind=kind, folder=name)
        session.add(model)
        session.flush()
        return model.id


def add_person(name: str = "Ada") -> int:
    with writing() as session:
        person = Person(token_sha256=f"{random.random()}", name=name)
        session.add(person)
        session.flush()
        return person.id


def trained_prompt() -> str:
    """A prompt that is not in the share held out for measuring."""
    return next(text for text in map(str, range(100)) if not is_held_out([{"role": "user", "content": text}]))


def fight(
    person_id: int,
    *,
    prompt: str = "",
    answers: tuple[str, str] = ("yes", "no"),
    finish_reasons: tuple[str, str] = ("stop", "stop"),
    seed: int | None = None,
) -> str:
    """A battle whose answers are there."""
    with writing() as session:
        battle = votes.create_battle(
            session, person_id=person_id, prompt=prompt or trained_prompt(), settings={}, seed=seed
        )
        votes.save_answers(session, battle.id, answers=answers, finish_reasons=finish_reasons)
        return battle.id


def vote(battle_id: str, person_id: int, outcome: str) -> Vote:
    with writing() as session:
        return votes.vote(session, battle_id, person_id, outcome)


def num_votes() -> int:
    with reading() as session:
        return session.scalar(select(func.count(Vote.id))) or 0


def load(battle_id: str) -> Battle:
    with reading() as session:
        return votes.get_battle(session, battle_id)


def test_one_model_is_too_few_for_a_battle() -> None:
    add_model("base")
    person = add_person()
    with pytest.raises(TooFewModels, match="there is one"), writing() as session:
        votes.create_battle(session, person_id=person, prompt="Hello", settings={})


def test_an_empty_prompt_begins_no_battle() -> None:
    with pytest.raises(NoBattle, match="empty"), writing() as session:
        votes.create_battle(session, person_id=1, prompt="  \n", settings={})


def test_a_battle_can_be_drawn_again_from_its_seed() -> None:
    for name in ("base", "sft", "dpo"):
        add_model(name)
    person = add_person()
    first, second = load(fight(person, seed=7)), load(fight(person, seed=7))
    assert first.id != second.id
    assert (first.model_a_id, first.model_b_id) == (second.model_a_id, second.model_b_id)
    assert first.settings == second.settings
    assert first.draw["probability"] == pytest.approx(1 / 3)
    assert first.draw["seed"] == 7


def test_each_model_stands_on_either_side_equally_often() -> None:
    base, _ = add_model("base"), add_model("sft")
    person = add_person()
    sides = Counter(load(fight(person, seed=seed)).model_a_id == base for seed in range(100))
    assert 30 < sides[True] < 70


def test_a_pair_that_is_less_known_is_drawn_more_often() -> None:
    base, sft, new = add_model("base"), add_model("sft"), add_model("new")
    person = add_person()
    for seed in range(40):
        battle = load(fight(person, seed=seed))
        if {battle.model_a_id, battle.model_b_id} == {base, sft}:
            vote(battle.id, person, "a" if seed % 2 else "b")
    with reading() as session:
        pairs = Counter(votes.draw_pair(session, random.Random(seed))[0] for seed in range(300))
    assert pairs[(base, sft)] < pairs[(base, new)]
    assert pairs[(base, sft)] > 0


def test_a_prompt_comes_again_only_after_all_others() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    prompts = ["one", "two", "three"]
    seen = []
    for _ in prompts:
        with reading() as session:
            seen.append(votes.draw_prompt(session, person, prompts))
        fight(person, prompt=seen[-1])
    assert sorted(seen) == sorted(prompts)


def test_pressing_twice_is_one_vote_even_at_the_same_moment() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    battle_id = fight(person)
    with ThreadPoolExecutor(4) as pool:
        ids = {given.id for given in pool.map(lambda _: vote(battle_id, person, "a"), range(8))}
    assert len(ids) == 1
    assert num_votes() == 1
    assert load(battle_id).state == "voted"


def test_a_change_after_the_names_were_seen_is_kept_and_not_counted() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    battle_id = fight(person)
    vote(battle_id, person, "a")
    given = vote(battle_id, person, "b")
    assert given.outcome == "a"
    assert [(change["outcome"], change["is_after_reveal"]) for change in given.changes] == [("b", True)]
    assert given.uncounted_because is None
    assert num_votes() == 1


def test_a_skip_shows_no_name_so_that_a_later_vote_takes_its_place() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    battle_id = fight(person)
    skipped = vote(battle_id, person, "skip")
    assert skipped.uncounted_because == "It was skipped."
    with reading() as session:
        assert not votes.is_revealed(session, skipped)
    assert load(battle_id).revealed_at is None
    given = vote(battle_id, person, "both_good")
    assert (given.outcome, given.uncounted_because) == ("both_good", None)
    assert [(change["outcome"], change["is_after_reveal"]) for change in given.changes] == [("skip", False)]
    assert load(battle_id).revealed_at is not None
    assert num_votes() == 1


def test_a_voter_of_a_link_sees_no_name_and_may_change_the_vote() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    with writing() as session:
        session.get_one(Person, person).link_id = 1
    battle_id = fight(person)
    vote(battle_id, person, "a")
    given = vote(battle_id, person, "b")
    assert (given.outcome, len(given.changes)) == ("b", 1)
    with reading() as session:
        assert not votes.is_revealed(session, given)
        ratings = votes.standings(session)
    assert ratings.votes_between(*ratings.models) == 1


def test_reasons_are_said_of_a_vote_without_changing_it() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    battle_id = fight(person)

    def describe(**words: Any) -> Vote:
        with writing() as session:
            said: dict[str, Any] = {"strength": None, "reasons": [], "comment": ""} | words
            return votes.describe(session, battle_id, person, **said)

    with pytest.raises(BadVote, match="not voted"):
        describe(strength=1)
    vote(battle_id, person, "both_bad")
    said = describe(strength=2, reasons=["clear", "tone"], comment="  Both rude. ")
    assert (said.outcome, said.strength) == ("both_bad", None), "neither is better, so none is clearly so"
    assert (said.reasons, said.comment) == (["clear", "tone"], "Both rude.")
    with pytest.raises(BadVote, match="'because'"):
        describe(reasons=["because"])
    with pytest.raises(BadVote, match="'3'"):
        describe(strength=3)
    with pytest.raises(BadVote, match="2,001 characters"):
        describe(comment="x" * 2001)


def test_an_unfinished_answer_is_voted_on_but_not_counted() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    given = vote(fight(person, finish_reasons=("stop", "length")), person, "a")
    assert given.uncounted_because == "Answer B is unfinished: it was cut off at the token limit."


def test_two_people_vote_on_one_battle_and_both_count() -> None:
    add_model("base"), add_model("sft")
    ada, ben = add_person("Ada"), add_person("Ben")
    battle_id = fight(ada)
    vote(battle_id, ada, "a")
    vote(battle_id, ben, "tie")
    with reading() as session:
        ratings = votes.standings(session)
    assert ratings.votes_between(*ratings.models) == 2


def test_nothing_can_be_voted_on_before_the_answers_are_there() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    with writing() as session:
        battle_id = votes.create_battle(session, person_id=person, prompt="Hello", settings={}).id
    with pytest.raises(BadVote, match="not there yet"):
        vote(battle_id, person, "a")
    with pytest.raises(BadVote, match="'c' is not a vote"):
        vote(battle_id, person, "c")
    with pytest.raises(NoBattle, match="no battle"):
        vote("nowhere", person, "a")


def test_a_person_comes_back_to_the_oldest_battle_without_a_vote() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    first, second = fight(person), fight(person)

    def present() -> str | None:
        with reading() as session:
            battle = votes.open_battle(session, person)
            return battle.id if battle else None

    assert present() == first
    vote(first, person, "b")
    assert present() == second
    vote(second, person, "both_bad")
    assert present() is None


def test_a_failed_battle_takes_no_vote_and_does_not_name_its_models() -> None:
    add_model("base"), add_model("sft-7")
    person = add_person()
    with writing() as session:
        battle_id = votes.create_battle(session, person_id=person, prompt="Hello", settings={}).id
        votes.fail_battle(session, battle_id, "The model sft-7 does not fit beside BASE.")
    battle = load(battle_id)
    assert battle.state == "failed"
    assert battle.error == "The model the model does not fit beside the model."
    with pytest.raises(BadVote):
        vote(battle_id, person, "a")


def test_an_answer_that_names_a_model_is_voted_on_but_not_counted() -> None:
    add_model("base"), add_model("sft-7")
    person = add_person()
    given = vote(fight(person, answers=("I am SFT-7.", "I am a model.")), person, "a")
    assert given.uncounted_because is not None
    assert "Answer A" in given.uncounted_because
    clean = vote(fight(person, answers=("database", "sft-70")), person, "a")
    assert clean.uncounted_because is None
    with reading() as session:
        ratings = votes.standings(session)
        assert ratings.votes_between(*ratings.models) == 1
        assert votes.num_uncounted(session) == 1


def test_standings_by_the_database_are_those_of_the_votes_one_by_one() -> None:
    ids = [add_model(name) for name in ("base", "sft", "dpo")]
    person = add_person()
    rng = random.Random(1)
    for seed in range(40):
        vote(fight(person, seed=seed), person, rng.choice(["a", "b", "tie", "both_bad"]))
    wins: Counter[tuple[int, int]] = Counter()
    with reading() as session:
        for given in session.scalars(select(Vote)):
            battle = given.battle
            if given.outcome == "a":
                wins[battle.model_a_id, battle.model_b_id] += 1
            elif given.outcome == "b":
                wins[battle.model_b_id, battle.model_a_id] += 1
        ratings = votes.standings(session)
        best = votes.best_trainable(session, ratings)
    board = ratings.board(reference=ids[0])
    assert sum(standing.wins for standing in board) == sum(wins.values())
    for standing in board:
        assert standing.wins == sum(count for (winner, _), count in wins.items() if winner == standing.model)
    assert best is not None
    assert best.id == board[0].model


def test_what_one_vote_changed_is_the_difference_of_the_standings_with_and_without_it() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    first = vote(fight(person), person, "a")
    with reading() as session:
        before = votes.standings(session, without_vote=first.id)
    assert before.models == fit_ratings([]).models


def test_the_best_trainable_model_is_never_a_quantized_one() -> None:
    full, quantized = add_model("sft"), add_model("sft-nf4", kind="quantized")
    person = add_person()
    for seed in range(6):
        battle = load(fight(person, seed=seed))
        vote(battle.id, person, "a" if battle.model_a_id == quantized else "b")
    with reading() as session:
        ratings = votes.standings(session)
        best = votes.best_trainable(session, ratings)
    assert ratings.board(reference=full)[0].model == quantized
    assert best is not None
    assert best.id == full
