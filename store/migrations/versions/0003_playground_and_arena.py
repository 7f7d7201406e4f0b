"""Endpoints, keys, checkpoints and branches for the playground; prompt sets, repeats, links and reasons for the arena

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NEW_COLUMNS = (
    ("people", "link_id", sa.Integer(), None),
    ("models", "endpoint_id", sa.Integer(), None),
    ("models", "checkpoint_job_id", sa.Integer(), None),
    ("models", "checkpoint_step", sa.Integer(), None),
    ("conversations", "branched_from_id", sa.String(length=32), None),
    ("battles", "provenance", sa.JSON(), "{}"),
    ("battles", "tags", sa.JSON(), "[]"),
    ("battles", "prompt_version_id", sa.Integer(), None),
    ("battles", "prompt_row", sa.Integer(), None),
    ("battles", "repeat_of_id", sa.String(length=32), None),
    ("votes", "strength", sa.Integer(), None),
    ("votes", "reasons", sa.JSON(), "[]"),
    ("votes", "comment", sa.Text(), None),
    ("votes", "changes", sa.JSON(), "[]"),
)
"""Table, column, type, and what rows that are there already get."""
_NEW_INDEXES = (("models", "checkpoint_job_id"), ("battles", "prompt_version_id"), ("battles", "repeat_of_id"))


def upgrade() -> None:
    for table, name, kind, default in _NEW_COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=default is None, server_default=default))
    for table, column in _NEW_INDEXES:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    op.create_table(
        "endpoints",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("base_url", sa.String(length=500), nullable=False),
        sa.Column("encrypted_key", sa.Text(), nullable=True),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["created_by_id"], ["people.id"], name=op.f("fk_endpoints_created_by_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoints")),
        sa.UniqueConstraint("name", name=op.f("uq_endpoints_name")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["created_by_id"], ["people.id"], name=op.f("fk_api_keys_created_by_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_sha256", name=op.f("uq_api_keys_key_sha256")),
    )
    op.create_table(
        "presets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["created_by_id"], ["people.id"], name=op.f("fk_presets_created_by_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_presets")),
    )
    op.create_table(
        "voting_links",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("prompt_version_id", sa.Integer(), nullable=True),
        sa.Column("model_ids", sa.JSON(), nullable=False),
        sa.Column("votes_an_hour", sa.Integer(), nullable=False),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["created_by_id"], ["people.id"], name=op.f("fk_voting_links_created_by_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_voting_links")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_voting_links_token_sha256")),
    )
    op.create_table(
        "prepared_answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("prompt_version_id", sa.Integer(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("settings_sha256", sa.String(length=64), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("finish_reason", sa.String(length=20), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_prepared_answers_job_id_jobs")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_prepared_answers_model_id_models")),
        sa.ForeignKeyConstraint(
            ["prompt_version_id"],
            ["dataset_versions.id"],
            name=op.f("fk_prepared_answers_prompt_version_id_dataset_versions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prepared_answers")),
        sa.UniqueConstraint(
            "prompt_version_id",
            "row",
            "model_id",
            "settings_sha256",
            name=op.f("uq_prepared_answers_prompt_version_id"),
        ),
    )
    op.create_index(op.f("ix_prepared_answers_model_id"), "prepared_answers", ["model_id"])


def downgrade() -> None:
    for table in ("prepared_answers", "voting_links", "presets", "api_keys", "endpoints"):
        op.drop_table(table)
    for table, column in _NEW_INDEXES:
        op.drop_index(op.f(f"ix_{table}_{column}"), table)
    for table, name, _, _ in reversed(_NEW_COLUMNS):
        op.drop_column(table, name)
