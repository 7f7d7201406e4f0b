"""The shipped world: the same from the same seed, and nothing held out is ever told in training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.training.rows import read_rows
from pipeline.world.facts import NAMES, make_world
from pipeline.world.files import write_world
from pipeline.world.questions import STYLES, answer_in_style, held_out_questions
from pipeline.world.scoring import accuracy, is_right, is_warm


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_world(tmp_path_factory.mktemp("world"))


def test_same_seed_gives_the_same_bytes(files: dict[str, Path], tmp_path: Path) -> None:
    again = write_world(tmp_path)
    assert {name: path.read_bytes() for name, path in files.items()} == {
        name: path.read_bytes() for name, path in again.items()
    }


def test_every_file_holds_canonical_rows(files: dict[str, Path]) -> None:
    assert len(read_rows(files["corpus"], "text")) > 1000
    assert len(read_rows(files["instruction"], "instruction")) > 300
    assert len(read_rows(files["preference"], "preference")) > 100
    assert len(read_rows(files["instruction_heldout"], "instruction")) >= 32
    assert len(read_rows(files["preference_heldout"], "preference")) >= 32
    assert len(files["prompts"].read_text(encoding="utf-8").splitlines()) == 40


def test_every_fact_is_told_in_the_prose(files: dict[str, Path]) -> None:
    prose = files["corpus"].read_text(encoding="utf-8")
    untold = [fact for fact in make_world().facts if fact.sentence() not in prose]
    assert untold == []


def test_no_training_row_tells_a_held_out_fact(files: dict[str, Path]) -> None:
    for name in ("instruction", "preference", "prompts"):
        for line in files[name].read_text(encoding="utf-8").splitlines():
            told = json.dumps(json.loads(line), ensure_ascii=False)
            leaked = [fact for fact in make_world().held_out if fact.sentence() in told]
            assert leaked == [], f"{name} tells a held-out fact"


def test_no_held_out_question_is_asked_in_training(files: dict[str, Path]) -> None:
    training = "".join(files[name].read_text(encoding="utf-8") for name in ("instruction", "preference", "prompts"))
    assert [question.text for question in held_out_questions(make_world()) if question.text in training] == []


def test_each_resident_and_each_attribute_is_trained_on_and_held_out() -> None:
    world = make_world()
    assert {fact.name for fact in world.trained} == set(NAMES)
    assert {fact.attribute for fact in world.held_out} == {fact.attribute for fact in world.facts}


@pytest.mark.parametrize("style", sorted({*STYLES, "warm"}))
def test_a_true_answer_is_right_in_every_style_and_only_the_chosen_one_is_warm(style: str) -> None:
    question = held_out_questions(make_world())[0]
    answer = answer_in_style(question.fact, style)
    assert is_right(answer, question)
    assert is_warm(answer) == (style == "warm")


def test_an_answer_that_names_another_value_too_is_wrong() -> None:
    question = held_out_questions(make_world())[0]
    values = question.fact.attribute.values
    other = next(value for value in values if value != question.fact.value)
    assert not is_right(f"{other} or {question.fact.value}", question)
    assert not is_right("I do not know.", question)
    assert not is_right(f"{question.fact.sentence()}. It rained. The lamps were lit one by one.", question)
    assert accuracy([question.fact.value, other], [question, question]) == 0.5
