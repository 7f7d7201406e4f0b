"""Marked rows: a row as `webapp.data.views` draws it, with the stretches marked that something was found in.

The marks travel through the drawing as two characters of Unicode's private use area that the row's own text is first
rid of, so that whatever draws rows need not know of them.
"""

from __future__ import annotations

import re
from typing import Any

from pipeline.quality.detectors import PERSONAL_KINDS, marks_of, personal_marks
from pipeline.quality.personal import mask
from pipeline.quality.phrases import Span
from pipeline.quality.texts import Path, RowTexts, with_texts
from webapp.data.views_rows import MAX_SHOWN_CHARACTERS, row_view

_BEGIN, _END = "\ue0f0", "\ue0f1"
_PAIR = re.compile(f"{_BEGIN}([^{_BEGIN}{_END}]*){_END}")
_LEAD_CHARACTERS = 600
"""How much is shown before the first mark of a long text."""


def marked_row(row: dict[str, Any], number: int, kind: str) -> str:
    """A row, numbered from 1, with what was found of `kind` marked; personal data is hidden in its middle."""
    texts = RowTexts(row)
    marks = marks_of(texts, kind)
    hidden = personal_marks(texts)
    changed: dict[Path, str] = {}
    for part in texts.parts:
        plain = part.text.replace(_BEGIN, "").replace(_END, "")
        spans, covered = marks.get(part.path, []), hidden.get(part.path, [])
        # Spans count characters of the text as it is; a text that held our characters is shown without marks.
        changed[part.path] = _marked(plain, spans, covered, kind) if plain == part.text else plain
    drawn = row_view(with_texts(row, changed), number + 1)
    return _PAIR.sub(r"<mark>\1</mark>", drawn).replace(_BEGIN, "").replace(_END, "")


def _marked(text: str, spans: list[Span], covered: list[Span], kind: str) -> str:
    edits = {span: mask(text[span[0] : span[1]]) for span in covered}
    shown = [span for span in spans if kind in PERSONAL_KINDS or not any(_overlap(span, one) for one in covered)]
    first = min((start for start, _ in shown), default=0)
    cut = first - _LEAD_CHARACTERS if first > MAX_SHOWN_CHARACTERS - _LEAD_CHARACTERS else 0
    parts, at = ["… " if cut else ""], max(0, cut)
    for span in sorted({*edits, *shown}):
        if span[0] < at:
            continue
        words = edits.get(span, text[span[0] : span[1]])
        parts += [text[at : span[0]], f"{_BEGIN}{words}{_END}" if span in shown else words]
        at = span[1]
    return "".join([*parts, text[at:]])


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
