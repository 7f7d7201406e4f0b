"""Views of scores: every answer to a prompt under every model, and what the figures mean in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from webapp.playground.tokens import ScoredAnswer

LARGEST_RATIO_NATS = 14.0
"""A million to one."""


@dataclass(frozen=True)
class ScoreTable:
    """Log-probabilities, in nats.

    Args:
        answers: What each row is called, such as "1 · willow-base"; others are held against the first.
        models: The models' names, one a column; the first is the reference.
        scores: `scores[row][column]`.
        shares_history: Whether all answers follow the same conversation: only then do differences say something.
    """

    answers: Sequence[str]
    models: Sequence[str]
    scores: Sequence[Sequence[ScoredAnswer]]
    shares_history: bool

    def preference(self, row: int, column: int) -> float:
        """By how much a model finds a row's answer likelier than the first one."""
        return self.scores[row][column].logprob - self.scores[0][column].logprob

    def margin(self, row: int, column: int) -> float:
        """By how much more than the first model: DPO's reward margin without its factor beta.

        Source: Rafailov et al. 2023, equation 7, with the row's answer as chosen and the first one as rejected.
        """
        return self.preference(row, column) - self.preference(row, 0)


def score_table_view(table: ScoreTable) -> str:
    head = "".join(f'<th class="h-num">{escape(name)}</th>' for name in table.models)
    rows = "".join(_row(table, row) for row in range(len(table.answers)))
    warning = (
        ""
        if table.shares_history
        else '<div class="h-note"><p>The columns were shown different things before this prompt: each answer is scored '
        "after what its own column was shown. Their differences are then not about the answers alone.</p></div>"
    )
    return (
        f'{warning}<div class="h-table-wrap"><table class="h-table h-scores">'
        f"<thead><tr><th>Answer</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f'<ul class="h-plain">{_in_words(table)}</ul>'
        '<p class="h-quiet h-small">In each cell: the log-probability of the whole answer with its end, in nats; '
        "the same a token; against answer 1 how much likelier the model finds this one; and, where it is not the first "
        "model, by how much more than the first model does. The last is the margin that DPO raises, before its factor "
        "β.</p>"
    )


def _row(table: ScoreTable, row: int) -> str:
    cells = "".join(_cell(table, row, column) for column in range(len(table.models)))
    return f'<tr><th scope="row">{escape(table.answers[row])}</th>{cells}</tr>'


def _cell(table: ScoreTable, row: int, column: int) -> str:
    score = table.scores[row][column]
    lines = [f"<b>{minus(f'{score.logprob:.2f}')}</b>", minus(f"{score.logprob_per_token:.3f} a token")]
    if row:
        lines.append(f"{signed(table.preference(row, column))} against answer 1")
    if row and column:
        lines.append(f"margin {signed(table.margin(row, column))}")
    return f'<td class="h-num">{"<br>".join(lines)}</td>'


def _in_words(table: ScoreTable) -> str:
    sentences = [
        _preference_in_words(table, row, column)
        for row in range(1, len(table.answers))
        for column in range(len(table.models))
    ]
    return "".join(f"<li>{sentence}</li>" for sentence in sentences[:12])


def _preference_in_words(table: ScoreTable, row: int, column: int) -> str:
    nats = table.preference(row, column)
    likelier, other = (row + 1, 1) if nats >= 0 else (1, row + 1)
    model = f"<b>{escape(table.models[column])}</b>"
    said = f"{model} finds answer {likelier} likelier than answer {other}, by {factor(nats)}"
    if not column:
        return f"{said}."
    margin = table.margin(row, column)
    side, less = (row + 1, 1) if margin >= 0 else (1, row + 1)
    return (
        f"{said}; against {escape(table.models[0])} it leans {abs(margin):.2f} nats further to answer {side} over "
        f"answer {less}."
    )


def factor(nats: float) -> str:
    """A ratio of probabilities from the difference of their logarithms; one beyond all imagination stays in nats.

    >>> factor(0.6), factor(-3.2), factor(310)
    ('a factor of 1.8', 'a factor of 25', '310 nats')
    """
    size = abs(nats)
    if size > LARGEST_RATIO_NATS:
        return f"{size:.0f} nats"
    ratio = math.exp(size)
    return f"a factor of {ratio:.1f}" if ratio < 10 else f"a factor of {ratio:,.0f}"


def signed(value: float) -> str:
    return minus(f"{value:+.2f}")


def minus(figure: str) -> str:
    """A figure with a minus sign where a program writes a hyphen."""
    return figure.replace("-", "−")
