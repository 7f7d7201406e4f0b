"""Exports over HTTP: a version in TRL's columns, as one file or with a dataset card, made while it is sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from pipeline.data.dataset_card import CardFacts
from pipeline.data.exporting import ExportedSplit, ExportFormat, export_jsonl, export_parquet, export_zip
from store import datasets, lineage
from store.database import reading
from store.schema import DatasetVersion
from webapp.data.uploads import ApiRoute

router = APIRouter(prefix="/api/datasets/{version_id}/export", route_class=ApiRoute)

_MEDIA = {"jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


@router.get("/{file_format}")
def export_file(version_id: int, file_format: Literal["jsonl", "parquet"]) -> StreamingResponse:
    """One file of rows."""
    with reading() as session:
        version = datasets.get_version(session, version_id)
    rows = datasets.rows_of(version).path
    data = export_jsonl(rows) if file_format == "jsonl" else export_parquet(rows, version.kind)
    return _sent(data, _MEDIA[file_format], f"{file_stem(version)}.{file_format}")


@router.get("/zip/{file_format}")
def export_package(version_id: int, file_format: ExportFormat) -> StreamingResponse:
    """A zip of the rows and a dataset card; the sides of a split go together."""
    with reading() as session:
        version = datasets.get_version(session, version_id)
        sides = _sides_of(session, version)
    splits = [ExportedSplit(name, datasets.rows_of(side).path, side.num_rows) for name, side in sides]
    facts = CardFacts(version.dataset.name, version.number, version.sha256, origin_of(version))
    return _sent(
        export_zip(splits, version.kind, file_format, facts),
        "application/zip",
        f"{file_stem(version)}.{file_format}.zip",
    )


def file_stem(version: DatasetVersion) -> str:
    """A file name that every system takes, whatever the dataset is called."""
    words = re.sub(
        r"[^\w]+", "-", unicodedata.normalize("NFKD", version.dataset.name).encode("ascii", "ignore").decode()
    )
    return f"{words.strip('-_')[:60].rstrip('-_') or 'dataset'}-v{version.number}"


def origin_of(version: DatasetVersion) -> tuple[tuple[str, str], ...]:
    """How a version was made, one fact a line."""
    told = version.provenance
    facts = [("Made by", str(told.get("made_by", "unknown"))), ("Source", version.source_name)]
    names = {"by": "Split by", "side": "Side", "test_share": "Share for tests", "seed": "Seed", "recipe": "Recipe"}
    facts += [(title, str(told[key])) for key, title in names.items() if key in told]
    for part in told.get("parts", ()):
        facts.append(
            ("Mixed from", f"{part['name']}, version {part['number']}: {part['rows']} rows ({part['sha256']})")
        )
    facts.append(("Kept", f"{version.created_at:%Y-%m-%d}"))
    return tuple((title, words) for title, words in facts if words)


def _sides_of(session: Session, version: DatasetVersion) -> list[tuple[str, DatasetVersion]]:
    """The version as "train"; or both sides of the split that it is one side of, as long as both are kept."""
    told = version.provenance
    if told.get("made_by") != "split" or version.parent_id is None:
        return [("train", version)]
    siblings = [
        other
        for other in lineage.made_from(session, version.parent_id)
        if {**other.provenance, "side": ""} == {**told, "side": ""} and other.provenance.get("side") != told["side"]
    ]
    sides = [(told["side"], version), *((other.provenance["side"], other) for other in siblings[:1])]
    return sorted(sides, reverse=True)  # train, then test


def _sent(data: Iterator[bytes], media_type: str, file_name: str) -> StreamingResponse:
    headers = {"content-disposition": f'attachment; filename="{file_name}"'}
    return StreamingResponse(data, media_type=media_type, headers=headers)
