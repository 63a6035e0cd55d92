"""What the LLM mapper used, what it said, and what it was asked in batches.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _usage()
    _answers()
    _batches()
    op.create_index("ix_llm_batch_company_id", "llm_batch", ["company_id"])
    op.create_index("ix_llm_answer_template", "llm_answer", ["company_id", "template"])
    op.create_index("ix_llm_batch_state", "llm_batch", ["state"])


def _usage() -> None:
    op.create_table(
        "llm_usage",
        sa.Column("company_id", BIG, nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("tokens_in", BIG, nullable=False),
        sa.Column("tokens_out", BIG, nullable=False),
        sa.Column("money_micros", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_llm_usage_company_id"),
        sa.PrimaryKeyConstraint("company_id", "period", name="pk_llm_usage"),
    )


def _answers() -> None:
    op.create_table(
        "llm_answer",
        sa.Column("company_id", BIG, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("template", sa.String(64), nullable=False),
        sa.Column("template_key", sa.Text(), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("said", sa.String(128), nullable=False),
        sa.Column("offline", sa.String(128), nullable=False),
        sa.Column("points", BIG, nullable=False),
        sa.Column("decided", sa.String(128), nullable=False),
        sa.Column("answered_us", BIG, nullable=False),
        sa.Column("decided_us", BIG, nullable=True),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_llm_answer_company_id"),
        sa.PrimaryKeyConstraint("company_id", "key", "template", name="pk_llm_answer"),
    )


def _batches() -> None:
    op.create_table(
        "llm_batch",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("remote", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("tokens_in", BIG, nullable=False),
        sa.Column("tokens_out", BIG, nullable=False),
        sa.Column("money_micros", BIG, nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_llm_batch_site_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_llm_batch_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_llm_batch"),
    )
