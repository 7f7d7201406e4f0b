"""Repaired rows and parents of dataset versions; named mappings, reports on data, reviews of rows

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dataset_versions", sa.Column("num_repaired", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("dataset_versions", sa.Column("parent_id", sa.Integer(), nullable=True))
    op.add_column("dataset_versions", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_dataset_versions_parent_id"), "dataset_versions", ["parent_id"])
    op.create_table(
        "column_mappings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("mapping", sa.JSON(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["created_by_id"], ["people.id"], name=op.f("fk_column_mappings_created_by_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_column_mappings")),
        sa.UniqueConstraint("name", name=op.f("uq_column_mappings_name")),
    )
    op.create_table(
        "data_reports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recipe", sa.String(length=40), nullable=False),
        sa.Column("dataset_version_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=True),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("folder", sa.String(length=200), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_version_id"],
            ["dataset_versions.id"],
            name=op.f("fk_data_reports_dataset_version_id_dataset_versions"),
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_data_reports_model_id_models")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_data_reports_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_reports")),
        sa.UniqueConstraint("job_id", name=op.f("uq_data_reports_job_id")),
    )
    op.create_index(op.f("ix_data_reports_dataset_version_id"), "data_reports", ["dataset_version_id"])
    op.create_table(
        "row_reviews",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_version_id", sa.Integer(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("decision", sa.String(length=10), nullable=False),
        sa.Column("edited", sa.JSON(), nullable=True),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_version_id"],
            ["dataset_versions.id"],
            name=op.f("fk_row_reviews_dataset_version_id_dataset_versions"),
        ),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_row_reviews_person_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_row_reviews")),
        sa.UniqueConstraint("dataset_version_id", "row", name=op.f("uq_row_reviews_dataset_version_id")),
    )


def downgrade() -> None:
    for table in ("row_reviews", "data_reports", "column_mappings"):
        op.drop_table(table)
    op.drop_index(op.f("ix_dataset_versions_parent_id"), "dataset_versions")
    for column in ("deleted_at", "parent_id", "num_repaired"):
        op.drop_column("dataset_versions", column)
