"""Settings: servers elsewhere whose models can be used, keys to our own, and what this installation is set to."""

from __future__ import annotations

import gradio as gr

from store import models
from store.database import reading
from store.settings import settings, shown_settings
from webapp.commands import command_box
from webapp.settings import api_keys_form, endpoints_form
from webapp.settings.views import installation, usage
from webapp.shell import Page, html, on_load, page_header


def build() -> None:
    html(page_header("Settings", "Models that answer from elsewhere, keys for your programs, and this installation."))
    with gr.Accordion("This installation", open=False, elem_classes="h-card"):
        facts = html()
    with gr.Column(elem_classes="h-card h-settings"):
        endpoints = endpoints_form.draw()
    with gr.Column(elem_classes="h-card h-settings"):
        keys = api_keys_form.draw()
        how = html()
    on_load(_open, outputs=[facts, endpoints.table, keys.table, how])
    command = command_box()
    endpoints_form.connect(endpoints, command)
    api_keys_form.connect(keys, command)


def _open() -> list[str]:
    with reading() as session:
        own = models.list_own_models(session)
    address = settings().inference_url or "http://127.0.0.1:PORT"
    return [
        installation(shown_settings(settings())),
        endpoints_form.endpoints_shown(),
        api_keys_form.keys_shown(),
        usage(address, own[-1].name if own else "MODEL"),
    ]


PAGE = Page(
    title="Settings",
    path="/settings",
    build=build,
    in_nav=True,
    assets=("commands.js", "copy.js", "settings.css"),
)
