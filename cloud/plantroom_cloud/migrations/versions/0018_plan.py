"""Log-ins at identity providers; licences, feature flags, usage.

Revision ID: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _log_ins()
    _licences()


def _log_ins() -> None:
    op.create_table(
        "oidc_identity",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("issuer", sa.String(300), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("used_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_oidc_identity_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_oidc_identity"),
        sa.UniqueConstraint("issuer", "subject", name="uq_oidc_identity_issuer_subject"),
    )
    op.create_index("ix_oidc_identity_user_id", "oidc_identity", ["user_id"])
    op.create_table(
        "oidc_flow",
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("invitation", sa.String(64), nullable=False),
        sa.Column("company", sa.String(64), nullable=False),
        sa.Column("user_id", BIG, nullable=True),
        sa.Column("expires_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_oidc_flow_user_id"),
        sa.PrimaryKeyConstraint("state", name="pk_oidc_flow"),
    )
    op.create_index("ix_oidc_flow_expires_us", "oidc_flow", ["expires_us"])


def _company(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["company_id"], ["company.id"], name=f"fk_{table}_company_id")


def _licences() -> None:
    op.create_table(
        "licence",
        sa.Column("company_id", BIG, autoincrement=False, nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("from_us", BIG, nullable=False),
        sa.Column("until_us", BIG, nullable=True),
        sa.Column("changed_us", BIG, nullable=False),
        sa.Column("changed_by", sa.String(200), nullable=False),
        _company("licence"),
        sa.PrimaryKeyConstraint("company_id", name="pk_licence"),
    )
    op.create_table(
        "licence_notice",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("used", BIG, nullable=False),
        sa.Column("most", BIG, nullable=True),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        _company("licence_notice"),
        sa.PrimaryKeyConstraint("id", name="pk_licence_notice"),
        sa.UniqueConstraint(
            "company_id",
            "day",
            "subject",
            "kind",
            name="uq_licence_notice_company_id_day_subject_kind",
        ),
    )
    op.create_index("ix_licence_notice_company_id", "licence_notice", ["company_id"])
    op.create_table(
        "feature_flag",
        sa.Column("company_id", BIG, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("changed_us", BIG, nullable=False),
        sa.Column("changed_by", sa.String(200), nullable=False),
        _company("feature_flag"),
        sa.PrimaryKeyConstraint("company_id", "name", name="pk_feature_flag"),
    )
    op.create_table(
        "usage_day",
        sa.Column("company_id", BIG, autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        _company("usage_day"),
        sa.PrimaryKeyConstraint("company_id", "day", "what", name="pk_usage_day"),
    )
