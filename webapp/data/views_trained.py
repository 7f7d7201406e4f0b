"""Views of what is trained: a row token by token, and how long the rows of a dataset are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import Any, Literal

from store.schema import Job, JobState
from webapp.charts import bar_chart
from webapp.data.trained import LengthsReport, TrainedRow, TrainedSequence, TrainedToken
from webapp.formatting import compact, counted, number
from webapp.shell import chip, facts, icon, link_button, progress_bar

MOST_SHOWN_TOKENS = 4_000
"""Of one sequence; more are left out in the middle: its beginning and its end are what is looked for."""

Fate = Literal["trained", "read", "cut"]
_FATES: dict[Fate, str] = {
    "trained": "The model is taught to say these",
    "read": "The model reads these and is not taught to say them",
    "cut": "Beyond the maximum length: the model never sees these",
}
RECIPE_WORDS = {"sft": "fine-tuning", "dpo": "alignment", "pretrain": "pre-training"}


# ------------------------------------------------------------------------------------------------------------- tokens


def trained_row_view(row: TrainedRow) -> str:
    """A row as it is trained on: how many tokens of which fate, and each token in its frame."""
    remarks = []
    if row.is_left_out:
        remarks.append(
            f"Nothing of this row is left to learn from within {number(row.max_length)} tokens: "
            f"{RECIPE_WORDS[row.recipe]} leaves it out."
        )
    if not row.has_template:
        remarks.append("The model brings no chat template, so it is given a plain one, which is saved with the result.")
    if row.recipe == "pretrain":
        remarks.append(
            "Pre-training makes a tokenizer of its own from the text, which cuts it elsewhere; every token is trained, "
            f"in blocks of {number(row.max_length)} tokens that documents are laid into end to end."
        )
    if row.recipe == "dpo":
        remarks.append(
            "Alignment makes the trained tokens of the chosen answer likelier, and the rejected one's rarer."
        )
    notes = "".join(f'<div class="h-note"><p>{escape(remark)}</p></div>' for remark in remarks)
    if len(row.sequences) == 1:
        return notes + _sequence_view(row.sequences[0])
    sides = "".join(
        f'<section class="h-tt-side">{chip("", one.name, "good" if one.name == "Chosen" else "bad")}'
        f"{_sequence_view(one)}</section>"
        for one in row.sequences
    )
    return f'{notes}<div class="h-tt-pair">{sides}</div>'


def _sequence_view(sequence: TrainedSequence) -> str:
    counts = {fate: sum(fate_of(token) == fate for token in sequence.tokens) for fate in _FATES}
    legend = "".join(
        f'<span title="{escape(words)}"><i class="h-tt-key h-tt-{fate}">ab</i>{_FATE_NAMES[fate]} '
        f"<b>{number(counts[fate])}</b></span>"
        for fate, words in _FATES.items()
    )
    return (
        f'<div class="h-tt-legend h-small"><span>{counted(len(sequence.tokens), "token")}</span>{legend}'
        '<span><i class="h-tt-key h-tt-special">ab</i>special</span></div>'
        f'<div class="h-tt" tabindex="0" aria-label="Tokens">{_tokens_view(sequence.tokens)}</div>'
    )


_FATE_NAMES: dict[Fate, str] = {"trained": "Trained", "read": "Only read", "cut": "Cut off"}


def fate_of(token: TrainedToken) -> Fate:
    if token.is_cut:
        return "cut"
    return "trained" if token.is_trained else "read"


def _tokens_view(tokens: Sequence[TrainedToken]) -> str:
    left_out = len(tokens) - MOST_SHOWN_TOKENS
    if left_out <= 0:
        return _runs(tokens)
    half = MOST_SHOWN_TOKENS // 2
    gap = f'<p class="h-quiet">… {counted(left_out, "token")} not shown …</p>'
    return _runs(tokens[:half]) + gap + _runs(tokens[-half:])


def _runs(tokens: Sequence[TrainedToken]) -> str:
    """Tokens of one fate beside each other, each run after its word: colour alone tells nobody."""
    return "".join(
        f'<span class="h-tt-run h-tt-{fate}"><b>{_FATE_NAMES[fate].lower()}</b>{"".join(map(_token, run))}</span>'
        for fate, run in groupby(tokens, fate_of)
    )


def _token(token: TrainedToken) -> str:
    kind = ' class="h-tt-special"' if token.is_special else ""
    if not token.text:
        return f'<span{kind} title="id {token.id}, without a character of its own"><i>·</i></span>'
    text = escape(token.text).replace("\n", "<i>⏎</i>\n").replace("\t", "<i>⇥</i>\t")
    return f'<span{kind} title="id {token.id}">{text}</span>'


# ------------------------------------------------------------------------------------------------------------ lengths


def lengths_view(report: LengthsReport, max_length: int) -> str:
    """The whole set at one length, and beside it what other lengths would come to."""
    told = report.told
    edges, counts = told["histogram"]
    chart = bar_chart(
        "Rows by length",
        edges,
        counts,
        unit="tokens",
        limit=max_length,
        limit_words="longer than a block" if report.kind == "text" else "cut",
    )
    return f"{chart}{_at_length(report, max_length)}{_refused(told)}{_table(report, max_length)}{_parts(told)}"


def _at_length(report: LengthsReport, max_length: int) -> str:
    told, at = report.told, report.at(max_length)
    rows = told["rows"]
    shown = [("Rows", number(rows))]
    if report.kind == "text":
        shown += [
            ("Tokens an epoch", f"{number(at['tokens'])}, all of them trained"),
            ("Blocks", f"{number(at['blocks'])} of {counted(max_length, 'token')}"),
            ("Left over", counted(at["tokens_left_over"], "token")),
            ("Longer than a block", _share_of(at["rows_cut"], rows)),
        ]
    else:
        shown += [
            ("Cut", _share_of(at["rows_cut"], rows)),
            ("Nothing left to learn", _share_of(at["rows_left_out"], rows)),
            ("Tokens an epoch", number(at["tokens"])),
            ("Trained tokens", _trained(told, max_length)),
            *_padding(at, told["batch_size"], max_length),
        ]
    note = "" if report.kind == "text" else "Of all rows; a job holds some of them out to measure with."
    return f'<h3 class="h-h2">At {counted(max_length, "token")}</h3>{facts(shown)}<p class="h-quiet h-small">{note}</p>'


def _padding(at: dict[str, Any], batch_size: int, max_length: int) -> list[tuple[str, str]]:
    """How much of what is computed is not a row's token."""
    shown = [("Padding, rows apart", f"{percent(at['padding_share'])} in batches of {batch_size}")]
    if "packed_sequences" in at:
        shown.append(
            (
                "Packed",
                f"into {counted(at['packed_sequences'], 'sequence')} of up to {number(max_length)} tokens: no padding, "
                f"{percent(at['packed_unused_share'])} of their room unused",
            )
        )
    return shown


