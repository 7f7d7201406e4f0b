"""Prompt sets: let jobs write the answers that people vote on, and share a link to vote by."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from pipeline.errors import BadSpec, HoneError
from pipeline.recipes import get_recipe
from pipeline.recipes.answer import AnswerSpec
from store import datasets, jobs, models, prompt_sets, voting_links
from store.database import reading, writing
from webapp.arena.views_prompts import links_table, new_link_note, prepared_table
from webapp.commands import command_box, read_command
from webapp.formatting import counted
from webapp.forms import Choices, FormField, draw, fields_of, values_of
from webapp.people import current_person
from webapp.shell import Page, error_block, html, link_button, on_load, page_header, query_id
from workers import queue

SHIPPED = ""
_OWN_FIELDS = ("model", "dataset")
"""Settings that the form asks for in its own way: several models, each a job."""


@dataclass(frozen=True)
class PreparingForm:
    """What is asked before answers are prepared."""

    dataset: gr.Dropdown
    models: gr.Dropdown
    fields: list[FormField]
    settings: list[Any]
    start: gr.Button
    notice: gr.HTML


@dataclass(frozen=True)
class LinkForm:
    """What is asked before a voting link is made."""

    name: gr.Textbox
    prompts: gr.Dropdown
    models: gr.Dropdown
    votes_an_hour: gr.Number
    make: gr.Button
    notice: gr.HTML


def build() -> None:
    html(
        page_header(
            "Prompt sets",
            "Everyone votes on the same prompts, and on answers that are there already.",
            link_button("Vote", "/arena"),
        )
    )
    prepared = html(min_height=176)
    preparing = _draw_preparing()
    sharing = _draw_sharing()
    links = html()
    command = command_box()
    _connect(prepared, preparing, sharing, links, command)


def _draw_preparing() -> PreparingForm:
    fields = [field for field in fields_of(AnswerSpec) if field.name not in _OWN_FIELDS]
    with gr.Column(elem_classes="h-card h-fields"):
        html('<h2 class="h-h2">Prepare answers</h2>')
        with gr.Row():
            dataset = gr.Dropdown([], label="Prompts", info="Conversations; each is asked up to its last answer.")
            chosen = gr.Dropdown(
                [],
                multiselect=True,
                label="Models",
                info="Each answers in a job of its own.",
                elem_id="h-prompts-models",
            )
        with gr.Accordion("All settings", open=False):
            settings = [draw(field, Choices([], []), field.default) for field in fields]
        notice = html()
        start = gr.Button(get_recipe("answer").verb, variant="primary", elem_classes="h-fit")
    return PreparingForm(dataset, chosen, fields, settings, start, notice)


def _draw_sharing() -> LinkForm:
    with gr.Column(elem_classes="h-card h-fields"):
        html(
            '<div><h2 class="h-h2">Share a voting link</h2><p class="h-quiet">Whoever has the link votes without an '
            "account or the password, and never learns which model wrote what. Nothing else here is open to them.</p>"
            "</div>"
        )
        with gr.Row():
            name = gr.Textbox(label="Name", info="Voters see it as the title.", max_length=voting_links.LONGEST_NAME)
            prompts = gr.Dropdown([], label="Voted on", info="A set with prepared answers needs no waiting.")
            chosen = gr.Dropdown([], multiselect=True, label="Models", info="None means all.")
            votes_an_hour = gr.Number(
                120,
                precision=0,
                minimum=1,
                maximum=voting_links.MOST_VOTES_AN_HOUR,
                label="Votes an hour",
                info="The most that one voter may give.",
            )
        notice = html()
        make = gr.Button("Make link", variant="secondary", elem_classes="h-fit", elem_id="h-make-link")
    return LinkForm(name, prompts, chosen, votes_an_hour, make, notice)


# ---------------------------------------------------------------------------------------------------------- handlers


def _connect(
    prepared: gr.HTML, preparing: PreparingForm, sharing: LinkForm, links: gr.HTML, command: gr.Textbox
) -> None:
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def opened(request: gr.Request) -> dict[Any, Any]:
        shown = _opened(prepared, preparing, sharing, links, query_id(request, "again"))
        return {form_id: secrets.token_hex(8), **shown}

    def start(request: gr.Request, form_id: str, dataset: str, chosen: list[str], *given: Any) -> str:
        return _started(preparing.fields, form_id, dataset, chosen, given, request)

    form_id = gr.State("")
    """Names this one form: what is started from it twice, with the same settings, is one job."""
    first = [preparing.dataset, preparing.models, *preparing.settings]
    on_load(
        opened,
        outputs=[form_id, prepared, links, *first, preparing.notice, sharing.prompts, sharing.models],
    )
    preparing.start.click(start, inputs=[form_id, *first], outputs=[preparing.notice], **quick)
    sharing.make.click(
        _made_link,
        inputs=[sharing.name, sharing.prompts, sharing.models, sharing.votes_an_hour],
        outputs=[sharing.notice, links],
        **quick,
    )
    command.change(_told, inputs=[command], outputs=[sharing.notice, links], **quick)


def _opened(
    prepared: gr.HTML, preparing: PreparingForm, sharing: LinkForm, links: gr.HTML, again: int | None
) -> dict[Any, Any]:
    with reading() as session:
        found = models.list_models(session)
        sets = prompt_sets.list_prepared(session)
        versions = datasets.list_versions(session, ("instruction",))
        given, fault = _values_of(session, again)
    by_id = {version.id: version for version in versions}
    ready = sorted({one.version_id for one in sets if one.version_id in by_id})
    own = [(model.name, f"model:{model.id}") for model in reversed(found) if model.kind != "endpoint"]
    all_models = [(model.name, str(model.id)) for model in reversed(found)]
    prompts = [
        (f"{version.dataset.name} v{version.number} · {counted(version.num_rows, 'row')}", f"dataset:{version.id}")
        for version in versions
    ]
    voted_on = [("The prompts that ship with Hone", SHIPPED)]
    voted_on += [(f"{by_id[one].dataset.name} v{by_id[one].number}", str(one)) for one in ready]
    first_set = given.get("dataset", prompts[0][1] if prompts else None)
    return {
        prepared: prepared_table(sets, by_id, {model.id: model.name for model in found}),
        links: _links(),
        preparing.dataset: gr.update(choices=prompts, value=first_set),
        preparing.models: gr.update(choices=own, value=[given["model"]] if "model" in given else []),
        preparing.notice: fault,
        sharing.prompts: gr.update(choices=voted_on, value=str(ready[-1]) if ready else SHIPPED),
        sharing.models: gr.update(choices=all_models, value=[]),
        **{
            part: given[field.name]
            for field, part in zip(preparing.fields, preparing.settings, strict=True)
            if field.name in given
        },
    }


def _values_of(session: Any, again: int | None) -> tuple[dict[str, Any], str]:
    """The settings of a job that is to be run again with changes."""
    if again is None:
        return {}, ""
    try:
        job = jobs.get_job(session, again)
    except HoneError as error:
        return {}, error_block(error)
    return (dict(job.spec), "") if job.recipe == "answer" else ({}, "")


def _started(
    fields: list[FormField],
    form_id: str,
    dataset: str,
    chosen: list[str],
    given: Sequence[Any],
    request: gr.Request,
) -> str:
    """One job a model; none of them where one of them cannot be."""
    try:
        if not chosen:
            raise BadSpec("No model is chosen.", "Choose at least two models, so that their answers can meet.")
        person = current_person(request)
        values = values_of(fields, given) | ({"dataset": dataset} if dataset else {})
        with writing() as session:
            launched = [
                jobs.submit(
                    session,
                    "answer",
                    values | {"model": model},
                    person_id=person.id,
                    idempotency_key=_key(form_id, values | {"model": model}),
                )
                for model in chosen
            ]
        queue.wake()
    except HoneError as error:
        return error_block(error)
    named = ", ".join(f'<a href="/job?id={job.id}">{escape(job.name)}</a>' for job in launched)
    words = f"{counted(len(launched), 'job')} started: {named}."
    return f'<div class="h-note" role="status"><p>{words} What they write can be voted on when they are done.</p></div>'


def _key(form_id: str, values: dict[str, Any]) -> str:
    settings = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return f"answer-{form_id}-{settings[:32]}"


def _made_link(
    name: str, prompts: str, chosen: list[str], votes_an_hour: float | None, request: gr.Request
) -> tuple[str, str]:
    try:
        person = current_person(request)
        with writing() as session:
            _, token = voting_links.create(
                session,
                name,
                prompt_version_id=int(prompts) if prompts else None,
                model_ids=[int(model) for model in chosen or []],
                votes_an_hour=int(votes_an_hour or 0),
                person_id=person.id,
            )
    except HoneError as error:
        return error_block(error), _links()
    return new_link_note(f"{_origin(request)}/vote/{token}"), _links()


def _told(told: str) -> tuple[str, str]:
    try:
        match read_command(told):
            case ["revoke", number] if number.isdecimal():
                with writing() as session:
                    link = voting_links.revoke(session, int(number))
                return f'<div class="h-note" role="status"><p>{escape(link.name)} is revoked.</p></div>', _links()
    except HoneError as error:
        return error_block(error), _links()
    return "", _links()


def _origin(request: gr.Request) -> str:
    """The address under which this browser has reached us: voters are to reach us by the same."""
    return str(request.headers.get("origin") or f"http://{request.headers['host']}")


def _links() -> str:
    with reading() as session:
        uses = voting_links.list_links(session)
        ids = [use.link.prompt_version_id for use in uses if use.link.prompt_version_id is not None]
        sets = prompt_sets.versions_with_answers(session, ids)
    return links_table(uses, {one: f"{version.dataset.name} v{version.number}" for one, version in sets.items()})


PAGE = Page(title="Prompt sets", path="/prompts", build=build, under="/arena", assets=("commands.js", "arena.css"))
