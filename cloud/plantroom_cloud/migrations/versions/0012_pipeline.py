"""Jobs of the BMS pipeline, their chunks and what these brought.

Revision ID: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _job()
    _chunk()
    _output()
    for table in ("job", "job_chunk", "job_output"):
        op.create_index(f"ix_{table}_company_id", table, ["company_id"])


def _job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("idempotency_key", sa.String(200), nullable=True),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("buildings", sa.JSON(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_job_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint(
            "company_id", "idempotency_key", name="uq_job_company_id_idempotency_key"
        ),
    )
    op.create_index("ix_job_state", "job", ["state"])


def _chunk() -> None:
    op.create_table(
        "job_chunk",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("building", BIG, autoincrement=False, nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("piece", BIG, autoincrement=False, nullable=False),
        sa.Column("points", BIG, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_us", BIG, nullable=False),
        sa.Column("tries", BIG, nullable=False),
        sa.Column("worker", sa.String(80), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sent_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_job_chunk_job_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_job_chunk_company_id"),
        sa.PrimaryKeyConstraint("job_id", "building", "stage", "piece", name="pk_job_chunk"),
    )
    op.create_index("ix_job_chunk_state_due_us", "job_chunk", ["state", "due_us"])


def _output() -> None:
    op.create_table(
        "job_output",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("building", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("piece", BIG, autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_job_output_job_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_job_output_company_id"),
        sa.PrimaryKeyConstraint("job_id", "building", "kind", "piece", name="pk_job_output"),
    )