def _trained(told: dict[str, Any], max_length: int) -> str:
    """How many are trained, where that was counted at this length or nothing is cut at it."""
    count = None
    if max_length == told["max_length"]:
        count = told["tokens_trained_kept"]
    elif max_length >= told["longest"]:
        count = told["tokens_trained"]
    return number(count) if count is not None else ""


def _share_of(count: int, rows: int) -> str:
    return f"{counted(count, 'row')} ({percent(count / max(rows, 1))})" if count else "none"


def percent(share: float) -> str:
    """A share as people read it: `0 %`, `0.04 %`, `12.5 %`."""
    if 0 < share < 0.0001:
        return "< 0.01\u00a0%"
    return f"{100 * share:.{3 if share >= 0.01 else 2}g}\u00a0%"


def _refused(told: dict[str, Any]) -> str:
    if not told["rows_refused"]:
        return ""
    rows = "".join(
        f"<li>Row {number(one['row'])}{': ' if one['reason'] else ''}{escape(one['reason'])}</li>"
        for one in told["refused"][:5]
    )
    return (
        f'<div class="h-error"><p class="h-error-title">{icon("bad")}<span>The chat template refuses '
        f"{counted(told['rows_refused'], 'row')}.</span></p><p>A job on this dataset would fail at the first.</p>"
        f"<ul>{rows}</ul></div>"
    )


