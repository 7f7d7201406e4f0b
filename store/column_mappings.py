"""Column mappings: which column holds what, kept under a name and offered for files with the same columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.data.formats import Mapping
from pipeline.errors import BadData
from store.schema import ColumnMapping

MAX_NAME_CHARACTERS = 80


class NoSuchMapping(BadData):
    kind = "no_such_mapping"


def save_mapping(
    session: Session, mapping: Mapping, *, name: str, columns: Sequence[str], person_id: int | None = None
) -> ColumnMapping:
    """Keep a mapping under a name; one that is kept under it already stays as it is.

    Args:
        columns: Every column of the file that it was made for.

    Raises:
        BadData: if the name is empty, too long, or another mapping's.
    """
    name = _checked_name(name)
    known = _by_name(session, name)
    if known is not None and Mapping.model_validate(known.mapping) != mapping:
        raise BadData(f"“{name}” is the name of another mapping.", "Choose another name, or delete that one first.")
    if known is not None:
        return known
    saved = ColumnMapping(
        name=name, mapping=mapping.model_dump(mode="json"), columns=list(columns), created_by_id=person_id
    )
    session.add(saved)
    session.flush()
    return saved


def fitting_mappings(session: Session, columns: Iterable[str]) -> list[ColumnMapping]:
    """The mappings whose columns a file has: first those made for exactly its columns, then the newest."""
    names = set(columns)
    saved = session.scalars(select(ColumnMapping).order_by(ColumnMapping.id.desc())).all()
    fitting = [each for each in saved if names.issuperset(mapping_of(each).columns.values())]
    return sorted(fitting, key=lambda each: not is_made_for(each, names))


def is_made_for(saved: ColumnMapping, columns: Iterable[str]) -> bool:
    """Whether it was made for a file of exactly these columns."""
    return set(saved.columns) == set(columns)


def mapping_of(saved: ColumnMapping) -> Mapping:
    return Mapping.model_validate(saved.mapping)


def get_mapping(session: Session, mapping_id: int) -> ColumnMapping:
    """Raises:
    NoSuchMapping: if it was deleted.
    """
    saved = session.get(ColumnMapping, mapping_id)
    if saved is None:
        raise NoSuchMapping("This mapping is no longer there.", "Choose another, or say again which column holds what.")
    return saved


def rename_mapping(session: Session, mapping_id: int, name: str) -> ColumnMapping:
    """Raises:
    BadData: if it is gone, or the name is empty, too long, or another mapping's.
    """
    saved, name = get_mapping(session, mapping_id), _checked_name(name)
    known = _by_name(session, name)
    if known is not None and known.id != saved.id:
        raise BadData(f"“{name}” is the name of another mapping.", "Choose another name.")
    saved.name = name
    return saved


def delete_mapping(session: Session, mapping_id: int) -> None:
    """Datasets that were read with it keep what they were made of.

    Raises:
        NoSuchMapping: if it is gone already.
    """
    session.delete(get_mapping(session, mapping_id))


def _by_name(session: Session, name: str) -> ColumnMapping | None:
    return session.scalar(select(ColumnMapping).where(func.lower(ColumnMapping.name) == name.lower()))


def _checked_name(name: str) -> str:
    tidy = re.sub(r"[\s\x00-\x1f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+", " ", name).strip()
    if not tidy:
        raise BadData("The mapping has no name.", "Give it one, such as “support tickets”.")
    if len(tidy) > MAX_NAME_CHARACTERS:
        raise BadData(f"The name has {len(tidy)} characters; {MAX_NAME_CHARACTERS} are the most.", "Shorten it.")
    return tidy
