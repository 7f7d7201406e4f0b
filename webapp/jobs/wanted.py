"""Wanted: what the address of a form asks for: a recipe, values to begin with, or a job to be asked for again."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from pipeline.recipes import get_recipe
from store import jobs
from store.database import reading
from webapp.shell import error_block, query_id, query_value


@dataclass(frozen=True)
class Wanted:
    """What the address asks for."""

    recipe: str
    given: dict[str, Any]
    """Values to begin with: a model and data by name, or all those of the job to repeat."""
    fault: str
    draw: str
    """Names this one form: what is launched from it twice is one job."""


def read_wanted(request: gr.Request, offered: Collection[str], *, first: str) -> Wanted:
    """Read `?recipe=`, `?again=`, `?model=` and `?dataset=`; a recipe that is not offered gives way to `first`."""
    recipe, fault = query_value(request, "recipe"), ""
    given: dict[str, Any] = {}
    again = query_id(request, "again")
    if again is not None:
        try:
            with reading() as session:
                job = jobs.get_job(session, again)
            recipe, given = job.recipe, dict(job.spec)
        except HoneError as error:
            fault = error_block(error)
    asked = {name: query_value(request, name) for name in ("model", "dataset")}
    asked = {name: value for name, value in asked.items() if value}
    if recipe not in offered:
        return Wanted(first, asked if recipe else given | asked, fault, secrets.token_hex(8))
    return Wanted(recipe, given | asked, fault, secrets.token_hex(8))


def recipe_cards(offered: Collection[str], present: str, *, address: str, label: str) -> str:
    """One card a recipe: what it is for, in one sentence."""
    cards = "".join(
        f'<a class="h-choice" href="{address}?recipe={name}"{" aria-current=true" if name == present else ""}>'
        f"<b>{escape(get_recipe(name).title)}</b><span>{escape(get_recipe(name).summary)}</span></a>"
        for name in offered
    )
    return f'<nav class="h-choices" aria-label="{label}">{cards}</nav>'
