"""What makes a row of what a model wrote: templates, likeness, what is dropped, and who is the best of several."""

from __future__ import annotations

import json
from math import exp, log
from pathlib import Path

import pytest

from pipeline.asking.questions import CannotAnswer, Said
from pipeline.asking.written import WrittenLines
from pipeline.data.importing import import_rows
from pipeline.data.raw import BadRow
from pipeline.making.alike import SeenTexts
from pipeline.making.drafts import Dropped, FromDocuments, FromSeeds, Kept, Sieve
from pipeline.making.judging import in_both_orders, ranking_of_pairs, ranking_of_rewards, verdict_of
from pipeline.making.templates import NotInForm, Task, filled, passage_of, read_question, read_task
from pipeline.recipes.generate import GenerateSpec
from pipeline.recipes.pairs import PairsSpec
from pipeline.spec import SpecFaults, validate_spec


def said(text: str, *, has_ended: bool = True) -> Said:
    return Said(text, 5, has_ended)


@pytest.mark.parametrize(
    "text",
    [
        "Question: Who bakes?\nAnswer: Mara does.",
        " Who bakes?\nAnswer: Mara does.",
        "Sure, here it is:\n**Question:** Who bakes?\n\n**Answer:** Mara does.",
        "<think>A question about bread.\nAnswer: no</think>Question: Who bakes?\nAnswer: Mara does.\n\nQuestion: Who",
    ],
)
def test_a_question_and_its_answer_are_read_out_of_what_a_model_wrote(text: str) -> None:
    assert read_task(text)[0] == Task("Who bakes?", "Mara does.")


def test_what_is_put_into_a_template_is_no_template() -> None:
    assert filled("{a} and {b}, {c}", {"a": "{b}", "b": "two"}) == "{b} and two, {c}"


def test_an_answer_without_its_form_is_told_apart_from_one_that_is_empty() -> None:
    with pytest.raises(NotInForm, match="no “Answer:”"):
        read_task("Mara bakes bread.")
    with pytest.raises(NotInForm, match="the answer is empty"):
        read_task("Who?\nAnswer:\n\nQuestion: Who else?")


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (" Who bakes?\nMara bakes.", "Who bakes?"),
        ("**Question:** Who?\nAnswer: I", "Who?"),
        ("Answer: Mara.", ""),
        ("", ""),
    ],
)
def test_a_question_alone_is_the_first_line(text: str, question: str) -> None:
    assert read_question(text) == question


def test_likeness_is_rouge_l() -> None:
    """The longest common subsequence of `the cat sat on the mat` and `the dog sat on a mat` has 4 of 6 and 6 words."""
    seen = SeenTexts()
    seen.add("The cat sat on the mat.")
    assert seen.nearest("the dog sat on a mat", at_least=0.5) == pytest.approx(2 * 4 / (6 + 6))
    assert seen.nearest("the dog sat on a mat", at_least=0.7) is None


def test_what_is_dropped_is_dropped_for_the_first_reason_that_holds() -> None:
    sieve = Sieve([Task("Who bakes the bread of the village?", "Mara.")], most_alike=0.7)
    dropped = {
        "the question is too like a seed task": said("Who bakes the bread of this village?\nAnswer: Mara."),
        "the answer did not end within the most tokens": said("What is new?\nAnswer: It", has_ended=False),
        "the answer repeats the question": said("What is new?\nAnswer: What is new?"),
        "nothing was written": said("  "),
        "The prompt is too long": CannotAnswer("The prompt is too long."),
    }
    for reason, outcome in dropped.items():
        judged = sieve.judge(outcome)
        assert isinstance(judged, Dropped)
        assert judged.reason == reason
    assert isinstance(sieve.judge(said("Where do the hens sleep?\nAnswer: In the barn.")), Kept)
    again = sieve.judge(said("Where do the hens sleep?\nAnswer: In a tree."))
    assert again == Dropped("the question is too like one that was made before", again.excerpt)  # type: ignore[union-attr]


