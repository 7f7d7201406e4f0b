"""Views of the settings: endpoints, API keys and the facts of this installation as HTML, by pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from store.schema import ApiKey, Endpoint, Model
from webapp.commands import command_button
from webapp.formatting import when
from webapp.jobs.views import model_link
from webapp.shell import chip, empty_state

KeyState = str
"""none, set, or lost where it cannot be read any more."""

_KEY_CHIPS = {
    "none": '<span class="h-quiet">none</span>',
    "set": chip("", "Set", "good"),
    "lost": chip("", "Enter again", "bad"),
}


def endpoints_table(
    endpoints: Sequence[Endpoint], models: Mapping[int, Sequence[Model]], keys: Mapping[int, KeyState]
) -> str:
    """A row an endpoint: where it is, whether it has a key, what it answers for, and what can be done.

    Args:
        models, keys: By the endpoint's id.
    """
    if not endpoints:
        return empty_state(
            "No endpoint yet. Add a server that speaks OpenAI's protocol, and its models can be chatted with and "
            "compared like your own."
        )
    rows = "".join(_endpoint_row(one, models.get(one.id, ()), keys[one.id]) for one in endpoints)
    return (
        '<div class="h-table-wrap"><table class="h-table h-settings-table"><thead><tr><th>Endpoint</th><th>Key</th>'
        f"<th>Models</th><th></th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _endpoint_row(endpoint: Endpoint, models: Sequence[Model], key: KeyState) -> str:
    links = ", ".join(map(model_link, models)) or '<span class="h-quiet">none chosen</span>'
    buttons = "".join(
        command_button(words, f"endpoint:{wish}:{endpoint.id}", title=f"{title} {endpoint.name}")
        for words, wish, title in (
            ("Test", "test", "Ask for the models of"),
            ("Models", "models", "Add models of"),
            ("Key", "key", "Replace the key of"),
            ("Remove", "remove", "Remove"),
        )
    )
    return (
        f'<tr><td><span class="h-strong">{escape(endpoint.name)}</span>'
        f'<div class="h-quiet h-small h-mono h-settings-address">{escape(endpoint.base_url)}</div></td>'
        f"<td>{_KEY_CHIPS[key]}</td><td>{links}</td>"
        f'<td><div class="h-line h-settings-actions">{buttons}</div></td></tr>'
    )


def keys_table(keys: Sequence[ApiKey], now: datetime | None = None) -> str:
    if not keys:
        return empty_state("No key yet. Create one for each program that is to use your models.")
    rows = "".join(_key_row(key, now) for key in keys)
    return (
        '<div class="h-table-wrap"><table class="h-table h-settings-table"><thead><tr><th>Name</th><th>Created</th>'
        f"<th>Last used</th><th></th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _key_row(key: ApiKey, now: datetime | None) -> str:
    used = when(key.last_used_at, now) if key.last_used_at else '<span class="h-quiet">never</span>'
    revoke = command_button("Revoke", f"key:revoke:{key.id}", title=f"Revoke {key.name}")
    return (
        f'<tr><td><span class="h-strong">{escape(key.name)}</span></td><td>{when(key.created_at, now)}</td>'
        f'<td>{used}</td><td><div class="h-line h-settings-actions">{revoke}</div></td></tr>'
    )


def new_key(name: str, key: str) -> str:
    """A key as it is shown the once, with a button that copies it."""
    return (
        f'<div class="h-note h-settings-key"><p><b>{escape(name)}</b> is created. Copy its key now: it is not shown '
        f'again.</p><div class="h-line"><code>{escape(key)}</code>'
        f'<button type="button" class="h-button h-slim" data-copy="{escape(key)}">Copy key</button></div></div>'
    )


def usage(address: str, model_name: str) -> str:
    """How a program asks the server, with a model that there is."""
    lines = (
        f"curl {address}/v1/chat/completions \\\n"
        '  -H "Authorization: Bearer $HONE_KEY" -H "Content-Type: application/json" \\\n'
        f"""  -d '{{"model": "{model_name}", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
    )
    return f'<pre class="h-code h-wrap">{escape(lines)}</pre>'


def installation(rows: Sequence[tuple[str, str, str]]) -> str:
    """Each setting with its value and what it is for."""
    body = "".join(
        f'<tr><td class="h-mono h-small">{escape(variable)}</td>'
        f'<td class="h-settings-value">{escape(value) or _NOT_SET}</td>'
        f'<td class="h-quiet h-small">{escape(meaning)}</td></tr>'
        for variable, value, meaning in rows
    )
    return (
        '<div class="h-table-wrap"><table class="h-table h-settings-table"><thead><tr><th>Variable</th><th>Value</th>'
        f"<th>What it is for</th></tr></thead><tbody>{body}</tbody></table></div>"
    )


_NOT_SET = '<span class="h-quiet">not set</span>'


def remark(words: str, *, is_good: bool = True) -> str:
    """One sentence of what was done (`words` is text)."""
    shape = chip("", "Done", "good") + " " if is_good else ""
    return f'<div class="h-note"><p>{shape}{escape(words)}</p></div>'
