"""What is said before a job starts is what its recipe will do."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from pipeline.errors import BadSpec, HoneError
from pipeline.recipes import get_recipe
from pipeline.spec import validate_spec
from store.database import writing
from store.schema import Dataset, DatasetVersion, Model
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