def test_a_try_of_a_number_shows_the_same_again_and_says_which_rows() -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"Q{n}"}, {"role": "assistant", "content": f"A{n}"}]}
        for n in range(9)
    ]
    maker = FromSeeds(rows, "Look:\n{examples}", num_examples=3, seed=1)
    drafts = [maker.draft(number) for number in range(5)]
    again = FromSeeds(rows, "Look:\n{examples}", num_examples=3, seed=1)
    assert drafts == [again.draft(number) for number in range(5)]
    assert len({draft.text for draft in drafts}) > 1
    for draft in drafts:
        assert [f"Question: Q{row}\nAnswer: A{row}" in draft.text for row in draft.source["rows"]] == [True] * 3


def test_every_document_has_its_turn_before_one_comes_again() -> None:
    maker = FromDocuments([{"text": f"Text {n}."} for n in range(4)], "{passage}", most_words=50, seed=3)
    assert {maker.draft(number).source["row"] for number in range(4)} == {0, 1, 2, 3}
    assert maker.draft(5).source["row"] == maker.draft(1).source["row"]


def test_of_a_long_document_a_stretch_is_shown_and_named() -> None:
    text = " ".join(f"w{n}" for n in range(100))
    for at, first in ((0.0, 0), (0.999, 90)):
        assert passage_of(text, most_words=10, at=at) == (
            " ".join(f"w{n}" for n in range(first, first + 10)),
            first,
            first + 10,
        )


def test_a_judge_that_favours_a_place_favours_no_answer() -> None:
    """It finds the first answer better by log 3, and whatever stands first by log 9."""
    odds = in_both_orders(log(3) + log(9), -log(3) + log(9))
    assert odds == pytest.approx(log(3))


def test_the_best_is_whoever_wins_most() -> None:
    ranking = ranking_of_pairs(3, {(0, 1): 0.2, (0, 2): 0.6, (1, 2): 0.9})
    assert (ranking.best, ranking.worst, ranking.probability) == (1, 2, 0.9)
    assert ranking.scores == pytest.approx([(0.2 + 0.6) / 2, (0.8 + 0.9) / 2, (0.4 + 0.1) / 2])


def test_rewards_give_bradley_terrys_probability() -> None:
    ranking = ranking_of_rewards([0.5, -1.0, 2.0])
    assert (ranking.best, ranking.worst) == (2, 1)
    assert ranking.probability == pytest.approx(1 / (1 + exp(-3)))


@pytest.mark.parametrize(
    ("text", "probability"),
    [
        ("A", 1),
        ("**B**", 0),
        ("Answer B is better.", 0),
        ("A. It says more than B.", 1),
        ("Both A and B", 0.5),
        ("", 0.5),
    ],
)
def test_the_letter_is_read_out_of_what_a_judge_says(text: str, probability: float) -> None:
    assert verdict_of(said(text)) == probability


def test_a_line_that_a_crash_has_torn_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text('{"n": 1}\n{"n": 2')
    with WrittenLines(file) as written:
        assert written.lines == [{"n": 1}]
        written.add({"n": 3})
    assert [json.loads(line) for line in file.read_text().splitlines()] == [{"n": 1}, {"n": 3}]


def test_templates_without_their_places_and_judges_without_a_reference_are_refused() -> None:
    with pytest.raises(SpecFaults, match=r"no \{examples\}"):
        validate_spec(GenerateSpec, {"model": "m", "dataset": "d", "seed_template": "Write something."})
    given = {"model": "m", "dataset": "d", "judge_model": "j"}
    with pytest.raises(SpecFaults, match=r"no \{answer_b\}"):
        validate_spec(PairsSpec, given | {"judge_template": "{question} {answer_a}"})
    with pytest.raises(SpecFaults, match="needs a reference"):
        validate_spec(PairsSpec, given | {"ranked_by": "implicit_reward"})


def test_what_was_dropped_is_listed_with_the_rejected_and_what_is_known_of_a_row_is_kept(tmp_path: Path) -> None:
    row = {"text": "Bread is baked.", "meta": {"made_by": "generate", "seed": 3}}
    report = import_rows([row, BadRow(2, "too alike", "", "Bread")], "made", tmp_path / "made", kind="text")
    assert (report.num_rows, report.reasons) == (1, {"too alike": 1})
    assert json.loads((tmp_path / "made" / "rows.jsonl").read_text()) == row
