"""Data: bring a file, see what it is and what of it can be used, and keep it."""

from __future__ import annotations

from contextlib import suppress
from html import escape
from pathlib import PurePath
from typing import Any, get_args

import gradio as gr
from pydantic import ValidationError

from pipeline.data.formats import LAYOUTS, Mapping, Part
from pipeline.data.rows import RowFile
from pipeline.errors import BadData, HoneError
from store import datasets
from store.database import reading
from webapp.data.hub_form import hub_form
from webapp.data.saved_mappings import (
    NUM_SAVED_FIELDS,
    build_saved_mappings,
    chosen_mapping,
    delete,
    drawn,
    offered,
    rename,
    save,
)
from webapp.data.upload_folders import (
    ImportStatus,
    NoSuchUpload,
    Upload,
    as_error,
    discard,
    find_upload,
    imports,
    inspect,
)
from webapp.data.uploads import keep_upload
from webapp.data.views import (
    datasets_table,
    import_done,
    import_going,
    import_sentence,
    mapping_preview,
    part_label,
    review_header,
    unknown_columns,
)
from webapp.people import current_person
from webapp.shell import FOLLOW, QUIET, Page, error_block, html, link_button, on_load, page_header, query_value

LIVE_SECONDS = 0.5
NUM_FIRST_ROWS = 3
NUM_FIRST_REJECTED = 20
PARTS: tuple[Part, ...] = get_args(Part)
NOT_MAPPED = ""

_START = 'import("/ui/data.js").then((script) => script.start(element));'
_DROP_ZONE = """<div class="h-drop" data-state="idle"><div>
<div class="h-choose"><p>Drop a file here, or</p>
<label class="h-button h-primary">Choose a file<input type="file" aria-describedby="h-drop-formats"></label>
<p class="h-quiet h-small" id="h-drop-formats">JSON, JSON lines, CSV, TSV, Parquet, Arrow, .txt or .md,
also as .gz, .zst or .zip, or many texts in one .zip. You see what is in it before anything is kept.</p></div>
<div class="h-sending"><p data-words aria-live="polite">Sending…</p>
<div class="h-progress h-going" role="progressbar" aria-valuemin="0" aria-valuemax="100">
<span style="width:0"></span></div>
<button class="h-button h-slim" type="button" data-cancel>Cancel</button></div>
<div class="h-error" role="alert" hidden></div></div></div>"""


def build() -> None:
    html(
        page_header(
            "Data",
            "Rows to learn from: conversations, preferences, judged answers or plain text.",
            link_button("Make data", "/make"),
        )
    )
    upload_id = gr.State("")
    address = gr.Textbox(visible=False)
    timer = gr.Timer(LIVE_SECONDS, active=False)
    with gr.Column() as drop:
        gr.HTML(_DROP_ZONE, apply_default_css=False, js_on_load=_START)
        with gr.Accordion("Or fetch a dataset from the Hugging Face hub", open=False, elem_classes="h-card"):
            hub_form(address)
    with gr.Column(elem_classes="h-card", visible=False) as review:
        header = html()
        found = html(min_height=24)
        notice = html()
        with gr.Row(elem_classes="h-keep", visible=False) as keep_form:
            name = gr.Textbox(label="Name", max_lines=1, max_length=datasets.MAX_NAME_CHARACTERS, min_width=200)
            keep = gr.Button("Keep this dataset", variant="primary", elem_classes="h-fit")
            remap = gr.Button("Map columns differently", elem_classes="h-fit")
        with gr.Column(visible=False) as mapping_form:
            saved = build_saved_mappings()
            layout = gr.Radio(
                [(facts.title, name) for name, facts in LAYOUTS.items()], label="Each row is", value="turns"
            )
            with gr.Row(elem_classes="h-parts"):
                columns = [_part_field(part) for part in PARTS]
            preview = html(min_height=96)
            check = gr.Button("Read all rows", variant="primary", elem_classes="h-fit")
        shown = html()
        leave = gr.Button("Discard this file", elem_classes="h-fit")
    table = html(min_height=176)

    state = [found, shown, mapping_form, keep_form, timer]
    whole = [leave, upload_id, drop, review, header, *state, layout, *columns, preview, name, table, *saved.fields]
    on_load(_open, outputs=whole)
    timer.tick(_refresh, inputs=upload_id, outputs=state, **QUIET)
    mapping = [upload_id, layout, *columns]
    layout.input(_choose_layout, inputs=mapping, outputs=[*columns, preview], **QUIET)
    for column in columns:
        column.input(_preview, inputs=mapping, outputs=preview, trigger_mode="always_last", **QUIET)
    saved.choice.input(
        _use_saved, inputs=[upload_id, saved.choice], outputs=[layout, *columns, preview, *saved.fields], **QUIET
    )
    saved.save.click(_save_mapping, inputs=[saved.name, *mapping], outputs=saved.fields, **QUIET)
    saved.rename.click(_rename_mapping, inputs=[upload_id, saved.choice, saved.name], outputs=saved.fields, **QUIET)
    saved.delete.click(_delete_mapping, inputs=[upload_id, saved.choice], outputs=saved.fields, **QUIET)
    check.click(_read_all, inputs=mapping, outputs=[preview, *state], **QUIET)
    remap.click(_map_again, inputs=mapping, outputs=[mapping_form, keep_form, preview, shown], **QUIET)
    keep.click(_keep, inputs=[upload_id, name], outputs=[notice, address], api_visibility="private").then(
        None, inputs=address, js=FOLLOW, api_visibility="private"
    )
    leave.click(_discard, inputs=upload_id, outputs=address, **QUIET).then(
        None, inputs=address, js=FOLLOW, api_visibility="private"
    )


