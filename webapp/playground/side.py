"""The playground's side panel: past conversations, presets, settings and examples, drawn and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from sqlalchemy.orm import Session

from store import datasets, presets
from webapp.inference_client import ChatSettings
from webapp.playground.sampling_form import Examples, PlaygroundSettings, read_examples, written_examples
from webapp.playground.views_sheets import example_editor
from webapp.shell import html

Updates = dict[Any, Any]


@dataclass(frozen=True)
class SettingsPanel:
    """The fields that settings are read from and shown in."""

    system_prompt: gr.Textbox
    temperature: gr.Number
    top_p: gr.Number
    top_k: gr.Number
    max_tokens: gr.Number
    seed: gr.Number
    stop: gr.Textbox
    examples: gr.Textbox
    """The examples as JSON; `playground.js` writes what is typed into the editor there."""

    @property
    def fields(self) -> list[Any]:
        sampling = [self.temperature, self.top_p, self.top_k, self.max_tokens, self.seed, self.stop]
        return [self.system_prompt, *sampling, self.examples]


@dataclass(frozen=True)
class PresetPicker:
    name: gr.Dropdown
    save: gr.Button
    delete: gr.Button


@dataclass(frozen=True)
class SidePanel:
    """Everything in the side panel that a handler may change."""

    box: gr.Column
    presets: PresetPicker
    settings: SettingsPanel
    examples_editor: gr.HTML
    spread: gr.Button
    """Pressed by the editor's own button: shows the first model with growing numbers of examples."""
    history: gr.HTML

    @property
    def all(self) -> list[Any]:
        return [self.box, self.presets.name, *self.settings.fields, self.examples_editor, self.history]


# ---------------------------------------------------------------------------------------------------------- drawn


def draw_side() -> SidePanel:
    with gr.Column(elem_classes="h-pg-side", elem_id="h-pg-side", scale=0, min_width=272) as box:
        with gr.Column(elem_classes="h-card"):
            html(
                '<h2 class="h-h2">Conversations</h2><input class="h-input" type="search" id="h-pg-search" '
                'placeholder="Search what was said" aria-label="Search conversations" maxlength="200">'
            )
            history = html(elem_id="h-pg-past")
        with gr.Column(elem_classes="h-card"):
            html('<h2 class="h-h2">Settings</h2>')
            picker = _draw_presets()
            settings = _draw_settings()
        with gr.Column(elem_classes="h-card"):
            editor = html(editor_view(Examples()))
            spread = gr.Button("Spread examples", visible="hidden", elem_id="h-pg-spread")
    return SidePanel(box, picker, settings, editor, spread, history)


def _draw_presets() -> PresetPicker:
    name = gr.Dropdown(
        [],
        label="Preset",
        allow_custom_value=True,
        info="Choose one, or type a name and save what is set below.",
        elem_id="h-pg-preset",
    )
    with gr.Row(elem_classes="h-pg-pair"):
        save = gr.Button("Save preset", size="sm", elem_classes="h-fit")
        delete = gr.Button("Delete preset", size="sm", elem_classes="h-fit")
    return PresetPicker(name, save, delete)


def _draw_settings() -> SettingsPanel:
    defaults = ChatSettings()
    narrow: dict[str, Any] = {"min_width": 100}
    system_prompt = gr.Textbox(label="System prompt", lines=3, max_lines=10, placeholder="How the models should behave")
    with gr.Row(elem_classes="h-pg-pair"):
        temperature = gr.Number(
            defaults.temperature,
            label="Temperature",
            minimum=0,
            maximum=2,
            step=0.1,
            info="0: the likeliest token",
            **narrow,
        )
        max_tokens = gr.Number(
            defaults.max_tokens, label="Maximum tokens", precision=0, minimum=1, info="Empty: no limit", **narrow
        )
    with gr.Row(elem_classes="h-pg-pair"):
        top_p = gr.Number(
            defaults.top_p,
            label="Top-p",
            minimum=0.05,
            maximum=1,
            step=0.05,
            info="Share to draw from; 1: all",
            **narrow,
        )
        top_k = gr.Number(label="Top-k", precision=0, minimum=1, info="Of the k likeliest; empty: all", **narrow)
    seed = gr.Number(label="Seed", precision=0, minimum=0, info="The same seed, the same answer; empty: always new.")
    stop = gr.Textbox(label="Stop strings", lines=1, max_lines=6, info="One a line; the answer ends before it.")
    examples = gr.Textbox(visible="hidden", label="Examples", elem_id="h-pg-examples")
    return SettingsPanel(system_prompt, temperature, top_p, top_k, max_tokens, seed, stop, examples)


