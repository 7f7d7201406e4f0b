"""Vote pairs: what of the votes is trained on, with a reason for every vote that is not."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from pipeline.errors import BadData
from store import datasets
from store.database import reading, writing
from store.schema import Vote
from store.vote_pairs import add_dataset, is_held_out, preference_rows, texts_of
from tests.unit.test_votes import add_model, add_person, fight, trained_prompt, vote

pytestmark = pytest.mark.usefixtures("home")


def test_a_win_is_a_pair_with_the_better_answer_chosen() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    battle_id = fight(person, answers=("worse", "better"))
    vote(battle_id, person, "b")
    with reading() as session:
        pairs = preference_rows(session)
        rows = list(texts_of(session, pairs))
    assert rows == [
        {
            "prompt": [{"role": "user", "content": trained_prompt()}],
            "chosen": [{"role": "assistant", "content": "better"}],
            "rejected": [{"role": "assistant", "content": "worse"}],
        }
    ]
    assert pairs.battle_ids == [battle_id]
    assert len(pairs.model_ids) == 2
    assert pairs.left_out == {}


def test_every_vote_that_becomes_no_pair_is_accounted_for() -> None:
    add_model("base"), add_model("sft-7")
    ada, ben = add_person("Ada"), add_person("Ben")
    held_out = next(text for text in map(str, range(100)) if is_held_out([{"role": "user", "content": text}]))
    vote(fight(ada), ada, "a")
    vote(fight(ada), ada, "tie")
    vote(fight(ada), ada, "both_bad")
    vote(fight(ada, answers=("same", "same ")), ada, "a")
    vote(fight(ada, answers=("some", "")), ada, "a")
    vote(fight(ada, finish_reasons=("length", "stop")), ada, "a")
    vote(fight(ada, answers=("sft-7 here", "some")), ada, "a")
    vote(fight(ada, prompt=held_out), ada, "a")
    disputed = fight(ada)
    vote(disputed, ada, "a")
    vote(disputed, ben, "b")
    with writing() as session:  # of the days when an unfinished answer was still counted
        for given in session.scalars(select(Vote).where(Vote.uncounted_because.contains("unfinished"))):
            given.uncounted_because = None
    with reading() as session:
        pairs = preference_rows(session)
    assert pairs.num_rows == 1
    assert pairs.num_votes == 10
    assert pairs.left_out == {
        "the vote was a tie": 1,
        "both answers were bad": 1,
        "both answers were the same": 1,
        "an answer was empty": 1,
        "the better answer was cut off at the token limit": 1,
        "an answer said the name of its model": 1,
        "the prompt is in the 10 % held out for measuring": 1,
        "voters disagreed on the battle": 2,
    }


def test_about_a_tenth_of_prompts_is_held_out_and_always_the_same_ones() -> None:
    prompts = [[{"role": "user", "content": f"Question {number}"}] for number in range(2000)]
    held_out = [is_held_out(prompt) for prompt in prompts]
    assert 150 < sum(held_out) < 250
    assert held_out == [is_held_out(prompt) for prompt in prompts]
    assert is_held_out([{"role": "user", "content": "Question 12"}]) is False


def test_votes_become_a_dataset_version_that_names_its_battles_and_is_the_same_for_the_same_votes() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    battle_id = fight(person)
    vote(battle_id, person, "a")
    with writing() as session:
        first = add_dataset(session, preference_rows(session), created_by_id=person)
    with writing() as session:
        again = add_dataset(session, preference_rows(session), created_by_id=person)
    assert first.is_new
    assert not again.is_new
    assert again.version.id == first.version.id
    assert (first.version.kind, first.version.num_rows) == ("preference", 1)
    assert first.version.provenance["battles"] == [battle_id]
    assert first.version.provenance["models"] == ["base", "sft"]
    with reading() as session:
        kept = list(datasets.rows_of(datasets.get_version(session, first.version.id)))
        assert kept == list(texts_of(session, preference_rows(session)))
    assert first.version.provenance["filter"] == {"least_agreement": 1.0}


def test_no_dataset_is_made_of_ties_alone() -> None:
    add_model("base"), add_model("sft")
    person = add_person()
    vote(fight(person), person, "tie")
    with pytest.raises(BadData, match="None of the votes so far"), writing() as session:
        add_dataset(session, preference_rows(session), created_by_id=person)
