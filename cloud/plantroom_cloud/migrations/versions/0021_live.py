"""Webhooks, what is sent to them, and tickets of live connections.

Revision ID: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _webhook()
    _delivery()
    op.create_table(
        "live_ticket",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("principal", sa.JSON(), nullable=False),
        sa.Column("expires_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_live_ticket_company_id"),
        sa.PrimaryKeyConstraint("digest", name="pk_live_ticket"),
    )
    for table in ("webhook", "webhook_delivery", "live_ticket"):
        op.create_index(f"ix_{table}_company_id", table, ["company_id"])


def _webhook() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", BIG, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("topics", sa.String(200), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("secret", sa.String(80), nullable=False),
        sa.Column("old_secret", sa.String(80), nullable=False),
        sa.Column("old_until_us", BIG, nullable=False),
        sa.Column("failures", BIG, nullable=False),
        sa.Column("resume_us", BIG, nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_webhook_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_webhook"),
    )


def _delivery() -> None:
    op.create_table(
        "webhook_delivery",
        sa.Column("id", BIG, nullable=False),
        sa.Column("webhook_id", BIG, nullable=False),
        sa.Column("message", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tries", BIG, nullable=False),
        sa.Column("due_us", BIG, nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhook.id"],
            name="fk_webhook_delivery_webhook_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name="fk_webhook_delivery_company_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_delivery"),
    )
    op.create_index("ix_webhook_delivery_state_due_us", "webhook_delivery", ["state", "due_us"])
    op.create_index("ix_webhook_delivery_webhook_id_id", "webhook_delivery", ["webhook_id", "id"])
