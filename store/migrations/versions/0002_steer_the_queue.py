"""What people steer the queue with, and which device is held by whom

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Columns are added in place: rebuilding a table that others point to would break their references on SQLite.
    op.add_column("jobs", sa.Column("num_slots", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("after_job_id", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_jobs_after_job_id"), "jobs", ["after_job_id"])
    op.add_column("workers", sa.Column("machine", sa.String(length=120), nullable=False, server_default=""))
    op.add_column("workers", sa.Column("is_draining", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "slots",
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("holder", sa.String(length=40), nullable=True),
        sa.Column("lease_expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_slots_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slots")),
    )
    op.create_index(op.f("ix_slots_job_id"), "slots", ["job_id"])
    op.create_table(
        "queue_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("is_paused", sa.Boolean(), nullable=False),
        sa.Column("changed_by_id", sa.Integer(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["changed_by_id"], ["people.id"], name=op.f("fk_queue_state_changed_by_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue_state")),
    )


def downgrade() -> None:
    op.drop_table("queue_state")
    op.drop_table("slots")
    op.drop_column("workers", "is_draining")
    op.drop_column("workers", "machine")
    op.drop_index(op.f("ix_jobs_after_job_id"), "jobs")
    op.drop_column("jobs", "after_job_id")
    op.drop_column("jobs", "num_slots")
