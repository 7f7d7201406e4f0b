"""Forms: a recipe's spec class as fields that a person fills in, and back.

fields_of(spec_class)   what to ask, read from the class alone
draw(field, …)          the Gradio component that asks it
values_of(fields, …)    what was answered, as loose values for `validate_spec`
to_yaml, from_yaml      the same values as the text of a job file
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import gradio as gr
import yaml
from annotated_types import Ge, Gt, Le, Lt
from gradio.components import Component
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.errors import BadSpec
from pipeline.spec import DatasetRef, Fault, ModelRef, Spec, SpecFaults
from webapp.formatting import label_of, number

Kind = Literal["text", "whole", "decimal", "choice", "switch", "list", "model", "dataset"]
FEW_CHOICES = 4
"""Up to so many choices lie open beside each other; more fold into a list."""


@dataclass(frozen=True)
class FormField:
    """One question of a form.

    Args:
        name: The spec field's name, as YAML and the command line write it.
        label: The same, as people read it.
        default: The spec's default; None where there is none.
        is_required: Whether the person must answer.
        is_optional: Whether leaving it empty means "none" rather than a mistake.
        bounds: The allowed range in words, or "".
        choices: The allowed answers of a choice.
        dataset_kinds: The kinds of rows that a dataset field takes.
    """

    name: str
    label: str
    help: str
    unit: str
    kind: Kind
    default: Any
    is_required: bool
    is_optional: bool
    is_basic: bool
    bounds: str = ""
    choices: tuple[Any, ...] = ()
    dataset_kinds: tuple[str, ...] = ()
    takes_endpoints: bool = False

    @property
    def note(self) -> str:
        """The sentence under the label: help, unit and range, and the default where it is not on show."""
        ranged = ", ".join(part for part in (self.unit, self.bounds) if part)
        default = "" if self.is_basic or self.is_required else f" Default: {self._default_in_words}."
        return f"{self.help.rstrip('.')}{f' ({ranged})' if ranged else ''}.{default}"

    @property
    def _default_in_words(self) -> str:
        if self.default is None or self.default == "" or self.default == []:
            return "none"
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if isinstance(self.default, (list, tuple)):
            return ", ".join(str(item) for item in self.default)
        return number(self.default) if isinstance(self.default, (int, float)) else str(self.default)


@dataclass(frozen=True)
class DatasetChoice:
    label: str
    value: str
    kind: str


@dataclass(frozen=True)
class Choices:
    """What the store has to choose from: models as (label, `model:<id>`), and dataset versions with their kinds.

    Args:
        elsewhere: The models of endpoints, for the fields that take one.
    """

    models: Sequence[tuple[str, str]]
    datasets: Sequence[DatasetChoice]
    elsewhere: Sequence[tuple[str, str]] = ()

    def models_of(self, field: FormField) -> list[tuple[str, str]]:
        return [*self.models, *(self.elsewhere if field.takes_endpoints else ())]

    def datasets_of(self, kinds: Sequence[str]) -> list[tuple[str, str]]:
        return [(choice.label, choice.value) for choice in self.datasets if choice.kind in kinds]


def fields_of(spec_class: type[Spec]) -> list[FormField]:
    """Every question of a spec: the model and the data first, then the rest in the order of the class."""
    fields = [_field(name, info) for name, info in spec_class.model_fields.items()]
    order = {"model": 0, "dataset": 1}
    return sorted(fields, key=lambda field: order.get(field.kind, 2))


def _field(name: str, info: FieldInfo) -> FormField:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    answer_type, is_optional = _without_none(info.annotation)
    dataset = next((marker for marker in info.metadata if isinstance(marker, DatasetRef)), None)
    model = next((marker for marker in info.metadata if isinstance(marker, ModelRef)), None)
    kind: Kind = "model" if model else "dataset" if dataset else _kind_of(name, answer_type)
    default = info.get_default(call_default_factory=True, validated_data={})
    is_required = default is PydanticUndefined
    return FormField(
        name=name,
        label=label_of(name),
        help=info.description or "",
        unit=str(extra.get("unit") or ""),
        kind=kind,
        default=None if is_required else default,
        is_required=is_required,
        is_optional=is_optional,
        is_basic=bool(extra.get("basic")) or is_required,
        bounds=_bounds_in_words(info.metadata),
        choices=get_args(answer_type) if kind == "choice" else (),
        dataset_kinds=dataset.kinds if dataset else (),
        takes_endpoints=model is not None and model.takes_endpoints,
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [part for part in get_args(annotation) if part is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return annotation, False


def _kind_of(name: str, answer_type: Any) -> Kind:
    if get_origin(answer_type) is Literal:
        return "choice"
    if get_origin(answer_type) in (list, tuple):
        return "list"
    kinds: dict[Any, Kind] = {bool: "switch", int: "whole", float: "decimal", str: "text"}
    if answer_type not in kinds:
        raise TypeError(f"a form cannot ask for {name}: {answer_type}")
    return kinds[answer_type]


def _bounds_in_words(metadata: Sequence[Any]) -> str:
    low = high = ""
    for bound in metadata:
        if isinstance(bound, Ge):
            low = f"at least {_plain(bound.ge)}"
        elif isinstance(bound, Gt):
            low = f"more than {_plain(bound.gt)}"
        elif isinstance(bound, Le):
            high = f"at most {_plain(bound.le)}"
        elif isinstance(bound, Lt):
            high = f"less than {_plain(bound.lt)}"
    if low.startswith("at least") and high.startswith("at most"):
        return f"{low.removeprefix('at least ')} to {high.removeprefix('at most ')}"
    return ", ".join(part for part in (low, high) if part)


def _plain(bound: Any) -> str:
    return number(bound) if isinstance(bound, (int, float)) else str(bound)


# --------------------------------------------------------------------------------------------------------- to and fro


def draw(field: FormField, choices: Choices, value: Any) -> Component:
    """The component that asks one question, filled with `value`."""
    is_long = field.kind == "text" and isinstance(value, str) and "\n" in value
    width = "h-full" if field.kind in ("model", "dataset") or is_long else None
    asked: dict[str, Any] = {
        "label": field.label,
        "info": field.note,
        "elem_id": f"field-{field.name}",
        "elem_classes": width,
        "interactive": True,
    }
    match field.kind:
        case "switch":
            return gr.Checkbox(value=bool(value), **asked)
        case "whole" | "decimal":
            # Bounds are checked by the spec, which names all faults at once; the component would stop at the first.
            return gr.Number(value=value, precision=0 if field.kind == "whole" else None, **asked)
        case "choice" if len(field.choices) <= FEW_CHOICES:
            return gr.Radio(choices=list(field.choices), value=value, **asked)
        case "choice":
            return gr.Dropdown(choices=list(field.choices), value=value, **asked)
        case "list":
            return gr.Dropdown(choices=list(value or []), value=list(value or []), multiselect=True,
                               allow_custom_value=True, **asked)  # fmt: skip
        case "model":
            return gr.Dropdown(choices=choices.models_of(field), value=value, allow_custom_value=True, **asked)
        case "dataset":
            return gr.Dropdown(
                choices=choices.datasets_of(field.dataset_kinds), value=value, allow_custom_value=True, **asked
            )
        case _:
            return gr.Textbox(value=value, lines=4 if is_long else 1, **asked)


def first_values(fields: Sequence[FormField], choices: Choices, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the form shows first: what was given, else the default, else the newest thing that fits."""
    return {field.name: given.get(field.name, _first_value(field, choices)) for field in fields}


