"""Devices that stream by themselves.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# SQLite only numbers rows by itself where the type is exactly INTEGER.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _table(
        "streaming_device",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("protocol", sa.String(16), nullable=False),
        sa.Column("sparkplug_group", sa.String(128), nullable=False),
        sa.Column("session", sa.JSON(), nullable=False),
        key=("gateway_id",),
    )
    _table(
        "sparkplug_birth",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("device", sa.String(128), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("born_us", BIG, nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        key=("gateway_id", "device"),
    )


def _table(name: str, *columns: sa.Column[object], key: tuple[str, ...]) -> None:
    op.create_table(
        name,
        *columns,
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name=f"fk_{name}_gateway_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name=f"fk_{name}_company_id"),
        sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"),
    )
    op.create_index(f"ix_{name}_company_id", name, ["company_id"])
