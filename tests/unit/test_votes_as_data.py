"""Votes as data: which are looked at, what a repeat is, what each becomes, and whether the next model is better."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.agreement import agreement, consistency
from store.comparisons import records, trained_on_votes
from store.database import reading, writing
from store.judgements import VoteFilter, is_held_out, judgements, opinions, said_twice, state_of_votes
from store.schema import Battle, Dataset, DatasetVersion, Job, JobDataset, Model, Vote
from store.vote_pairs import DATASET_NAME, line_of, preference_rows, texts_of, unpaired_rows
from tests.unit.test_votes import add_model, add_person, trained_prompt

pytestmark = pytest.mark.usefixtures("home")


def lay(
    battle_id: str, models: tuple[int, int], votes: dict[int, str], *, uncounted: str | None = None, **columns: Any
) -> None:
    """A battle and what people said of it, written as the arena leaves them."""
    prompt = columns.pop("prompt", None) or trained_prompt()
    at = columns.pop("at", datetime(2026, 1, 1, tzinfo=UTC))
    values = {"answer_a": "long answer", "answer_b": "short", "finish_a": "stop", "finish_b": "stop"} | columns
    with writing() as session:
        session.add(
            Battle(
                id=battle_id,
                person_id=1,
                messages=[{"role": "user", "content": prompt}],
                model_a_id=models[0],
                model_b_id=models[1],
                state="voted",
                **values,
            )
        )
        session.flush()
        for person, outcome in votes.items():
            session.add(
                Vote(
                    battle_id=battle_id,
                    person_id=person,
                    outcome=outcome,
                    uncounted_because=uncounted,
                    created_at=at,
                )
            )


@pytest.fixture
def team() -> tuple[int, int, int, int]:
    """Two people and two models."""
    return add_person("Ada"), add_person("Ben"), add_model("base"), add_model("sft")


def rows(chosen: VoteFilter | None = None) -> list[str]:
    with reading() as session:
        return preference_rows(session, chosen or VoteFilter()).battle_ids


def test_a_repeat_with_swapped_sides_is_one_pair_with_its_first_battle(team: tuple[int, int, int, int]) -> None:
    ada, ben, base, sft = team
    lay("first", (base, sft), {ada: "a"})
    lay("again", (sft, base), {ben: "b"}, repeat_of_id="first", answer_a="short", answer_b="long answer")
    with reading() as session:
        pairs = preference_rows(session)
        (row,) = texts_of(session, pairs)
        assert agreement(opinions(list(judgements(session)))).num_shared == 1
    assert pairs.battle_ids == ["first"]
    assert row["chosen"][0]["content"] == "long answer"
    assert pairs.left_out == {}


def test_a_repeat_on_which_another_disagrees_is_no_pair_until_less_agreement_will_do(
    team: tuple[int, int, int, int],
) -> None:
    ada, ben, base, sft = team
    cleo = add_person("Cleo")
    lay("first", (base, sft), {ada: "a", cleo: "a"})
    lay("again", (sft, base), {ben: "a"}, repeat_of_id="first")
    assert rows() == []
    assert rows(VoteFilter(least_agreement=0.6)) == ["first"]
    assert rows(VoteFilter(least_agreement=0.7)) == []


def test_ones_own_second_word_measures_consistency_and_makes_no_second_vote(team: tuple[int, int, int, int]) -> None:
    ada, _, base, sft = team
    lay("one", (base, sft), {ada: "a"})
    lay("one again", (sft, base), {ada: "b"}, repeat_of_id="one", uncounted="It was asked again.")
    lay("two", (base, sft), {ada: "b"})
    lay("two again", (sft, base), {ada: "b"}, repeat_of_id="two", uncounted="It was asked again.")
    with reading() as session:
        found = said_twice(list(judgements(session)))
        pairs = preference_rows(session)
    assert consistency(found[ada]).share == 0.5
    assert pairs.num_rows == 2
    assert pairs.left_out == {"the same person had judged the battle before": 2}


def test_a_skip_is_no_opinion_and_no_row(team: tuple[int, int, int, int]) -> None:
    ada, ben, base, sft = team
    lay("one", (base, sft), {ada: "skip", ben: "a"})
    with reading() as session:
        assert len(opinions(list(judgements(session)))) == 1
        assert preference_rows(session).left_out == {"it was skipped": 1}
        assert preference_rows(session).num_rows == 1


def test_undecided_battles_become_labelled_answers(team: tuple[int, int, int, int]) -> None:
    ada, _, base, sft = team
    lay("good", (base, sft), {ada: "both_good"})
    lay("bad", (base, sft), {ada: "both_bad"}, finish_a="length")
    lay("won", (base, sft), {ada: "b"})
    lay("tied", (base, sft), {ada: "tie"})
    lay("cut", (base, sft), {ada: "both_good"}, finish_a="length")
    with reading() as session:
        labelled = unpaired_rows(session)
        labels = [row["label"] for row in texts_of(session, labelled)]
    assert set(labelled.battle_ids) == {"good", "bad", "won"}
    assert sorted(labels) == [False, False, False, True, True, True]
    assert labelled.left_out == {
        "the vote was a tie": 1,
        "an answer that was good was cut off at the token limit": 1,
    }


def test_votes_are_chosen_by_model_tag_person_and_date(team: tuple[int, int, int, int]) -> None:
    ada, ben, base, sft = team
    other = add_model("other")
    lay("sums", (base, sft), {ada: "a"}, tags=["sums"])
    lay("tales", (base, other), {ben: "a"}, tags=["tales"], at=datetime(2026, 3, 1, tzinfo=UTC))
    assert rows(VoteFilter(model_ids=(other,))) == ["tales"]
    assert rows(VoteFilter(tags=("sums", "none"))) == ["sums"]
    assert rows(VoteFilter(person_ids=(ben,))) == ["tales"]
    assert rows(VoteFilter(since=datetime(2026, 2, 1, tzinfo=UTC))) == ["tales"]
    assert rows(VoteFilter(until=datetime(2026, 2, 1, tzinfo=UTC))) == ["sums"]


def test_pairs_of_other_lines_of_models_are_off_policy(team: tuple[int, int, int, int]) -> None:
    ada, _, base, sft = team
    stranger, cousin = add_model("stranger"), add_model("cousin")
    with writing() as session:
        session.get_one(Model, sft).parent_id = base
    lay("own", (sft, stranger), {ada: "a"})
    lay("parent", (base, stranger), {ada: "a"})
    lay("foreign", (cousin, stranger), {ada: "a"})
    with reading() as session:
        line = line_of(session, sft)
        pairs = preference_rows(session)
        assert line_of(session, base) == {base, sft}
    assert line == {base, sft}
    assert (pairs.num_rows, pairs.num_off_policy(line)) == (3, 1)


def test_the_new_model_is_measured_on_prompts_that_it_was_not_trained_on(team: tuple[int, int, int, int]) -> None:
    ada, ben, base, sft = team
    held_out = next(text for text in map(str, range(100)) if is_held_out([{"role": "user", "content": text}]))
    with writing() as session:
        version = DatasetVersion(number=1, sha256="0" * 64, kind="preference", format="", num_rows=1, size_bytes=1)
        version.dataset = Dataset(name=DATASET_NAME)
        job = Job(name="dpo-1", recipe="dpo", spec={}, state="succeeded")
        session.add_all([version, job])
        session.flush()
        session.add(JobDataset(job_id=job.id, dataset_version_id=version.id))
        model = session.get_one(Model, sft)
        model.parent_id, model.job_id = base, job.id
    lay("held", (sft, base), {ada: "a", ben: "tie"}, prompt=held_out)
    lay("held again", (base, sft), {add_person("Cleo"): "b"}, prompt=held_out, repeat_of_id="held")
    lay("trained", (base, sft), {ada: "a"})
    with reading() as session:
        on_held_out, every = records(session, sft, base)
        (comparison,) = trained_on_votes(session)
    assert (on_held_out.wins, on_held_out.ties, on_held_out.losses) == (2, 1, 0)
    assert (every.wins, every.ties, every.losses) == (2, 1, 1)
    assert on_held_out.share == pytest.approx(2.5 / 3)
    assert (comparison.new.id, comparison.old.id, comparison.held_out) == (sft, base, on_held_out)


def test_the_state_of_the_votes_changes_with_each_new_vote_and_each_changed_one(
    team: tuple[int, int, int, int],
) -> None:
    ada, ben, base, sft = team

    def state() -> tuple[str, int, int, int]:
        with reading() as session:
            return state_of_votes(session)

    states = [state()]
    lay("one", (base, sft), {ada: "a"})
    states.append(state())
    lay("two", (base, sft), {ben: "a"})
    states.append(state())
    with writing() as session:
        session.query(Vote).filter_by(battle_id="two").one().changes = [{"outcome": "a"}]
    states.append(state())
    assert len(set(states)) == 4
    assert state() == states[-1]
