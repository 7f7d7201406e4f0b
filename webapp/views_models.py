"""Views of models: the family tree and one model's record as HTML, by pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from store.schema import DatasetVersion, Endpoint, Job, Model
from webapp.formatting import compact, counted, file_size, number, when
from webapp.jobs.views import dataset_link, job_link, model_actions, model_link
from webapp.jobs.views_job import summary_facts
from webapp.shell import facts, link_button

KIND_WORDS = {"full": "full weights", "adapter": "adapter", "quantized": "quantized", "endpoint": "endpoint"}


@dataclass(frozen=True)
class Rating:
    """A model's standing against the reference: points ± half the width of the 95 % interval."""

    points: float
    half_width: float
    num_votes: int
    reference: str


def rating_words(rating: Rating) -> str:
    """`+87 ± 41`, in Elo points against the reference; the reference itself is 0."""
    if rating.points == 0 and rating.half_width == 0:
        return "0"
    sign = "+" if rating.points >= 0 else "−"
    return f"{sign}{abs(round(rating.points))} ± {round(rating.half_width)}"


def family_tree(models: Sequence[Model], ratings: Mapping[int, Rating]) -> str:
    """Every model under the one it was made from, the oldest first."""
    known = {model.id for model in models}
    children: dict[int | None, list[Model]] = {}
    for model in models:
        children.setdefault(model.parent_id if model.parent_id in known else None, []).append(model)

    def branch(parent: int | None) -> str:
        items = "".join(
            f"<li>{_model_card(model, ratings.get(model.id))}{branch(model.id)}</li>"
            for model in children.get(parent, [])
        )
        return f"<ul>{items}</ul>" if items else ""

    return f'<div class="h-tree">{branch(None)}</div>'


def _model_card(model: Model, rating: Rating | None) -> str:
    figures = [
        f"{compact(model.num_parameters)} parameters" if model.num_parameters else "",
        file_size(model.size_bytes) if model.size_bytes else "",
        _made_by(model),
        when(model.created_at),
    ]
    rated = ""
    if rating is not None:
        rated = (
            f'<span class="h-rating" title="Elo points against {escape(rating.reference)}, with a 95 % interval">'
            f'<b>{rating_words(rating)}</b> <span class="h-quiet">{counted(rating.num_votes, "vote")}</span></span>'
        )
    return (
        '<article class="h-card h-model"><div class="h-model-words"><div class="h-line">'
        f'<span class="h-strong">{model_link(model)}</span><span class="h-tag">{KIND_WORDS[model.kind]}</span>'
        f"{rated}</div>"
        f'<div class="h-quiet h-small">{" · ".join(part for part in figures if part)}</div></div>'
        f'<div class="h-line">{model_actions(model)}</div></article>'
    )


def _made_by(model: Model) -> str:
    if model.job is not None:
        data = ", ".join(dataset_link(version) for version in model.job.datasets)
        on = f" on {data}" if data else ""
        return f'<a href="/job?id={model.job.id}">{escape(model.job.recipe)} job</a>{on}'
    if model.checkpoint_job_id is not None:
        return f"step {model.checkpoint_step} of {_job_of_checkpoint(model)}"
    if model.endpoint_id is not None:
        return f'<code>{escape(model.source or "")}</code> at an <a href="/settings">endpoint</a>'
    return f"from {escape(model.source or '')}"


# ------------------------------------------------------------------------------------------------------- one model


def model_header(model: Model) -> str:
    job = model.job
    again = link_button("Make it again", f"/train?recipe={job.recipe}&again={job.id}", slim=True) if job else ""
    return (
        f'<header class="h-header"><div><div class="h-line"><h1>{escape(model.name)}</h1>'
        f'<span class="h-tag">{KIND_WORDS[model.kind]}</span></div>'
        f"<p>{_origin(model)}</p></div>"
        f'<div class="h-line">{model_actions(model)}{again}</div></header>'
    )


def _job_of_checkpoint(model: Model) -> str:
    return f'<a href="/job?id={model.checkpoint_job_id}">job {model.checkpoint_job_id}</a>'


