"""Derived versions: rows left out of a version make the next one, which knows where it came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.importing import import_rows
from pipeline.errors import BadData
from store import datasets
from store.database import writing
from store.derived import derive
from store.schema import DatasetVersion
from store.settings import settings


@pytest.fixture
def before(home: Path, tmp_path: Path) -> DatasetVersion:
    import_rows([{"text": "One."}, {"text": "Two."}], "prose.txt", tmp_path / "import", kind="text")
    with writing() as session:
        return datasets.add_version(session, tmp_path / "import", name="prose").version


def test_a_row_left_out_makes_the_next_version_of_the_dataset(before: DatasetVersion) -> None:
    rows = list(datasets.rows_of(before))
    after = derive(before, rows[1:], how={"made_by": "leaving rows out"}, person_id=None).version
    assert (after.dataset_id, after.number, after.parent_id) == (before.dataset_id, 2, before.id)
    assert list(datasets.rows_of(after)) == [{"text": "Two."}]


def test_no_rows_make_no_version_and_leave_nothing_behind(before: DatasetVersion) -> None:
    with pytest.raises(BadData, match="None of the 0 rows"):
        derive(before, [], how={"made_by": "leaving rows out"}, person_id=None)
    assert not list(settings().uploads_folder.glob("derived-*"))
