"""The playground's form: its parts drawn, read into what a person asked for, and filled from what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipeline.errors import BadModel
from store.schema import Conversation
from webapp import talkers
from webapp.playground.answering import turn_in_progress
from webapp.playground.routes import MAX_PROMPT_CHARACTERS
from webapp.playground.sampling_form import Examples, PlaygroundSettings
from webapp.playground.side import SidePanel, Updates, draw_side, read_settings
from webapp.playground.views import LIVE_PANEL, column_note, invitation, turn_view, unnamed_model
from webapp.shell import html, link_button

MAX_COLUMNS = 6


@dataclass(frozen=True)
class Column:
    """One model's column: its picker, the examples it is shown, what was said before, what is being said, its Stop."""

    box: gr.Column
    model: gr.Dropdown
    note: gr.HTML
    earlier: gr.HTML
    latest: gr.HTML
    stop: gr.Button


@dataclass(frozen=True)
class Parts:
    """Everything on the page that a handler may change."""

    notice: gr.HTML
    workspace: gr.Row
    num_columns: gr.Radio
    tools: gr.HTML
    columns: list[Column]
    prompt: gr.Textbox
    send: gr.Button
    stop_all: gr.Button
    regenerate: gr.Button
    rewrite: gr.Button
    """Pressed by the buttons under the answers, with what they ask for."""
    side: SidePanel
    conversation_id: gr.Textbox

    @property
    def all(self) -> list[Any]:
        alone = [self.notice, self.workspace, self.num_columns, self.tools, self.prompt, self.send, self.stop_all]
        in_columns = [
            part for one in self.columns for part in (one.box, one.model, one.note, one.earlier, one.latest, one.stop)
        ]
        return [*alone, self.regenerate, self.conversation_id, *self.side.all, *in_columns]


# ---------------------------------------------------------------------------------------------------------- drawn


def draw() -> Parts:
    notice = html(visible=False)
    with gr.Row(elem_classes="h-pg") as workspace:
        with gr.Column(elem_classes="h-pg-main", scale=1):
            with gr.Row(elem_classes="h-line h-apart"):
                num_columns = gr.Radio(
                    [str(number) for number in range(1, MAX_COLUMNS + 1)],
                    value="1",
                    label="Models side by side",
                    show_label=False,
                    container=False,
                    elem_classes="h-pg-count",
                )
                panel_button = gr.Button("Settings and history", size="sm", elem_classes="h-fit h-pg-toggle")
                html(link_button("Settings and history", "#h-pg-side", slim=True), elem_classes="h-pg-jump")
            tools = html(elem_classes="h-pg-whole")
            with gr.Row(elem_classes="h-pg-columns"):
                columns = [_draw_column(number) for number in range(MAX_COLUMNS)]
            html(LIVE_PANEL)
            with gr.Row(elem_classes="h-pg-composer"):
                prompt = gr.Textbox(
                    placeholder="Ask something. Enter sends, Shift+Enter starts a new line.",
                    label="Prompt",
                    show_label=False,
                    container=False,
                    lines=1,
                    max_lines=12,
                    max_length=MAX_PROMPT_CHARACTERS,
                    autofocus=True,
                    scale=1,
                    elem_id="h-pg-prompt",
                )
                send = gr.Button(
                    "Send", variant="primary", interactive=False, elem_classes="h-fit", elem_id="h-pg-send"
                )
                stop_all = gr.Button("Stop all", variant="stop", visible=False, elem_classes="h-fit")
                regenerate = gr.Button("Regenerate", visible=False, elem_classes="h-fit", elem_id="h-pg-again")
                rewrite = gr.Button("Write", visible="hidden", elem_id="h-pg-rewrite")
        side = draw_side()
    is_side_open = gr.State(value=True)
    panel_button.click(
        _toggle_side, inputs=[is_side_open], outputs=[is_side_open, side.box], queue=False, api_visibility="private"
    )
    conversation_id = gr.Textbox(visible="hidden", label="Conversation", elem_id="h-pg-conversation")
    return Parts(
        notice=notice,
        workspace=workspace,
        num_columns=num_columns,
        tools=tools,
        columns=columns,
        prompt=prompt,
        send=send,
        stop_all=stop_all,
        regenerate=regenerate,
        rewrite=rewrite,
        side=side,
        conversation_id=conversation_id,
    )


