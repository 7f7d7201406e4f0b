"""Data reports: a job on a dataset that names others beside it, asked for once however often the button is pressed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.importing import import_rows
from pipeline.spec import SpecFaults
from store import attempts, data_reports, dataset_deletion, datasets, fleet, jobs
from store.attempts import Claim
from store.database import reading, writing
from store.schema import JobState
from store.settings import settings


def keep(folder: Path, name: str, *texts: str) -> int:
    import_rows(({"text": text} for text in texts), name, folder / name, kind="text")
    with writing() as session:
        return datasets.add_version(session, folder / name, name=name).version.id


@pytest.fixture
def versions(home: Path, tmp_path: Path) -> tuple[int, int]:
    """Evaluation rows, and after them the rows that are inspected, so that ids do not follow the order of the spec."""
    return keep(tmp_path, "exam", "Question one."), keep(tmp_path, "prose", "Some prose.")


def ask(exam: int, prose: int) -> int:
    values = {"dataset": f"dataset:{prose}", "compare_with": [f"dataset:{exam}"]}
    with writing() as session:
        return data_reports.submit_once(session, "inspect", values, version_id=prose, person_id=None).id


def claim() -> Claim:
    with writing() as session:
        fleet.beat(session, worker_id="w", name="worker", machine="box", devices=[{"id": "w/cpu-0"}])
        found = attempts.claim(session, worker_id="w", worker_name="worker", free={"w/cpu-0": "CPU"}, most_slots=1)
    assert found is not None
    return found


def test_a_worker_is_given_the_rows_of_every_dataset_that_a_list_names(versions: tuple[int, int]) -> None:
    exam, prose = versions
    job_id = ask(exam, prose)
    with reading() as session:
        paths = {one: str(datasets.rows_path(session, one)) for one in versions}
        uses = [use.id for use in datasets.used_by(session, exam)]
    claimed = claim()
    assert claimed.spec["dataset"] == paths[prose]
    assert claimed.spec["compare_with"] == [paths[exam]]
    assert uses == [job_id]
    assert Path(paths[exam]).is_relative_to(settings().datasets_folder)


def test_a_report_belongs_to_the_dataset_that_was_looked_at(versions: tuple[int, int]) -> None:
    exam, prose = versions
    ask(exam, prose)
    claimed = claim()
    with writing() as session:
        data_reports.register_report(session, claimed.job_id, claimed.epoch, "1-1", {"rows": 1})
    with reading() as session:
        report = data_reports.latest_report(session, prose, "inspect")
        assert report is not None
        assert report.job_id == claimed.job_id
        assert data_reports.latest_report(session, exam, "inspect") is None


def test_whoever_asks_while_a_job_is_there_is_given_that_one(versions: tuple[int, int]) -> None:
    first = ask(*versions)
    assert ask(*versions) == first
    with writing() as session:
        jobs.request_stop(session, first, "cancel")
    second = ask(*versions)
    assert second != first
    with reading() as session:
        latest = data_reports.latest_job(session, versions[1], "inspect")
        assert latest is not None
        assert (latest.id, latest.state) == (second, JobState.QUEUED)
        assert data_reports.latest_job(session, versions[0], "inspect") is None


def test_a_dataset_is_not_compared_with_itself_nor_with_one_that_is_gone(versions: tuple[int, int]) -> None:
    exam, prose = versions
    with pytest.raises(SpecFaults, match="named twice"):
        ask(prose, prose)
    with writing() as session:
        dataset_deletion.delete_dataset(session, datasets.get_version(session, exam).dataset_id)
    with pytest.raises(SpecFaults, match="There is no dataset"):
        ask(exam, prose)
