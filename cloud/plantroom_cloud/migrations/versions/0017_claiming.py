"""Gateways that wait to be claimed, what was issued and revoked, tokens and lists.

Revision ID: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _gateway()
    _pending()
    _issued()
    _token()
    _expected()
    _tries()


def _gateway() -> None:
    op.add_column("gateway", sa.Column("bound_us", BIG, nullable=True))
    op.add_column("gateway", sa.Column("revoked_us", BIG, nullable=True))
    for name, length in (("revoked_for", 200), ("replaced_by", 40)):
        column = sa.Column(name, sa.String(length), nullable=False, server_default="")
        op.add_column("gateway", column)


def _pending() -> None:
    op.create_table(
        "pending_gateway",
        sa.Column("id", sa.String(22), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tries", BIG, nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("expires_us", BIG, nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("binding", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pending_gateway"),
        sa.UniqueConstraint("fingerprint", name="uq_pending_gateway_fingerprint"),
    )
    for column in ("code_hash", "state", "expires_us", "gateway_id"):
        op.create_index(f"ix_pending_gateway_{column}", "pending_gateway", [column])


def _issued() -> None:
    op.create_table(
        "issued_certificate",
        sa.Column("serial", sa.String(64), nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("how", sa.String(16), nullable=False),
        sa.Column("issued_us", BIG, nullable=False),
        sa.Column("until_us", BIG, nullable=False),
        sa.Column("confirmed_us", BIG, nullable=True),
        sa.Column("superseded_us", BIG, nullable=True),
        sa.Column("revoked_us", BIG, nullable=True),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        _company("issued_certificate"),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateway.id"], name="fk_issued_certificate_gateway_id"
        ),
        sa.PrimaryKeyConstraint("serial", name="pk_issued_certificate"),
    )
    for column in ("gateway_id", "fingerprint", "revoked_us", "company_id"):
        op.create_index(f"ix_issued_certificate_{column}", "issued_certificate", [column])


def _token() -> None:
    op.create_table(
        "enrolment_token",
        sa.Column("id", BIG, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("expires_us", BIG, nullable=False),
        sa.Column("used_us", BIG, nullable=True),
        sa.Column("used_by", sa.String(64), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        _company("enrolment_token"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_enrolment_token_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_enrolment_token"),
        sa.UniqueConstraint("digest", name="uq_enrolment_token_digest"),
    )
    op.create_index("ix_enrolment_token_company_id", "enrolment_token", ["company_id"])


def _expected() -> None:
    op.create_table(
        "expected_gateway",
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("serial", sa.String(128), nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("used_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        _company("expected_gateway"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_expected_gateway_site_id"),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_expected_gateway"),
    )
    op.create_index("ix_expected_gateway_company_id", "expected_gateway", ["company_id"])


def _tries() -> None:
    op.create_table(
        "claim_try",
        sa.Column("id", BIG, nullable=False),
        sa.Column("who", sa.String(80), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        _company("claim_try"),
        sa.PrimaryKeyConstraint("id", name="pk_claim_try"),
    )
    op.create_index("ix_claim_try_company_id", "claim_try", ["company_id"])
    op.create_index(
        "ix_claim_try_company_id_who_at_us", "claim_try", ["company_id", "who", "at_us"]
    )


def _company(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["company_id"], ["company.id"], name=f"fk_{table}_company_id")
