"""Drawing: prompt sets, repeats and chosen pairs, and what is kept of how a battle came about."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from store import attempts, drawing, fleet, jobs, prompt_sets, repeats, votes
from store.attempts import StaleAttempt
from store.database import reading, writing
from store.drawing import BadCourse, Course
from store.prompt_sets import NoPreparedPair, settings_sha256
from store.schema import Battle, Model, Person, PreparedAnswer, Vote
from tests.real_jobs import add_rows

SETTINGS = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 256}
PROMPTS = [f"Question {number}" for number in range(40)]


def add_model(name: str) -> int:
    with writing() as session:
        model = Model(name=name, kind="full", folder=name)
        session.add(model)
        session.flush()
        return model.id


def add_person(name: str) -> int:
    with writing() as session:
        person = Person(token_sha256=name, name=name)
        session.add(person)
        session.flush()
        return person.id


def add_prompts(home: Path, count: int = 4) -> int:
    rows = [
        {
            "messages": [{"role": "user", "content": f"Row {n}"}, {"role": "assistant", "content": "Yes."}],
            "tags": ["odd" if n % 2 else "even"],
        }
        for n in range(count)
    ]
    version_id = add_rows(home, "prompts", "instruction", rows)
    file = next(home.glob("datasets/*/rows.jsonl"))
    lines = file.read_bytes().splitlines(keepends=True)
    begins = [sum(map(len, lines[:n])) for n in range(len(lines))]
    file.with_name("rows.index").write_bytes(b"".join(begin.to_bytes(8, "little") for begin in begins))
    return version_id


def prepare(version_id: int, model_id: int, rows: list[int], settings: dict[str, Any] = SETTINGS) -> None:
    with writing() as session:
        session.add_all(
            PreparedAnswer(
                prompt_version_id=version_id,
                row=row,
                model_id=model_id,
                settings_sha256=settings_sha256(settings),
                settings=settings,
                seed=row,
                text=f"model {model_id} on row {row}",
                finish_reason="stop",
                provenance={"weights_sha256": f"hash of {model_id}"},
            )
            for row in rows
        )


def begin(person_id: int, course: Course, seed: int) -> Battle:
    with writing() as session:
        return drawing.next_battle(session, person_id, course, settings=SETTINGS, prompts=PROMPTS, seed=seed)


def judge(battle: Battle, outcome: str = "a") -> Vote:
    with writing() as session:
        votes.save_answers(session, battle.id, answers=("yes", "no"), finish_reasons=("stop", "stop"))
        return votes.vote(session, battle.id, battle.person_id, outcome)


pytestmark = pytest.mark.usefixtures("home")


def test_a_prompt_set_is_voted_on_without_waiting_and_each_prompt_comes_before_any_comes_again(home: Path) -> None:
    base, sft, ada = add_model("base"), add_model("sft"), add_person("Ada")
    version_id = add_prompts(home)
    for model in (base, sft):
        prepare(version_id, model, [0, 1, 2, 3])
    course = Course(prompt_version_id=version_id, pair=(base, sft))
    fought = [begin(ada, course, seed) for seed in range(8)]
    assert Counter(battle.prompt_row for battle in fought) == {0: 2, 1: 2, 2: 2, 3: 2}
    assert {battle.prompt_row for battle in fought[:4]} == {0, 1, 2, 3}
    for battle in fought:
        assert battle.state == "ready"
        assert battle.messages == [{"role": "user", "content": f"Row {battle.prompt_row}"}]
        assert battle.tags == ["odd" if (battle.prompt_row or 0) % 2 else "even"]
        assert battle.answer_a == f"model {battle.model_a_id} on row {battle.prompt_row}"
        assert battle.provenance["b"] == {"weights_sha256": f"hash of {battle.model_b_id}"}
        assert battle.draw["policy"] == "chosen by hand"


def test_answers_that_were_drawn_otherwise_never_meet(home: Path) -> None:
    base, sft, ada = add_model("base"), add_model("sft"), add_person("Ada")
    version_id = add_prompts(home)
    prepare(version_id, base, [0, 1])
    prepare(version_id, sft, [0, 1], SETTINGS | {"temperature": 1.0})
    with pytest.raises(NoPreparedPair, match="prompts v1"):
        begin(ada, Course(prompt_version_id=version_id), seed=1)
    prepare(version_id, sft, [1])
    assert begin(ada, Course(prompt_version_id=version_id), seed=1).prompt_row == 1


def test_exactly_two_chosen_models_meet_and_nothing_is_repeated() -> None:
    ids = [add_model(name) for name in ("base", "sft", "dpo")]
    ada = add_person("Ada")
    course = Course.of_address(f"{ids[2]},{ids[0]}", "")
    for seed in range(20):
        battle = begin(ada, course, seed)
        judge(battle)
        assert {battle.model_a_id, battle.model_b_id} == {ids[0], ids[2]}
        assert (battle.draw["policy"], battle.draw["probability"]) == ("chosen by hand", 1.0)
        assert battle.repeat_of_id is None


@pytest.mark.parametrize(("pair", "prompts"), [("3", ""), ("3,3", ""), ("a,b", ""), ("1,2,3", ""), ("", "x")])
def test_an_address_that_names_no_two_models_or_no_set_is_refused(pair: str, prompts: str) -> None:
    with pytest.raises(BadCourse, match="names no"):
        Course.of_address(pair, prompts)


def test_a_course_comes_back_from_its_own_address() -> None:
    course = Course(pair=(3, 5), prompt_version_id=7)
    assert Course.of_parameters(course.address) == course
    assert Course.of_parameters("") == Course()


def test_about_a_tenth_of_battles_are_repeats_half_of_them_ones_own() -> None:
    add_model("base"), add_model("sft")
    ada, ben = add_person("Ada"), add_person("Ben")
    ordinary = seed_that_rolls(0.5, 0.9)
    for person in (ben, ada):
        judge(begin(person, Course(), ordinary))
    for _ in range(repeats.FEWEST_BETWEEN):
        begin(ada, Course(), ordinary)
    kinds: Counter[str] = Counter()
    for seed in range(1000):
        with writing() as session:
            battle = repeats.draw(session, ada, random.Random(seed), Course().condition(), seed=seed)
            kinds[battle.draw["policy"] if battle else "new"] += 1
            session.rollback()
    assert 30 <= kinds["repeat: another's again"] <= 70
    assert 30 <= kinds["repeat: one's own again, swapped"] <= 70


def seed_that_rolls(low: float, high: float) -> int:
    return next(seed for seed in range(10_000) if low <= random.Random(seed).random() < high)


def test_ones_own_battle_comes_again_swapped_later_and_its_vote_does_not_count() -> None:
    add_model("base"), add_model("sft")
    ada = add_person("Ada")
    ordinary = seed_that_rolls(0.5, 0.9)
    own = seed_that_rolls(repeats.OTHERS_SHARE, repeats.OTHERS_SHARE + repeats.OWN_SHARE)
    first = begin(ada, Course(), ordinary)
    judge(first)
    assert begin(ada, Course(), own).repeat_of_id is None, "it was seen a moment ago"
    for _ in range(repeats.FEWEST_BETWEEN):
        begin(ada, Course(), ordinary)
    again = begin(ada, Course(), own)
    assert again.repeat_of_id == first.id
    assert (again.model_a_id, again.model_b_id) == (first.model_b_id, first.model_a_id)
    assert (again.answer_a, again.answer_b) == ("no", "yes")
    assert again.settings["seed_a"] == first.settings["seed_b"]
    assert again.draw["probability"] == repeats.OWN_SHARE
    assert judge(again, "b").uncounted_because == votes.ASKED_AGAIN
    assert begin(ada, Course(), own).repeat_of_id is None, "once is enough"


def test_anothers_battle_is_shown_once_with_the_same_answers_and_both_votes_count() -> None:
    add_model("base"), add_model("sft")
    ada, ben = add_person("Ada"), add_person("Ben")
    root = begin(ben, Course(), seed_that_rolls(0.5, 0.9))
    judge(root)
    of_others = seed_that_rolls(0, repeats.OTHERS_SHARE)
    again = begin(ada, Course(), of_others)
    assert again.repeat_of_id == root.id
    sides = {again.model_a_id: again.answer_a, again.model_b_id: again.answer_b}
    assert sides == {root.model_a_id: "yes", root.model_b_id: "no"}
    assert judge(again).uncounted_because is None
    assert begin(ada, Course(), of_others).repeat_of_id is None


def test_what_a_job_wrote_is_registered_once_and_never_under_an_old_epoch(home: Path, tmp_path: Path) -> None:
    base, version_id = add_model("base"), add_prompts(home)
    with writing() as session:
        job_id = jobs.submit(session, "answer", {"model": f"model:{base}", "dataset": f"dataset:{version_id}"}).id
        fleet.beat(session, worker_id="worker", name="worker", machine="here", devices=[{"id": "cpu"}])
        claim = attempts.claim(session, worker_id="worker", worker_name="worker", free={"cpu": "cpu"}, most_slots=1)
    assert claim is not None
    file = tmp_path / "answers.jsonl"
    line = {"row": 0, "seed": 1, "text": "Yes\0.", "finish_reason": "stop", "provenance": {}}
    file.write_text(json.dumps(line) + "\n" + json.dumps(line | {"row": 1, "text": "line\u2028end"}) + "\n")
    with pytest.raises(StaleAttempt), writing() as session:
        prompt_sets.register_answers(session, job_id, claim.epoch - 1, file, {})
    prepare(version_id, base, [0])
    with writing() as session:
        assert prompt_sets.register_answers(session, job_id, claim.epoch, file, {"answers": 2}) == 1
    with reading() as session:
        kept = {answer.row: answer.text for answer in session.scalars(select(PreparedAnswer))}
        (prepared,) = prompt_sets.list_prepared(session)
    assert kept == {0: f"model {base} on row 0", 1: "line\u2028end"}
    assert (prepared.num_answers, prepared.settings) == (2, SETTINGS)
