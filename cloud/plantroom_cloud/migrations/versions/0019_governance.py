"""Governance: rules, findings, waivers; deletions and exports.

Revision ID: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _rules()
    _sites()
    _findings()
    _waivers()
    _due()
    _deletions()
    _exports()


def _company(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name=f"fk_{table}_company_id"),
    ]


def _site(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("site_id", BIG, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=f"fk_{table}_site_id"),
    ]


def _id() -> sa.Column[int]:
    return sa.Column("id", BIG, autoincrement=True, nullable=False)


def _rules() -> None:
    table = "governance_rule"
    op.create_table(
        table,
        *_company(table),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("given", sa.JSON(), nullable=False),
        sa.Column("about", sa.String(16), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("fix", sa.Text(), nullable=False),
        sa.Column("changed_us", BIG, nullable=False),
        sa.Column("changed_by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("company_id", "rule", name=f"pk_{table}"),
    )


def _sites() -> None:
    table = "governance_site"
    op.create_table(
        table,
        *_site(table),
        *_company(table),
        sa.Column("location", sa.String(200), nullable=False),
        sa.Column("naming", sa.JSON(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=True),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("checked_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("site_id", name=f"pk_{table}"),
    )
    op.create_index("ix_governance_site_company_id", table, ["company_id"])


def _findings() -> None:
    table = "governance_finding"
    op.create_table(
        table,
        _id(),
        *_site(table),
        *_company(table),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("fix", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("times", BIG, nullable=False),
        sa.Column("opened_us", BIG, nullable=False),
        sa.Column("seen_us", BIG, nullable=False),
        sa.Column("closed_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint("site_id", "rule", "subject", name=f"uq_{table}_site_id_rule_subject"),
    )
    op.create_index("ix_governance_finding_company_id", table, ["company_id"])
    op.create_index("ix_governance_finding_company_order", table, ["company_id", "id"])
    op.create_index("ix_governance_finding_company_site", table, ["company_id", "site_id", "id"])
    op.create_index("ix_governance_finding_company_state", table, ["company_id", "state", "id"])


def _waivers() -> None:
    table = "governance_waiver"
    op.create_table(
        table,
        _id(),
        *_site(table),
        *_company(table),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("expires_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("ended_by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    op.create_index("ix_governance_waiver_company_id", table, ["company_id"])
    op.create_index("ix_governance_waiver_company_order", table, ["company_id", "id"])
    op.create_index("ix_governance_waiver_site_ended", table, ["site_id", "ended_us"])


def _due() -> None:
    table = "governance_due"
    op.create_table(
        table,
        _id(),
        *_company(table),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    op.create_index("ix_governance_due_company_id", table, ["company_id"])
    op.create_index("ix_governance_due_company_site", table, ["company_id", "site_id"])


def _deletions() -> None:
    table = "deletion"
    op.create_table(
        table,
        sa.Column("id", sa.String(40), nullable=False),
        *_company(table),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", BIG, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("word", sa.String(16), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("gone", sa.JSON(), nullable=False),
        sa.Column("rewritten", sa.JSON(), nullable=False),
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.Column("asked_us", BIG, nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("confirmed_us", BIG, nullable=True),
        sa.Column("confirmed_by", sa.String(200), nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    op.create_index("ix_deletion_company_id", table, ["company_id"])
    op.create_index("ix_deletion_company_asked", table, ["company_id", "asked_us", "id"])
    op.create_index("ix_deletion_state", table, ["state"])


def _exports() -> None:
    table = "company_export"
    op.create_table(
        table,
        sa.Column("id", sa.String(40), nullable=False),
        *_company(table),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_us", BIG, nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("expires_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    op.create_index("ix_company_export_company_id", table, ["company_id"])
    op.create_index("ix_company_export_company_asked", table, ["company_id", "asked_us", "id"])
    op.create_index("ix_company_export_state", table, ["state"])
