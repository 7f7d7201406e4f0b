"""Formatting: numbers, sizes, times and names as a person reads them; every figure carries its unit."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from html import escape

NOTHING = "–"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def number(value: float | int | None, digits: int = 3) -> str:
    """A figure with `digits` significant digits; whole numbers keep all of theirs, grouped by a thin space.

    >>> number(12345), number(0.00021349), number(1.23456), number(None)
    ('12\u202f345', '2.13e-4', '1.23', '–')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", "\u202f")
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    if abs(value) < 1e-3:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"


def compact(value: float | int | None) -> str:
    """A count in three digits and a letter: `29.4 M`, `7.62 B`."""
    if value is None:
        return NOTHING
    for limit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{number(float(f'{value / limit:.3g}'))}\u00a0{letter}"
    return number(value)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: `1 row`, `999 rows`."""
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def file_size(size_bytes: float | int | None) -> str:
    """Bytes in the decimal units that disks are sold in: `512 B`, `58.9 MB`, `14.2 GB`."""
    if size_bytes is None:
        return NOTHING
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= limit:
            return f"{number(float(f'{size_bytes / limit:.3g}'))}\u00a0{unit}"
    return f"{int(size_bytes)}\u00a0B"


def duration(seconds: float | None) -> str:
    """A stretch of time in at most two units: `0.21 s`, `48 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 10:
        return f"{number(round(max(seconds, 0), 2))}\u00a0s"
    whole = round(seconds)
    for size, unit, smaller, smaller_unit in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}\u00a0{unit}" + (f" {rest}\u00a0{smaller_unit}" if rest else "")
    return f"{whole}\u00a0s"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long since a moment, in words; after a week, the date.

    >>> ago(datetime(2026, 1, 1, 12, 0, tzinfo=UTC), datetime(2026, 1, 1, 12, 3, 10, tzinfo=UTC))
    '3 min ago'
    """
    if moment is None:
        return NOTHING
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 10:
        return "just now"
    if seconds < 60:
        return f"{int(seconds)}\u00a0s ago"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)}\u00a0min ago"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)}\u00a0h ago"
    if seconds < 7 * _DAY:
        return f"{int(seconds // _DAY)}\u00a0d ago"
    return moment.strftime("%-d %b %Y")


def when(moment: datetime | None, now: datetime | None = None) -> str:
    """`ago` as HTML, with the exact moment on hover."""
    if moment is None:
        return NOTHING
    exact = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f'<time datetime="{moment.isoformat()}" title="{exact}">{escape(ago(moment, now))}</time>'


def label_of(name: str) -> str:
    """A field's name as people read it: `learning_rate` is "Learning rate", `num_epochs` is "Epochs"."""
    words = name.removeprefix("num_").replace("_", " ")
    return words[:1].upper() + words[1:]
