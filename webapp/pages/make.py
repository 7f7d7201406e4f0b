"""Make data: have a model write rows, or answer prompts several times and keep the best and the worst answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from pipeline.recipes import Recipe, get_recipe
from pipeline.spec import REQUIRED, SpecFaults, validate_spec
from store import jobs
from store.database import reading, writing
from webapp.data.prompt_preview import outlook_of
from webapp.formatting import label_of
from webapp.forms import Choices, FormField, draw, fields_of, first_values, values_of
from webapp.jobs.start_points import read_choices
from webapp.jobs.wanted import Wanted, read_wanted, recipe_cards
from webapp.people import current_person
from webapp.shell import FOLLOW, QUIET, Page, empty_state, error_block, html, link_button, on_load, page_header
from workers import queue

RECIPES = ("generate", "pairs")
_OF_SEEDS = ("seed_template", "num_examples")
_OF_DOCUMENTS = ("document_template", "passage_words", "keep_passage")
_OF_JUDGES = ("judge_template",)
_OF_REWARDS = ("reference_model", "beta")


def build() -> None:
    html(
        page_header(
            "Make data",
            "A model writes rows; you review them before anything is trained on them.",
            link_button("All data", "/data"),
        )
    )
    cards = html(min_height=88)
    notice = html()
    on_load(_open, outputs=[cards, notice])

    # Without triggers the form is drawn when a browser opens the page, anew for each address.
    @gr.render(show_progress="hidden")
    def form(request: gr.Request) -> None:
        wanted = _wanted(request)
        with reading() as session:
            choices = read_choices(session)
        _draw_form(get_recipe(wanted.recipe), choices, wanted)


def _open(request: gr.Request) -> tuple[str, str]:
    wanted = _wanted(request)
    return recipe_cards(RECIPES, wanted.recipe, address="/make", label="What to make"), wanted.fault


def _wanted(request: gr.Request) -> Wanted:
    return read_wanted(request, RECIPES, first=RECIPES[0])


def _draw_form(recipe: Recipe, choices: Choices, wanted: Wanted) -> None:
    fields = fields_of(recipe.spec)
    missing = _missing(fields, choices)
    if missing:
        html(missing)
        return
    first = first_values(fields, choices, wanted.given)
    kinds = {choice.value: choice.kind for choice in choices.datasets}
    with gr.Row(elem_classes="h-train"):
        with gr.Column(scale=3, min_width=320):
            asked = _draw_fields(fields, choices, first, _unfit(kinds, first))
        with gr.Column(scale=2, min_width=320, elem_classes="h-sticky"), gr.Column(elem_classes="h-card"):
            html('<h2 class="h-h2">What will happen</h2>')
            preview = html(_preview(recipe, fields, list(first.values())), min_height=240)
            name = gr.Textbox(
                label="Name", info="Of the job and of the dataset.", placeholder=f"{recipe.name}-…", max_lines=1
            )
            notice = html()
            start = gr.Button(recipe.verb, variant="primary")
            html(
                '<p class="h-quiet h-small">A job that is stopped makes no dataset; when it is continued, it goes on '
                "from what is written.</p>"
            )
    address = gr.Textbox(visible=False)
    answers = [asked[field.name] for field in fields]

    def look(*given: Any) -> str:
        return _preview(recipe, fields, given)

    def fit(dataset: Any, ranked_by: Any) -> list[Any]:
        unfit = _unfit(kinds, {"dataset": dataset, "ranked_by": ranked_by})
        return [gr.update(visible=field.name not in unfit) for field in fields]

    def launch(name: str, request: gr.Request, *given: Any) -> tuple[str, str]:
        try:
            values = validate_spec(recipe.spec, values_of(fields, given)).model_dump(mode="json")
            return "", _submit(recipe, values, name.strip(), draw=wanted.draw, person_id=current_person(request).id)
        except HoneError as error:
            return error_block(error), ""

    gr.on([part.change for part in answers], look, inputs=answers, outputs=preview, trigger_mode="always_last", **QUIET)
    deciding = [asked["dataset"], asked.get("ranked_by", asked["dataset"])]
    gr.on([part.change for part in dict.fromkeys(deciding)], fit, inputs=deciding, outputs=answers, **QUIET)
    start.click(launch, inputs=[name, *answers], outputs=[notice, address], api_visibility="private").then(
        None, inputs=address, js=FOLLOW, api_visibility="private"
    )


def _missing(fields: Sequence[FormField], choices: Choices) -> str:
    """An invitation where there is no model, or no data, to choose."""
    dataset = next(field for field in fields if field.kind == "dataset")
    if not choices.models and not choices.elsewhere:
        return empty_state(
            "There is no model yet that could write. Train one, or add an endpoint on the Settings page.",
            link_button("Train a model", "/train", "primary"),
        )
    if not choices.datasets_of(dataset.dataset_kinds):
        return empty_state(
            "There is no data yet to begin from: seed tasks, documents or prompts.",
            link_button("Bring data", "/data", "primary"),
        )
    return ""


def _unfit(kinds: Mapping[str, str], given: Mapping[str, Any]) -> set[str]:
    """The fields that say nothing for what is chosen."""
    unfit = set(_OF_SEEDS if kinds.get(given.get("dataset") or "") == "text" else _OF_DOCUMENTS)
    return unfit | set(_OF_REWARDS if given.get("ranked_by") != "implicit_reward" else _OF_JUDGES)


def _draw_fields(
    fields: Sequence[FormField], choices: Choices, first: Mapping[str, Any], unfit: set[str]
) -> dict[str, Any]:
    """The questions that matter at once, the rest folded."""
    asked: dict[str, Any] = {}
    with gr.Column(elem_classes="h-card h-fields"):
        for field in fields:
            if field.is_basic:
                asked[field.name] = draw(field, choices, first[field.name])
    with gr.Accordion("All settings", open=False, elem_classes="h-card h-fields"):
        for field in fields:
            if not field.is_basic:
                asked[field.name] = draw(field, choices, first[field.name])
    for name in unfit & asked.keys():
        asked[name].visible = False
    return asked


def _preview(recipe: Recipe, fields: Sequence[FormField], answers: Sequence[Any]) -> str:
    """What the job will ask, or everything that keeps it from starting."""
    try:
        spec: Any = validate_spec(recipe.spec, values_of(fields, answers))
        with reading() as session:
            return f'<div class="h-stack">{outlook_of(session, spec)}</div>'
    except SpecFaults as error:
        if all(fault.message == REQUIRED for fault in error.faults):
            names = ", ".join(f"<b>{escape(label_of(fault.field))}</b>" for fault in error.faults)
            return f'<p class="h-quiet">Still to choose: {names}.</p>'
        return error_block(error)
    except HoneError as error:
        return error_block(error)
    except ValueError:
        return '<p class="h-quiet">Choose the dataset from the list.</p>'


def _submit(recipe: Recipe, values: dict[str, Any], name: str, *, draw: str, person_id: int) -> str:
    """Ask for the job, once however often the button is pressed; returns its address."""
    wording = json.dumps([recipe.name, name, values], sort_keys=True)
    key = f"{draw}-{hashlib.sha256(wording.encode()).hexdigest()[:32]}"
    with writing() as session:
        job = jobs.submit(session, recipe.name, values, name=name, person_id=person_id, idempotency_key=key)
    queue.wake()
    return f"/job?id={job.id}"


PAGE = Page(title="Make data", path="/make", build=build, under="/data", assets=("data.css", "make.css"))