def _first_value(field: FormField, choices: Choices) -> Any:
    if not field.is_required:
        return field.default
    if field.kind == "dataset":
        fitting = choices.datasets_of(field.dataset_kinds)
        return fitting[0][1] if fitting else None
    if field.kind == "model" and (fitting := choices.models_of(field)):
        return fitting[0][1]
    return None


def values_of(fields: Sequence[FormField], answers: Sequence[Any]) -> dict[str, Any]:
    """What was answered, as loose values: an answer that was left empty is absent where that means "none" or required.

    Raises:
        SpecFaults: naming each field that was emptied although it needs a value.
    """
    values: dict[str, Any] = {}
    faults = []
    for field, answer in zip(fields, answers, strict=True):
        is_empty = answer is None or answer == ""
        if is_empty and field.is_optional:
            values[field.name] = None
        elif is_empty and not field.is_required and field.default != "":
            faults.append(Fault(field.name, f"is empty; the default is {field._default_in_words}"))
        elif not (is_empty and field.is_required):
            values[field.name] = answer
    if faults:
        raise SpecFaults(faults)
    return values


def to_yaml(recipe_name: str, values: Mapping[str, Any]) -> str:
    """The values as a job file, which `python -m pipeline run` takes too once its references are paths."""
    return yaml.safe_dump({"recipe": recipe_name, **values}, sort_keys=False, allow_unicode=True, width=100)


def from_yaml(text: str, recipe_name: str, fields: Sequence[FormField]) -> dict[str, Any]:
    """The values of a job file that a person has edited.

    Raises:
        BadSpec: if it is no YAML mapping, or of another recipe.
        SpecFaults: naming every key that the recipe does not know.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadSpec("This is not valid YAML.", "Mend the line that the detail names.") from error
    if not isinstance(values, dict):
        raise BadSpec(
            f"A job file is a list of `name: value` lines; {type(values).__name__} was received.",
            f"Begin with `recipe: {recipe_name}`.",
        )
    named = values.pop("recipe", recipe_name)
    if named != recipe_name:
        raise BadSpec(f"This is a job file of the recipe {named!r}.", "Choose that method first, then paste it there.")
    known = {field.name for field in fields}
    unknown = [
        Fault(str(key), "is not a setting of this recipe; check the spelling") for key in values if key not in known
    ]
    if unknown:
        raise SpecFaults(unknown)
    numeric = {field.name for field in fields if field.kind in ("whole", "decimal")}
    return {name: _as_number(value) if name in numeric else value for name, value in values.items()}


def _as_number(value: Any) -> Any:
    """YAML reads `5e-6` as a word; a person means a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
