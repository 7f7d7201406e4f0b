"""Train: choose a method, a model and data; see what will happen; start it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from pipeline.recipes import Recipe, get_recipe, recipes_that_train
from pipeline.spec import REQUIRED, Fault, SpecFaults, validate_spec
from pipeline.training.settings import TrainingSpec
from store import jobs, models
from store.database import reading, writing
from store.schema import Job
from webapp.formatting import label_of
from webapp.forms import Choices, FormField, draw, fields_of, first_values, from_yaml, to_yaml, values_of
from webapp.jobs import chains
from webapp.jobs.example import example_view, sample_of
from webapp.jobs.outlook import outlook_of, outlook_view
from webapp.jobs.start_points import no_model_yet, read_choices
from webapp.jobs.wanted import Wanted, read_wanted, recipe_cards
from webapp.people import current_person
from webapp.shell import FOLLOW, QUIET, Page, error_block, html, on_load, page_header
from workers import queue

FIRST_RECIPE = "sft"
SECONDS_UNTIL_CLOSER = 0.5
_CHOOSE = '<p class="h-quiet">The first row that is trained on is shown here, token by token.</p>'
_READING = '<p class="h-quiet">Reading the tokenizer and the first row…</p>'


def build() -> None:
    html(page_header("Train", "Every job runs in the queue: you can close the browser once it has started."))
    methods = html(min_height=88)
    notice = html()
    on_load(_open, outputs=[methods, notice])

    # Without triggers the form is drawn when a browser opens the page, anew for each address.
    @gr.render(show_progress="hidden")
    def form(request: gr.Request) -> None:
        wanted = _wanted(request)
        with reading() as session:
            choices = read_choices(session)
            active = chains.jobs_to_wait_for(session)
        _draw_form(get_recipe(wanted.recipe), choices, active, wanted)


def _open(request: gr.Request) -> tuple[str, str]:
    wanted = _wanted(request)
    return recipe_cards(_offered(), wanted.recipe, address="/train", label="Method"), wanted.fault


def _wanted(request: gr.Request) -> Wanted:
    return read_wanted(request, _offered(), first=FIRST_RECIPE)


def _offered() -> list[str]:
    return [recipe.name for recipe in recipes_that_train()]


def _draw_form(recipe: Recipe, choices: Choices, active: Sequence[Job], wanted: Wanted) -> None:
    fields = fields_of(recipe.spec)
    followers = chains.followers_of(recipe)
    first = first_values(fields, choices, wanted.given)
    yaml_fault = gr.State("")
    with gr.Row(elem_classes="h-train"):
        with gr.Column(scale=3, min_width=320), gr.Tabs():
            with gr.Tab("Form"):
                asked = _draw_fields(fields, choices, first)
                with gr.Accordion("Before and after it", open=False, elem_classes="h-card h-fields"):
                    not_before = chains.draw_not_before(active)
                    then = [chains.draw_follower(follower, choices) for follower in followers]
            with gr.Tab("Spec as YAML") as yaml_tab:
                code = gr.Code(
                    to_yaml(recipe.name, first), language="yaml", show_label=False, lines=24, interactive=True
                )
        with gr.Column(scale=2, min_width=320, elem_classes="h-sticky"):
            with gr.Column(elem_classes="h-card"):
                html('<h2 class="h-h2">What will happen</h2>')
                preview = html(_preview(recipe, fields, list(first.values())), min_height=176)
                name = gr.Textbox(
                    label="Name", info="Of the job and of what it makes.", placeholder=f"{recipe.name}-…", max_lines=1
                )
                start = gr.Button(recipe.verb, variant="primary")
            with gr.Column(elem_classes="h-card", visible=issubclass(recipe.spec, TrainingSpec)):
                html('<h2 class="h-h2">First example</h2>')
                example = html(_READING if _is_whole(recipe, fields, list(first.values())) else _CHOOSE, min_height=120)
    address = gr.Textbox(visible=False)
    answers = [asked[field.name] for field in fields]

    def look(fault: str, *given: Any) -> str:
        return fault or _preview(recipe, fields, given)

    async def look_closer(fault: str, *given: Any) -> tuple[Any, Any, Any]:
        preview, example = (gr.skip(), gr.skip()) if fault else await _closer(recipe, fields, given)
        return preview, example, gr.Timer(active=False)

    def read_yaml(text: str) -> list[Any]:
        try:
            values = first_values(fields, Choices([], []), from_yaml(text, recipe.name, fields))
            given = [values[field.name] for field in fields]
            _validated(recipe, fields, given)
        except HoneError as error:
            # The form keeps its last whole state: a choice that does not exist cannot be shown in it.
            return [error_block(error), error_block(error), *[gr.skip()] * len(fields)]
        return ["", _preview(recipe, fields, given), *given]

    def write_yaml(*given: Any) -> str:
        return to_yaml(recipe.name, dict(zip((field.name for field in fields), given, strict=True)))

    def launch(fault: str, name: str, not_before: str, request: gr.Request, *given: Any) -> tuple[Any, str]:
        if fault:
            return fault, ""
        answers, follow = given[: len(fields)], given[len(fields) :]
        try:
            values = _validated(recipe, fields, answers).model_dump(mode="json")
            launched = Launch(recipe, values, name.strip(), int(not_before) if not_before else None, follow)
            return gr.skip(), _submit(launched, draw=wanted.draw, person_id=current_person(request).id)
        except HoneError as error:
            return error_block(error), ""

    at_once = gr.Timer(SECONDS_UNTIL_CLOSER)
    looking: dict[str, Any] = {"inputs": [yaml_fault, *answers], "trigger_mode": "always_last", **QUIET}
    changed = gr.on([answer.change for answer in answers], look, outputs=preview, **looking)
    for trigger in (changed.then, at_once.tick):
        trigger(look_closer, outputs=[preview, example, at_once], **looking)
    yaml_tab.select(write_yaml, inputs=answers, outputs=code, **QUIET)
    code.change(read_yaml, inputs=code, outputs=[yaml_fault, preview, *answers], trigger_mode="always_last", **QUIET)
    start.click(
        launch,
        inputs=[yaml_fault, name, not_before, *answers, *then],
        outputs=[preview, address],
        api_visibility="private",
    ).then(None, inputs=address, js=FOLLOW, api_visibility="private")


def _draw_fields(fields: list[FormField], choices: Choices, first: Mapping[str, Any]) -> dict[str, Any]:
    """The questions that matter at once, the rest folded."""
    asked: dict[str, Any] = {}
    with gr.Column(elem_classes="h-card h-fields"):
        for field in fields:
            if field.is_basic:
                asked[field.name] = draw(field, choices, first[field.name])
    rest = [field for field in fields if not field.is_basic]
    if rest:
        with gr.Accordion(f"All settings ({len(rest)} more)", open=False, elem_classes="h-card h-fields"):
            for field in rest:
                asked[field.name] = draw(field, choices, first[field.name])
    return asked


def _preview(recipe: Recipe, fields: list[FormField], answers: Any) -> str:
    """What the job will do, or everything that keeps it from starting."""
    try:
        spec = _validated(recipe, fields, answers)
        with reading() as session:
            return outlook_view(outlook_of(session, spec))
    except SpecFaults as error:
        is_only_begun = all(fault.message == REQUIRED for fault in error.faults)
        return _still_to_choose(error.faults) if is_only_begun else error_block(error)
    except HoneError as error:
        return error_block(error)


def _is_whole(recipe: Recipe, fields: list[FormField], answers: Any) -> bool:
    """Whether the form says all that an example needs."""
    try:
        _validated(recipe, fields, answers)
    except SpecFaults:
        return False
    return True


async def _closer(recipe: Recipe, fields: list[FormField], answers: Any) -> tuple[Any, str]:
    """What can only be said with the model's tokenizer: figures that rest on rows' lengths, and the first example."""
    try:
        spec = _validated(recipe, fields, answers)
        sample, example = await asyncio.gather(sample_of(spec), example_view(spec))
        with reading() as session:
            return outlook_view(outlook_of(session, spec, sample)), example
    except HoneError:  # said in the preview already
        return gr.skip(), _CHOOSE


def _still_to_choose(missing: list[Fault]) -> str:
    fields = ", ".join(f"<b>{escape(label_of(fault.field))}</b>" for fault in missing)
    with reading() as session:
        has_models = bool(models.list_own_models(session))
        hint = "" if has_models else no_model_yet(session, "There is no model yet.")
    return f'<p class="h-quiet">Still to choose: {fields}.</p>{hint}'


def _validated(recipe: Recipe, fields: list[FormField], answers: Any) -> Any:
    """Raises:
    SpecFaults: with the emptied fields and everything that the spec itself refuses.
    """
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    try:
        values = values_of(fields, answers)
    except SpecFaults as error:
        faults = error.faults
        emptied = {fault.field for fault in faults}
        filled = [(field, answer) for field, answer in zip(fields, answers, strict=True) if field.name not in emptied]
        values = values_of([field for field, _ in filled], [answer for _, answer in filled])
    try:
        spec = validate_spec(recipe.spec, values)
    except SpecFaults as error:
        raise SpecFaults([*faults, *error.faults]) from error
    if faults:
        raise SpecFaults(faults)
    return spec


@dataclass(frozen=True)
class Launch:
    """What is asked for by one press: a job, what it waits for, and what is to follow it."""

    recipe: Recipe
    values: dict[str, Any]
    name: str
    after_job_id: int | None
    follow: Sequence[Any]
    """The answers to the questions of `chains.followers_of`."""


def _submit(launch: Launch, *, draw: str, person_id: int) -> str:
    """Ask for all of it, once however often the button is pressed; returns the first job's address."""
    wording = [launch.recipe.name, launch.name, launch.values, launch.after_job_id, list(launch.follow)]
    key = f"{draw}-{hashlib.sha256(json.dumps(wording, sort_keys=True).encode()).hexdigest()[:32]}"
    with writing() as session:
        job = jobs.submit(
            session,
            launch.recipe.name,
            launch.values,
            name=launch.name,
            person_id=person_id,
            idempotency_key=key,
            after_job_id=launch.after_job_id,
        )
        followers = chains.followers_of(launch.recipe)
        chains.submit_followers(
            session, job, followers, launch.follow, name=launch.name, idempotency_key=key, person_id=person_id
        )
    queue.wake()
    return f"/job?id={job.id}"


PAGE = Page(title="Train", path="/train", build=build, in_nav=True, assets=("trained.css",))
