"""Specs: the typed, validated settings of a job.

A recipe has one spec class. The form in the browser, the REST API, the command line and the docs all show the same
fields with the same one sentence of help, because all of them read this class and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import BadSpec


class Spec(BaseModel):
    """Base of every recipe's settings: immutable, and strict about names that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=False)

    @property
    def num_slots(self) -> int:
        """How many devices the job takes at once; it runs in as many processes."""
        return 1


SpecT = TypeVar("SpecT", bound=Spec)


@dataclass(frozen=True)
class ModelRef:
    """Marks a spec field that names a model: a folder, or a Hugging Face id.

    In a stored job the value may be `model:<id>`, or `job:<id>` for the model that a job will have made; the worker
    puts the model's folder in its place.

    Args:
        takes_endpoints: Whether a model will do whose weights another server has: in its place comes
            `endpoint:<id>#<its name there>` (see `pipeline.asking.endpoint`).
    """

    takes_endpoints: bool = False


@dataclass(frozen=True)
class DatasetRef:
    """Marks a spec field that names rows of one of `kinds`: the path of a canonical `rows.jsonl`.

    In a stored job the value may be `dataset:<id>`; the worker puts the path of that version's rows in its place.
    """

    kinds: tuple[str, ...]


def setting(default: Any = ..., *, help: str, unit: str | None = None, basic: bool = False, **bounds: Any) -> Any:
    """Declare one spec field.

    Args:
        default: The value when nothing is said; leave it out where the person must choose.
        help: One sentence that every surface shows.
        unit: What the number counts, such as "tokens" or "steps".
        basic: Shown at once in the form; the rest is folded under "All settings".
        bounds: Pydantic's `ge`, `gt`, `le`, `lt`, `min_length`, `max_length`, `pattern`.
    """
    return Field(default, description=help, json_schema_extra={"unit": unit, "basic": basic}, **bounds)


REQUIRED = "is required"


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one field, in words for the person who filled it in."""

    field: str
    message: str


class SpecFaults(BadSpec):
    """A spec was refused; `faults` lists everything wrong with it at once."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(
            "; ".join(f"{fault.field}: {fault.message}" if fault.field else fault.message for fault in faults)
        )
        self.faults = faults


def validate_spec(spec_class: type[SpecT], values: Mapping[str, Any]) -> SpecT:
    """Build a spec from loose values.

    Raises:
        SpecFaults: with every fault of the values, not only the first.
    """
    try:
        return spec_class.model_validate(dict(values))
    except ValidationError as error:
        raise SpecFaults([_as_fault(item) for item in error.errors()]) from error


def _as_fault(item: Any) -> Fault:
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return Fault(field, "is not a setting of this recipe; check the spelling")
    if item["type"] == "missing":
        return Fault(field, REQUIRED)
    message = item["msg"].removeprefix("Value error, ")
    if not field:  # of several fields together: what was received is the whole form
        return Fault(field, message)
    return Fault(field, f"{message[0].lower()}{message[1:]} (received {item['input']!r})")


def read_spec_file(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON job file: a mapping with the key `recipe` and the recipe's fields."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadSpec(f"There is no job file at {path}.", "Check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadSpec(f"{path} is not valid YAML: {error}", "Mend the file and run again.") from error
    if not isinstance(values, dict) or not isinstance(values.get("recipe"), str):
        raise BadSpec(f"{path} has no `recipe:` at its top level.", "Add one, for example `recipe: sft`.")
    return values
