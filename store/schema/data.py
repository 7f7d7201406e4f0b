"""Datasets and their versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.schema.base import Base, utc_now


class Dataset(Base):
    """A named set of rows; what it holds is in its versions."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]

    versions: Mapped[list[DatasetVersion]] = relationship(back_populates="dataset", order_by="DatasetVersion.number")


class DatasetVersion(Base):
    """Immutable rows, named by the SHA-256 of their bytes; they lie in `datasets/<sha256>/rows.jsonl`."""

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("dataset_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), index=True)
    number: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    """text, instruction, preference or unpaired."""
    format: Mapped[str] = mapped_column(String(60))
    num_rows: Mapped[int]
    num_rejected: Mapped[int] = mapped_column(default=0)
    num_repaired: Mapped[int] = mapped_column(default=0, server_default="0")
    """Rows that were taken after something was mended in them."""
    size_bytes: Mapped[int]
    source_name: Mapped[str] = mapped_column(String(300), default="")
    parent_id: Mapped[int | None] = mapped_column(index=True)
    """The version that it was made from, where it was made from one: by leaving rows out, by adding or by editing."""
    provenance: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]
    """When its rows were removed; jobs and versions that came from it still name it."""

    dataset: Mapped[Dataset] = relationship(back_populates="versions")


class ColumnMapping(Base):
    """Which column holds what, under a name, to be used again for files of the same columns."""

    __tablename__ = "column_mappings"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    mapping: Mapped[dict[str, Any]]
    """See `pipeline.data.formats.Mapping`."""
    columns: Mapped[list[Any]]
    """Every column of the file that it was made for."""
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class DataReport(Base):
    """What a job has found out about a dataset version; its files lie in `reports/<folder>`."""

    __tablename__ = "data_reports"

    id: Mapped[int] = mapped_column(primary_key=True)
    recipe: Mapped[str] = mapped_column(String(40))
    dataset_version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), index=True)
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    """The model whose tokenizer or judgement it rests on, if it rests on one."""
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    folder: Mapped[str] = mapped_column(String(200))
    summary: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class RowReview(Base):
    """One person's word on one row of a dataset version: taken as it is, taken as edited, or left out."""

    __tablename__ = "row_reviews"
    __table_args__ = (UniqueConstraint("dataset_version_id", "row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"))
    row: Mapped[int]
    """Its number in the version, from 0."""
    decision: Mapped[str] = mapped_column(String(10))
    """accept, edit or reject."""
    edited: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """The canonical row that stands in its place."""
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    decided_at: Mapped[datetime] = mapped_column(default=utc_now)