def _part_field(part: Part) -> gr.Dropdown:
    title, sentence = part_label(part)
    return gr.Dropdown([("Not in this file", NOT_MAPPED)], value=NOT_MAPPED, label=title, info=sentence, min_width=220)


def _open(request: gr.Request) -> list[Any]:
    table = _table()
    unchanged = [gr.skip()] * NUM_SAVED_FIELDS
    wanted = query_value(request, "upload")
    if not wanted:
        return [gr.skip(), "", *[gr.skip()] * (len(PARTS) + 10), "", table, *unchanged]
    try:
        upload = find_upload(wanted)
    except HoneError as error:
        closed = [gr.skip()] * (len(PARTS) + 3)
        shown = [gr.Column(visible=True), "", *_failed(error)]
        return [gr.Button(visible=False), "", gr.skip(), *shown, *closed, table, *unchanged]
    try:
        inspection = inspect(upload)
    except HoneError as error:
        shown = [gr.Column(visible=False), gr.Column(visible=True), review_header(upload.name, upload.size_bytes)]
        closed = [gr.skip()] * (len(PARTS) + 3)
        return [gr.skip(), upload.id, *shown, *_failed(error), *closed, table, *unchanged]
    status = imports().status(upload)
    if inspection.mapping and status.state == "waiting":
        imports().start(upload)
    known = None if inspection.mapping else offered(inspection.columns)
    mapping = (status.report.mapping if status.report else None) or inspection.mapping
    mapping = mapping or (known[1] if known else inspection.suggestion)
    layout = mapping.layout if mapping else "turns"
    return [
        gr.skip(),
        upload.id,
        gr.Column(visible=False),
        gr.Column(visible=True),
        review_header(upload.name, upload.size_bytes, inspection.file_format),
        *_refresh(upload.id),
        layout,
        *_part_choices(inspection.columns, layout, dict(mapping.columns) if mapping else {}),
        _preview_of(upload, mapping) if mapping else "",
        _suggested_name(upload.name),
        table,
        *drawn(inspection.columns, known[0] if known else 0),
    ]


def _refresh(upload_id: str) -> list[Any]:
    """What was found, whether the mapping and the keeping are asked for, and whether to look again."""
    try:
        upload = find_upload(upload_id)
        status = imports().status(upload)
        found, shown = _found(upload, status)
    except HoneError as error:
        return _failed(error)
    return [
        found,
        shown,
        gr.Column(visible=status.state in ("waiting", "failed")),
        gr.Row(visible=status.state == "imported"),
        gr.Timer(active=status.state == "importing"),
    ]


def _failed(error: HoneError) -> list[Any]:
    return [error_block(error), "", gr.Column(visible=False), gr.Row(visible=False), gr.Timer(active=False)]


def _found(upload: Upload, status: ImportStatus) -> tuple[str, str]:
    """What is known of the file, in a sentence and in rows."""
    if status.state == "importing":
        return import_going(status), ""
    if status.report is not None:
        rows = RowFile(upload.import_folder / "rows.jsonl").read(0, NUM_FIRST_ROWS)
        rejected = RowFile(upload.import_folder / "rejected.jsonl").read(0, NUM_FIRST_REJECTED)
        return import_sentence(status.report), import_done(status.report, rows, rejected, upload.id)
    failure = error_block(as_error(status.error)) if status.error else ""
    return f'<div class="h-review">{failure}{unknown_columns(inspect(upload))}</div>', ""


