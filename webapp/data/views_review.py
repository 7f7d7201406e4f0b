"""Views of a review: one row at a time, what was decided about it, and the keys to decide with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any

from store.reviews import SHOWN, Counts, Review, Shown
from webapp.data.row_parts import LABEL, RowPart, parts_of
from webapp.data.views_rows import row_view
from webapp.formatting import number, when
from webapp.shell import Tone, chip, empty_state, progress_bar

_WORDS: dict[Shown, str] = {
    "undecided": "Undecided",
    "accept": "Accepted",
    "edit": "Edited",
    "reject": "Rejected",
    "all": "All",
}
_TONES: dict[str, Tone] = {"accept": "good", "edit": "warn", "reject": "bad"}
_NONE_LEFT: dict[Shown, str] = {
    "undecided": "Every row is decided. Keep the accepted ones as a version, or look at them once more.",
    "accept": "No row is accepted yet.",
    "edit": "No row is edited yet.",
    "reject": "No row is rejected yet.",
    "all": "This version has no rows.",
}
_OTHERS_LOOK = "The rows that are left are before others right now; they come back in a minute if they stay undecided."


@dataclass(frozen=True)
class ReviewedRow:
    """The row that is shown, as it is in the version, with what was decided about it."""

    number: int
    row: Mapping[str, Any]
    review: Review | None = None

    @property
    def now(self) -> dict[str, Any]:
        """The row as it would be kept."""
        return dict(self.review.edited if self.review and self.review.edited else self.row)


@dataclass(frozen=True)
class ReviewState:
    """All that the page shows.

    Args:
        turn: The number of the press that led here; the page's script waits for it.
        notice: HTML that stands above the row, such as an error.
        typed: Texts of an edit that could not be saved, by place: the editor stays open on them.
    """

    counts: Counts
    shown: Shown
    present: ReviewedRow | None
    turn: int = 0
    notice: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)


def review_view(state: ReviewState, now: datetime | None = None) -> str:
    """Progress, filter, the row and the keys."""
    present = state.present
    about = (
        f' data-row="{present.number}" data-seen="{escape(present.review.mark if present.review else "")}"'
        if present
        else ""
    )
    body = _row(state, present, now) if present else f'<section class="h-card">{_nothing(state)}</section>'
    return (
        f'<div class="h-review-page" data-turn="{state.turn}" data-show="{state.shown}"{about}>'
        f"{_progress(state)}{state.notice}{body}{_keys(state)}</div>"
    )


def _progress(state: ReviewState) -> str:
    counts = state.counts
    share = counts.decided / counts.num_rows if counts.num_rows else 0.0
    buttons = "".join(
        f'<button type="button" data-review="show" data-to="{shown}" '
        f'aria-pressed="{"true" if shown == state.shown else "false"}">'
        f"{_WORDS[shown]} {number(counts.of(shown))}</button>"
        for shown in SHOWN
    )
    return (
        f'<div class="h-review-progress"><span><b>{number(counts.decided)} of {number(counts.num_rows)}</b> decided'
        f"</span>{progress_bar(share, is_going=False)}"
        f'<div class="h-review-filter" role="group" aria-label="Show">{buttons}</div></div>'
    )


def _nothing(state: ReviewState) -> str:
    if state.shown == "undecided" and state.counts.of("undecided"):
        return empty_state(_OTHERS_LOOK)
    return empty_state(_NONE_LEFT[state.shown])


def _row(state: ReviewState, present: ReviewedRow, now: datetime | None) -> str:
    is_editing = bool(state.typed)
    before = (
        '<details class="h-review-known"><summary>Before it was edited</summary>'
        f"{row_view(dict(present.row))}</details>"
        if present.review and present.review.edited
        else ""
    )
    return (
        f'<section class="h-card h-review-row">{_verdict(present, now)}'
        f"<div data-view{' hidden' if is_editing else ''}>{row_view(present.now)}{before}{_known(present.row)}</div>"
        f"<form data-edit{'' if is_editing else ' hidden'}>{_editor(present, state.typed)}</form></section>"
    )


def _verdict(present: ReviewedRow, now: datetime | None) -> str:
    said = '<span class="h-quiet">Undecided</span>'
    if present.review is not None:
        decision = present.review.decision
        said = (
            f'{chip("", _WORDS[decision], _TONES[decision])}<span class="h-quiet">by '
            f"{escape(present.review.person_name)} {when(present.review.decided_at, now)}</span>"
        )
    return f'<div class="h-review-verdict"><b>Row {number(present.number + 1)}</b>{said}</div>'


def _known(row: Mapping[str, Any]) -> str:
    """What is known of the row beside what is trained on."""
    meta = row.get("meta")
    if not isinstance(meta, dict) or not meta:
        return ""
    told = [str(meta[key]) for key in ("made_by",) if meta.get(key)]
    model = meta.get("model")
    if isinstance(model, dict) and model.get("name") and not _FOLDER.fullmatch(str(model["name"])):
        told.append(f"by {model['name']}")
    if isinstance(meta.get("likeness"), int | float):
        told.append(f"{meta['likeness']:.0%} like the nearest other question")
    if isinstance(meta.get("probability"), int | float):
        told.append(f"better with probability {meta['probability']:.2f}")
    details = escape(json.dumps(meta, ensure_ascii=False, indent=2))
    summary = escape(" · ".join(told) or "What is known of it")
    return f'<details class="h-review-known"><summary>{summary}</summary><pre class="h-code">{details}</pre></details>'


def _editor(present: ReviewedRow, typed: Mapping[str, str]) -> str:
    return "".join(_field(part, typed.get(part.place, part.text)) for part in parts_of(present.now))


def _field(part: RowPart, text: str) -> str:
    name = f'data-part="{escape(part.place)}"'
    if part.place == LABEL:
        options = "".join(
            f'<option value="{value}"{" selected" if value == text else ""}>{words}</option>'
            for value, words in (("true", "Good answer"), ("false", "Bad answer"))
        )
        box = f'<select class="h-input" {name}>{options}</select>'
    else:
        box = f"<textarea {name} rows=3>\n{escape(text)}</textarea>"
    return f'<label class="h-review-part"><span class="h-role">{escape(part.title)}</span>{box}</label>'


def _keys(state: ReviewState) -> str:
    off = "" if state.present else " disabled"
    is_editing = bool(state.typed)
    deciding = "".join(
        _key(
            words,
            wish,
            key,
            f"{' h-primary' if wish == 'accept' else ''}{' h-danger' if wish == 'reject' else ''}",
            off,
        )
        for words, wish, key in (("Accept", "accept", "A"), ("Edit", "edit", "E"), ("Reject", "reject", "R"))
    )
    moving = _key("Undo", "undo", "U", "", "") + _key("", "back", "←", "", off) + _key("", "next", "→", "", off)
    editing = _key("Save edit", "save", "Ctrl ↵", " h-primary", "") + _key("Cancel", "cancel", "Esc", "", "")
    return (
        f'<div class="h-review-keys" data-keys="deciding"{" hidden" if is_editing else ""}>{deciding}{moving}</div>'
        f'<div class="h-review-keys" data-keys="editing" data-editing{"" if is_editing else " hidden"}>{editing}</div>'
    )


_FOLDER = re.compile(r"\d+-\d+")
"""The folder of a model that a job has made, which tells a person nothing."""
_LABELS = {"back": "Row before", "next": "Next row"}


def _key(words: str, wish: str, key: str, classes: str, off: str) -> str:
    label = f' aria-label="{_LABELS[wish]}"' if wish in _LABELS else ""
    return (
        f'<button type="button" class="h-button{classes}" data-review="{wish}"{label}{off}>{words}'
        f"<kbd>{key}</kbd></button>"
    )