def editor_view(examples: Examples, versions: Sequence[tuple[int, str]] = ()) -> str:
    """The editor of examples; `playground.js` keeps what is typed in it."""
    items = "".join(map(example_editor, examples.pairs))
    options = "".join(f'<option value="{version_id}">{escape(name)}</option>' for version_id, name in versions)
    draw = (
        '<details><summary>Draw from a dataset</summary><form class="h-stack" id="h-pg-draw">'
        f'<label class="h-field">Dataset<select class="h-input" name="version">{options}</select></label>'
        '<div class="h-line"><label class="h-field">Examples<input class="h-input" type="number" name="count" '
        'value="5" min="1" max="64"></label><label class="h-field">Seed<input class="h-input" type="number" '
        'name="seed" value="0" min="0"></label></div>'
        '<div class="h-line"><button class="h-button h-slim">Draw examples</button></div></form>'
        "</details>"
        if options
        else ""
    )
    is_open = " open" if examples.pairs else ""
    return (
        f'<details class="h-pg-examples"{is_open}><summary class="h-h2">Examples</summary>'
        '<p class="h-quiet h-small">Prompts with answers that every model is shown before the conversation.</p>'
        f'<ol id="h-pg-pairs">{items}</ol>'
        '<div class="h-pg-acts"><button type="button" data-act="add-example">Add example</button>'
        '<button type="button" data-act="spread" title="One model, with 0, 1, 2, 5 of the examples and all">Compare 0, '
        '1, 2, 5</button><button type="button" data-act="show-all">Show all to each</button></div>'
        f'{draw}<p class="h-fault h-small" role="alert" hidden></p></details>'
    )


# ----------------------------------------------------------------------------------------------------------- read


def read_settings(fields: Sequence[Any]) -> PlaygroundSettings:
    """The settings as the panel shows them, numbers brought into their bounds.

    Raises:
        BadExamples: if the examples cannot be used.
    """
    system_prompt, temperature, top_p, top_k, max_tokens, seed, stop, examples = fields
    defaults = ChatSettings()
    return PlaygroundSettings(
        system_prompt=system_prompt or "",
        temperature=defaults.temperature if temperature is None else min(max(temperature, 0), 2),
        top_p=defaults.top_p if top_p is None else min(max(top_p, 0.01), 1),
        top_k=max(int(top_k), 1) if top_k else None,
        max_tokens=max(int(max_tokens), 1) if max_tokens else None,
        seed=None if seed is None else max(int(seed), 0),
        stop=tuple(line for line in (stop or "").splitlines() if line),
        examples=read_examples(examples),
    )


# --------------------------------------------------------------------------------------------------------- filled


def settings_shown(side: SidePanel, settings: PlaygroundSettings, session: Session) -> Updates:
    panel = side.settings
    return {
        panel.system_prompt: settings.system_prompt,
        panel.temperature: settings.temperature,
        panel.top_p: settings.top_p,
        panel.top_k: settings.top_k,
        panel.max_tokens: settings.max_tokens,
        panel.seed: settings.seed,
        panel.stop: "\n".join(settings.stop),
        **examples_shown(side, settings.examples, session),
    }


def examples_shown(side: SidePanel, examples: Examples, session: Session) -> Updates:
    versions = [
        (one.id, f"{one.dataset.name} v{one.number}")
        for one in datasets.list_versions(session, ("instruction", "preference"))
    ]
    return {
        side.settings.examples: written_examples(examples),
        side.examples_editor: editor_view(examples, versions),
    }


def presets_shown(side: SidePanel, session: Session, present: str | None = None) -> Updates:
    names = [one.name for one in presets.list_presets(session)]
    return {side.presets.name: gr.update(choices=names, value=present)}
