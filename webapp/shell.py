"""Shell: what every page stands in, and the few parts that every page is made of.

A page file draws with Gradio components where a person types or presses, and with `html(...)` where something is
only shown. What is shown is made by pure functions from the parts below. CSS classes (`static/hone.css`), all `h-…`:

    h-card                  a framed surface; also `elem_classes` of gr.Column and gr.Group
    h-card-head             title left, actions right, inside a card
    h-columns               columns as wide as they fit; `style="--h-min: 320px"` sets the least, `h-even` one height
    h-stack, h-line         parts under each other; parts beside each other (`h-apart`: first left, last right)
    h-h2                    a card's title; page titles come from `page_header`
    h-quiet, h-small        secondary text; small text. `h-strong`, `h-figure` (a large number), `h-mono`, `h-clip`
    h-facts                 on a <dl>: names left, values right
    h-table, h-table-wrap   a table and its frame; `h-num` on number cells (right-aligned)
    h-chip h-good|warn|bad  a state (use `chip`); `h-tag` for a kind that is not a state
    h-progress              a bar (use `progress_bar`)
    h-button                a link that looks like a button; `h-primary` (one a page), `h-danger`, `h-slim`
    h-empty, h-error        see `empty_state`, `error_block`; `h-note` for a remark; `h-skeleton` while loading
    h-code, h-wrap          text in a fixed pitch, scrolled or wrapped
    h-sticky                on a gr.Column: stays in view while the other column scrolls
    h-fit                   on a gr.Button: as wide as its words (`variant="primary"`, `"secondary"`, `"stop"`)

Colours are the tokens `var(--hone-ink|quiet|line|card|well|accent|good|warn|bad…)`: never a literal in a page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import gradio as gr
from gradio.context import Context as GradioContext

from pipeline.errors import HoneError
from pipeline.spec import SpecFaults
from webapp.formatting import label_of

Tone = Literal["good", "warn", "bad", "quiet"]


@dataclass(frozen=True)
class Page:
    """One address of the product.

    Args:
        title: What the navigation and the browser's tab say.
        path: Where it is, such as "/data"; "/" is the front page.
        build: Draws the page's content inside Gradio, below the navigation.
        in_nav: Whether the navigation names it.
        under: The path of the page that the navigation marks while this one is open.
        assets: Its own style sheets and scripts in `static/`, such as "arena.css".
    """

    title: str
    path: str
    build: Callable[[], None]
    in_nav: bool = False
    under: str = ""
    assets: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------ parts with Gradio in them


QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Options of a listener that answers at once: nobody waits in a line for it, and no other program may call it."""
FOLLOW = "(address) => { if (address) window.location.assign(address); }"
"""The script of a listener that goes to the address that another has written, if there is one."""


def html(value: str = "", **options: Any) -> gr.HTML:
    """A place for markup of our own, without Gradio's text styles."""
    return gr.HTML(value, apply_default_css=False, js_on_load=None, **options)


def on_load(
    function: Callable[..., Any], *, inputs: Sequence[Any] | None = None, outputs: Sequence[Any] | None = None
) -> Any:
    """Call `function` when a browser opens the page that is being built; annotate a `gr.Request` to read the URL."""
    root = GradioContext.root_block
    assert root is not None, "on_load belongs inside a page's build()"
    return root.load(
        function, inputs=inputs, outputs=outputs, queue=False, show_progress="hidden", api_visibility="private"
    )


