"""Views of the board: the standings as sentences, bars and a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from pipeline.ratings import MOST_VOTES_FORESEEN, Difference, Ratings, Standing
from pipeline.style import FEATURES
from pipeline.style_control import Effect, StyleControlled
from webapp.formatting import counted, number

Names = Mapping[int, str]
"""Model names by id."""

MOST_IN_MATRIX = 16
"""Models whose battles are drawn as a matrix: more would be too small to read."""

_WORTH = {
    "length": ("longer answers", "shorter answers", "each doubling of the length"),
    "headers": ("answers with more headers", "answers with fewer headers", "each doubling of the headers"),
    "bold": ("answers with more bold words", "answers with fewer bold words", "each doubling of the bold passages"),
    "lists": ("answers with more list items", "answers with fewer list items", "each doubling of the list items"),
}

# ------------------------------------------------------------------------------------------------------------- board


def board_view(
    ratings: Ratings, names: Names, reference: int, *, num_uncounted: int, controlled: StyleControlled | None = None
) -> str:
    """The board in full: the sentence that matters most, the ratings as bars, and who won against whom.

    Args:
        controlled: The ratings at equal length and markup, where those are asked for.
    """
    plain = ratings.board(reference)
    shown = controlled.ratings if controlled else ratings
    board = shown.board(reference)
    num_votes = sum(standing.votes for standing in board) // 2
    uncounted = f"; {number(num_uncounted)} more not counted" if num_uncounted else ""
    style = style_view(controlled, plain, board, names) if controlled else ""
    return (
        f'<div class="h-card"><div class="h-card-head"><h2 class="h-h2">What the votes say</h2>'
        f'<span class="h-quiet h-small">{counted(num_votes, "vote")}{uncounted}</span></div>'
        f"{_findings(shown, board, names)}{style}</div>"
        f"{_ranking(board, names, reference)}"
        f'<div class="h-card"><h2 class="h-h2">Who wins against whom</h2>'
        f"{_win_matrix(ratings, [standing.model for standing in board], names)}</div>"
    )


def style_view(controlled: StyleControlled, plain: Sequence[Standing], board: Sequence[Standing], names: Names) -> str:
    """What voters give for length and markup, and whose place changes once that is taken out."""
    effects = "".join(
        f"<li>{effect_words(feature, effect)}</li>"
        for feature, effect in zip(FEATURES, controlled.effects, strict=True)
        if effect.is_clear
    )
    if not effects:
        effects = "<li>No preference for length or markup shows in these votes.</li>"
    before = {standing.model: place for place, standing in enumerate(plain, 1)}
    moved = [
        f"<b>{escape(names[standing.model])}</b> from place {before[standing.model]} to {place}"
        for place, standing in enumerate(board, 1)
        if before[standing.model] != place
    ]
    rest = f" and {number(len(moved) - 5)} more" if len(moved) > 5 else ""
    change = f"At equal style, {', '.join(moved[:5])}{rest}." if moved else "At equal style, the order stays as it is."
    return f'<ul class="h-arena-findings h-board-style">{effects}<li>{change}</li></ul>'


def effect_words(feature: str, effect: Effect) -> str:
    """ "Voters here prefer longer answers: +12 ± 5 points for each doubling of the length." """
    more, fewer, unit = _WORTH[feature]
    size = f"+{abs(round(effect.points))} ± {points(effect.half_width, sign=False)} points"
    turned = unit if effect.points > 0 else unit.replace("doubling", "halving")
    return f"Voters here prefer {more if effect.points > 0 else fewer}: {size} for {turned}."


def verdict(difference: Difference, names: Names) -> str:
    """A plain sentence on two models, as HTML: which is better, how sure that is, and what it takes to know.

    "dpo-3 is probably better than sft-7: 91 %; about 30 more votes would settle it."
    """
    is_first_better = difference.points >= 0
    better, worse = (difference.a, difference.b) if is_first_better else (difference.b, difference.a)
    first, second = f"<b>{escape(names[better])}</b>", f"<b>{escape(names[worse])}</b>"
    sure = percent(difference.probability_better if is_first_better else 1 - difference.probability_better)
    if difference.is_told_apart:
        return f"{first} is better than {second}: {sure} sure."
    if difference.votes_needed is None:
        more = f"more than {number(MOST_VOTES_FORESEEN)} further votes on these two"
        return f"{first} and {second} cannot be told apart yet; they look so close that it would take {more}."
    more = f"about {counted(_rounded(difference.votes_needed), 'more vote')} on these two would settle it"
    if max(difference.probability_better, 1 - difference.probability_better) < 0.75:
        return f"{first} and {second} cannot be told apart yet; {more}."
    return f"{first} is probably better than {second}: {sure}; {more}."


def interval_bar(standing: Standing, low: float, high: float) -> str:
    """A rating and its interval as a bar on the scale from `low` to `high`, with a line at the reference."""
    width = 240.0

    def place(value: float) -> float:
        return round(8 + (value - low) / (high - low) * (width - 16), 1)

    begin, middle = place(standing.points - standing.half_width), place(standing.points)
    end = place(standing.points + standing.half_width)
    return (
        f'<svg class="h-arena-bar" viewBox="0 0 {width:.0f} 20" role="img" aria-label="{_interval_words(standing)}">'
        f'<line x1="{place(0)}" x2="{place(0)}" y1="0" y2="20" class="h-arena-zero"/>'
        f'<line x1="{begin}" x2="{end}" y1="10" y2="10" class="h-arena-interval"/>'
        f'<circle cx="{middle}" cy="10" r="4" class="h-arena-point"/></svg>'
    )


def points(value: float, *, sign: bool = True) -> str:
    """Rating points, whole, with a sign unless they are a width."""
    whole = round(value)
    if not sign:
        return str(whole)
    return f"{'+' if whole > 0 else '−' if whole < 0 else ''}{abs(whole)}"


def percent(share: float) -> str:
    """A share that never claims to be certain."""
    whole = round(share * 100)
    return "over 99 %" if whole >= 100 else "under 1 %" if whole <= 0 else f"{whole} %"


def _findings(ratings: Ratings, board: Sequence[Standing], names: Names) -> str:
    """A sentence on each two neighbours of the board, the best first."""
    neighbours = list(pairwise(board))[:5]
    sentences = "".join(
        f"<li>{verdict(ratings.difference(upper.model, lower.model), names)}</li>" for upper, lower in neighbours
    )
    return f'<ul class="h-arena-findings">{sentences}</ul>'


def _ranking(board: Sequence[Standing], names: Names, reference: int) -> str:
    low = min(0.0, *(standing.points - standing.half_width for standing in board))
    high = max(0.0, *(standing.points + standing.half_width for standing in board))
    rows = "".join(
        f'<tr><td class="h-num h-quiet">{place}</td><td><a href="/model?id={standing.model}">'
        f"{escape(names[standing.model])}</a></td>"
        f'<td class="h-num">{_interval_words(standing) if standing.model != reference else "0 (reference)"}</td>'
        f"<td>{interval_bar(standing, low, high)}</td>"
        f'<td class="h-num">{number(standing.votes)}</td>'
        f'<td class="h-num">{number(standing.wins)} / {number(standing.ties)} / {number(standing.losses)}</td></tr>'
        for place, standing in enumerate(board, 1)
    )
    return (
        '<div class="h-table-wrap"><table class="h-table h-arena-ranking"><thead><tr>'
        '<th class="h-num"></th><th>Model</th>'
        f'<th class="h-num">Points against {escape(names[reference])}</th><th>95 % interval</th>'
        '<th class="h-num">Votes</th><th class="h-num">Won / tied / lost</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _interval_words(standing: Standing) -> str:
    return f"{points(standing.points)} ± {points(standing.half_width, sign=False)}"


def _win_matrix(ratings: Ratings, everyone: Sequence[int], names: Names) -> str:
    order = everyone[:MOST_IN_MATRIX]
    limited = (
        f" The {MOST_IN_MATRIX} strongest of {number(len(everyone))} models." if len(order) < len(everyone) else ""
    )
    heads = "".join(f'<th scope="col" title="{escape(names[model])}">{i}</th>' for i, model in enumerate(order, 1))
    rows = "".join(
        f'<tr><th scope="row"><span class="h-quiet">{place}</span> {escape(names[model])}</th>'
        + "".join(_win_cell(ratings, model, other) for other in order)
        + "</tr>"
        for place, model in enumerate(order, 1)
    )
    return (
        '<div class="h-arena-matrix-wrap"><table class="h-arena-matrix"><thead><tr><th></th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        '<p class="h-quiet h-small">The share of votes that the row won against the column, a tie counted as half, and '
        f"how many votes that is.{limited}</p>"
    )


def _win_cell(ratings: Ratings, model: int, other: int) -> str:
    share = ratings.win_share(model, other) if model != other else None
    if share is None:
        return '<td class="h-quiet">–</td>'
    token = "series-3" if share >= 0.5 else "series-2"
    strength = round(abs(share - 0.5) * 100)
    shade = f"background:color-mix(in srgb, var(--hone-{token}) {strength}%, transparent)"
    return f'<td style="{shade}">{share * 100:.0f} %<small>{number(ratings.votes_between(model, other))}</small></td>'


def _rounded(votes: int) -> int:
    """Two digits of a number that is an estimate."""
    return votes if votes < 100 else round(votes, -1)
