"""Recipes: the kinds of work that Hone does, one file each.

To add one, write `pipeline/recipes/<name>.py` with a spec class and a module-level `RECIPE`, and put its name in
`NAMES`. The form, the queue, the database, the command line, the API and the job page follow from that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from pipeline.context import Context
from pipeline.errors import BadSpec
from pipeline.spec import Spec

NAMES = ("pretrain", "sft", "dpo", "quantize", "answer", "generate", "pairs")
"""Every recipe, in the order in which people meet them."""

Result = Literal["model", "answers", "report", "rows"]
"""A model folder; prepared answers; files about a dataset; or rows, as `pipeline.data.importing.import_rows` writes."""


@dataclass(frozen=True)
class Chart:
    """One curve panel of the job page: the metrics drawn together, as the recipe reports them."""

    title: str
    metrics: tuple[str, ...]
    unit: str = ""
    help: str = ""


@dataclass(frozen=True)
class Recipe:
    """A kind of work.

    Args:
        name: Its word in specs, URLs and the database.
        title: What a person reads on its card.
        summary: One sentence: what it is for and what data it needs.
        verb: What its launch button says, such as "Start fine-tune".
        spec: The class of its settings.
        run: Does the whole job; returns closing figures for the job page (JSON values only).
        produces: What stands in `context.out` when it ends (see `Result`).
        charts: The curves that matter for it, the most telling first.
    """

    name: str
    title: str
    summary: str
    verb: str
    spec: type[Spec]
    run: Callable[[Any, Context], dict[str, Any]]
    produces: Result = "model"
    charts: tuple[Chart, ...] = field(default=())


def get_recipe(name: str) -> Recipe:
    """Look a recipe up by name.

    Raises:
        BadSpec: if there is no such recipe.
    """
    if name not in NAMES:
        raise BadSpec(f"There is no recipe named {name!r}.", f"Choose one of: {', '.join(NAMES)}.")
    recipe: Recipe = import_module(f"pipeline.recipes.{name}").RECIPE
    return recipe


def all_recipes() -> list[Recipe]:
    return [get_recipe(name) for name in NAMES]


def recipes_that_train() -> list[Recipe]:
    """Those that make a model: what the Train page offers. Others are launched where what they make is used."""
    return [recipe for recipe in all_recipes() if recipe.produces == "model"]
