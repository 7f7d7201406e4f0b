"""How versions are drawn: the list of them, what differs between two, what is being made, and exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from pipeline.data.row_differences import RowDifferences
from store.datasets import Added, Use
from store.lineage import sources_of
from store.schema import DatasetVersion
from webapp.data.makings import Making
from webapp.data.row_addresses import rows_address
from webapp.data.views import uses_view
from webapp.formatting import counted, duration, file_size, number, when
from webapp.shell import chip, error_block, progress_bar


def version_name(version: DatasetVersion) -> str:
    return f"{version.dataset.name}, version {version.number}"


def versions_table(
    versions: Sequence[DatasetVersion],
    present: int,
    parents: Mapping[int, DatasetVersion],
    people: Mapping[int, str],
    uses: Mapping[int, int],
    now: datetime | None = None,
) -> str:
    """Every version: what it was made from and how, its rows, who made it and when."""
    body = "".join(
        f"<tr{' class=h-present' if version.id == present else ''}>"
        f'<td><a href="/versions?id={version.id}">Version {version.number}</a>'
        f"{' <span class=h-tag>shown</span>' if version.id == present else ''}</td>"
        f"<td>{how_words(version)}</td><td>{_sources(version, parents)}</td>"
        f'<td class="h-num"><a href="/dataset?id={version.id}">{number(version.num_rows)}</a></td>'
        f'<td class="h-num">{file_size(version.size_bytes)}</td>'
        f"<td>{escape(people.get(version.created_by_id or 0, '–'))}</td><td>{when(version.created_at, now)}</td>"
        f"<td>{counted(uses[version.id], 'job') if uses.get(version.id) else '–'}</td></tr>"
        for version in versions
    )
    return (
        '<div class="h-table-wrap"><table class="h-table"><thead><tr><th>Version</th><th>Made by</th><th>From</th>'
        '<th class="h-num">Rows</th><th class="h-num">Size</th><th>Who</th><th>When</th><th>Used by</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def how_words(version: DatasetVersion) -> str:
    """How a version was made, in a few words."""
    told = version.provenance
    made_by = str(told.get("made_by", "–"))
    if made_by == "split":
        kept = float(told.get("test_share", 0))
        share = kept if told.get("side") == "test" else 1 - kept
        words = f"Split by {told.get('by')}, {'test' if told.get('side') == 'test' else 'training'} side, {share:.3g}"
        return escape(f"{words} of the rows, seed {told.get('seed')}")
    if made_by == "mixture":
        parts = told.get("parts", ())
        unit = " epochs" if told.get("asked") == "epochs" else ""
        listed = " + ".join(f"{part['name']} {part['weight']:g}{unit}" for part in parts)
        return escape(f"Mixture: {listed}, seed {told.get('seed')}")
    if made_by == "job" and isinstance(told.get("job_id"), int):
        return f'<a href="/job?id={told["job_id"]}">Job {told["job_id"]}</a> ({escape(str(told.get("recipe", "")))})'
    return escape(made_by[:1].upper() + made_by[1:])


def _sources(version: DatasetVersion, parents: Mapping[int, DatasetVersion]) -> str:
    links = []
    for source in sources_of(version):
        parent = parents.get(source)
        if parent is None:
            continue
        name = f"version {parent.number}" if parent.dataset_id == version.dataset_id else version_name(parent)
        is_gone = parent.deleted_at or parent.dataset.deleted_at
        words = escape(name[:1].upper() + name[1:])
        links.append(
            f'<span class="h-quiet">{words} (deleted)</span>'
            if is_gone
            else f'<a href="/versions?id={parent.id}">{words}</a>'
        )
    return ", ".join(links) or "–"


def differences_view(earlier: DatasetVersion, later: DatasetVersion, found: RowDifferences) -> str:
    """Counts that open their rows."""
    lines = (
        ("good", "added", found.added, rows_address(later.id, not_in=earlier.id), f"only in {version_name(later)}"),
        (
            "bad",
            "removed",
            found.removed,
            rows_address(earlier.id, not_in=later.id),
            f"only in {version_name(earlier)}",
        ),
        ("quiet", "unchanged", found.unchanged, rows_address(later.id, **{"in": earlier.id}), "in both"),
    )
    cells = "".join(
        f'<div class="h-difference">{chip("", words.capitalize(), tone)}'  # type: ignore[arg-type]
        f'<b class="h-figure">{_linked(count, address)}</b><span class="h-quiet h-small">{escape(where)}</span></div>'
        for tone, words, count, address, where in lines
    )
    return (
        f'<div class="h-differences">{cells}</div><p class="h-quiet h-small">Rows are compared by what is trained on: '
        "a row whose tags or provenance alone have changed is unchanged.</p>"
    )


def _linked(count: int, address: str) -> str:
    return f'<a href="{escape(address)}">{number(count)}</a>' if count else "0"


def comparing_view(share: float) -> str:
    return f"<p>All rows are being read once, so that they can be compared: {share:.0%}.</p>{progress_bar(share)}"


def makings_view(all_of_them: Sequence[Making]) -> str:
    """What is being made and what came of it; buttons name what they end."""
    return "".join(map(_making, all_of_them))


def _making(making: Making) -> str:
    title = f"<b>{escape(making.title)}</b>"
    if making.is_going:
        left = ""
        if making.share > 0.02 and making.seconds > 2:
            left = f" · {duration(making.seconds * (1 - making.share) / making.share)} left"
        words = "stopping" if making.is_stopped else f"{making.share:.0%}{left}"
        return (
            f'<div class="h-making"><div class="h-line h-apart"><span>{title}</span><span class="h-quiet">{words}'
            f"</span></div>{progress_bar(making.share)}</div>"
        )
    if making.error is not None:
        return f'<div class="h-making">{title}{error_block(making.error)}</div>'
    if not making.results:
        return f'<div class="h-making">{chip("", "Stopped", "quiet")} {title}: nothing was kept.</div>'
    return f'<div class="h-making">{chip("", "Made", "good")} {title}: {", ".join(map(_result, making.results))}</div>'


def _result(added: Added) -> str:
    version = added.version
    known = "" if added.is_new else " (these very rows were kept already)"
    return (
        f'<a href="/dataset?id={version.id}">{escape(version_name(version))}</a>, '
        f"{counted(version.num_rows, 'row')}{known}"
    )


def exports_view(version: DatasetVersion) -> str:
    """The ways to take a version along."""
    base = f"/api/datasets/{version.id}/export"
    links = "".join(
        f'<a class="h-button h-slim" href="{base}/{path}" download>{words}</a>'
        for path, words in (
            ("zip/parquet", "Parquet with card (.zip)"),
            ("zip/jsonl", "JSON lines with card (.zip)"),
            ("parquet", "Parquet"),
            ("jsonl", "JSON lines"),
        )
    )
    return (
        f'<p class="h-quiet">In the column names that TRL’s trainers take. The card says what the rows are and '
        f'where they came from; the licence is yours to fill in.</p><div class="h-line h-wrap-line">{links}</div>'
    )


def users_view(uses: Sequence[Use], derived: Sequence[DatasetVersion]) -> str:
    """Jobs and models that read a version, and versions that were made from it."""
    made = "".join(
        f'<li><span class="h-tag">data</span> <a href="/versions?id={version.id}">{escape(version_name(version))}</a> '
        f'<span class="h-quiet h-small">{how_words(version)}</span></li>'
        for version in derived
    )
    copies = (
        f'<ul class="h-uses">{made}</ul><p class="h-quiet h-small">Versions that were made from it hold copies of its '
        "rows: they stay when it is deleted.</p>"
        if made
        else ""
    )
    return (uses_view(uses) if uses or not made else "") + copies
