"""How datasets, uploads and rows are drawn: records in, HTML out, with every text shown as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

from pipeline.data.formats import LAYOUTS, PART_HELP, Mapping
from pipeline.data.importing import ImportReport
from pipeline.data.inspecting import Inspection
from store.datasets import Use
from store.schema import DatasetVersion
from webapp.data.upload_folders import ImportStatus
from webapp.data.views_rows import rows_view
from webapp.formatting import counted, duration, file_size, number, when
from webapp.shell import chip, facts, link_button, progress_bar

TUNE_RECIPES = {"instruction": "sft", "preference": "dpo", "text": "pretrain"}
_TUNE_VERBS = {"sft": "Fine-tune", "dpo": "Align", "pretrain": "Pre-train"}


# ------------------------------------------------------------------------------------------------------- rows of a file


def raw_rows_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """The first rows of a file as they are, before anything is made of them."""
    head = "".join(f"<th>{escape(column[:60])}</th>" for column in columns[:12])
    body = "".join(f"<tr>{''.join(_cell(row.get(column)) for column in columns[:12])}</tr>" for row in rows[:5])
    return (
        f'<div class="h-table-wrap"><table class="h-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def rejected_table(rejected: Sequence[dict[str, Any]], counted_in: str) -> str:
    """Rejected rows: number in the file, reason, and the beginning of what was there."""
    body = "".join(
        f'<tr><td class="h-num">{number(item["row"])}</td><td>{_reason(item)}</td>'
        f'<td><code class="h-raw">{escape((item.get("raw") or "")[:300])}</code></td></tr>'
        for item in rejected
    )
    return (
        '<div class="h-table-wrap"><table class="h-table h-rejected"><thead><tr>'
        f'<th class="h-num">{counted_in.capitalize()}</th><th>Reason</th><th>What was there</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def reasons_list(reasons: dict[str, int]) -> str:
    """How many rows were rejected for each reason."""
    items = "".join(
        f'<li><span class="h-num">{number(count)}</span><span>{_code(reason)}</span></li>'
        for reason, count in reasons.items()
    )
    return f'<ul class="h-reasons">{items}</ul>'


def _cell(value: Any) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return f'<td><div class="h-cell">{escape(shown[:400])}</div></td>'


def _reason(item: dict[str, Any]) -> str:
    detail = f'<br><span class="h-quiet h-small">{escape(item["detail"])}</span>' if item.get("detail") else ""
    return _code(item["reason"]) + detail


def _code(sentence: str) -> str:
    """A sentence whose `names` in backticks are set in a fixed pitch."""
    parts = escape(sentence).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


# ------------------------------------------------------------------------------------------------------------- upload


def review_header(name: str, size_bytes: int, file_format: str = "") -> str:
    """Which file is being looked at."""
    described = " · ".join(filter(None, [file_size(size_bytes), escape(file_format)]))
    return (
        f'<h2 class="h-h2 h-clip" title="{escape(name)}">{escape(name)}</h2><p class="h-quiet h-file">{described}</p>'
    )


def import_going(status: ImportStatus) -> str:
    """How far an import is, and how long it will take."""
    progress = status.progress
    if progress is None:
        return f'<div class="h-import"><p>Reading the file…</p>{progress_bar(None)}</div>'
    share = progress.bytes_read / progress.total_bytes if progress.bytes_read else None
    parts = [f"{counted(progress.num_rows, 'row')} so far"]
    if progress.num_rejected:
        parts.append(f"{number(progress.num_rejected)} rejected")
    if share:
        parts.append(f"{share:.0%}")
        if status.seconds > 2:
            parts.append(f"{duration(status.seconds * (1 - share) / share)} left")
    return f'<div class="h-import"><p>{" · ".join(parts)}</p>{progress_bar(share)}</div>'


def import_sentence(report: ImportReport) -> str:
    """What was found, in one sentence: "999 instruction rows, alpaca columns; 3 rejected: see why"."""
    columns = {"mapped columns": "columns mapped by hand", "text": "one text column"}.get(
        report.format, f"{report.format} columns"
    )
    if report.file_format.startswith("plain text"):
        columns = "cut into passages at blank lines"
    if report.file_format.startswith("text documents"):
        columns = "each a document of the archive"
    repaired = (
        f'; {number(report.num_repaired)} repaired: <a href="#repaired">see how</a>' if report.num_repaired else ""
    )
    rejected = (
        f'; {number(report.num_rejected)} rejected: <a href="#rejected">see why</a>'
        if report.num_rejected
        else "; none rejected"
    )
    return (
        f'<p class="h-found">{chip("", "Ready", "good")}<span><b>{number(report.num_rows)} {report.kind} '
        f"{'row' if report.num_rows == 1 else 'rows'}</b>, {escape(columns)}{repaired}{rejected}.</span></p>"
    )


def import_done(
    report: ImportReport, rows: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]], upload_id: str
) -> str:
    """A whole import, before it is kept: what was left aside, the first rows, and what was rejected."""
    unused = ", ".join(f"<code>{escape(column[:60])}</code>" for column in report.unused_columns[:12])
    aside = f'<p class="h-quiet">Columns that are not used: {unused}.</p>' if unused else ""
    return (
        '<div class="h-review">'
        + aside
        + _pairs_note(report.mapping)
        + f'<h3 class="h-h2">First rows</h3>{rows_view(rows, 1)}'
        + (_repaired_part(report, f"/api/uploads/{upload_id}/report") if report.num_repaired else "")
        + (_rejected_part(report, rejected, f"/api/uploads/{upload_id}/rejected") if report.num_rejected else "")
        + "</div>"
    )


def _repaired_part(report: ImportReport, address: str) -> str:
    return (
        '<section id="repaired" class="h-stack"><div class="h-line h-apart">'
        f'<h3 class="h-h2">{counted(report.num_repaired, "repaired row")}</h3>'
        f'<a class="h-button h-slim" href="{address}" download>Download the report</a></div>'
        f"{reasons_list(report.repairs)}</section>"
    )


def _rejected_part(report: ImportReport, rejected: Sequence[dict[str, Any]], address: str) -> str:
    shown = f"The first {number(len(rejected))}:" if report.num_rejected > len(rejected) else ""
    return (
        '<section id="rejected" class="h-stack"><div class="h-line h-apart">'
        f'<h3 class="h-h2">{counted(report.num_rejected, "rejected row")}</h3>'
        f'<a class="h-button h-slim" href="{address}" download>Download all</a></div>{reasons_list(report.reasons)}'
        f'<span class="h-quiet">{shown}</span>{rejected_table(rejected, report.counted_in)}</section>'
    )


def unknown_columns(inspection: Inspection) -> str:
    """The invitation to say which column holds what."""
    columns = ", ".join(f"<code>{escape(column[:60])}</code>" for column in inspection.columns[:20])
    return (
        f'<p class="h-found">{chip("", "Columns not recognised", "warn")}<span>The file has the columns {columns}. '
        "Say which one holds what; the first rows show at once how they will be read.</span></p>"
        f"{raw_rows_table(inspection.columns, inspection.raw_rows)}"
    )


def mapping_preview(inspection: Inspection) -> str:
    """What a mapping makes of the first rows."""
    if not inspection.rows:
        return (
            '<div class="h-note"><p>None of the first rows can be used this way:</p></div>'
            f"{rejected_table([item.model_dump() for item in inspection.rejected[:5]], inspection.counted_in)}"
        )
    lost = len(inspection.rejected)
    note = (
        f'<p class="h-quiet">{number(lost)} of the first {number(lost + len(inspection.rows))} rows cannot be used.</p>'
    )
    return _pairs_note(inspection.mapping) + (note if lost else "") + rows_view(inspection.rows[:2], 1)


def _pairs_note(mapping: Mapping | None) -> str:
    if mapping is None or mapping.layout != "ranked":
        return ""
    return '<p class="h-quiet">Each row makes one pair: its best answer and its worst.</p>'


def mapping_words(mapping: Mapping) -> str:
    """A mapping in words: `question` as the instruction, `answer` as the output."""
    return ", ".join(f"<code>{escape(column)}</code> as {escape(part)}" for part, column in mapping.columns.items())


# ------------------------------------------------------------------------------------------------------------ datasets


def datasets_table(versions: Sequence[DatasetVersion], uses: dict[int, int], now: datetime | None = None) -> str:
    """The Data page's list."""
    if not versions:
        return '<p class="h-quiet">No data is kept yet. What you keep is listed here.</p>'
    body = "".join(_dataset_row(version, uses.get(version.id, 0), now) for version in versions)
    return (
        '<div class="h-table-wrap"><table class="h-table"><thead><tr><th>Name</th><th>Kind</th>'
        '<th class="h-num">Rows</th>'
        '<th class="h-num">Rejected</th><th class="h-num">Size</th><th>Kept</th><th>Used by</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _dataset_row(version: DatasetVersion, num_jobs: int, now: datetime | None) -> str:
    tag = f' <span class="h-quiet h-small">version {version.number}</span>' if version.number > 1 else ""
    rejected = (
        f'<a href="/dataset?id={version.id}&amp;show=rejected">{number(version.num_rejected)}</a>'
        if version.num_rejected
        else "0"
    )
    return (
        f'<tr><td><a href="/dataset?id={version.id}">{escape(version.dataset.name)}</a>{tag}</td>'
        f'<td><span class="h-tag">{escape(version.kind)}</span></td><td class="h-num">{number(version.num_rows)}</td>'
        f'<td class="h-num">{rejected}</td><td class="h-num">{file_size(version.size_bytes)}</td>'
        f"<td>{when(version.created_at, now)}</td><td>{counted(num_jobs, 'job') if num_jobs else '–'}</td></tr>"
    )


def tune_button(version: DatasetVersion) -> str:
    """The way from a dataset to a job on it."""
    recipe = TUNE_RECIPES.get(version.kind)
    if recipe is None:
        return ""
    address = f"/train?recipe={recipe}&dataset=dataset:{version.id}"
    return link_button(f"{_TUNE_VERBS[recipe]} on this", address, "primary")


def dataset_facts(version: DatasetVersion, report: ImportReport) -> str:
    """What the version is and where it came from."""
    origin = version.provenance
    source = escape(version.source_name)
    if origin.get("made_by") == "upload":
        source = f"{source}, {file_size(origin.get('file_size_bytes'))}"
    if origin.get("made_by") == "hub":
        source = f"{escape(str(origin.get('dataset')))}, {escape(str(origin.get('split') or 'all rows'))}"
    rejected = f"{number(version.num_rejected)}" if version.num_rejected else "none"
    return facts(
        [
            (
                "Kind",
                f'<span class="h-tag">{escape(version.kind)}</span> {escape(LAYOUTS[report.mapping.layout].title)}',
            ),
            ("Rows", number(version.num_rows)),
            ("Repaired", _repaired_fact(report)),
            ("Rejected", rejected),
            ("Every row", f'<a href="/api/datasets/{version.id}/report" download>Download the report</a>'),
            ("Size", file_size(version.size_bytes)),
            ("Source", source),
            ("Revision", _hash(origin.get("revision"))),
            ("Format", f"{escape(report.file_format)}, {escape(version.format)}"),
            ("Columns", mapping_words(report.mapping)),
            ("Not used", ", ".join(f"<code>{escape(column)}</code>" for column in report.unused_columns)),
            ("Made by", escape(str(origin.get("made_by", "")))),
            ("File hash", _hash(origin.get("file_sha256"))),
            ("Kept", when(version.created_at)),
            ("Version", f"{version.number}"),
            ("Hash", _hash(version.sha256)),
        ]
    )


def _repaired_fact(report: ImportReport) -> str:
    if not report.num_repaired:
        return "none"
    ways = "; ".join(f"{escape(how)} ({number(count)})" for how, count in report.repairs.items())
    return f'{number(report.num_repaired)} <span class="h-quiet h-small">{ways}</span>'


def _hash(sha256: str | None) -> str:
    return f'<code title="{escape(sha256)}">{escape(sha256[:16])}…</code>' if sha256 else ""


def uses_view(uses: Sequence[Use]) -> str:
    """The jobs that read a dataset and the models they made."""
    if not uses:
        return '<p class="h-quiet">Nothing has been trained on it yet.</p>'
    items = "".join(
        f'<li><span class="h-tag">{use.noun}</span> <a href="/{use.noun}?id={use.id}">{escape(use.name)}</a></li>'
        for use in uses
    )
    return f'<ul class="h-uses">{items}</ul>'


def part_label(part: str) -> tuple[str, str]:
    """A mapping field's name and its one sentence of help."""
    return part.capitalize(), PART_HELP[part]  # type: ignore[index]
