"""Requests with an Idempotency-Key, of every route; indices for the pages of lists.

Revision ID: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# By name: table and columns, those that a list is filtered by before those it is ordered by.
PAGES = {
    "ix_site_company_page": ("site", ["company_id", "id"]),
    "ix_gateway_company_page": ("gateway", ["company_id", "id"]),
    "ix_gateway_site_page": ("gateway", ["site_id", "id"]),
    "ix_device_company_page": ("device", ["company_id", "id"]),
    "ix_point_company_page": ("point", ["company_id", "id"]),
    "ix_mapping_company_page": ("mapping", ["company_id", "point_id"]),
    "ix_latest_company_page": ("latest", ["company_id", "point_id"]),
    "ix_finding_company_page": ("finding", ["company_id", "started_us", "gateway_id", "id"]),
    "ix_finding_site_page": ("finding", ["site_id", "started_us", "gateway_id", "id"]),
    "ix_gap_gateway_page": ("gap", ["gateway_id", "received_us", "epoch", "stream", "lo"]),
    "ix_quarantine_gateway_page": ("quarantine", ["gateway_id", "id"]),
    "ix_job_company_page": ("job", ["company_id", "created_us", "id"]),
    "ix_job_state_page": ("job", ["company_id", "state", "created_us", "id"]),
}


def upgrade() -> None:
    for name, (table, columns) in PAGES.items():
        op.create_index(name, table, columns)
    op.create_table(
        "once_request",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("route", sa.String(300), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("media_type", sa.String(200), nullable=False),
        sa.Column("location", sa.String(500), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("until_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_once_request_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_once_request"),
        sa.UniqueConstraint(
            "company_id", "route", "key", name="uq_once_request_company_id_route_key"
        ),
    )
    op.create_index("ix_once_request_company_id", "once_request", ["company_id"])
    op.create_index("ix_once_request_until_us", "once_request", ["until_us"])
