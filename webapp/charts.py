"""Charts: line charts of a job's metrics as inline SVG, drawn by pure functions.

Colours come from the design tokens, so a chart follows light and dark by itself. `static/charts.js` reads the points
out of the markup to show the values under the pointer; without it the chart is still whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from webapp.formatting import number

Point = tuple[int, float]

MOST_POINTS = 400
"""Points kept of a series: about one for each pixel and a half."""
NUM_COLOURS = 4


@dataclass(frozen=True)
class Series:
    """One named curve: (step, value) in order of step."""

    name: str
    points: Sequence[Point]


def line_chart(title: str, series: Sequence[Series], *, unit: str = "", help: str = "") -> str:
    """A card with one chart, of the same height with and without data."""
    drawn = [Series(one.name, thin_out(one.points)) for one in series if one.points]
    body = _plot(title, drawn) if drawn else _waiting()
    hint = f' title="{escape(help)}"' if help else ""
    in_unit = f' <span class="h-quiet">{escape(unit)}</span>' if unit else ""
    return (
        f'<figure class="h-card h-chart"><figcaption class="h-card-head"><span class="h-h2"{hint}>{escape(title)}'
        f'{in_unit}</span><span class="h-legend">{_legend(series)}</span></figcaption>{body}</figure>'
    )


def sparkline(points: Sequence[Point], *, width: int = 96, height: int = 24) -> str:
    """A curve the size of a word, without axes."""
    kept = thin_out(points, width // 2)
    if len(kept) < 2:
        return ""
    low, high = _range([value for _, value in kept])
    first, last = kept[0][0], kept[-1][0]
    path = " ".join(
        f"{(step - first) / (last - first) * width:.1f},{2 + (high - value) / (high - low) * (height - 4):.1f}"
        for step, value in kept
    )
    return (
        f'<svg class="h-spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
        f'<polyline points="{path}" fill="none" stroke="var(--hone-series-1)" stroke-width="1.5"/></svg>'
    )


def thin_out(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` points that look the same: each bucket keeps its lowest and its highest, so no spike is lost."""
    points = [point for point in points if math.isfinite(point[1])]
    if len(points) <= most:
        return list(points)
    inner = points[1:-1]
    num_buckets = max(1, (most - 2) // 2)
    kept = [points[0]]
    for number_of_bucket in range(num_buckets):
        start = number_of_bucket * len(inner) // num_buckets
        bucket = inner[start : (number_of_bucket + 1) * len(inner) // num_buckets]
        lowest, highest = min(bucket, key=lambda point: point[1]), max(bucket, key=lambda point: point[1])
        kept += sorted({lowest, highest})
    return [*kept, points[-1]]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that cover a range: steps of 1, 2 or 5 times a power of ten.

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(index * step, digits) for index in range(first, last + 1)]


@dataclass(frozen=True)
class _Scale:
    """Where steps and values lie, in hundredths of the plotting area: it stretches, its lines and words do not."""

    first: float
    last: float
    low: float
    high: float

    def x(self, step: float) -> float:
        return (step - self.first) / (self.last - self.first) * 100

    def y(self, value: float) -> float:
        return (self.high - value) / (self.high - self.low) * 100


def _plot(title: str, series: Sequence[Series]) -> str:
    low, high = _range([value for one in series for _, value in one.points])
    first = min(one.points[0][0] for one in series)
    last = max(max(one.points[-1][0] for one in series), first + 1)
    scale = _Scale(first, last, low, high)
    values = ticks(low, high, 4)
    steps = [tick for tick in ticks(first, last, 5) if tick == int(tick)]
    lines = "".join(f'<line x1="0" x2="100" y1="{scale.y(tick):.2f}" y2="{scale.y(tick):.2f}"/>' for tick in values)
    words = "".join(f'<span class="h-y" style="top:{scale.y(tick):.2f}%">{_tick_words(tick)}</span>' for tick in values)
    words += "".join(
        f'<span class="h-x" style="left:{scale.x(tick):.2f}%">{_tick_words(tick)}</span>' for tick in steps
    )
    curves = "".join(_curve(one, index, scale) for index, one in enumerate(series, 1))
    latest = ", ".join(f"{label_of_metric(one.name)} {number(one.points[-1][1])}" for one in series)
    return (
        f'<div class="h-plot"><div class="h-area"><svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)} by step; latest: {escape(latest)}"><g class="h-grid">{lines}</g>{curves}</svg>'
        f'{words}<i class="h-cursor" hidden></i><output class="h-readout" hidden></output></div></div>'
    )


def _tick_words(tick: float) -> str:
    """A round number without the digits that it does not need."""
    if tick and abs(tick) < 1e-3:
        mantissa, exponent = f"{tick:e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return number(int(tick)) if tick == int(tick) else f"{tick:g}"


def _curve(one: Series, index: int, scale: _Scale) -> str:
    is_dot = len(one.points) == 1
    points = [*one.points, *one.points] if is_dot else one.points
    places = " ".join(f"{scale.x(step):.2f},{scale.y(value):.2f}" for step, value in points)
    data = " ".join(f"{step}:{value:.6g}" for step, value in points)
    shape = "h-curve h-dot" if is_dot else "h-curve"
    return (
        f'<polyline class="{shape}" points="{places}" stroke="var(--hone-series-{(index - 1) % NUM_COLOURS + 1})" '
        f'data-name="{escape(label_of_metric(one.name))}" data-values="{data}"/>'
    )


def label_of_metric(name: str) -> str:
    """`eval_loss` is "held-out loss", `reward_margin` is "reward margin"."""
    return name.replace("eval_", "held-out ").replace("_", " ")


def _legend(series: Sequence[Series]) -> str:
    return "".join(
        f'<span><i style="background:var(--hone-series-{(index - 1) % NUM_COLOURS + 1})"></i>'
        f"{escape(label_of_metric(one.name)) if len(series) > 1 else 'latest'} "
        f"<b>{number(one.points[-1][1])}</b></span>"
        for index, one in enumerate(series, 1)
        if one.points
    )


def _waiting() -> str:
    return '<div class="h-plot h-plot-empty"><span>The curve begins with the first measured step.</span></div>'


def _range(values: Sequence[float]) -> tuple[float, float]:
    """A range around the values with a little air; never of no height."""
    low, high = min(values), max(values)
    air = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - air, high + air


def bar_chart(
    title: str, edges: Sequence[int], counts: Sequence[int], *, unit: str, limit: int, limit_words: str
) -> str:
    """A card with bars over a logarithmic axis: how many of something have a size from one edge to the next.

    Args:
        edges: One more than there are bars, ascending, from 1.
        limit: Bars beyond it are hollow, and the legend says that they are `limit_words`.
    """
    first = next((at for at, count in enumerate(counts) if count), 0)
    edges, counts = edges[first:], counts[first:]
    if not any(counts):
        return _figure(
            title, unit, "", '<div class="h-plot h-plot-empty"><span>There is nothing to count.</span></div>'
        )
    scale = _Scale(math.log2(edges[0]), math.log2(max(edges[-1], limit + 1)), 0, max(counts) * 1.06)
    bars = "".join(_bar(edges[at], edges[at + 1], count, limit, scale, unit) for at, count in enumerate(counts))
    values = [tick for tick in ticks(0, scale.high, 4) if tick == int(tick)]
    powers = [2**power for power in range(21) if scale.first <= power <= scale.last]
    powers = powers[:: math.ceil(len(powers) / 8) or 1]
    lines = "".join(f'<line x1="0" x2="100" y1="{scale.y(tick):.2f}" y2="{scale.y(tick):.2f}"/>' for tick in values)
    words = "".join(f'<span class="h-y" style="top:{scale.y(tick):.2f}%">{_tick_words(tick)}</span>' for tick in values)
    words += "".join(
        f'<span class="h-x" style="left:{scale.x(math.log2(power)):.2f}%">{number(power)}</span>' for power in powers
    )
    at_limit = f"{scale.x(math.log2(limit + 1)):.2f}"
    body = (
        f'<div class="h-plot"><div class="h-bars"><svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)}, in {escape(unit)}"><g class="h-grid">{lines}</g>{bars}'
        f'<line class="h-limit" x1="{at_limit}" x2="{at_limit}" y1="0" y2="100"/></svg>{words}</div></div>'
    )
    legend = (
        f'<span><i class="h-swatch"></i>whole</span><span><i class="h-swatch h-beyond"></i>{escape(limit_words)} '
        f"at <b>{number(limit)}</b></span>"
    )
    return _figure(title, unit, legend, body)


def _figure(title: str, unit: str, legend: str, body: str) -> str:
    return (
        f'<figure class="h-chart"><figcaption class="h-card-head"><span class="h-h2">{escape(title)} '
        f'<span class="h-quiet">{escape(unit)}</span></span><span class="h-legend">{legend}</span></figcaption>'
        f"{body}</figure>"
    )


def _bar(start: int, end: int, count: int, limit: int, scale: _Scale, unit: str) -> str:
    if not count:
        return ""
    sizes = f"{number(start)} to {number(end - 1)}" if end - 1 > start else number(start)
    told = f"<title>{sizes} {escape(unit)}: {number(count)}</title>"
    kind = "h-beyond" if start > limit else ""
    left, right = scale.x(math.log2(start)), scale.x(math.log2(end))
    top = scale.y(count)
    return (
        f'<rect class="h-bar-of {kind}" x="{left:.2f}" y="{top:.2f}" width="{max(right - left - 0.3, 0.2):.2f}" '
        f'height="{100 - top:.2f}">{told}</rect>'
    )
