"""Commands: buttons in markup of our own that tell the page's handler something (see `static/commands.js`).

A page that uses them names "commands.js" among its assets, draws one `command_box()` and listens to its changes.
"""

from __future__ import annotations

from html import escape

import gradio as gr


def command_box() -> gr.Textbox:
    """The field that a pressed button's command is written into; its handler gets it through `read_command`."""
    return gr.Textbox(visible="hidden", elem_id="h-command", label="Command", max_length=200)


def command_button(words: str, command: str, *, title: str = "", is_slim: bool = True) -> str:
    classes = "h-button h-slim" if is_slim else "h-button"
    label = f' title="{escape(title)}" aria-label="{escape(title)}"' if title else ""
    return f'<button type="button" class="{classes}" data-command="{escape(command)}"{label}>{escape(words)}</button>'


def read_command(told: str) -> tuple[str, ...]:
    """The parts of a command: `7 12:before:9` is `("12", "before", "9")`, without the number of the press."""
    return tuple(told.partition(" ")[2].split(":"))