def _choose_layout(upload_id: str, layout: str, *columns: str) -> list[Any]:
    upload = find_upload(upload_id)
    chosen = dict(zip(PARTS, columns, strict=True))
    fields = _part_choices(inspect(upload).columns, layout, {p: c for p, c in chosen.items() if c})
    return [*fields, _preview(upload_id, layout, *columns)]


def _part_choices(columns: list[str], layout: str, chosen: dict[Any, str]) -> list[Any]:
    facts = LAYOUTS[layout]  # type: ignore[index]
    choices = [("Not in this file", NOT_MAPPED), *((column, column) for column in columns)]
    return [
        gr.Dropdown(
            choices=choices,
            value=chosen.get(part, NOT_MAPPED) if chosen.get(part) in columns else NOT_MAPPED,
            visible=part in facts.required + facts.optional,
        )
        for part in PARTS
    ]


def _preview(upload_id: str, layout: str, *columns: str) -> str:
    try:
        return _preview_of(find_upload(upload_id), _mapping(layout, columns))
    except HoneError as error:
        return f'<div class="h-note"><p>{escape(error.message)}</p></div>'


def _preview_of(upload: Upload, mapping: Mapping) -> str:
    return f'<div class="h-review">{mapping_preview(inspect(upload, mapping))}</div>'


def _read_all(upload_id: str, layout: str, *columns: str) -> list[Any]:
    try:
        upload = find_upload(upload_id)
        imports().start(upload, _mapping(layout, columns))
    except HoneError as error:
        return [error_block(error), *[gr.skip()] * 5]
    return [gr.skip(), *_refresh(upload_id)]


def _map_again(upload_id: str, layout: str, *columns: str) -> list[Any]:
    return [gr.Column(visible=True), gr.Row(visible=False), _preview(upload_id, layout, *columns), ""]


def _use_saved(upload_id: str, mapping_id: int) -> list[Any]:
    upload = find_upload(upload_id)
    columns = inspect(upload).columns
    try:
        mapping = chosen_mapping(mapping_id)
    except HoneError as error:
        fields = drawn(columns, notice=error_block(error))
        return [gr.skip()] * (len(PARTS) + 2) + fields
    if mapping is None:
        return [gr.skip()] * (len(PARTS) + 2) + drawn(columns)
    choices = _part_choices(columns, mapping.layout, dict(mapping.columns))
    return [mapping.layout, *choices, _preview_of(upload, mapping), *drawn(columns, mapping_id)]


def _save_mapping(request: gr.Request, name: str, upload_id: str, layout: str, *columns: str) -> list[Any]:
    try:
        mapping, known = _mapping(layout, columns), inspect(find_upload(upload_id)).columns
    except HoneError as error:
        return [gr.skip()] * (NUM_SAVED_FIELDS - 1) + [error_block(error)]
    return save(mapping, name, known, request)


def _rename_mapping(upload_id: str, mapping_id: int, name: str) -> list[Any]:
    return rename(mapping_id, name, inspect(find_upload(upload_id)).columns)


def _delete_mapping(upload_id: str, mapping_id: int) -> list[Any]:
    return delete(mapping_id, inspect(find_upload(upload_id)).columns)


def _mapping(layout: str, columns: tuple[str, ...]) -> Mapping:
    facts = LAYOUTS[layout]  # type: ignore[index]
    wanted = {p: c for p, c in zip(PARTS, columns, strict=True) if c and p in facts.required + facts.optional}
    try:
        return Mapping.model_validate({"layout": layout, "columns": wanted})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BadData(f"{reason[0].upper()}{reason[1:]}.") from error


def _keep(upload_id: str, name: str, request: gr.Request) -> tuple[str, str]:
    try:
        added = keep_upload(find_upload(upload_id), name=name, person_id=current_person(request).id)
    except HoneError as error:
        return error_block(error), ""
    return "", f"/dataset?id={added.version.id}" + ("" if added.is_new else "&known=1")


def _discard(upload_id: str) -> str:
    with suppress(NoSuchUpload):  # gone already is as good
        discard(find_upload(upload_id))
    return "/data"


def _suggested_name(file_name: str) -> str:
    stem = PurePath(file_name)
    while stem.suffix:
        stem = stem.with_suffix("")
    return stem.name[: datasets.MAX_NAME_CHARACTERS]


def _table() -> str:
    with reading() as session:
        return datasets_table(datasets.list_datasets(session), datasets.count_uses(session))


PAGE = Page(title="Data", path="/data", build=build, in_nav=True, assets=("data.css", "rows.js"))
