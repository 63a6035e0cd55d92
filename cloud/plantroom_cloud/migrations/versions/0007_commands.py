"""Commands, who may give them, and which gateways take them.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    no = sa.false()
    op.add_column("api_key", sa.Column("may_write", sa.Boolean, nullable=False, server_default=no))
    op.add_column("gateway", sa.Column("writes", sa.Boolean, nullable=False, server_default=no))
    takes = sa.Column("takes", sa.String(200), nullable=False, server_default="")
    op.add_column("gateway", takes)
    op.create_table(
        "command",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("point_id", BIG, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("expires_us", BIG, nullable=False),
        sa.Column("sent_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("released_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_command_gateway_id"),
        sa.ForeignKeyConstraint(["point_id"], ["point.id"], name="fk_command_point_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_command_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_command"),
    )
    for columns in (["gateway_id"], ["point_id"], ["company_id"], ["state", "expires_us"]):
        op.create_index(f"ix_command_{'_'.join(columns)}", "command", columns)
    op.create_table(
        "command_event",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("command_id", sa.String(64), nullable=False),
        sa.Column("journal", sa.String(16), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("doc", sa.JSON(), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["command_id"], ["command.id"], name="fk_command_event_command_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_command_event_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_command_event"),
    )
    op.create_index("ix_command_event_company_id", "command_event", ["company_id"])
    source = ["command_id", "journal", "n"]
    op.create_index("ix_command_event_source", "command_event", source, unique=True)
