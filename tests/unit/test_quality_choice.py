"""Choice and marks: what is ticked in an address, which rows that leaves out, and how a found row is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.importing import import_rows
from pipeline.errors import BadData
from pipeline.quality.findings import write_rows
from pipeline.quality.scores import best_rows, goodness
from store import datasets
from store.database import reading, writing
from store.datasets import Added
from store.schema import DatasetVersion
from webapp.data.leaving_out import leave_out
from webapp.data.marked_rows import marked_row
from webapp.data.quality_choice import Choice, as_address, from_address, rows_left_out


def test_a_choice_comes_back_from_its_address_whole() -> None:
    choice = Choice(frozenset({"emails", "refusals"}), frozenset({3}), frozenset({7, 1}), "emails", 20)
    assert as_address(choice) == "leave=emails,refusals&keep=3&also=1,7&open=emails&from=20"
    assert from_address(as_address(choice)) == choice
    assert as_address(Choice()) == ""


def test_what_an_address_says_wrongly_is_left_aside() -> None:
    wild = "leave=emails,../../etc,<b>&keep=-1,x,5&also=99999999999999999999&open=nothing&from=later"
    assert from_address(wild) == Choice(frozenset({"emails"}), frozenset({5}))


def test_ticks_of_findings_and_of_single_rows_add_up(tmp_path: Path) -> None:
    write_rows(tmp_path, "emails", np.array([1, 4]))
    write_rows(tmp_path, "refusals", np.array([4, 6]))

    def out(choice: Choice) -> list[int]:
        return rows_left_out(tmp_path, choice, ["emails", "refusals"], 10).tolist()

    choice = Choice().told(["kind", "emails"]).told(["kind", "refusals"])
    assert out(choice) == [1, 4, 6]
    choice = choice.told(["row", "4"], is_left_out=True).told(["row", "9"], is_left_out=False)
    assert out(choice) == [1, 6, 9]
    choice = choice.told(["row", "4"], is_left_out=False).told(["row", "9"], is_left_out=True)
    assert out(choice) == [1, 4, 6]
    assert choice == Choice(frozenset({"emails", "refusals"}))
    assert out(Choice(frozenset({"secrets"}), added=frozenset({50}))) == []  # no such finding, no such row
    assert choice.told(["kind", "<script>"]) == choice.told(["row", "²"]) == choice


@pytest.fixture
def version(home: Path, tmp_path: Path) -> DatasetVersion:
    import_rows(({"text": f"Row {n}."} for n in range(5)), "prose.txt", tmp_path / "import", kind="text")
    with writing() as session:
        added = datasets.add_version(session, tmp_path / "import", name="prose").version
        assert added.dataset.name == "prose"
        return added


def leaving(version: DatasetVersion, *rows: int) -> Added:
    steps = list(leave_out(version, np.array(rows, dtype=np.int64), {"made_by": "leaving rows out"}, person_id=None))
    assert isinstance(steps[-1], Added)
    return steps[-1]


def test_two_people_who_leave_the_same_rows_out_get_one_version_that_says_what_is_gone(version: DatasetVersion) -> None:
    first, second = leaving(version, 1, 3), leaving(version, 1, 3)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.version.id == second.version.id
    with reading() as session:
        made = datasets.get_version(session, first.version.id)
        before = datasets.get_version(session, version.id)
    assert (made.parent_id, made.number) == (version.id, 2)
    assert made.provenance == {"made_by": "leaving rows out", "num_left_out": 2, "left_out": [1, 3]}
    assert [row["text"] for row in datasets.rows_of(made)] == ["Row 0.", "Row 2.", "Row 4."]
    assert len(datasets.rows_of(before)) == 5


def test_leaving_out_nothing_or_everything_is_refused(version: DatasetVersion) -> None:
    with pytest.raises(BadData, match="No row is ticked"):
        leaving(version)
    with pytest.raises(BadData, match="Every row would be left out"):
        leaving(version, 0, 1, 2, 3, 4)


def said(text: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": text}]}


def test_what_was_found_is_marked_and_personal_data_never_shown_whole() -> None:
    drawn = marked_row(said("<i>Ask</i> jane.roe@acme.org."), 0, "emails")
    assert "<mark>jan••••••••••••rg</mark>" in drawn
    assert "&lt;i&gt;Ask&lt;/i&gt;" in drawn
    assert "jane.roe" not in marked_row(said("As an AI, jane.roe@acme.org."), 0, "stock_phrases")


def test_a_mark_far_down_a_long_text_is_on_show() -> None:
    drawn = marked_row(said("word " * 3000 + "I was made: as an AI language model I say so."), 0, "stock_phrases")
    assert "<mark>as an AI language model</mark>" in drawn


def test_characters_that_stand_for_marks_cannot_be_smuggled_in() -> None:
    assert "<mark>" not in marked_row(said("\ue0f0<script>alert(1)</script>\ue0f1"), 0, "emails")


def test_the_best_rows_are_those_of_the_measure() -> None:
    scores = np.array([0.2, 0.9, 1.4, np.nan, 0.7, 1.1], dtype=np.float32)
    assert best_rows(scores, "ifd", 0.4).tolist() == [1, 4]  # just below 1 is best; above 1 is worse than all
    assert np.argsort(-goodness(scores, "ifd")).tolist() == [1, 4, 0, 5, 2, 3]
    assert best_rows(scores, "perplexity", 0.4).tolist() == [0, 4]
    assert best_rows(scores, "judge", 0.4).tolist() == [2, 5]
    assert best_rows(scores, "judge", 1.0).tolist() == [0, 1, 2, 4, 5]  # what has no score never stays
    assert best_rows(np.array([np.nan], dtype=np.float32), "judge", 1.0).tolist() == []
