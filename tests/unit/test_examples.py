"""The example job files: one a recipe, each with settings that the recipe takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.recipes import NAMES, get_recipe
from pipeline.spec import read_spec_file, validate_spec

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_has_an_example_that_its_spec_takes(name: str) -> None:
    values = read_spec_file(EXAMPLES / f"{name}.yaml")
    recipe = get_recipe(values.pop("recipe"))
    assert recipe.name == name
    assert validate_spec(recipe.spec, values).model_dump()["dataset"] == values["dataset"]
