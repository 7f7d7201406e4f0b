"""What is said before a job starts is what its recipe will do."""

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import Session

from pipeline.errors import BadSpec, HoneError
from pipeline.recipes import get_recipe
from pipeline.spec import validate_spec
from pipeline.training.lengths import NUMBERS_FILE, REPORT_FILE, Lengths
from store import datasets
from store.database import writing
from store.schema import DataReport, Dataset, DatasetVersion, Job, JobState, Model
from store.settings import settings
from webapp.data.trained import Measured, report_for
from webapp.jobs.outlook import outlook_of, outlook_view


def add_data(session: Session, kind: str, num_rows: int, size_bytes: int = 1000) -> int:
    version = DatasetVersion(
        dataset=Dataset(name=kind),
        number=1,
        sha256="0" * 64,
        kind=kind,
        format="x",
        num_rows=num_rows,
        size_bytes=size_bytes,
    )
    session.add(version)
    session.flush()
    return version.id


def add_model(session: Session) -> int:
    model = Model(name="base", kind="full", folder="base", num_parameters=29_400_000)
    session.add(model)
    session.flush()
    return model.id


def spec_of(recipe: str, **values: object) -> object:
    return validate_spec(get_recipe(recipe).spec, values)


def test_steps_are_whole_batches_of_the_trained_rows_times_the_epochs(home: Path) -> None:
    with writing() as session:
        data, model = add_data(session, "preference", 999), add_model(session)
        spec = spec_of(
            "dpo", model=f"model:{model}", dataset=f"dataset:{data}",
            batch_size=8, gradient_accumulation=2, num_epochs=3, held_out_share=0.05,
        )  # fmt: skip
        outlook = outlook_of(session, spec)
    assert outlook.held_out_rows == 50
    assert outlook.steps is not None
    # 999 rows less 50 held out are 949: 60 batches of 16 (the last one short), three times.
    assert (outlook.steps.num, outlook.steps.num_sequences_each, outlook.steps.precision) == (180, 16, "")
    assert "29.4\u00a0M parameters" in outlook_view(outlook)


def test_several_processes_take_as_many_fewer_steps(home: Path) -> None:
    with writing() as session:
        data, model = add_data(session, "preference", 999), add_model(session)
        spec = spec_of(
            "dpo", model=f"model:{model}", dataset=f"dataset:{data}",
            batch_size=8, gradient_accumulation=2, num_processes=4, num_epochs=3, held_out_share=0.05,
        )  # fmt: skip
        outlook = outlook_of(session, spec)
    assert outlook.steps is not None
    # 949 trained rows are 15 batches of 64 (the last one short), three times.
    assert (outlook.steps.num, outlook.steps.num_sequences_each) == (45, 64)


def test_a_number_of_steps_that_was_asked_for_is_kept(home: Path) -> None:
    with writing() as session:
        data, model = add_data(session, "instruction", 999), add_model(session)
        spec = spec_of("sft", model=f"model:{model}", dataset=f"dataset:{data}", max_steps=7)
        outlook = outlook_of(session, spec)
    assert outlook.steps is not None
    assert outlook.steps.num == 7


def test_packed_rows_need_at_most_so_many_steps(home: Path) -> None:
    with writing() as session:
        data, model = add_data(session, "instruction", 100), add_model(session)
        spec = spec_of("sft", model=f"model:{model}", dataset=f"dataset:{data}", packing=True, held_out_share=0)
        outlook = outlook_of(session, spec)
    assert outlook.steps is not None
    assert outlook.steps.precision == "at most"


def report_lengths(session: Session, data: int, model: int, lengths: list[int]) -> None:
    """What a job would have measured: rows of so many tokens, the last of each the first that is trained."""
    job = Job(name="lengths-1", recipe="lengths", spec={}, state=JobState.SUCCEEDED)
    session.add(job)
    session.flush()
    session.add(
        DataReport(recipe="lengths", dataset_version_id=data, model_id=model, job_id=job.id, folder="lengths-1")
    )
    folder = settings().reports_folder / "lengths-1"
    folder.mkdir(parents=True)
    (folder / NUMBERS_FILE).write_bytes(np.array([[n, n, 1, 1] for n in lengths], "<u4").tobytes())
    (folder / REPORT_FILE).write_text(json.dumps({"rows": len(lengths), "context_length": 64, "kind": "instruction"}))


