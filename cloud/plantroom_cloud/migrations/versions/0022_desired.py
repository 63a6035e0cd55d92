"""Desired configurations, their way to gateways, and commands that a second person confirms.

Revision ID: 0022
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _version()
    _rollout()
    _assignment()
    _event()
    _running()
    _rule()
    nobody = sa.Column("given_by", sa.String(80), nullable=False, server_default="")
    op.add_column("command", nobody)
    op.add_column(
        "command", sa.Column("confirmed_by", sa.String(200), nullable=False, server_default="")
    )


def _table(name: str, *parts: Any) -> None:
    company = sa.ForeignKeyConstraint(["company_id"], ["company.id"], name=f"fk_{name}_company_id")
    op.create_table(name, *parts, sa.Column("company_id", BIG, nullable=False), company)
    op.create_index(f"ix_{name}_company_id", name, ["company_id"])


def _gateway(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name=f"fk_{table}_gateway_id")


def _version() -> None:
    name = "configuration_version"
    _table(
        name,
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("parent", BIG, nullable=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(100), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        _gateway(name),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.UniqueConstraint("gateway_id", "number", name=f"uq_{name}_gateway_id_number"),
    )


def _rollout() -> None:
    name = "configuration_rollout"
    _table(
        name,
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("wave", BIG, nullable=False),
        sa.Column("waves", sa.JSON(), nullable=False),
        sa.Column("most_failed", BIG, nullable=False),
        sa.Column("patience_s", BIG, nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("wave_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
    )
    op.create_index(f"ix_{name}_state", name, ["state"])
    newest = ["company_id", "created_us", "id"]
    op.create_index(f"ix_{name}_company_id_created_us", name, newest)


def _assignment() -> None:
    name = "configuration_assignment"
    _table(
        name,
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("serial", BIG, nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("rollout_id", sa.String(40), nullable=True),
        sa.Column("wave", BIG, nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("due_us", BIG, nullable=False),
        sa.Column("tries", BIG, nullable=False),
        sa.Column("sent_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        _gateway(name),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["configuration_rollout.id"], name=f"fk_{name}_rollout_id"
        ),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.UniqueConstraint("gateway_id", "serial", name=f"uq_{name}_gateway_id_serial"),
    )
    op.create_index(f"ix_{name}_rollout_id", name, ["rollout_id"])
    op.create_index(f"ix_{name}_state_due_us", name, ["state", "due_us"])


def _event() -> None:
    name = "configuration_event"
    _table(
        name,
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("assignment_id", sa.String(40), nullable=False),
        sa.Column("journal", sa.String(16), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("doc", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["configuration_assignment.id"], name=f"fk_{name}_assignment_id"
        ),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
    )
    op.create_index(f"ix_{name}_source", name, ["assignment_id", "journal", "n"], unique=True)


def _running() -> None:
    name = "configuration_running"
    _table(
        name,
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("config", sa.String(16), nullable=False),
        sa.Column("document", sa.JSON(), nullable=True),
        sa.Column("journal", sa.String(16), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("told_us", BIG, nullable=False),
        _gateway(name),
        sa.PrimaryKeyConstraint("gateway_id", name=f"pk_{name}"),
    )


def _rule() -> None:
    _table(
        "command_rule",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("points", sa.String(200), nullable=False),
        sa.Column("within_s", BIG, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_command_rule"),
    )
