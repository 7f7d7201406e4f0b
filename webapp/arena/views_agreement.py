"""Views of agreement: whether voters say the same of the same battle, in a sentence and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from pipeline.agreement import FEWEST_SHARED, Agreement, Consistency, PersonAgreement
from webapp.formatting import counted, number

FEWEST_ASKED_AGAIN = 5
"""Battles that somebody must have been shown twice before a share of them is worth saying."""

MOST_PEOPLE_SHOWN = 12


@dataclass(frozen=True)
class AgreementFound:
    """All that the card says: of everybody, of each person, of each tag."""

    overall: Agreement
    by_person: Sequence[PersonAgreement]
    by_tag: Sequence[tuple[str, Agreement]]
    own: Mapping[int, Consistency]
    names: Mapping[int, str]


def agreement_view(found: AgreementFound) -> str:
    """ "Do voters agree?": the sentence first, then who agrees least and on what people agree least."""
    overall = found.overall
    own = Consistency(sum(one.same for one in found.own.values()), sum(one.asked for one in found.own.values()))
    head = (
        '<div class="h-card-head"><h2 class="h-h2">Do voters agree?</h2>'
        f'<span class="h-quiet h-small">{counted(overall.num_shared, "battle")} judged by two or more</span></div>'
    )
    tables = f'<div class="h-board-tables">{_people_table(found)}{_tag_table(found)}</div>' if overall.is_enough else ""
    return f'<div class="h-card">{head}<p>{_sentence(overall)}</p><p>{_own_sentence(own)}</p>{tables}</div>'


def _sentence(overall: Agreement) -> str:
    if not overall.num_shared:
        return "No battle has been judged by two people yet; the arena shows some again, so that this can be told."
    if not overall.is_enough or overall.alpha is None:
        if overall.alpha is None:
            return (
                f"{counted(overall.num_people, 'person', 'people')} always said the same one thing, which tells little."
            )
        return (
            f"Too few to tell: {counted(overall.num_shared, 'battle')} of the {FEWEST_SHARED} that it takes "
            "have been judged by two people or more."
        )
    words = (
        "agree well"
        if overall.alpha >= 0.67
        else "agree somewhat"
        if overall.alpha >= 0.33
        else "hardly agree: the board is what they say on the average, and no two of them"
        if overall.alpha > 0
        else "do not agree more than chance would: the board says little"
    )
    interval = f", 95 % interval {overall.low:.2f} to {overall.high:.2f}" if overall.low is not None else ""
    return (
        f"{counted(overall.num_people, 'voter')} {words}. Krippendorff's α is <b>{overall.alpha:.2f}</b>{interval} "
        '<span class="h-quiet">(1 is always, 0 is chance)</span>.'
    )


def _own_sentence(own: Consistency) -> str:
    if own.asked < FEWEST_ASKED_AGAIN:
        return (
            f'<span class="h-quiet">Battles shown again to the same person, sides swapped: {number(own.asked)} of the '
            f"{FEWEST_ASKED_AGAIN} that it takes to tell whether people agree with themselves.</span>"
        )
    low, high = own.interval
    return (
        f"Shown a battle again with its sides swapped, voters said the same in <b>{number(own.same)} of "
        f"{number(own.asked)}</b> ({low * 100:.0f} to {high * 100:.0f} %)."
    )


def _people_table(found: AgreementFound) -> str:
    rows = "".join(
        f"<tr><td>{escape(found.names.get(one.person, 'somebody'))}</td>"
        f'<td class="h-num">{one.share * 100:.0f} %</td><td class="h-num h-quiet">{one.expected * 100:.0f} %</td>'
        f'<td class="h-num">{number(one.num_shared)}</td>'
        f'<td class="h-num">{_own_words(found.own.get(one.person))}</td></tr>'
        for one in found.by_person[:MOST_PEOPLE_SHOWN]
    )
    return (
        '<div class="h-table-wrap"><table class="h-table"><thead><tr><th>Voter, who agrees least first</th>'
        '<th class="h-num">Says what others say</th><th class="h-num">By chance</th>'
        '<th class="h-num">Battles shared</th>'
        f'<th class="h-num">Same again</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _own_words(own: Consistency | None) -> str:
    return f"{own.same} of {own.asked}" if own is not None and own.asked else "–"


def _tag_table(found: AgreementFound) -> str:
    rows = "".join(
        f'<tr><td>{escape(tag)}</td><td class="h-num">{_alpha_words(agreement)}</td>'
        f'<td class="h-num">{number(agreement.num_shared)}</td></tr>'
        for tag, agreement in found.by_tag
    )
    if not rows:
        return ""
    return (
        '<div class="h-table-wrap"><table class="h-table"><thead><tr><th>Tag of the prompt</th><th class="h-num">α</th>'
        f'<th class="h-num">Battles shared</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _alpha_words(agreement: Agreement) -> str:
    return f"{agreement.alpha:.2f}" if agreement.is_enough else '<span class="h-quiet">too few</span>'