def _draw_column(number: int) -> Column:
    with gr.Column(visible=number == 0, elem_id=f"h-pg-column-{number}") as box:
        model = gr.Dropdown(label=f"Model {number + 1}", show_label=False, container=False, filterable=True)
        note = html()
        earlier = html(elem_classes="h-pg-earlier")
        latest = html(elem_classes="h-pg-latest")
        stop = gr.Button("Stop", size="sm", visible=False, elem_classes="h-fit h-pg-stop")
    return Column(box, model, note, earlier, latest, stop)


def _toggle_side(is_open: bool) -> tuple[bool, Any]:
    return not is_open, gr.update(visible=not is_open)


# ---------------------------------------------------------------------------------------------------------- read


@dataclass(frozen=True)
class Told:
    """What the form says."""

    conversation_id: str
    model_ids: list[int]
    settings: PlaygroundSettings


def read_form(values: Sequence[Any]) -> Told:
    conversation_id, num_columns, *rest = values
    chosen = rest[: int(num_columns)]
    if any(model_id is None for model_id in chosen):
        raise BadModel("A column has no model.", "Choose a model in every column, or show fewer columns.")
    return Told(conversation_id or "", [talkers.model_of(one).id for one in chosen], read_settings(rest[MAX_COLUMNS:]))


# ---------------------------------------------------------------------------------------------------------- filled


def column_content(column: Column, conversation: Conversation, number: int, model_id: int) -> Updates:
    is_live = turn_in_progress(conversation.id) is not None or bool(waiting_columns(conversation))
    *earlier, last = [
        turn_view(turn, number, present_model_id=model_id, is_live=is_live and turn is conversation.turns[-1])
        for turn in conversation.turns
    ]
    return {column.earlier: "".join(earlier), column.latest: last}


def waiting_columns(conversation: Conversation) -> set[int]:
    """The columns whose answers to the last prompt wait to be written."""
    last = conversation.turns[-1:]
    return {answer.column for turn in last for answer in turn.answers if answer.state == "waiting"}


def empty_columns(parts: Parts, model_ids: Sequence[str | None], choices: Sequence[tuple[str, str]]) -> Updates:
    updates: Updates = {parts.num_columns: str(len(model_ids))}
    for number, column in enumerate(parts.columns):
        is_shown = number < len(model_ids)
        # A column that is not shown yet waits with the next model, so that showing it makes a comparison.
        model_id = model_ids[number] if is_shown else choices[-1 - number % len(choices)][1]
        updates[column.box] = gr.update(visible=is_shown)
        updates[column.model] = gr.update(choices=list(choices), value=model_id)
        updates[column.latest] = unnamed_model() if model_id is None else invitation(len(model_ids))
    return updates


def notes(parts: Parts, examples: Examples) -> Updates:
    """Under each column's model, how many of the examples it is shown."""
    num_whole = sum(one.is_whole for one in examples.pairs)
    return {
        column.note: column_note(len(examples.in_column(number)), num_whole)
        for number, column in enumerate(parts.columns)
    }


def buttons(parts: Parts, running: set[int]) -> Updates:
    """Stop where something is being written; Send and Regenerate where nothing is."""
    updates: Updates = {
        column.stop: gr.update(visible=number in running) for number, column in enumerate(parts.columns)
    }
    return updates | {
        parts.send: gr.update(visible=not running, interactive=True),
        parts.stop_all: gr.update(visible=bool(running)),
        parts.regenerate: gr.update(visible=not running),
    }


def hidden() -> Any:
    return gr.update(visible=False)


def noticed(view: str) -> Any:
    return gr.update(value=view, visible=bool(view))
