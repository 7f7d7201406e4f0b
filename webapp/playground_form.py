"""The playground's form: its parts drawn, read into what a person asked for, and filled from what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipeline.errors import BadModel
from store.schema import Conversation
from webapp import talkers
from webapp.answering import turn_in_progress
from webapp.inference_client import ChatSettings
from webapp.shell import html, link_button
from webapp.views_playground import invitation, turn_view, unnamed_model

MAX_COLUMNS = 6
MAX_PROMPT_CHARACTERS = 200_000

Updates = dict[Any, Any]


@dataclass(frozen=True)
class Column:
    """One model's column: its picker, what was said before, what is being said, and its Stop."""

    box: gr.Column
    model: gr.Dropdown
    earlier: gr.HTML
    latest: gr.HTML
    stop: gr.Button


@dataclass(frozen=True)
class SettingsPanel:
    system_prompt: gr.Textbox
    temperature: gr.Number
    top_p: gr.Number
    max_tokens: gr.Number
    seed: gr.Number
    stop: gr.Textbox

    @property
    def fields(self) -> list[Any]:
        return [self.system_prompt, self.temperature, self.top_p, self.max_tokens, self.seed, self.stop]


@dataclass(frozen=True)
class Parts:
    """Everything on the page that a handler may change."""

    notice: gr.HTML
    workspace: gr.Row
    num_columns: gr.Radio
    columns: list[Column]
    prompt: gr.Textbox
    send: gr.Button
    stop_all: gr.Button
    regenerate: gr.Button
    side: gr.Column
    settings: SettingsPanel
    history: gr.HTML
    conversation_id: gr.Textbox

    @property
    def all(self) -> list[Any]:
        alone = [self.notice, self.workspace, self.num_columns, self.prompt, self.send, self.stop_all]
        more = [self.regenerate, self.side, self.history, self.conversation_id, *self.settings.fields]
        in_columns = [part for one in self.columns for part in (one.box, one.model, one.earlier, one.latest, one.stop)]
        return [*alone, *more, *in_columns]


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
            with gr.Row(elem_classes="h-pg-columns"):
                columns = [_draw_column(number) for number in range(MAX_COLUMNS)]
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
                regenerate = gr.Button("Regenerate", visible=False, elem_classes="h-fit")
        with gr.Column(elem_classes="h-pg-side", elem_id="h-pg-side", scale=0, min_width=272) as side:
            settings = _draw_settings()
            with gr.Column(elem_classes="h-card"):
                html('<h2 class="h-h2">Conversations</h2>')
                history = html()
    is_side_open = gr.State(value=True)
    panel_button.click(
        _toggle_side, inputs=[is_side_open], outputs=[is_side_open, side], queue=False, api_visibility="private"
    )
    conversation_id = gr.Textbox(visible="hidden", label="Conversation")
    return Parts(
        notice=notice,
        workspace=workspace,
        num_columns=num_columns,
        columns=columns,
        prompt=prompt,
        send=send,
        stop_all=stop_all,
        regenerate=regenerate,
        side=side,
        settings=settings,
        history=history,
        conversation_id=conversation_id,
    )


def _draw_column(number: int) -> Column:
    with gr.Column(visible=number == 0, elem_id=f"h-pg-column-{number}") as box:
        model = gr.Dropdown(label=f"Model {number + 1}", show_label=False, container=False, filterable=True)
        earlier = html()
        latest = html()
        stop = gr.Button("Stop", size="sm", visible=False, elem_classes="h-fit h-pg-stop")
    return Column(box, model, earlier, latest, stop)


def _draw_settings() -> SettingsPanel:
    defaults = ChatSettings()
    with gr.Column(elem_classes="h-card"):
        html('<h2 class="h-h2">Settings</h2>')
        system_prompt = gr.Textbox(
            label="System prompt", lines=3, max_lines=10, placeholder="How the models should behave"
        )
        with gr.Row(elem_classes="h-pg-pair"):
            temperature = gr.Number(
                defaults.temperature,
                label="Temperature",
                minimum=0,
                maximum=2,
                step=0.1,
                info="0 is exact, higher varies",
                min_width=100,
            )
            top_p = gr.Number(
                defaults.top_p,
                label="Top-p",
                minimum=0.05,
                maximum=1,
                step=0.05,
                info="1 draws from all tokens",
                min_width=100,
            )
        with gr.Row(elem_classes="h-pg-pair"):
            max_tokens = gr.Number(
                defaults.max_tokens,
                label="Maximum tokens",
                precision=0,
                minimum=1,
                info="Empty: no limit",
                min_width=100,
            )
            seed = gr.Number(label="Seed", precision=0, minimum=0, info="Empty: always new", min_width=100)
        stop = gr.Textbox(label="Stop strings", lines=1, max_lines=6, info="One a line; the answer ends before it.")
    return SettingsPanel(system_prompt, temperature, top_p, max_tokens, seed, stop)


def _toggle_side(is_open: bool) -> tuple[bool, Any]:
    return not is_open, gr.update(visible=not is_open)


# ---------------------------------------------------------------------------------------------------------- read


@dataclass(frozen=True)
class Told:
    """What the form says."""

    conversation_id: str
    model_ids: list[int]
    settings: ChatSettings


def read_form(values: Sequence[Any]) -> Told:
    conversation_id, num_columns, *rest = values
    chosen = rest[: int(num_columns)]
    if any(model_id is None for model_id in chosen):
        raise BadModel("A column has no model.", "Choose a model in every column, or show fewer columns.")
    return Told(conversation_id or "", [talkers.model_of(one).id for one in chosen], read_settings(rest[MAX_COLUMNS:]))


def read_settings(fields: Sequence[Any]) -> ChatSettings:
    system_prompt, temperature, top_p, max_tokens, seed, stop = fields
    defaults = ChatSettings()
    return ChatSettings(
        system_prompt=system_prompt or "",
        temperature=defaults.temperature if temperature is None else min(max(temperature, 0), 2),
        top_p=defaults.top_p if top_p is None else min(max(top_p, 0.01), 1),
        max_tokens=max(int(max_tokens), 1) if max_tokens else None,
        seed=None if seed is None else max(int(seed), 0),
        stop=tuple(line for line in (stop or "").splitlines() if line),
    )


# ---------------------------------------------------------------------------------------------------------- filled


def column_content(column: Column, conversation: Conversation, number: int, model_id: int) -> Updates:
    is_live = turn_in_progress(conversation.id) is not None
    *earlier, last = [
        turn_view(turn, number, present_model_id=model_id, is_live=is_live and turn is conversation.turns[-1])
        for turn in conversation.turns
    ]
    return {column.earlier: "".join(earlier), column.latest: last}


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


def settings_shown(parts: Parts, settings: ChatSettings) -> Updates:
    panel = parts.settings
    return {
        panel.system_prompt: settings.system_prompt,
        panel.temperature: settings.temperature,
        panel.top_p: settings.top_p,
        panel.max_tokens: settings.max_tokens,
        panel.seed: settings.seed,
        panel.stop: "\n".join(settings.stop),
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
