"""The form of filters: what rows of a kind can be chosen by, with what the address has chosen already."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pipeline.data.row_index import Field
from pipeline.data.row_query import RowQuery
from webapp.formatting import number

MAX_LISTED_VALUES = 200
MAX_LISTED_FIELDS = 24


def filters_view(kind: str, fields: Sequence[Field], query: RowQuery) -> str:
    """Fields of a form, named as the address names them; without those that the kind has no use for."""
    length = _range("Characters", "min_length", "max_length", query.min_characters, query.max_characters)
    if kind == "text":
        return length + _fields(fields, query)
    parts = [
        _range("Turns", "min_turns", "max_turns", query.min_turns, query.max_turns),
        length,
        _choice("System prompt", "system", query.system, [("yes", "With one"), ("no", "Without")]),
        _choice("Tools", "tools", query.tools, [("yes", "With tools"), ("no", "Without")]),
        _choice("Reasoning", "reasoning", query.reasoning, [("yes", "With reasoning"), ("no", "Without")]),
    ]
    if kind == "unpaired":
        parts.append(_choice("Label", "label", query.label, [("good", "Good answers"), ("bad", "Bad answers")]))
    return "".join(parts) + _fields(fields, query)


def _fields(fields: Sequence[Field], query: RowQuery) -> str:
    values, ranges = dict(query.values), {name: ends for name, *ends in query.ranges}
    drawn = []
    for field in fields[:MAX_LISTED_FIELDS]:
        title = "Tag" if field.name == "tags" else field.name.removeprefix("meta.").replace("_", " ").replace(".", ", ")
        title = title[:1].upper() + title[1:]
        if field.kind == "numbers":
            low, high = ranges.get(field.name, (None, None))
            hints = number(field.least), number(field.most)
            drawn.append(_range(title, f"from.{field.name}", f"to.{field.name}", low, high, hints))
        else:
            listed = list(zip(field.values, field.counts, strict=True))[:MAX_LISTED_VALUES]
            options = [(value, f"{value[:60]} ({number(count)})") for value, count in listed]
            drawn.append(_choice(title, f"is.{field.name}", values.get(field.name, ""), options))
    return "".join(drawn)


def _choice(title: str, name: str, chosen: str, options: Sequence[tuple[str, str]]) -> str:
    if chosen and chosen not in dict(options):
        options = [*options, (chosen, chosen[:60])]
    listed = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(words)}</option>'
        for value, words in options
    )
    return (
        f'<label class="h-field">{escape(title)}<select class="h-input" name="{escape(name)}">'
        f'<option value="">Any</option>{listed}</select></label>'
    )


def _range(
    title: str,
    low_name: str,
    high_name: str,
    low: float | None,
    high: float | None,
    hints: tuple[str, str] = ("any", "any"),
) -> str:
    ends = "".join(
        f'<input class="h-input" type="number" step="any" name="{escape(name)}" aria-label="{escape(title)}, {words}" '
        f'placeholder="{escape(hint)}" value="{"" if value is None else f"{value:.15g}"}">'
        for name, words, hint, value in (
            (low_name, "at least", hints[0], low),
            (high_name, "at most", hints[1], high),
        )
    )
    return f'<div class="h-field" role="group">{escape(title)}<div class="h-between">{ends}</div></div>'
