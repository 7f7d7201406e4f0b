"""Saved mappings on the Data page: choose one that fits the file, keep the one on screen, rename and delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipeline.data.formats import Mapping
from pipeline.errors import HoneError
from store import column_mappings
from store.column_mappings import MAX_NAME_CHARACTERS
from store.database import reading, writing
from webapp.people import current_person
from webapp.shell import error_block, html

NONE_CHOSEN = 0
NUM_SAVED_FIELDS = 5
"""What `drawn` fills."""


@dataclass(frozen=True)
class SavedMappings:
    """The fields and buttons of the form's part for saved mappings."""

    choice: gr.Dropdown
    name: gr.Textbox
    save: gr.Button
    rename: gr.Button
    delete: gr.Button
    notice: gr.HTML

    @property
    def fields(self) -> list[Any]:
        """What `drawn` fills."""
        return [self.choice, self.name, self.rename, self.delete, self.notice]


def build_saved_mappings() -> SavedMappings:
    with gr.Row(elem_classes="h-keep"):
        choice = gr.Dropdown([("None", NONE_CHOSEN)], value=NONE_CHOSEN, label="Saved mapping", min_width=200)
        name = gr.Textbox(
            label="Name of the mapping",
            placeholder="Support tickets",
            max_lines=1,
            max_length=MAX_NAME_CHARACTERS,
            min_width=200,
        )
        save = gr.Button("Save this mapping", elem_classes="h-fit")
        rename = gr.Button("Rename", elem_classes="h-fit", visible=False)
        delete = gr.Button("Delete", elem_classes="h-fit", visible=False)
    return SavedMappings(choice, name, save, rename, delete, html())


def offered(columns: Sequence[str]) -> tuple[int, Mapping] | None:
    """The saved mapping that was made for exactly these columns, if there is one."""
    with reading() as session:
        saved = next(iter(column_mappings.fitting_mappings(session, columns)), None)
        if saved is None or not column_mappings.is_made_for(saved, columns):
            return None
        return saved.id, column_mappings.mapping_of(saved)


def chosen_mapping(mapping_id: int) -> Mapping | None:
    """Raises:
    BadData: if it was deleted meanwhile.
    """
    if not mapping_id:
        return None
    with reading() as session:
        return column_mappings.mapping_of(column_mappings.get_mapping(session, mapping_id))


def drawn(columns: Sequence[str], chosen: int = NONE_CHOSEN, notice: str = "") -> list[Any]:
    """The fields for a file of these columns, with one of the saved mappings chosen or none."""
    with reading() as session:
        fitting = [(saved.name, saved.id) for saved in column_mappings.fitting_mappings(session, columns)]
    name = next((name for name, known in fitting if known == chosen), "")
    is_chosen = bool(name)
    return [
        gr.Dropdown(
            choices=[("None", NONE_CHOSEN), *fitting], value=chosen if is_chosen else NONE_CHOSEN, visible=bool(fitting)
        ),
        name,
        gr.Button(visible=is_chosen),
        gr.Button(visible=is_chosen),
        notice,
    ]


def save(mapping: Mapping, name: str, columns: Sequence[str], request: gr.Request) -> list[Any]:
    """Keep the mapping that is on screen under a name."""

    def keep(session: Any) -> int:
        person = current_person(request).id
        return column_mappings.save_mapping(session, mapping, name=name, columns=columns, person_id=person).id

    return _changed(columns, NONE_CHOSEN, keep)


def rename(mapping_id: int, name: str, columns: Sequence[str]) -> list[Any]:
    return _changed(columns, mapping_id, lambda s: column_mappings.rename_mapping(s, mapping_id, name).id)


def delete(mapping_id: int, columns: Sequence[str]) -> list[Any]:
    def remove(session: Any) -> int:
        column_mappings.delete_mapping(session, mapping_id)
        return NONE_CHOSEN

    return _changed(columns, mapping_id, remove)


def _changed(columns: Sequence[str], chosen: int, change: Callable[[Any], int]) -> list[Any]:
    try:
        with writing() as session:
            chosen = change(session)
    except HoneError as error:
        return [gr.skip()] * (NUM_SAVED_FIELDS - 1) + [error_block(error)]
    return drawn(columns, chosen)
