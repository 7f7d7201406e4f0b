"""Reviews: what people decide about rows is kept, told to others, and makes the next version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.data.importing import import_rows
from pipeline.errors import BadData
from store import datasets, reviews, users
from store.database import reading, writing
from store.reviews import Decision, Overtaken
from store.schema import DatasetVersion
from webapp.data.offers import SECONDS_HELD, Offers
from webapp.data.row_parts import parts_of, with_texts
from webapp.data.views_review import ReviewedRow, ReviewState, review_view

ROWS: dict[str, dict[str, Any]] = {
    "text": {"text": "Bread."},
    "instruction": {
        "messages": [
            {"role": "user", "content": "Look it up."},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": {"name": "look", "arguments": {}}}],
            },
            {"role": "tool", "content": "Found."},
            {"role": "assistant", "content": "It is there.", "reasoning_content": "So it is."},
        ]
    },
    "preference": {
        "prompt": [{"role": "user", "content": "Who?"}],
        "chosen": [{"role": "assistant", "content": "Mara."}],
        "rejected": [{"role": "assistant", "content": "Nobody."}],
    },
    "unpaired": {
        "prompt": [{"role": "user", "content": "Who?"}],
        "completion": [{"role": "assistant", "content": "Mara."}],
        "label": True,
    },
}


def keep(home: Path, kind: str, rows: list[dict[str, Any]]) -> DatasetVersion:
    import_rows(rows, "made", home / "import", kind=kind)  # type: ignore[arg-type]
    with writing() as session:
        return datasets.add_version(session, home / "import", name="made").version


@pytest.fixture
def version(home: Path) -> DatasetVersion:
    return keep(home, "text", [{"text": f"Row {number}."} for number in range(5)])


@pytest.fixture
def people(home: Path) -> tuple[int, int]:
    with writing() as session:
        found = [users.get_or_add_person(session, token * 20).id for token in ("ab", "cd")]
    return found[0], found[1]


def decide(version: DatasetVersion, row: int, decision: Decision, person: int | None = None, **values: Any) -> None:
    with writing() as session:
        reviews.decide(session, version, row, decision, **({"seen": ""} | values), person_id=person)


def mark_of(version: DatasetVersion, row: int) -> str:
    with reading() as session:
        found = reviews.find(session, version.id, row)
    return found.mark if found else ""


def nearest(version: DatasetVersion, shown: reviews.Shown, after: int, **values: Any) -> int | None:
    with reading() as session:
        return reviews.next_row(session, version, shown, after, **values)


def test_a_decision_that_was_not_seen_is_never_overwritten(version: DatasetVersion, people: tuple[int, int]) -> None:
    decide(version, 2, "accept", people[0])
    seen = mark_of(version, 2)
    with pytest.raises(Overtaken, match="has accepted row 3 meanwhile"):
        decide(version, 2, "reject", people[1])
    decide(version, 2, "reject", people[1], seen=seen)  # seen now, and overruled
    with pytest.raises(Overtaken, match="has rejected row 3"):
        decide(version, 2, "accept", people[0], seen=seen)
    with writing() as session:
        assert reviews.take_back(session, version.id, people[1]) == 2
    with pytest.raises(Overtaken, match="taken back"):
        decide(version, 2, "accept", people[0], seen=seen)
    with reading() as session:
        assert reviews.count(session, version).decided == 0


def test_the_latest_decision_of_a_person_is_the_one_that_is_taken_back(
    version: DatasetVersion, people: tuple[int, int]
) -> None:
    for row, person in ((0, people[0]), (3, people[0]), (1, people[1])):
        decide(version, row, "accept", person)
    with writing() as session:
        assert [reviews.take_back(session, version.id, people[0]) for _ in range(3)] == [3, 0, None]
        assert reviews.count(session, version).accepted == 1


def test_what_is_shown_next_depends_on_what_is_asked_for(version: DatasetVersion) -> None:
    decide(version, 1, "accept")
    decide(version, 3, "reject")
    assert [nearest(version, "undecided", after) for after in (-1, 0, 2, 4)] == [0, 2, 4, None]
    assert nearest(version, "undecided", 4, backwards=True) == 2
    assert nearest(version, "undecided", -1, held=[0, 2]) == 4
    assert (nearest(version, "accept", -1), nearest(version, "reject", 3), nearest(version, "all", 1)) == (1, None, 2)


def test_the_rows_that_were_taken_make_the_next_version_in_their_order(version: DatasetVersion) -> None:
    with pytest.raises(BadData, match="No row is accepted yet"):
        reviews.keep_taken(version, person_id=None)
    decide(version, 4, "accept")
    decide(version, 1, "edit", edited={"text": "Another text.", "meta": {"edited_by": "Ada"}})
    decide(version, 0, "reject")
    added = reviews.keep_taken(version, person_id=None).version
    assert list(datasets.rows_of(added)) == [
        {"text": "Another text.", "meta": {"edited_by": "Ada"}},
        {"text": "Row 4."},
    ]
    assert (added.parent_id, added.number) == (version.id, 2)
    assert added.provenance == {"made_by": "review", "accepted": 1, "edited": 1, "rejected": 1, "undecided": 2}


def test_an_edit_that_is_no_row_is_refused_with_the_reason(home: Path) -> None:
    version = keep(home, "preference", [ROWS["preference"]])
    same = with_texts(ROWS["preference"], {"chosen.0.content": "Nobody."})
    with pytest.raises(BadData, match="`chosen` and `rejected` are identical"):
        decide(version, 0, "edit", edited=same)
    with pytest.raises(BadData, match=r"a message is empty \(message 1 of `chosen`\)"):
        decide(version, 0, "edit", edited=with_texts(ROWS["preference"], {"chosen.0.content": ""}))
    with pytest.raises(BadData, match="There is no row 8"):
        decide(version, 7, "accept")


@pytest.mark.parametrize("kind", ROWS)
def test_every_text_of_a_row_of_any_kind_can_be_edited(home: Path, kind: str) -> None:
    version = keep(home, kind, [ROWS[kind]])
    texts = {part.place: "false" if part.place == "label" else f"New {part.text}" for part in parts_of(ROWS[kind])}
    edited = with_texts(ROWS[kind], texts)
    decide(version, 0, "edit", edited=edited)
    with reading() as session:
        found = reviews.find(session, version.id, 0)
    assert found is not None
    assert found.edited == edited
    assert {part.place: part.text for part in parts_of(edited)} == texts
    with pytest.raises(BadData, match="no text at"):
        with_texts(ROWS[kind], {"meta.secret": "x"})


def test_a_row_that_one_looks_at_is_kept_from_others_for_a_while() -> None:
    now = [0.0]
    offers = Offers(clock=lambda: now[0])
    offers.hold(1, 5, person_id=1)
    offers.hold(1, 6, person_id=1)
    assert offers.held_by_others(1, person_id=2) == [6]
    assert offers.held_by_others(1, person_id=1) == offers.held_by_others(2, person_id=2) == []
    now[0] = SECONDS_HELD + 1
    assert offers.held_by_others(1, person_id=2) == []


def test_a_row_is_drawn_as_text_wherever_it_stands(version: DatasetVersion) -> None:
    hostile = '<img src=x onerror="alert(1)"></textarea>'
    row = {"text": hostile, "meta": {"made_by": hostile, "model": {"name": hostile}}}
    with reading() as session:
        counts = reviews.count(session, version)
    for typed in ({}, {"text": hostile}):
        drawn = review_view(ReviewState(counts, "undecided", ReviewedRow(0, row), typed=typed))
        assert "<img" not in drawn
        assert drawn.count("</textarea>") == 1