def _origin(model: Model) -> str:
    if model.checkpoint_job_id is not None:
        job = _job_of_checkpoint(model)
        return f"Kept {when(model.created_at)}: the checkpoint of step {model.checkpoint_step} of {job}."
    if model.endpoint_id is not None:
        return f"Added {when(model.created_at)}; answered by a server elsewhere, where its weights are."
    if model.job is None:
        return f"Registered {when(model.created_at)} from <code>{escape(model.source or '')}</code>."
    parent = f" from {model_link(model.parent)}" if model.parent else ""
    return f"Made {when(model.created_at)}{parent} by the job {job_link(model.job)}."


def model_facts(model: Model, rating: Rating | None, location: str, *, endpoint: Endpoint | None = None) -> str:
    """Args:
    location: Its folder or Hugging Face id; nothing where an endpoint answers for it.
    """
    rows = [
        ("Parameters", f"{number(model.num_parameters)}" if model.num_parameters else ""),
        ("Size on disk", file_size(model.size_bytes) if model.size_bytes else ""),
        ("Stands on", model_link(model.base) if model.base else ""),
        ("Folder or id", f"<code>{escape(location)}</code>" if location else ""),
        ("Answered by", endpoint_words(endpoint) if endpoint else ""),
        ("Its name there", f"<code>{escape(model.source or '')}</code>" if endpoint else ""),
    ]
    if rating is not None:
        words = f"{rating_words(rating)} Elo against {escape(rating.reference)}, {counted(rating.num_votes, 'vote')}"
        rows.insert(2, ("Rating", words))
    return f'<section class="h-card"><h2 class="h-h2">What it is</h2>{facts(rows)}</section>'


def endpoint_words(endpoint: Endpoint) -> str:
    return f'<a href="/settings">{escape(endpoint.name)}</a><br><code>{escape(endpoint.base_url)}</code>'


def ancestry(chain: Sequence[Model]) -> str:
    """From the base to this model, each with what made it."""
    steps = "".join(
        f"<li><span class='h-strong'>{model_link(model)}</span> "
        f"<span class='h-quiet h-small'>{escape(model.job.recipe) if model.job else 'registered'}</span></li>"
        for model in chain
    )
    return f'<section class="h-card"><h2 class="h-h2">Descent</h2><ol class="h-descent">{steps}</ol></section>'


def lineage(model: Model, job: Job | None) -> str:
    """Everything that made it, to the byte."""
    manifest = model.manifest
    rows: list[tuple[str, str]] = []
    if job is not None:
        rows += [
            ("Recipe", escape(job.recipe)),
            ("Job", job_link(job)),
            ("Parent", model_link(model.parent) if model.parent else "none: trained from nothing"),
            ("Data", "<br>".join(_dataset_with_hash(version) for version in job.datasets)),
            ("Seed", escape(str(job.spec["seed"])) if "seed" in job.spec else ""),
        ]
    versions = manifest.get("versions") or {}
    template = manifest.get("chat_template_sha256")
    rows += [
        ("Hardware", escape(manifest.get("hardware") or "")),
        ("Chat template", _hash(template) if template else ""),
        ("Packages", ", ".join(f"{escape(name)}\u00a0{escape(version)}" for name, version in sorted(versions.items()))),
    ]
    closing = (
        f'<section class="h-card"><h2 class="h-h2">When it ended</h2>{summary_facts(job.summary)}</section>'
        if job and job.summary
        else ""
    )
    body = facts(rows) if any(value for _, value in rows) else "<p class='h-quiet'>Hone did not make this model.</p>"
    return f'<section class="h-card"><h2 class="h-h2">Lineage</h2>{body}</section>{closing}'


def _dataset_with_hash(version: DatasetVersion) -> str:
    rows = f'<span class="h-quiet">{counted(version.num_rows, "row")}</span>'
    return f"{dataset_link(version)} {rows}<br>{_hash(version.sha256)}"


def _hash(sha256: str) -> str:
    return f'<code class="h-quiet h-hash" title="SHA-256">{escape(sha256)}</code>'


def files_table(files: Mapping[str, str]) -> str:
    """The model's files, each with the hash of its bytes."""
    if not files:
        return ""
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="h-fill">{_hash(sha256)}</td></tr>'
        for name, sha256 in sorted(files.items())
    )
    return (
        '<section class="h-card"><h2 class="h-h2">Files</h2><table class="h-table h-bare"><tbody>'
        f"{rows}</tbody></table></section>"
    )


def deleted_note(moment: datetime | None) -> str:
    return f'<div class="h-note"><p>Deleted {when(moment)}. Its record is kept for the lineage of others.</p></div>'