def _table(report: LengthsReport, chosen: int) -> str:
    """What each length would come to."""
    told = report.told
    is_text = report.kind == "text"
    rows = told["rows"]
    lengths = sorted({*(int(length) for length in told["at"]), chosen})
    last = ("Blocks", "blocks") if is_text else ("Packed into", "packed_sequences")
    has_last = is_text or report.kind == "instruction"
    body = ""
    for length in lengths:
        at = report.at(length)
        mark = ' aria-current="true"' if length == chosen else ""
        cut = at["rows_cut"] / max(rows, 1)
        body += (
            f'<tr{mark}><td class="h-num">{number(length)}</td><td class="h-num">{percent(cut)}</td>'
            + ("" if is_text else f'<td class="h-num">{number(at["rows_left_out"])}</td>')
            + f'<td class="h-num">{compact(at["tokens"])}</td>'
            + (f'<td class="h-num">{number(at[last[1]])}</td>' if has_last else "")
            + ("" if is_text else f'<td class="h-num">{percent(at["padding_share"])}</td>')
            + "</tr>"
        )
    head = (
        f'<th class="h-num">Length</th><th class="h-num">{"Longer" if is_text else "Cut"}</th>'
        + ("" if is_text else '<th class="h-num" title="Rows of which nothing is left to learn from">Left out</th>')
        + '<th class="h-num">Tokens</th>'
        + (f'<th class="h-num">{last[0]}</th>' if has_last else "")
        + ("" if is_text else '<th class="h-num" title="Where rows are not packed">Padding</th>')
    )
    return (
        '<h3 class="h-h2">At other lengths</h3><div class="h-table-wrap"><table class="h-table h-lengths">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _parts(told: dict[str, Any]) -> str:
    """How long the parts of a row are: of a pair, prompt and answers."""
    rows = [
        (name.capitalize() if len(told["percentiles"]) > 1 else "Row", values)
        for name, values in told["percentiles"].items()
        if values
    ]
    if not rows:
        return ""
    head = "".join(f'<th class="h-num">{_percentile_words(name)}</th>' for name in rows[0][1])
    body = "".join(f"<tr><td>{name}</td>{_number_cells(values.values())}</tr>" for name, values in rows)
    return (
        '<h3 class="h-h2">Tokens a row</h3><div class="h-table-wrap"><table class="h-table"><thead><tr><th>Part</th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _number_cells(values: Iterable[int]) -> str:
    return "".join(f'<td class="h-num">{number(value)}</td>' for value in values)


def _percentile_words(name: str) -> str:
    return {"50": "Median", "100": "Longest"}.get(name, f"{name}\u00a0%")


# --------------------------------------------------------------------------------------------------------- measuring


def not_measured(model_name: str) -> str:
    return (
        f'<p class="h-quiet">Not measured yet with the tokenizer of {escape(model_name)}. Measuring counts the tokens '
        "of every row, in a job that loads no weights.</p>"
    )


def measuring(job: Job) -> str:
    """How far the measuring is."""
    if job.state == JobState.QUEUED:
        words, bar = "Waits for a worker.", progress_bar(None)
    elif job.state == JobState.PAUSED:
        words, bar = "Paused.", progress_bar(_fraction(job), is_going=False)
    else:
        done = f"{number(job.step)} of {counted(job.total_steps, 'row')}" if job.total_steps else job.phase or "Begins"
        words, bar = f"{escape(done)}.", progress_bar(_fraction(job))
    return f'<div class="h-stack">{bar}<div class="h-line h-apart"><span>{words}</span>{_to_job(job)}</div></div>'


def measuring_ended(job: Job) -> str:
    """What to say of a job that has left no report."""
    if job.state == JobState.CANCELLED:
        return f'<div class="h-note"><p>Measuring was stopped.</p></div>{_to_job(job)}'
    return (
        f'<div class="h-error" role="alert"><p class="h-error-title">{icon("bad")}<span>Measuring failed: '
        f"{escape(job.error_message or 'no reason was given')}</span></p><p>{escape(job.error_advice or '')}</p></div>"
        f"{_to_job(job)}"
    )


def _fraction(job: Job) -> float | None:
    return job.step / job.total_steps if job.total_steps else None


def _to_job(job: Job) -> str:
    return link_button("See the job", f"/job?id={job.id}", slim=True)