def test_steps_are_exact_where_every_row_was_measured(home: Path) -> None:
    with writing() as session:
        data, model = add_data(session, "instruction", 100), add_model(session)
        # At the model's 64 tokens: 90 rows of 30 go two by two into 45 sequences, 10 of 70 lose their only answer.
        report_lengths(session, data, model, [30] * 90 + [70] * 10)
        spec = spec_of(
            "sft", model=f"model:{model}", dataset=f"dataset:{data}", batch_size=4, num_epochs=2, held_out_share=0
        )
        outlook = outlook_of(session, spec)
    assert outlook.steps is not None
    assert outlook.fitted is not None
    assert (outlook.steps.num, outlook.steps.precision) == (24, "")
    assert (outlook.fitted.num_kept, outlook.fitted.num_sequences, outlook.fitted.num_tokens) == (90, 45, 2700)
    assert "counted on every row" in outlook_view(outlook)


def test_steps_are_an_estimate_and_say_so_where_some_rows_were_looked_at(home: Path) -> None:
    numbers = np.array([[30, 30, 1, 1]] * 9 + [[70, 70, 1, 0]], np.uint32)
    with writing() as session:
        data, model = add_data(session, "instruction", 1000), add_model(session)
        spec = spec_of(
            "sft", model=f"model:{model}", dataset=f"dataset:{data}", batch_size=4, num_epochs=2, held_out_share=0
        )
        outlook = outlook_of(session, spec, Measured(Lengths("instruction", numbers), 1000, 64))
    assert outlook.steps is not None
    assert (outlook.steps.num, outlook.steps.precision) == (226, "about")  # 900 rows in 450 sequences, 113 batches
    shown = outlook_view(outlook)
    assert "estimated from 10 rows" in shown
    assert f"/trained?id={data}&amp;model={model}" in shown


def test_a_model_with_the_same_tokenizer_needs_no_report_of_its_own(home: Path) -> None:
    files = {"tokenizer.json": "a", "chat_template.jinja": "b"}
    with writing() as session:
        data, model = add_data(session, "instruction", 4), add_model(session)
        session.get_one(Model, model).manifest = {"files": files}
        report_lengths(session, data, model, [30] * 4)
        tuned = Model(name="tuned", kind="full", folder="t", manifest={"files": files | {"model.safetensors": "c"}})
        other = Model(name="other", kind="full", folder="o", manifest={"files": files | {"tokenizer.json": "d"}})
        session.add_all([tuned, other])
        session.flush()
        version = datasets.get_version(session, data)
        assert report_for(session, version, tuned) is not None
        assert report_for(session, version, other) is None


def test_rows_of_the_wrong_kind_are_named(home: Path) -> None:
    with writing() as session:
        data, model = add_data(session, "preference", 10), add_model(session)
        spec = spec_of("sft", model=f"model:{model}", dataset=f"dataset:{data}")
        with pytest.raises(BadSpec, match="holds preference rows; this method learns from instruction rows"):
            outlook_of(session, spec)


@pytest.mark.parametrize("reference", ["dataset:99", "dataset:x", "../../etc/passwd"])
def test_data_that_is_not_there_is_refused_in_words(home: Path, reference: str) -> None:
    with writing() as session:
        model = add_model(session)
        with pytest.raises(HoneError):
            outlook_of(session, spec_of("sft", model=f"model:{model}", dataset=reference))


def test_a_hub_model_is_named_as_it_was_written(home: Path) -> None:
    with writing() as session:
        data = add_data(session, "instruction", 10)
        outlook = outlook_of(session, spec_of("sft", model="Qwen/Qwen3-<b>0.6B", dataset=f"dataset:{data}"))
    assert "Qwen/Qwen3-&lt;b&gt;0.6B" in outlook_view(outlook)