def on_tick(timer: gr.Timer, function: Callable[..., Any], *, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
    """Call `function` whenever the timer rings, in the cheapest way that Gradio has.

    Values pass as they are: to convert one, Gradio hands the request to another thread and back, and with many browsers
    that is where the time goes. So inputs are what a browser sent, and outputs are texts, states and updates.
    """
    return timer.tick(
        function,
        inputs=inputs,
        outputs=outputs,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
        preprocess=False,
        postprocess=False,
    )


def query_value(request: gr.Request, name: str) -> str:
    """A parameter of the page's URL, or the empty string."""
    return str(request.query_params.get(name, ""))


def query_id(request: gr.Request, name: str = "id") -> int | None:
    """A parameter of the page's URL that names a row, or None where it is missing or no number."""
    value = query_value(request, name)
    return int(value) if value.isdecimal() and len(value) < 18 else None


# ---------------------------------------------------------------------------------------------------- parts of HTML

_SHAPES = {
    "good": '<path d="M1.5 5.5 4 8l4.5-6" fill="none" stroke="currentColor" stroke-width="1.8"/>',
    "warn": '<path d="M5 .8 9.6 9H.4Z" fill="currentColor"/>',
    "bad": '<path d="m1.5 1.5 7 7m0-7-7 7" fill="none" stroke="currentColor" stroke-width="1.8"/>',
    "quiet": '<circle cx="5" cy="5" r="3.2" fill="none" stroke="currentColor" stroke-width="1.6"/>',
    "going": '<path d="M2 .8 9 5 2 9.2Z" fill="currentColor"/>',
    "paused": '<path d="M2 1h2.2v8H2Zm3.8 0H8v8H5.8Z" fill="currentColor"/>',
    "stopped": '<rect x="1.5" y="1.5" width="7" height="7" fill="currentColor"/>',
}
_STATES: dict[str, tuple[Tone, str, str]] = {
    "queued": ("quiet", "quiet", "Queued"),
    "running": ("good", "going", "Running"),
    "paused": ("warn", "paused", "Paused"),
    "succeeded": ("good", "good", "Succeeded"),
    "failed": ("bad", "bad", "Failed"),
    "cancelled": ("quiet", "stopped", "Stopped"),
}


def icon(shape: str) -> str:
    """One of the shapes that stand beside a state: good, warn, bad, quiet, going, paused, stopped."""
    return f'<svg viewBox="0 0 10 10" aria-hidden="true">{_SHAPES[shape]}</svg>'


def chip(state: str, words: str = "", tone: Tone | None = None) -> str:
    """A state as a word, a shape and a colour: a job's state by its name, or any `words` in a `tone`.

    >>> "Running" in chip("running"), "3 rejected" in chip("", "3 rejected", "warn")
    (True, True)
    """
    tone_of_state, shape, title = _STATES.get(state, ("quiet", "quiet", state.capitalize()))
    if tone is not None:
        tone_of_state, shape = tone, tone
    return f'<span class="h-chip h-{tone_of_state}">{icon(shape)}{escape(words or title)}</span>'


def page_header(title: str, sub: str = "", actions: str = "") -> str:
    """A page's title, a quiet sentence under it, and buttons at the right (`sub` and `actions` are HTML)."""
    quiet = f"<p>{sub}</p>" if sub else ""
    words = f"<div><h1>{escape(title)}</h1>{quiet}</div>"
    return f'<header class="h-header">{words}<div class="h-line">{actions}</div></header>'


def link_button(words: str, href: str, kind: Literal["", "primary", "danger"] = "", *, slim: bool = False) -> str:
    classes = " ".join(["h-button", *([f"h-{kind}"] if kind else []), *(["h-slim"] if slim else [])])
    return f'<a class="{classes}" href="{escape(href)}">{escape(words)}</a>'


def empty_state(sentence: str, button: str = "") -> str:
    """An invitation where there is nothing yet: one sentence, and one button (made by `link_button`)."""
    return f'<div class="h-empty"><p>{escape(sentence)}</p>{button}</div>'


def error_block(error: HoneError) -> str:
    """An error as a person needs it: what happened and was received, what to do, and the cause folded away."""
    faults = ""
    message = error.message
    if isinstance(error, SpecFaults):
        message = "These settings cannot be used yet." if len(error.faults) > 1 else "One setting cannot be used yet."
        faults = "".join(
            f"<li>{f'<b>{escape(label_of(fault.field))}</b> ' if fault.field else ''}{escape(fault.message)}</li>"
            for fault in error.faults
        )
        faults = f"<ul>{faults}</ul>"
    advice = f"<p>{escape(error.advice)}</p>" if error.advice else ""
    cause = error.__cause__
    detail = (
        f"<details><summary>Detail</summary><pre>{escape(f'{type(cause).__name__}: {cause}'[:4000])}</pre></details>"
        if cause is not None and not faults
        else ""
    )
    return (
        f'<div class="h-error" role="alert"><p class="h-error-title">{icon("bad")}<span>{escape(message)}</span></p>'
        f"{advice}{faults}{detail}</div>"
    )


def progress_bar(fraction: float | None, *, is_going: bool = True) -> str:
    """A bar filled to `fraction`; None where the length is not known yet."""
    if fraction is None:
        return '<div class="h-progress h-going h-unknown" role="progressbar"><span></span></div>'
    percent = round(min(max(fraction, 0.0), 1.0) * 100, 1)
    return (
        f'<div class="h-progress{" h-going" if is_going else ""}" role="progressbar" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent}"><span style="width:{percent}%"></span></div>'
    )


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns; values are HTML, names are text. Rows without a value are left out."""
    body = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows if value)
    return f'<dl class="h-facts">{body}</dl>'


# ---------------------------------------------------------------------------------------------------------- the bar

MARK = (
    '<svg viewBox="0 0 18 18" aria-hidden="true"><path d="M9 1 17 9 9 17 1 9Z" fill="none" stroke="currentColor" '
    'stroke-width="1.8"/><path d="M9 5.5 12.5 9 9 12.5 5.5 9Z" fill="currentColor"/></svg>'
)
_SUN = (
    '<svg class="h-theme-dark" viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="3" fill="currentColor"/>'
    '<path d="M8 1v2m0 10v2M1 8h2m10 0h2M3 3l1.5 1.5m7 7L13 13M13 3l-1.5 1.5m-7 7L3 13" stroke="currentColor" '
    'stroke-width="1.4"/></svg>'
)
_MOON = (
    '<svg class="h-theme-light" viewBox="0 0 16 16" aria-hidden="true">'
    '<path d="M13.5 10A6 6 0 0 1 6 2.5 6 6 0 1 0 13.5 10Z" fill="currentColor"/></svg>'
)


@dataclass(frozen=True)
class BarStatus:
    """What the right end of the bar says about the workers and the queue."""

    num_workers: int
    devices: tuple[str, ...]
    num_running: int
    num_queued: int
    is_paused: bool = False


def bar(pages: Sequence[Page], present: Page | None, status: BarStatus, person_name: str) -> str:
    """The navigation: the mark, every page with the present one marked, the workers, and who is looking."""
    marked = (present.under or present.path) if present else ""
    links = "".join(
        f'<a href="{page.path}"{" aria-current=page" if page.path == marked else ""}>{escape(page.title)}</a>'
        for page in pages
        if page.in_nav
    )
    return (
        f'<header class="h-bar"><div class="h-bar-in"><a class="h-mark" href="/">{MARK}Hone</a>'
        f'<nav class="h-nav" aria-label="Pages">{links}</nav>'
        f'<div class="h-bar-end"><div class="h-bar-status" id="h-status">{bar_status(status)}</div>'
        '<button class="h-bar-button" type="button" id="h-person" title="Change your name">'
        f"{escape(person_name)}</button>"
        '<button class="h-bar-button" type="button" id="h-theme" aria-label="Switch between light and dark">'
        f"{_SUN}{_MOON}</button></div></div>{_NAME_DIALOG}</header>"
    )


_NAME_DIALOG = (
    '<dialog class="h-dialog" id="h-name-dialog" aria-label="Your name"><form method="dialog">'
    '<label class="h-field">Your name'
    '<input class="h-input" name="name" maxlength="80" autocomplete="nickname" required></label>'
    '<span class="h-quiet">Others see it beside the jobs you launch. It belongs to this browser.</span>'
    '<span class="h-fault" role="alert" hidden></span>'
    '<div class="h-line"><button class="h-button h-primary" value="save">Save name</button>'
    '<button class="h-button" type="button" data-close>Cancel</button></div></form></dialog>'
)


def bar_status(status: BarStatus) -> str:
    """The workers and the queue in a few words, with links to both."""
    if status.num_workers == 0:
        worker = chip("", "No worker", "bad")
    elif status.num_running:
        worker = chip("running", f"{status.num_running} running")
    else:
        device = status.devices[0] if len(set(status.devices)) == 1 and len(status.devices) == 1 else ""
        idle = f"{device} idle" if device else f"{status.num_workers} workers idle"
        worker = chip("", idle, "quiet")
    words = f"{status.num_queued} queued" if status.num_queued else ""
    words = f"{words or 'queue'} paused" if status.is_paused else words
    waiting = f'<a href="/jobs?state=queued">{words}</a>' if words else ""
    return f'<a href="/workers">{worker}</a>{waiting}'


def document_head(title: str, *, with_bar: bool = True, assets: Sequence[str] = ()) -> str:
    """What stands in the <head> of every page: the look, before the first paint, and the behaviour."""
    scripts = (*(("hone.js", "charts.js") if with_bar else ()), *(name for name in assets if name.endswith(".js")))
    behaviour = "".join(f'<script src="/ui/{name}" defer></script>' for name in scripts)
    return (
        f"<title>{escape(title)} · Hone</title>"
        f'<link rel="icon" href="/ui/mark.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/ui/hone.css">'
        f'<script src="/ui/boot.js"></script>{behaviour}'
    )


def own_styles(assets: Sequence[str]) -> str:
    """A page's own style sheets, for its <body>: there they come after Gradio's, which they are to overrule."""
    return "".join(f'<link rel="stylesheet" href="/ui/{name}">' for name in assets if name.endswith(".css"))
