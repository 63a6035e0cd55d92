"""Delivery: records of audit and commands, digests, alarms, signed gaps, clocks of gateways.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# SQLite only numbers rows by itself where the type is exactly INTEGER.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _gateway()
    _gap()
    _record()
    _message()
    _alarm()
    _identity()


def _gateway() -> None:
    text, nothing = sa.String(16), ""
    op.add_column("gateway", sa.Column("clock_state", text, nullable=False, server_default=nothing))
    op.add_column("gateway", sa.Column("clock_skew_us", BIG, nullable=True))
    op.add_column("gateway", sa.Column("clock_seen_us", BIG, nullable=True))
    op.add_column("gateway", sa.Column("oldest_us", BIG, nullable=True))
    op.add_column(
        "gateway", sa.Column("dictionary_stamp", text, nullable=False, server_default=nothing)
    )


def _gap() -> None:
    for name in ("from_us", "to_us", "message_s0", "message_n"):
        op.add_column("gap", sa.Column(name, BIG, nullable=False, server_default="0"))
    for name, size in (("signature", 1024), ("certificate_serial", 64)):
        op.add_column("gap", sa.Column(name, sa.String(size), nullable=False, server_default=""))
    op.add_column(
        "gap", sa.Column("signed", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def _record() -> None:
    op.create_table(
        "edge_record",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("stream", sa.String(8), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("doc", sa.JSON(), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_edge_record_company_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_edge_record_gateway_id"),
        sa.PrimaryKeyConstraint("gateway_id", "epoch", "stream", "seq", name="pk_edge_record"),
    )
    op.create_index("ix_edge_record_company_id", "edge_record", ["company_id"])
    op.create_index("ix_edge_record_gateway_at", "edge_record", ["gateway_id", "at_us"])


def _message() -> None:
    op.create_table(
        "stream_message",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("stream", sa.String(8), nullable=False),
        sa.Column("s0", BIG, nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("digest", sa.String(16), nullable=False),
        sa.Column("stored_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateway.id"], name="fk_stream_message_gateway_id"
        ),
        sa.PrimaryKeyConstraint(
            "gateway_id", "epoch", "stream", "s0", "n", name="pk_stream_message"
        ),
    )
    op.create_index("ix_stream_message_stored_us", "stream_message", ["stored_us"])


def _alarm() -> None:
    op.create_table(
        "delivery_alarm",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("since_us", BIG, nullable=False),
        sa.Column("last_us", BIG, nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("cleared_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name="fk_delivery_alarm_company_id"
        ),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateway.id"], name="fk_delivery_alarm_gateway_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_alarm"),
    )
    op.create_index("ix_delivery_alarm_company_id", "delivery_alarm", ["company_id"])
    op.create_index("ix_delivery_alarm_gateway_id", "delivery_alarm", ["gateway_id"])


def _identity() -> None:
    op.create_table(
        "gateway_epoch",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("hello_at_us", BIG, nullable=False),
        sa.Column("seen_us", BIG, nullable=False),
        sa.Column("superseded_us", BIG, nullable=True),
        sa.Column("returns", BIG, nullable=False),
        sa.Column("boot", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_gateway_epoch_company_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_gateway_epoch_gateway_id"),
        sa.PrimaryKeyConstraint("gateway_id", "epoch", name="pk_gateway_epoch"),
    )
    op.create_index("ix_gateway_epoch_company_id", "gateway_epoch", ["company_id"])
    op.create_table(
        "gateway_certificate",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("serial", sa.String(64), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("seen_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name="fk_gateway_certificate_company_id"
        ),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateway.id"], name="fk_gateway_certificate_gateway_id"
        ),
        sa.PrimaryKeyConstraint("gateway_id", "serial", name="pk_gateway_certificate"),
    )
    op.create_index("ix_gateway_certificate_company_id", "gateway_certificate", ["company_id"])
