"""Versions: every version of a dataset, what differs, splits and mixtures, exports, who uses it, and deleting."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.data.row_differences import RowDifferences, row_differences
from pipeline.data.row_index import RowIndex
from pipeline.errors import BadData, HoneError
from store import datasets, lineage, mixing
from store.database import reading, writing
from store.dataset_deletion import delete_dataset, delete_version
from store.schema import DatasetVersion
from webapp.data import views_versions as views
from webapp.data.makings import makings
from webapp.data.row_indexes import IndexState, row_indexes
from webapp.data.tabs import dataset_header
from webapp.people import current_person
from webapp.shell import FOLLOW, QUIET, Page, error_block, html, link_button, on_load, page_header, query_id

LIVE_SECONDS = 0.7
MAX_PARTS = 6

_BY = [("Prompt: the same prompt never stands on both sides", "prompt"), ("Row", "row")]
_ASKED = [("Shares of a total", "weights"), ("Epochs of each", "epochs")]


def build() -> None:
    version_id = gr.State(0)
    address = gr.Textbox(visible=False)
    timer = gr.Timer(LIVE_SECONDS, active=False)
    header = html(min_height=88)
    notice = html()
    with gr.Column(visible=False) as body:
        with gr.Column(elem_classes="h-card", visible=False) as going_card:
            going = html()
            stop = gr.Button("Stop what is going", elem_classes="h-fit", visible=False)
        with gr.Column(elem_classes="h-card"):
            html('<h2 class="h-h2">Versions</h2>')
            table = html(min_height=72)
        with gr.Row(elem_classes="h-versions"):
            with gr.Column(min_width=320):
                with gr.Column(elem_classes="h-card"):
                    html('<h2 class="h-h2">What differs</h2>')
                    other = gr.Dropdown(label="Compared with", choices=[])
                    differences = html(min_height=40)
                with gr.Column(elem_classes="h-card"):
                    html(_SPLIT)
                    with gr.Row(elem_classes="h-fields"):
                        share = gr.Number(0.1, label="Share for tests", minimum=0, maximum=1, step=0.05, min_width=120)
                        split_seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=120)
                    by = gr.Radio(_BY, value="prompt", label="Decided by")
                    with gr.Row(elem_classes="h-fields"):
                        train_name = gr.Textbox(label="Name of the training side", max_lines=1, min_width=160)
                        test_name = gr.Textbox(label="Name of the test side", max_lines=1, min_width=160)
                    split_fault = html()
                    split = gr.Button("Split in two", variant="primary", elem_classes="h-fit")
                with gr.Column(elem_classes="h-card"):
                    html(_MIX)
                    parts = gr.Dropdown(label="Versions", multiselect=True, max_choices=MAX_PARTS, choices=[])
                    asked = gr.Radio(_ASKED, value="weights", label="How much of each")
                    with gr.Row(elem_classes="h-fields"):
                        weights = [
                            gr.Number(1.0, label="", minimum=0, visible=False, min_width=160) for _ in range(MAX_PARTS)
                        ]
                    with gr.Row(elem_classes="h-fields"):
                        total = gr.Number(1000, label="Rows in all", precision=0, minimum=1, min_width=120)
                        mix_seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=120)
                        mix_name = gr.Textbox(label="Name of the mixture", max_lines=1, min_width=160)
                    mix_fault = html()
                    mix = gr.Button("Make the mixture", variant="primary", elem_classes="h-fit")
            with gr.Column(min_width=320):
                with gr.Column(elem_classes="h-card"):
                    html('<h2 class="h-h2">Export</h2>')
                    exports = html()
                with gr.Column(elem_classes="h-card"):
                    html('<h2 class="h-h2">Used by</h2>')
                    users = html()
                with gr.Column(elem_classes="h-card"):
                    html(_DELETE)
                    sure = gr.Checkbox(False, label="I am sure", container=False)
                    delete_fault = html()
                    with gr.Row(elem_classes="h-actions"):
                        delete_one = gr.Button(
                            "Delete this version", variant="stop", interactive=False, elem_classes="h-fit"
                        )
                        delete_all = gr.Button(
                            "Delete all versions", variant="stop", interactive=False, elem_classes="h-fit"
                        )

    live = [going_card, going, stop, differences, timer]
    forms = [other, train_name, test_name, parts, mix_name]
    on_load(_open, outputs=[version_id, header, notice, body, table, exports, users, *forms, *live])
    timer.tick(_refresh, inputs=[version_id, other], outputs=[*live, table, users], **QUIET)
    other.input(_look, inputs=[version_id, other], outputs=live, **QUIET)
    split.click(
        _split,
        inputs=[version_id, share, split_seed, by, train_name, test_name],
        outputs=[split_fault, timer],
        api_visibility="private",
    )
    for trigger in (parts.change, asked.change):
        trigger(_weights, inputs=[parts, asked], outputs=[*weights, total], **QUIET)
    mix.click(
        _mix,
        inputs=[version_id, parts, asked, total, mix_seed, mix_name, *weights],
        outputs=[mix_fault, timer],
        api_visibility="private",
    )
    stop.click(_stop, inputs=version_id, outputs=timer, **QUIET)
    sure.input(
        lambda is_sure: [gr.Button(interactive=is_sure)] * 2, inputs=sure, outputs=[delete_one, delete_all], **QUIET
    )
    for button, remove in ((delete_one, _delete_one), (delete_all, _delete_all)):
        button.click(remove, inputs=version_id, outputs=[delete_fault, address], **QUIET).then(
            None, inputs=address, js=FOLLOW, api_visibility="private"
        )


_SPLIT = (
    '<h2 class="h-h2">Split</h2><p class="h-quiet">Each row falls on its side by its own hash, so the same row '
    "falls on the same side in every version.</p>"
)
_MIX = (
    '<h2 class="h-h2">Mixture</h2><p class="h-quiet">Rows of several versions of one kind, drawn and shuffled into a '
    "new dataset that names them all.</p>"
)
_DELETE = (
    '<h2 class="h-h2">Delete</h2><p class="h-quiet">The rows and files go; jobs keep their record of them. What a '
    "model, or a job that has not ended, needs cannot be deleted.</p>"
)


# ------------------------------------------------------------------------------------------------------- what is shown


def _open(request: gr.Request) -> list[Any]:
    try:
        with reading() as session:
            version = datasets.get_version(session, query_id(request) or 0)
            kind = datasets.list_versions(session, [version.kind])
    except HoneError as error:
        back = f'<div class="h-line">{link_button("All data", "/data")}</div>'
        return [0, page_header("Versions"), f'<div class="h-stack">{error_block(error)}{back}</div>', *[gr.skip()] * 14]
    choices = [(views.version_name(one), one.id) for one in kind]
    others = [choice for choice in choices if choice[1] != version.id]
    parent = version.parent_id if any(version.parent_id == value for _, value in others) else None
    earlier = next((one.id for one in kind if one.dataset_id == version.dataset_id and one.id < version.id), None)
    compared = parent or earlier
    name = version.dataset.name[:60]
    return [
        version.id,
        dataset_header(version, "/versions"),
        "",
        gr.Column(visible=True),
        *_lists(version),
        gr.Dropdown(choices=[("Nothing", 0), *others], value=compared or 0),
        f"{name} train",
        f"{name} test",
        gr.Dropdown(choices=choices, value=[version.id]),
        f"{name} mixture",
        *_look(version.id, compared),
    ]


def _lists(version: DatasetVersion) -> list[str]:
    """The table of versions, the exports, and who uses it."""
    with reading() as session:
        versions = lineage.versions_of(session, version.dataset_id)
        parents = lineage.parents_of(session, versions)
        people = lineage.names_of_people(session, versions)
        counts = datasets.count_uses(session)
        uses, derived = datasets.used_by(session, version.id), lineage.made_from(session, version.id)
    return [
        views.versions_table(versions, version.id, parents, people, counts),
        views.exports_view(version),
        views.users_view(uses, derived),
    ]


def _look(version_id: int, other_id: int | None) -> list[Any]:
    """What is being made, what differs, and whether to look again."""
    try:
        with reading() as session:
            version = datasets.get_version(session, version_id)
        compared, is_waiting = _differences(version, other_id)
    except HoneError as error:
        return [gr.skip(), gr.skip(), gr.skip(), error_block(error), gr.Timer(active=False)]
    making = makings().of(version.dataset_id)[:4]
    is_going = any(one.is_going for one in making)
    return [
        gr.Column(visible=bool(making)),
        views.makings_view(making),
        gr.Button(visible=is_going),
        compared,
        gr.Timer(active=is_going or is_waiting),
    ]


def _refresh(version_id: int, other_id: int | None) -> list[Any]:
    live = _look(version_id, other_id)
    try:
        with reading() as session:
            version = datasets.get_version(session, version_id)
    except HoneError:
        return [*live, gr.skip(), gr.skip()]
    table, _, users = _lists(version)
    return [*live, table, users]


def _differences(version: DatasetVersion, other_id: int | None) -> tuple[str, bool]:
    """The counts, and whether they are still waited for."""
    if not other_id:
        return '<p class="h-quiet">Choose a version to compare this one with.</p>', False
    with reading() as session:
        other = datasets.get_version(session, other_id)
    earlier, later = sorted((version, other), key=lambda one: one.id)
    found = [row_indexes().require(datasets.folder_of(one)) for one in (earlier, later)]
    waiting = [one.share for one in found if isinstance(one, IndexState)]
    if waiting:
        return views.comparing_view(min(waiting)), True
    first, second = found
    assert not isinstance(first, IndexState)
    assert not isinstance(second, IndexState)
    return views.differences_view(earlier, later, _counted(first.folder.parent, second.folder.parent)), False


@lru_cache(maxsize=32)
def _counted(earlier: Path, later: Path) -> RowDifferences:
    """Versions never change, so what differs between two is counted once."""
    return row_differences(RowIndex(earlier), RowIndex(later))


# --------------------------------------------------------------------------------------------------------- what is done


def _split(
    version_id: int,
    share: float | None,
    seed: float | None,
    by: Any,
    train_name: str,
    test_name: str,
    request: gr.Request,
) -> list[Any]:
    try:
        with reading() as session:
            version = datasets.get_version(session, version_id)
        if not 0 < (share or 0) < 1:
            raise BadData(f"The share for tests is {share}.", "Give a share between 0 and 1, such as 0.1.")
        names = datasets.checked_name(train_name), datasets.checked_name(test_name)
        person_id = current_person(request).id
    except HoneError as error:
        return [error_block(error), gr.skip()]
    makings().begin(
        f"Split of {views.version_name(version)} into “{names[0]}” and “{names[1]}”",
        version.dataset_id,
        lambda tell: mixing.split(
            version,
            test_share=float(share or 0),
            by=by,
            seed=int(seed or 0),
            names=names,
            person_id=person_id,
            tell=tell,
        ),
    )
    return ["", gr.Timer(active=True)]


def _weights(chosen: list[int], asked: str) -> list[Any]:
    """A field for each version that is chosen, and the total where shares are asked for."""
    with reading() as session:
        names = [views.version_name(datasets.get_version(session, one)) for one in (chosen or [])[:MAX_PARTS]]
    unit = "epochs" if asked == "epochs" else "weight"
    fields = [gr.Number(label=f"{name}: {unit}", visible=True) for name in names]
    hidden = [gr.Number(visible=False)] * (MAX_PARTS - len(fields))
    return [*fields, *hidden, gr.Number(visible=asked == "weights")]


def _mix(
    request: gr.Request,
    version_id: int,
    chosen: list[int],
    asked: Any,
    total: float | None,
    seed: float | None,
    name: str,
    *weights: Any,
) -> list[Any]:
    given = [float(weight or 0) for weight in weights[: len(chosen or [])]]
    try:
        with reading() as session:
            here = datasets.get_version(session, version_id)
            versions = [datasets.get_version(session, one) for one in chosen or []]
        if asked == "epochs":
            parts = mixing.parts_of_epochs(versions, given)
        else:
            parts = mixing.parts_of_total(versions, given, int(total or 0))
        name = datasets.checked_name(name)
        person_id = current_person(request).id
    except HoneError as error:
        return [error_block(error), gr.skip()]
    makings().begin(
        f"Mixture “{name}”",
        here.dataset_id,
        lambda tell: (mixing.mix(parts, name=name, seed=int(seed or 0), asked=asked, person_id=person_id, tell=tell),),
    )
    return ["", gr.Timer(active=True)]


def _stop(version_id: int) -> Any:
    with reading() as session:
        version = datasets.get_version(session, version_id)
    for making in makings().of(version.dataset_id):
        makings().stop(making.id)
    return gr.Timer(active=True)


def _delete_one(version_id: int) -> tuple[str, str]:
    try:
        with writing() as session:
            version = datasets.get_version(session, version_id)
            delete_version(session, version_id)
            left = lineage.versions_of(session, version.dataset_id)
            name = version.dataset.deleted_at
        row_indexes().stop(datasets.folder_of(version))
    except HoneError as error:
        return error_block(error), ""
    return "", "/data" if name or not left else f"/versions?id={left[0].id}"


def _delete_all(version_id: int) -> tuple[str, str]:
    try:
        with writing() as session:
            version = datasets.get_version(session, version_id)
            delete_dataset(session, version.dataset_id)
            folders = [datasets.folder_of(one) for one in version.dataset.versions]
        for folder in folders:
            row_indexes().stop(folder)
    except HoneError as error:
        return error_block(error), ""
    return "", "/data"


PAGE = Page(title="Versions", path="/versions", build=build, under="/data", assets=("data.css", "browse.css"))
