"""Chains: what a job waits for, and what is to follow it, asked for in one launch.

A follower starts from the model that the job before it makes, with its method's own defaults; it waits in the queue,
where a person can move it or drop it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component
from sqlalchemy.orm import Session

from pipeline.recipes import Recipe, recipes_that_train
from store import jobs
from store.schema import ACTIVE_STATES, Job
from webapp.forms import Choices, FormField, fields_of

MOST_JOBS_OFFERED = 50


@dataclass(frozen=True)
class Follower:
    """A method that can come after a job: its recipe, and the fields that take the model and the data."""

    recipe: Recipe
    model: FormField
    dataset: FormField


def followers_of(recipe: Recipe) -> list[Follower]:
    """The methods that come after this one in the order of the loop and start from a model."""
    recipes = recipes_that_train()
    names = [one.name for one in recipes]
    found = []
    for later in recipes[names.index(recipe.name) + 1 :]:
        by_kind = {field.kind: field for field in fields_of(later.spec)}
        if "model" in by_kind and "dataset" in by_kind:
            found.append(Follower(later, by_kind["model"], by_kind["dataset"]))
    return found


def jobs_to_wait_for(session: Session) -> Sequence[Job]:
    found, _ = jobs.list_jobs(session, states=ACTIVE_STATES, limit=MOST_JOBS_OFFERED)
    return found


def draw_not_before(active: Sequence[Job]) -> gr.Dropdown:
    """Asks which job has to succeed first."""
    return gr.Dropdown(
        [("a worker is free", ""), *((f"{job.name} has succeeded", str(job.id)) for job in active)],
        value="",
        label="Waits until",
        info="A job that starts from a model that is still being made waits for it anyway.",
    )


def draw_follower(follower: Follower, choices: Choices) -> Component:
    """Asks whether a method is to follow: with which data, or, where it needs none, yes or no."""
    label = f"Then: {follower.recipe.title}"
    if follower.dataset.is_required:
        data = choices.datasets_of(follower.dataset.dataset_kinds)
        return gr.Dropdown([("no", ""), *data], value="", label=label, info=follower.recipe.summary)
    return gr.Checkbox(False, label=label, info=follower.recipe.summary)


def submit_followers(
    session: Session,
    first: Job,
    followers: Sequence[Follower],
    answers: Sequence[Any],
    *,
    name: str,
    idempotency_key: str,
    person_id: int,
) -> list[Job]:
    """Ask for the followers that were chosen, each on the model of the one before."""
    made = [first]
    for follower, answer in zip(followers, answers, strict=True):
        if not answer:
            continue
        recipe = follower.recipe.name
        values: Mapping[str, Any] = {follower.model.name: f"job:{made[-1].id}"}
        if follower.dataset.is_required:
            values = {**values, follower.dataset.name: answer}
        job = jobs.submit(
            session,
            recipe,
            values,
            name=f"{name}-{recipe}" if name else "",
            person_id=person_id,
            idempotency_key=f"{idempotency_key}-{recipe}",
        )
        made.append(job)
    return made[1:]
