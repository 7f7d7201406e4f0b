"""Tabs: the pages of one dataset version, under one header."""

from __future__ import annotations

from html import escape

from store.schema import DatasetVersion
from webapp.data.views import tune_button
from webapp.formatting import counted
from webapp.shell import page_header

TABS = (
    ("/dataset", "Rows"),
    ("/trained", "What is trained"),
    ("/quality", "Quality"),
    ("/review", "Review"),
    ("/versions", "Versions"),
)
"""Address and words of each page of a dataset."""


def dataset_header(version: DatasetVersion, present: str) -> str:
    """Name, size and kind of a version, what can be done with it, and the tabs, with `present` marked."""
    tag = f"version {version.number} · " if version.number > 1 else ""
    sub = f"{tag}{counted(version.num_rows, 'row')} · {escape(version.kind)}"
    links = "".join(
        f'<a href="{address}?id={version.id}"{" aria-current=page" if address == present else ""}>{escape(words)}</a>'
        for address, words in TABS
    )
    return (
        page_header(version.dataset.name, sub, tune_button(version))
        + f'<nav class="h-tabs" aria-label="About this dataset">{links}</nav>'
    )
