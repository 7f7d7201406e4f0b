"""The playground's presets and few-shot spread: what their buttons do to the form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import presets
from store.database import reading, writing
from webapp.people import current_person
from webapp.playground.form import MAX_COLUMNS, Parts, notes, noticed
from webapp.playground.sampling_form import Examples, PlaygroundSettings, read_examples
from webapp.playground.side import Updates, examples_shown, presets_shown, read_settings, settings_shown
from webapp.shell import error_block


def connect_side(parts: Parts) -> None:
    """Let the side panel's buttons do what they say."""
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    side = parts.side

    def chosen(name: str) -> Updates:
        return _chosen(parts, name)

    def saved(request: gr.Request, name: str, *fields: Any) -> Updates:
        return _saved(parts, name, fields, request)

    def deleted(name: str) -> Updates:
        return _deleted(parts, name)

    def spread(model: Any, examples: str) -> Updates:
        return _spread(parts, model, examples)

    def counted(examples: str) -> Updates:
        return notes(parts, _readable(examples))

    side.presets.name.input(chosen, inputs=[side.presets.name], outputs=parts.all, **quick)
    side.presets.save.click(
        saved, inputs=[side.presets.name, *side.settings.fields], outputs=[parts.notice, side.presets.name], **quick
    )
    side.presets.delete.click(deleted, inputs=[side.presets.name], outputs=[parts.notice, side.presets.name], **quick)
    side.spread.click(spread, inputs=[parts.columns[0].model, side.settings.examples], outputs=parts.all, **quick)
    side.settings.examples.change(
        counted, inputs=[side.settings.examples], outputs=[column.note for column in parts.columns], **quick
    )


def _chosen(parts: Parts, name: str | None) -> Updates:
    """Fill the panel from a preset; a name that is none yet waits to be saved under."""
    with reading() as session:
        known = next((one for one in presets.list_presets(session) if one.name == name), None)
        if known is None:
            return {parts.notice: noticed("")}
        settings = PlaygroundSettings.model_validate(known.settings)
        shown = settings_shown(parts.side, settings, session)
    return shown | notes(parts, settings.examples) | {parts.notice: noticed("")}


def _saved(parts: Parts, name: str | None, fields: Sequence[Any], request: gr.Request) -> Updates:
    try:
        settings = read_settings(fields).model_dump(mode="json")
        with writing() as session:
            preset = presets.save_preset(session, name or "", settings, person_id=current_person(request).id)
            shown = presets_shown(parts.side, session, preset.name)
    except HoneError as error:
        return {parts.notice: noticed(error_block(error))}
    return shown | {parts.notice: noticed("")}


def _deleted(parts: Parts, name: str | None) -> Updates:
    try:
        with writing() as session:
            preset = next((one for one in presets.list_presets(session) if one.name == name), None)
            if preset is None:
                raise presets.NoPreset(f"There is no preset {(name or '')[:80]!r}.", "Choose the one to be deleted.")
            presets.delete_preset(session, preset.id)
            shown = presets_shown(parts.side, session)
    except HoneError as error:
        return {parts.notice: noticed(error_block(error))}
    return shown | {parts.notice: noticed("")}


def _spread(parts: Parts, model: Any, text: str) -> Updates:
    """One model in several columns, each shown more of the examples than the one before."""
    try:
        examples = read_examples(text)
        if not any(one.is_whole for one in examples.pairs):
            raise HoneError(
                "There is no example with a prompt and an answer.", "Write one, or draw some from a dataset."
            )
        examples = examples.spread(num_columns=MAX_COLUMNS)
    except HoneError as error:
        return {parts.notice: noticed(error_block(error))}
    num_columns = len(examples.counts)
    with reading() as session:
        updates = examples_shown(parts.side, examples, session)
    for number, column in enumerate(parts.columns):
        updates[column.box] = gr.update(visible=number < num_columns)
        if number < num_columns:
            updates[column.model] = model
    return updates | notes(parts, examples) | {parts.num_columns: str(num_columns), parts.notice: noticed("")}


def _readable(text: str) -> Examples:
    """The examples, or none while what is typed cannot be used."""
    try:
        return read_examples(text)
    except HoneError:
        return Examples()
