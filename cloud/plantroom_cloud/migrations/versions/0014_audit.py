"""The audit: rows, the head of each company's chain, signed heads.

Revision ID: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

APPEND_ONLY = ("audit_row", "audit_signature")
"""Tables whose rows nobody changes or removes."""


def upgrade() -> None:
    _rows()
    _heads()
    _signatures()
    for table in APPEND_ONLY:
        if op.get_bind().dialect.name == "postgresql":
            _refuse_on_postgresql(table)
        else:
            _refuse_on_sqlite(table)


def _rows() -> None:
    op.create_table(
        "audit_row",
        sa.Column("company_id", BIG, autoincrement=False, nullable=False),
        sa.Column("n", BIG, autoincrement=False, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("prev", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_audit_row_company_id"),
        sa.PrimaryKeyConstraint("company_id", "n", name="pk_audit_row"),
    )
    for column in ("actor", "action", "subject"):
        op.create_index(f"ix_audit_row_{column}", "audit_row", ["company_id", column, "n"])
    for column in ("at_us", "request_id"):
        op.create_index(f"ix_audit_row_{column}", "audit_row", ["company_id", column])


def _heads() -> None:
    op.create_table(
        "audit_head",
        sa.Column("company_id", BIG, autoincrement=False, nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_audit_head_company_id"),
        sa.PrimaryKeyConstraint("company_id", name="pk_audit_head"),
    )


def _signatures() -> None:
    op.create_table(
        "audit_signature",
        sa.Column("company_id", BIG, autoincrement=False, nullable=False),
        sa.Column("n", BIG, autoincrement=False, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name="fk_audit_signature_company_id"
        ),
        sa.PrimaryKeyConstraint("company_id", "n", name="pk_audit_signature"),
    )


def _refuse_on_sqlite(table: str) -> None:
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _refuse_on_postgresql(table: str) -> None:
    # Beside the rights of the application's role: the owner cannot do it by accident either.
    op.execute(
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN RAISE EXCEPTION '{table} is append-only' "
        f"USING ERRCODE = 'insufficient_privilege'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
    )
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM PUBLIC")
