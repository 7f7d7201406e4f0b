from __future__ import annotations

import threading
from typing import Any

import pytest

from pipeline.errors import BadData
from store import datasets
from store.added_rows import add_row, latest_version
from store.database import reading
from store.settings import settings


def row(question: str, answer: str = "Yes.") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def add(one: dict[str, Any], name: str = "kept", **provenance: Any) -> datasets.Added:
    return add_row(one, "instruction", dataset_name=name, provenance=provenance, person_id=None)


def rows_of(name: str) -> list[dict[str, Any]]:
    with reading() as session:
        version = latest_version(session, name)
    assert version is not None
    return list(datasets.rows_of(version))


@pytest.mark.usefixtures("home")
def test_a_row_makes_a_dataset_and_the_next_one_its_next_version() -> None:
    first = add(row("Is it so?"), conversation="c1").version
    second = add(row("Is it not?"), conversation="c2").version
    assert (first.number, second.number, second.dataset_id) == (1, 2, first.dataset_id)
    assert rows_of("kept") == [row("Is it so?"), row("Is it not?")]
    assert (first.provenance, first.parent_id) == ({"conversation": "c1"}, None)
    assert (second.provenance, second.parent_id) == ({"conversation": "c2"}, first.id)


@pytest.mark.usefixtures("home")
def test_the_same_row_is_not_kept_twice() -> None:
    add(row("Is it so?"))
    add(row("Is it not?"))
    with pytest.raises(BadData, match="in the dataset already"):
        add(row("Is it so?"))
    assert len(rows_of("kept")) == 2


@pytest.mark.usefixtures("home")
def test_rows_of_another_kind_are_refused_and_nothing_is_left_behind() -> None:
    add(row("Is it so?"))
    pair = {
        "prompt": row("Q")["messages"][:1],
        "chosen": row("Q")["messages"][1:],
        "rejected": row("Q", "No.")["messages"][1:],
    }
    with pytest.raises(BadData, match="holds instruction rows, and this is a preference row"):
        add_row(pair, "preference", dataset_name="kept", provenance={}, person_id=None)
    with pytest.raises(BadData, match="cannot be used"):
        add(row("Is it so?", answer=""), name="other")
    assert list(settings().uploads_folder.iterdir()) == []


@pytest.mark.usefixtures("home")
def test_two_people_who_add_at_once_lose_no_row() -> None:
    add(row("Question 0?"))
    threads = [threading.Thread(target=add, args=(row(f"Question {number}?"),)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one["messages"][0]["content"] for one in rows_of("kept")) == [f"Question {n}?" for n in range(7)]
