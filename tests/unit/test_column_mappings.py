"""Saved mappings: kept under a name, and offered for files that have their columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.formats import Mapping
from pipeline.errors import BadData
from store import column_mappings
from store.database import reading, writing

SUMS = Mapping(layout="turns", columns={"instruction": "question", "output": "answer"})
TALES = Mapping(layout="text", columns={"text": "answer"})


def saved(mapping: Mapping, name: str, *columns: str) -> int:
    with writing() as session:
        return column_mappings.save_mapping(session, mapping, name=name, columns=columns).id


def offered(*columns: str) -> list[str]:
    with reading() as session:
        return [each.name for each in column_mappings.fitting_mappings(session, columns)]


def test_a_mapping_is_offered_where_its_columns_are_and_first_where_there_are_no_others(home: Path) -> None:
    saved(SUMS, "sums", "question", "answer")
    saved(TALES, "tales", "answer", "id")
    assert offered("answer", "question") == ["sums", "tales"]
    assert offered("answer", "id") == ["tales"]
    assert offered("question", "reply") == []


def test_the_same_mapping_saved_twice_is_one_and_another_does_not_take_its_name(home: Path) -> None:
    assert saved(SUMS, "  Sums ", "question", "answer") == saved(SUMS, "sums", "question", "answer")
    with pytest.raises(BadData, match="“SUMS” is the name of another mapping"):
        saved(TALES, "SUMS", "answer")
    with pytest.raises(BadData, match="has no name"):
        saved(TALES, " \u202e ", "answer")


def test_a_mapping_can_be_renamed_and_deleted(home: Path) -> None:
    first, second = saved(SUMS, "sums", "question", "answer"), saved(TALES, "tales", "answer")
    with writing() as session:
        column_mappings.rename_mapping(session, first, "arithmetic")
        with pytest.raises(BadData, match="another mapping"):
            column_mappings.rename_mapping(session, second, "Arithmetic")
        column_mappings.delete_mapping(session, second)
    assert offered("question", "answer") == ["arithmetic"]
    with writing() as session, pytest.raises(BadData, match="no longer there"):
        column_mappings.delete_mapping(session, second)
