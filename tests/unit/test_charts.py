"""A chart shows every spike, on round axes, and nothing of what it is given can break its markup."""

import math
from xml.etree import ElementTree

import pytest

from webapp.charts import Series, bar_chart, line_chart, sparkline, thin_out, ticks


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup.replace(" hidden>", ' hidden="">'))


def test_thinning_keeps_the_spike_the_ends_and_the_order() -> None:
    points = [(step, 1.0) for step in range(100_000)]
    points[54_321] = (54_321, 9.0)
    points[70_000] = (70_000, -9.0)
    kept = thin_out(points, most=400)
    assert len(kept) <= 400
    assert (54_321, 9.0) in kept
    assert (70_000, -9.0) in kept
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert [step for step, _ in kept] == sorted({step for step, _ in kept})


def test_a_short_series_is_kept_whole_but_for_what_is_no_number() -> None:
    assert thin_out([(1, 0.5), (2, math.nan), (3, math.inf), (4, 0.4)]) == [(1, 0.5), (4, 0.4)]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.97, 4.31, [1.0, 2.0, 3.0, 4.0]),
        (-0.7, 0.4, [-0.5, 0.0]),
        (0.0, 2.1e-4, [0.0, 5e-5, 1e-4, 1.5e-4, 2e-4]),
    ],
)
def test_ticks_are_round_numbers_inside_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_the_curve_lies_where_its_values_say() -> None:
    chart = parsed(line_chart("Loss", [Series("loss", [(0, 3.0), (50, 2.0), (100, 1.0)])]))
    curve = next(chart.iter("polyline"))
    places = [tuple(map(float, pair.split(","))) for pair in curve.attrib["points"].split()]
    assert [x for x, _ in places] == [0, 50, 100]
    # The range has 6 % of air at both ends: 3.0 lies at 0.06 / 1.12, 1.0 at 1.06 / 1.12, and 2.0 in the middle.
    assert [y for _, y in places] == pytest.approx([5.36, 50.0, 94.64], abs=0.01)
    assert curve.attrib["data-values"] == "0:3 50:2 100:1"


def test_several_series_are_named_and_have_colours_of_their_own() -> None:
    chart = line_chart("Loss", [Series("loss", [(1, 1.0), (2, 0.5)]), Series("eval_loss", [(2, 0.7)])])
    curves = list(parsed(chart).iter("polyline"))
    assert [curve.attrib["data-name"] for curve in curves] == ["loss", "held-out loss"]
    assert len({curve.attrib["stroke"] for curve in curves}) == 2


@pytest.mark.parametrize("points", [[], [(5, 2.0)], [(1, 7.0), (2, 7.0)], [(1, 0.0), (2, 0.0)]])
def test_a_chart_without_extent_is_still_drawn(points: list[tuple[int, float]]) -> None:
    chart = parsed(line_chart("Loss", [Series("loss", points)]))
    assert len(list(chart.iter("polyline"))) == bool(points)
    assert "nan" not in ElementTree.tostring(chart, encoding="unicode").lower()


def test_names_from_a_recipe_cannot_write_markup() -> None:
    chart = line_chart("<b>x</b>", [Series('"><script>', [(1, 1.0), (2, 2.0)])], unit="<i>", help='"<u>')
    assert "<script>" not in chart
    assert "<b>x" not in chart
    assert "<i>" not in chart.replace('<i class="h-cursor"', "").replace("<i style", "")


def test_a_sparkline_needs_two_points() -> None:
    assert sparkline([(1, 1.0)]) == ""
    assert "<polyline" in sparkline([(1, 1.0), (2, 0.5)])


def test_bars_beyond_the_limit_are_hollow_and_say_how_many_there_are() -> None:
    chart = parsed(bar_chart("Rows", [1, 17, 33, 65], [0, 6, 2], unit="tokens", limit=32, limit_words="<cut>"))
    bars = list(chart.iter("rect"))
    assert [bar.find("title").text for bar in bars] == ["17 to 32 tokens: 6", "33 to 64 tokens: 2"]  # type: ignore[union-attr]
    assert ["h-beyond" in bar.attrib["class"] for bar in bars] == [False, True]
    # The axis is logarithmic from 17 to 65, and the limit lies where the first bar beyond it begins.
    assert float(chart.find(".//line[@class='h-limit']").attrib["x1"]) == float(bars[1].attrib["x"])  # type: ignore[union-attr]


def test_bars_of_nothing_are_still_drawn() -> None:
    assert "nothing to count" in bar_chart("Rows", [1, 2], [0], unit="tokens", limit=32, limit_words="cut")
