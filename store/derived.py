"""Derived versions: rows chosen from, or made out of, those of a version that is kept already."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable
from typing import Any, cast

from pipeline.data.formats import Kind
from pipeline.data.importing import import_rows
from store import datasets
from store.database import writing
from store.datasets import Added
from store.schema import DatasetVersion
from store.settings import settings


def derive(
    version: DatasetVersion,
    rows: Iterable[dict[str, Any]],
    *,
    how: dict[str, Any],
    person_id: int | None,
    name: str | None = None,
) -> Added:
    """Keep rows as the next version of a dataset, or as another dataset, with the version that they came from.

    Args:
        version: The version that they came from.
        rows: Canonical rows of its kind.
        how: What was done, for the version's page: `made_by` in a word or two, and the particulars.
        name: Of the dataset; that of `version` unless given.

    Raises:
        BadData: if there are no rows, one of them is not of the kind, or the name cannot be used.
    """
    name = datasets.checked_name(name or version.dataset.name)
    folder = settings().uploads_folder / f"derived-{secrets.token_hex(8)}"
    try:
        import_rows(rows, version.source_name, folder, kind=cast(Kind, version.kind))
        with writing() as session:
            return datasets.add_version(
                session, folder, name=name, provenance=how, parent_id=version.id, created_by_id=person_id
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
