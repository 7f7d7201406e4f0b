"""A form asks exactly what the spec class declares, and gives back exactly what was answered."""

from typing import Annotated, Literal

import gradio as gr
import pytest

from pipeline.errors import BadSpec
from pipeline.recipes import all_recipes
from pipeline.spec import DatasetRef, ModelRef, Spec, SpecFaults, setting, validate_spec
from webapp.forms import Choices, DatasetChoice, FormField, draw, fields_of, first_values, from_yaml, to_yaml, values_of


class Example(Spec):
    rate: float = setting(2e-4, help="Step size.", basic=True, gt=0, le=1)
    model: Annotated[str, ModelRef()] = setting(help="Where to start.", min_length=1)
    dataset: Annotated[str, DatasetRef(("instruction", "text"))] = setting(help="What to read.", min_length=1)
    steps: int = setting(0, help="How long.", unit="steps", ge=0, le=1000)
    method: Literal["lora", "full"] = setting("lora", help="What is trained.")
    packed: bool = setting(False, help="Whether rows share a sequence.")
    stop: str | None = setting(None, help="Where to stop.")
    note: str = setting("", help="Anything.")


CHOICES = Choices(
    models=[("newest", "model:9"), ("older", "model:2")],
    datasets=[DatasetChoice("pairs", "dataset:7", "preference"), DatasetChoice("talk", "dataset:5", "instruction")],
)


@pytest.fixture
def fields() -> dict[str, FormField]:
    return {field.name: field for field in fields_of(Example)}


def test_the_model_and_the_data_are_asked_first_and_the_rest_in_the_order_of_the_class() -> None:
    names = [field.name for field in fields_of(Example)]
    assert names == ["model", "dataset", "rate", "steps", "method", "packed", "stop", "note"]


def test_each_type_has_its_kind_of_question(fields: dict[str, FormField]) -> None:
    kinds = {name: field.kind for name, field in fields.items()}
    assert kinds == {
        "model": "model", "dataset": "dataset", "rate": "decimal", "steps": "whole", "method": "choice",
        "packed": "switch", "stop": "text", "note": "text",
    }  # fmt: skip
    components = {
        name: type(draw(field, CHOICES, None)) for name, field in fields.items() if name in ("method", "packed", "rate")
    }
    assert components == {"method": gr.Radio, "packed": gr.Checkbox, "rate": gr.Number}


def test_what_must_be_answered_is_always_shown(fields: dict[str, FormField]) -> None:
    assert fields["model"].is_required
    assert fields["model"].is_basic
    assert not fields["steps"].is_basic


def test_the_note_says_help_unit_range_and_a_folded_default(fields: dict[str, FormField]) -> None:
    assert fields["steps"].note == "How long (steps, 0 to 1\u202f000). Default: 0."
    assert fields["rate"].note == "Step size (more than 0, at most 1)."
    assert fields["stop"].note == "Where to stop. Default: none."


def test_the_form_begins_with_what_was_given_then_defaults_then_the_newest_that_fits() -> None:
    first = first_values(fields_of(Example), CHOICES, {"rate": 0.5})
    assert first["rate"] == 0.5
    assert first["model"] == "model:9"
    assert first["dataset"] == "dataset:5"
    assert first["method"] == "lora"


def test_a_dataset_question_offers_only_the_kinds_that_fit(fields: dict[str, FormField]) -> None:
    assert CHOICES.datasets_of(fields["dataset"].dataset_kinds) == [("talk", "dataset:5")]


def test_answers_become_the_spec() -> None:
    asked = fields_of(Example)
    first = first_values(asked, CHOICES, {})
    spec = validate_spec(Example, values_of(asked, [first[field.name] for field in asked]))
    assert spec == Example(model="model:9", dataset="dataset:5")


def test_every_emptied_field_is_named_at_once() -> None:
    asked = fields_of(Example)
    first = first_values(asked, CHOICES, {"rate": None, "steps": None, "stop": ""})
    with pytest.raises(SpecFaults) as caught:
        values_of(asked, [first[field.name] for field in asked])
    assert [fault.field for fault in caught.value.faults] == ["rate", "steps"]
    assert "2.00e-4" in caught.value.faults[0].message


def test_a_required_field_left_empty_is_the_specs_own_fault() -> None:
    asked = fields_of(Example)
    values = values_of(asked, [{**first_values(asked, CHOICES, {}), "model": None}[field.name] for field in asked])
    with pytest.raises(SpecFaults, match="model: is required"):
        validate_spec(Example, values)


def test_yaml_and_form_are_the_same_thing() -> None:
    asked = fields_of(Example)
    values = first_values(asked, CHOICES, {"rate": 5e-6, "note": "ä: 'b'\nc", "stop": None})
    assert from_yaml(to_yaml("example", values), "example", asked) == values


def test_a_number_in_yaml_may_be_written_as_people_write_it() -> None:
    assert from_yaml("rate: 5e-6", "example", fields_of(Example)) == {"rate": 5e-6}


def test_edited_yaml_is_read_by_its_faults() -> None:
    asked = fields_of(Example)
    with pytest.raises(BadSpec, match="not valid YAML"):
        from_yaml("rate: [1", "example", asked)
    with pytest.raises(BadSpec, match="'dpo'"):
        from_yaml("recipe: dpo", "example", asked)
    with pytest.raises(BadSpec, match="str was received"):
        from_yaml("hello", "example", asked)
    with pytest.raises(SpecFaults) as caught:
        from_yaml("reat: 1\nstpes: 2", "example", asked)
    assert [fault.field for fault in caught.value.faults] == ["reat", "stpes"]


def test_every_recipe_has_a_form_and_each_question_says_what_it_is() -> None:
    for recipe in all_recipes():
        for field in fields_of(recipe.spec):
            assert field.help, f"{recipe.name}.{field.name} has no help"
            draw(field, CHOICES, None)


def test_a_model_of_an_endpoint_is_offered_only_where_it_will_do() -> None:
    class Asking(Spec):
        model: Annotated[str, ModelRef()] = setting(help="To train.", min_length=1)
        judge: Annotated[str, ModelRef(takes_endpoints=True)] = setting(help="To ask.", min_length=1)

    choices = Choices(CHOICES.models, CHOICES.datasets, elsewhere=[("far", "model:3")])
    offered = {field.name: [value for _, value in choices.models_of(field)] for field in fields_of(Asking)}
    assert offered == {"model": ["model:9", "model:2"], "judge": ["model:9", "model:2", "model:3"]}
