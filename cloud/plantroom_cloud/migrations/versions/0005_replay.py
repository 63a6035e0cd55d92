"""Quarantine decisions and the positions of replays.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# SQLite only numbers rows by itself where the type is exactly INTEGER.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "quarantine_decision",
        sa.Column("quarantine_id", BIG, autoincrement=False, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("stored", BIG, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("decided_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["quarantine_id"], ["quarantine.id"], name="fk_quarantine_decision_quarantine_id"
        ),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name="fk_quarantine_decision_company_id"
        ),
        sa.PrimaryKeyConstraint("quarantine_id", name="pk_quarantine_decision"),
    )
    op.create_index("ix_quarantine_decision_company_id", "quarantine_decision", ["company_id"])
    op.create_table(
        "replay_position",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("consumer", sa.String(64), nullable=False),
        sa.Column("replay", sa.String(16), nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("from_us", BIG, nullable=False),
        sa.Column("to_us", BIG, nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("file_size", BIG, nullable=False),
        sa.Column("pending", sa.LargeBinary(), nullable=True),
        sa.Column("pending_after", sa.JSON(), nullable=False),
        sa.Column("pending_count", BIG, nullable=False),
        sa.Column("late", BIG, nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("changed_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_replay_position_site_id"),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name="fk_replay_position_company_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_replay_position"),
        sa.UniqueConstraint(
            "company_id", "consumer", name="uq_replay_position_company_id_consumer"
        ),
    )
    op.create_index("ix_replay_position_company_id", "replay_position", ["company_id"])
