"""The frame of the rows browser; `static/browse.js` fills it with rows from `webapp.data.browsing`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store.schema import DatasetVersion
from webapp.data.views import rejected_table
from webapp.formatting import number
from webapp.shell import empty_state, link_button

_ORDERS = {
    "text": (("", "As in the file"), ("longest", "Longest first"), ("shortest", "Shortest first")),
    "": (
        ("", "As in the file"),
        ("longest", "Longest first"),
        ("shortest", "Shortest first"),
        ("most_turns", "Most turns first"),
        ("fewest_turns", "Fewest turns first"),
    ),
}


def browser_view(version: DatasetVersion) -> str:
    """Search, filters, order, and the place where rows are shown."""
    orders = "".join(
        f'<option value="{value}">{words}</option>' for value, words in _ORDERS.get(version.kind, _ORDERS[""])
    )
    marked = (
        '<label class="h-check"><input type="checkbox" data-mark checked> Mark differences</label>'
        if version.kind == "preference"
        else ""
    )
    return (
        f'<div class="h-browse" data-version="{version.id}" data-total="{version.num_rows}" '
        f'style="--h-gutter: {max(2, len(number(version.num_rows))) + 1}ch">{_which(version, "rows")}'
        '<form class="h-browse-bar" role="search">'
        '<input class="h-input" type="search" name="q" maxlength="400" autocomplete="off" aria-label="Search the rows" '
        'placeholder="Search: words, &quot;a phrase&quot;, -without">'
        f'<select class="h-input" name="sort" aria-label="Order">{orders}</select>'
        '<button class="h-button" type="button" data-filters aria-expanded="false">Filters</button>'
        '<div class="h-filters-form" hidden></div></form>'
        '<div class="h-line h-apart h-browse-line"><span class="h-line"><span data-count aria-live="polite">'
        f"{_count(version.num_rows)}</span>"
        '<button class="h-link" type="button" data-clear hidden>Clear</button></span>'
        f'<span class="h-line">{marked}<form data-go class="h-go"><label>Go to row '
        '<input class="h-input" type="number" '
        f'min="1" max="{version.num_rows}" name="go" aria-label="Go to row"></label></form></span></div>'
        '<div class="h-note" data-note hidden></div>'
        '<div class="h-scroll" tabindex="0" role="feed" aria-label="Rows"><div class="h-scroll-space">'
        '<div class="h-scroll-rows"></div></div></div>'
        '<p class="h-quiet h-small h-keys"><kbd>J</kbd> <kbd>K</kbd> next and previous row · <kbd>Home</kbd> '
        "<kbd>End</kbd> first and last · <kbd>/</kbd> search</p></div>"
    )


def rejected_view(
    version: DatasetVersion, rejected: Sequence[dict[str, Any]], first: int, limit: int, counted_in: str
) -> str:
    """A page of the rows that were not taken."""
    if not rejected:
        nothing = empty_state("Every row of the file was taken.", link_button("All rows", f"/dataset?id={version.id}"))
        return f'<div class="h-browse">{_which(version, "rejected")}{nothing}</div>'
    address = f"/dataset?id={version.id}&show=rejected&first="
    last = first + len(rejected) - 1
    turns = "".join(
        link_button(words, f"{address}{start}", slim=True)
        for words, start, is_there in (
            ("Previous", max(1, first - limit), first > 1),
            ("Next", last + 1, last < version.num_rejected),
        )
        if is_there
    )
    return (
        f'<div class="h-browse">{_which(version, "rejected")}<div class="h-line h-apart"><span>'
        f"{number(first)} to {number(last)} of {number(version.num_rejected)} rejected rows</span>"
        f'<span class="h-line">{turns}<a class="h-button h-slim" href="/api/datasets/{version.id}/rejected" download>'
        f"Download all</a></span></div>{rejected_table(rejected, counted_in)}</div>"
    )


def _count(total: int) -> str:
    return f"{number(total)} {'row' if total == 1 else 'rows'}"


def _which(version: DatasetVersion, present: str) -> str:
    if not version.num_rejected and present == "rows":
        return ""
    here = ' aria-current="page"'
    return (
        f'<nav class="h-tabs" aria-label="Kept or rejected"><a href="/dataset?id={version.id}"'
        f'{here if present == "rows" else ""}>Rows</a><a href="/dataset?id={version.id}&amp;show=rejected"'
        f"{here if present == 'rejected' else ''}>Rejected ({number(version.num_rejected)})</a></nav>"
    )
