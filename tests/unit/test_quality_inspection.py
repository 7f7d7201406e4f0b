"""Inspection: hand-made rows of which it is known what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.context import Context
from pipeline.data.importing import import_rows
from pipeline.errors import Stopped
from pipeline.quality import near
from pipeline.quality.findings import (
    KINDS,
    QualityReport,
    partners_of_finding,
    read_quality_report,
    rows_of_finding,
    sets_of_finding,
)
from pipeline.quality.pairs import balancing_rows, contradicting_rows
from pipeline.quality.statistics import jaccard, robust_z, wilson_interval
from pipeline.quality.texts import shingles_of, words_of
from pipeline.recipes.inspect import InspectSpec, run

Row = dict[str, Any]


def asked(question: str, answer: str) -> Row:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def preferred(question: str, chosen: str, rejected: str) -> Row:
    return {
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def context_in(folder: Path) -> Context:
    for name in ("out", "checkpoints"):
        (folder / name).mkdir(parents=True)
    return Context(out=folder / "out", checkpoints=folder / "checkpoints", report=lambda event: None)


def inspect(folder: Path, rows: list[Row], kind: Any, *evaluation: list[Row]) -> tuple[QualityReport, Path]:
    paths = []
    for number, one in enumerate((rows, *evaluation)):
        import_rows(one, "rows", folder / f"rows-{number}", kind=kind)
        paths.append(str(folder / f"rows-{number}" / "rows.jsonl"))
    context = context_in(folder / "job")
    run(InspectSpec(dataset=paths[0], compare_with=tuple(paths[1:])), context)
    assert not list(context.checkpoints.iterdir())
    return read_quality_report(context.out), context.out


def found(report: QualityReport) -> dict[str, int]:
    return {finding.kind: finding.count for finding in report.findings}


STORY = (
    "the old mill by the river has ground the corn of three villages for two hundred years and its miller knows every "
    "farmer by name and asks after their children whenever they bring their sacks up the steep and stony path"
)


def test_copies_and_near_copies_keep_the_first_and_name_it(tmp_path: Path) -> None:
    rows = [
        asked("What of the mill?", f"{STORY}."),
        asked("What is two and two?", "Four, as everybody knows."),
        asked("What of the mill?", f"{STORY}!"),  # other punctuation: nearly the same
        asked("What is two and two?", "Four, as everybody knows."),  # the same
        asked("What is two and two?", "It makes five on some days."),  # the same question, another answer
    ]
    report, folder = inspect(tmp_path, rows, "instruction")
    assert found(report) == {"exact_duplicates": 1, "near_duplicates": 1, "same_prompt": 2}
    assert rows_of_finding(folder, "exact_duplicates").tolist() == [3]
    partners = partners_of_finding(folder, "exact_duplicates")
    assert partners is not None
    assert partners.tolist() == [1]
    assert rows_of_finding(folder, "near_duplicates").tolist() == [2]
    assert rows_of_finding(folder, "same_prompt").tolist() == [2, 4]
    assert report.languages["en"] >= 2


def test_overlap_is_found_by_question_by_a_run_of_words_and_by_likeness(tmp_path: Path) -> None:
    words = STORY.split()
    rows = [
        asked("How many corners has a cube?", "Eight."),
        asked("Write a story.", f"Long ago {' '.join(words[:14])} or so they say."),
        asked("Write a poem about a cat.", "A cat sat."),
        asked("Please write a very short poem about a small grey cat that sat on a mat", "It sat."),
    ]
    first = [asked("Name a colour of the sky.", "Blue."), asked("how many corners has  a cube?", "It has 8.")]
    second = [
        asked("Tell me of the mill.", STORY),
        asked("A very short poem about a small grey cat that sat on a mat", "?!a"),
    ]
    report, folder = inspect(tmp_path, rows, "instruction", first, second)
    assert report.num_compared == [2, 2]
    assert rows_of_finding(folder, "overlap_questions").tolist() == [0]
    assert rows_of_finding(folder, "overlap_runs").tolist() == [1, 3]
    partners, sets = partners_of_finding(folder, "overlap_runs"), sets_of_finding(folder, "overlap_runs")
    assert partners is not None
    assert sets is not None
    assert list(zip(sets.tolist(), partners.tolist(), strict=True)) == [(1, 0), (1, 1)]


def test_words_that_many_evaluation_rows_share_are_no_overlap(tmp_path: Path) -> None:
    lead = "Read the following text with care and then answer the question that is asked after it in one word"
    evaluation = [asked(f"{lead}: number {n}?", f"Answer {n * n}") for n in range(12)]
    report, _ = inspect(tmp_path, [asked(f"{lead}. Is it red?", "Yes.")], "instruction", evaluation)
    assert "overlap_runs" not in found(report)


def test_preference_pairs_that_contradict_or_prefer_length_are_found(tmp_path: Path) -> None:
    rows = [preferred(f"Question {n}?", f"Number {n} is long {'indeed ' * 5}", f"Short {n}.") for n in range(20)]
    rows += [preferred("Tea?", "Yes, please.", "No, thanks."), preferred("tea?", "No, thanks.", "Yes, please.")]
    report, folder = inspect(tmp_path, rows, "preference")
    assert rows_of_finding(folder, "contradictions").tolist() == [20, 21]
    # 20 longer and 1 (Yes, please.) against 1 (No, thanks.): 20 to be left out, the widest differences first.
    assert rows_of_finding(folder, "length_bias").tolist() == list(range(20))
    bias = next(finding for finding in report.findings if finding.kind == "length_bias")
    assert "95% of the pairs (95 % interval: 78% to 99%)" in bias.sentence


def test_text_rows_are_looked_at_for_what_applies_to_them(tmp_path: Path) -> None:
    texts = [f"Page {n} tells of {STORY[n * 3 : n * 3 + 60]} and more." for n in range(24)]
    rows = [{"text": text} for text in [*texts, f"{STORY} " * 40, "Mail jane@acme.org about page one of this book."]]
    report, folder = inspect(tmp_path, rows, "text")
    assert rows_of_finding(folder, "too_long").tolist() == [24]
    assert rows_of_finding(folder, "emails").tolist() == [25]
    assert set(report.checked) == {kind for kind, told in KINDS.items() if "text" in told.row_kinds} - {
        "overlap_questions",
        "overlap_runs",
        "overlap_near",
    }


def test_a_stopped_inspection_ends_without_a_report(tmp_path: Path) -> None:
    import_rows([{"text": "One."}], "rows", tmp_path / "rows", kind="text")
    context = context_in(tmp_path / "job")
    context.stop.request("cancel")
    with pytest.raises(Stopped):
        run(InspectSpec(dataset=str(tmp_path / "rows" / "rows.jsonl")), context)
    assert not (context.out / "findings.json").exists()


def test_groups_of_near_copies_agree_with_the_exact_similarities() -> None:
    random = np.random.default_rng(7)
    texts = [" ".join(map(str, random.integers(0, 10_000, 200))) for _ in range(60)]
    for row in range(20):  # the first twenty come again with one word in forty changed
        words = texts[row].split()
        for place in range(20, 200, 100):
            words[place] = "changed"
        texts.append(" ".join(words))
    shingles = [shingles_of(words_of(text), near.SHINGLE_WORDS) for text in texts]
    first = near.first_alike(near.signatures_of(shingles), 0.8)
    expected = list(range(60)) + list(range(20))
    assert all(jaccard(shingles[row], shingles[60 + row]) > 0.9 for row in range(20))
    assert first.tolist() == expected
    estimates = near.similarity(near.signatures_of(shingles[:20]), near.signatures_of(shingles[60:]))
    exact = [jaccard(shingles[row], shingles[60 + row]) for row in range(20)]
    assert np.mean(estimates) == pytest.approx(np.mean(exact), abs=0.03)


def test_the_figures_are_those_of_the_textbook() -> None:
    # Median 3, absolute deviations 2 1 0 1 97, their median 1: (100 - 3) * 0.6745 / 1.
    assert robust_z(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))[-1] == pytest.approx(65.4265)
    # More than half equal: the mean deviation, 10 / 5 = 2, stands in: 10 * 0.7979 / 2.
    assert robust_z(np.array([5.0, 5.0, 5.0, 5.0, 15.0]))[-1] == pytest.approx(3.9895)
    assert robust_z(np.array([5.0, 5.0])).tolist() == [0.0, 0.0]
    # Below the median 10 the deviations 0 2 4 (their median 2), above it 0 1 1 (1): each side is told by its own.
    assert robust_z(np.array([6.0, 8.0, 10.0, 11.0, 11.0])).tolist() == pytest.approx(
        [-1.349, -0.6745, 0, 0.6745, 0.6745]
    )
    # Newcombe 1998, table I: 81 of 263.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert jaccard("ab", "bc") == pytest.approx(1 / 3)


def test_the_fewest_pairs_are_named_that_make_lengths_even() -> None:
    chosen, rejected = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 9]), np.ones(10, int)
    rejected[9] = 20
    # Eight are longer, one is shorter, one is even: without the seven largest differences it is one to one.
    assert balancing_rows(chosen, rejected).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert balancing_rows(np.array([2, 1]), np.array([1, 2])).tolist() == []


def test_only_the_opposite_of_a_pair_contradicts_it() -> None:
    def numbers(*values: int) -> Any:
        return np.array(values, dtype=np.uint64)

    #                                prompt:  1  1  1  2      (the last has another prompt)
    rows, partners = contradicting_rows(numbers(1, 1, 1, 2), numbers(5, 6, 5, 6), numbers(6, 5, 7, 5))
    assert (rows.tolist(), partners.tolist()) == ([0, 1], [1, 0])
