"""The record of datasets: versions that are named by content, and kept while something needs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.importing import import_rows
from pipeline.errors import BadData
from store import datasets
from store.database import reading, writing
from store.dataset_deletion import delete_dataset
from store.schema import DatasetVersion, Job, JobDataset, JobState, Model
from store.settings import settings


def add(name: str, *texts: str) -> datasets.Added:
    settings().uploads_folder.mkdir(parents=True, exist_ok=True)
    folder = settings().uploads_folder / f"{name}-{len(texts)}-{texts[0]}"
    import_rows(({"text": text} for text in texts), f"{name}.txt", folder, kind="text")
    with writing() as session:
        added = datasets.add_version(session, folder, name=name)
    assert not folder.exists()
    return added


def use(version: DatasetVersion, state: JobState, *, makes_model: bool = False) -> Job:
    with writing() as session:
        job = Job(name=f"pretrain-{state}", recipe="pretrain", spec={}, state=state)
        session.add(job)
        session.flush()
        session.add(JobDataset(job_id=job.id, dataset_version_id=version.id))
        if makes_model:
            session.add(Model(name="tiny", kind="full", folder="tiny", job_id=job.id))
    return job


def test_a_version_lies_under_its_hash_and_its_rows_can_be_read(home: Path) -> None:
    version = add("tales", "once", "twice").version
    with reading() as session:
        path = datasets.rows_path(session, version.id)
    assert path == home / "datasets" / version.sha256 / "rows.jsonl"
    assert datasets.rows_of(version).read(1, 5) == [{"text": "twice"}]


def test_the_same_content_under_another_name_is_the_version_that_is_there(home: Path) -> None:
    first, second = add("tales", "once"), add("stories", "once")
    assert (first.is_new, second.is_new) == (True, False)
    assert second.version.id == first.version.id
    with reading() as session:
        assert [version.dataset.name for version in datasets.list_datasets(session)] == ["tales"]


def test_the_list_shows_the_latest_version_of_each_dataset(home: Path) -> None:
    add("tales", "once")
    add("songs", "la")
    add("tales", "twice")
    with reading() as session:
        listed = [(version.dataset.name, version.number) for version in datasets.list_datasets(session)]
        assert len(datasets.list_versions(session, kinds=["text"])) == 3
        assert datasets.list_versions(session, kinds=["preference"]) == []
    assert listed == [("tales", 2), ("songs", 1)]


def test_deleting_frees_the_name_and_the_disk(home: Path) -> None:
    version = add("tales", "once").version
    with writing() as session:
        delete_dataset(session, version.dataset_id)
    assert not datasets.folder_of(version).exists()
    with reading() as session, pytest.raises(datasets.NoSuchDataset, match="There is no dataset"):
        datasets.get_version(session, version.id)
    again = add("tales", "once")
    assert (again.is_new, again.version.number) == (True, 1)


def test_a_deletion_that_is_rolled_back_leaves_the_files(home: Path) -> None:
    version = add("tales", "once").version

    def delete_and_fail() -> None:
        with writing() as session:
            delete_dataset(session, version.dataset_id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        delete_and_fail()
    assert datasets.rows_of(version).read(0, 1) == [{"text": "once"}]


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED])
def test_a_dataset_that_a_job_needs_is_not_deleted(home: Path, state: JobState) -> None:
    version = add("tales", "once").version
    use(version, state)
    with writing() as session, pytest.raises(BadData, match=f"tales is used by job pretrain-{state}"):
        delete_dataset(session, version.dataset_id)
    assert datasets.folder_of(version).exists()


def test_a_dataset_that_made_a_model_is_not_deleted_and_names_it(home: Path) -> None:
    version = add("tales", "once").version
    use(version, JobState.SUCCEEDED, makes_model=True)
    with writing() as session, pytest.raises(BadData, match="used by model tiny"):
        delete_dataset(session, version.dataset_id)
    with reading() as session:
        assert [(used.noun, used.name) for used in datasets.used_by(session, version.id)] == [
            ("model", "tiny"), ("job", "pretrain-succeeded"),
        ]  # fmt: skip
        assert datasets.count_uses(session) == {version.id: 1}


def test_a_failed_job_does_not_hold_its_dataset(home: Path) -> None:
    version = add("tales", "once").version
    use(version, JobState.FAILED)
    with writing() as session:
        delete_dataset(session, version.dataset_id)
    with reading() as session:
        assert datasets.list_datasets(session) == []


def test_a_folder_that_holds_no_whole_import_is_not_kept(home: Path, tmp_path: Path) -> None:
    with writing() as session, pytest.raises(BadData, match="not whole"):
        datasets.add_version(session, tmp_path, name="half")


@pytest.mark.parametrize(
    ("name", "kept"),
    [("  two   words\n", "two words"), ("sup\u202eport", "sup port"), ("a\x00b", "a b"), ("数据", "数据")],
)
def test_names_are_tidied(name: str, kept: str) -> None:
    assert datasets.checked_name(name) == kept


@pytest.mark.parametrize("name", ["", " \u200b ", "n" * 81])
def test_names_that_cannot_be_read_are_refused(name: str) -> None:
    with pytest.raises(BadData):
        datasets.checked_name(name)
