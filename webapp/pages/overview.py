"""Overview: where the loop stands."""

from __future__ import annotations

from webapp.shell import Page, chip, empty_state, error_block, html, link_button, page_header, progress_bar
from pipeline.errors import HoneError


def build() -> None:
    html(page_header("Overview", "A place to look at the parts.", link_button("Start", "/train", "primary")))
    html(
        '<div class="h-columns"><div class="h-card"><h2 class="h-h2">Card</h2>'
        + chip("running")
        + chip("failed")
        + chip("queued")
        + chip("paused")
        + progress_bar(0.6)
        + "</div>"
        + empty_state("No data yet: upload a file to begin.", link_button("Upload", "/data", "primary"))
        + error_block(HoneError("The file is empty.", "Choose another."))
        + "</div>"
    )


PAGE = Page(title="Overview", path="/", build=build, in_nav=True)
