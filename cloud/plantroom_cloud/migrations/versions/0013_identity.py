"""Users, memberships, sessions, invitations, service accounts, signing keys; scopes of API keys.

Revision ID: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _scopes_of_keys()
    _people()
    _sessions()
    _others()


def _scopes_of_keys() -> None:
    """A key that could write may what an engineer may, every other one what a viewer may."""
    op.add_column("api_key", sa.Column("scopes", sa.JSON(), nullable=True))
    op.add_column("api_key", sa.Column("sites", sa.JSON(), nullable=True))
    op.add_column("api_key", sa.Column("expires_us", BIG, nullable=True))
    by = sa.Column("created_by", sa.String(200), nullable=False, server_default="")
    op.add_column("api_key", by)
    key = sa.table("api_key", sa.column("may_write", sa.Boolean()), sa.column("scopes", sa.JSON()))
    for may_write, role in ((True, "engineer"), (False, "viewer")):
        op.execute(key.update().where(key.c.may_write == may_write).values(scopes=[role]))
    with op.batch_alter_table("api_key") as batch:
        batch.alter_column("scopes", existing_type=sa.JSON(), nullable=False)
        batch.alter_column("created_by", existing_type=sa.String(200), server_default=None)
        batch.drop_column("may_write")


def _company(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["company_id"], ["company.id"], name=f"fk_{table}_company_id")


def _id() -> sa.Column[int]:
    return sa.Column("id", BIG, autoincrement=True, nullable=False)


def _of(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=f"fk_{table}_{column}")


def _people() -> None:
    op.create_table(
        "user_account",
        _id(),
        sa.Column("email", sa.String(190), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("password", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("valid_from_us", BIG, nullable=False),
        sa.Column("disabled_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_user_account"),
        sa.UniqueConstraint("email", name="uq_user_account_email"),
    )
    op.create_table(
        "membership",
        _id(),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("sites", sa.JSON(), nullable=True),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("disabled_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        _company("membership"),
        _of("membership", "user_id", "user_account"),
        sa.PrimaryKeyConstraint("id", name="pk_membership"),
        sa.UniqueConstraint("company_id", "user_id", name="uq_membership_company_id_user_id"),
    )
    op.create_index("ix_membership_company_id", "membership", ["company_id"])
    op.create_index("ix_membership_user_id", "membership", ["user_id"])
    op.create_table(
        "invitation",
        _id(),
        sa.Column("email", sa.String(190), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("sites", sa.JSON(), nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("invited_by", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("expires_us", BIG, nullable=False),
        sa.Column("accepted_us", BIG, nullable=True),
        sa.Column("revoked_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        _company("invitation"),
        sa.PrimaryKeyConstraint("id", name="pk_invitation"),
        sa.UniqueConstraint("digest", name="uq_invitation_digest"),
    )
    op.create_index("ix_invitation_company_id", "invitation", ["company_id"])


def _sessions() -> None:
    op.create_table(
        "user_session",
        _id(),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=True),
        sa.Column("agent", sa.String(200), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("used_us", BIG, nullable=False),
        sa.Column("expires_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("ended_by", sa.String(32), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        _company("user_session"),
        _of("user_session", "user_id", "user_account"),
        sa.PrimaryKeyConstraint("id", name="pk_user_session"),
    )
    op.create_index("ix_user_session_company_id", "user_session", ["company_id"])
    op.create_index("ix_user_session_user_id", "user_session", ["user_id"])
    both = ["company_id", "user_id"]
    op.create_index("ix_user_session_company_id_user_id", "user_session", both)
    op.create_table(
        "refresh_token",
        _id(),
        sa.Column("session_id", BIG, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("expires_us", BIG, nullable=False),
        sa.Column("used_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        _company("refresh_token"),
        _of("refresh_token", "session_id", "user_session"),
        sa.PrimaryKeyConstraint("id", name="pk_refresh_token"),
        sa.UniqueConstraint("digest", name="uq_refresh_token_digest"),
    )
    op.create_index("ix_refresh_token_company_id", "refresh_token", ["company_id"])
    op.create_index("ix_refresh_token_session_id", "refresh_token", ["session_id"])


def _others() -> None:
    op.create_table(
        "service_account",
        _id(),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("sites", sa.JSON(), nullable=True),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("valid_from_us", BIG, nullable=False),
        sa.Column("last_used_us", BIG, nullable=True),
        sa.Column("disabled_us", BIG, nullable=True),
        sa.Column("deleted_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        _company("service_account"),
        sa.PrimaryKeyConstraint("id", name="pk_service_account"),
        sa.UniqueConstraint("client_id", name="uq_service_account_client_id"),
    )
    op.create_index("ix_service_account_company_id", "service_account", ["company_id"])
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.String(32), nullable=False),
        sa.Column("private", sa.Text(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("from_us", BIG, nullable=False),
        sa.Column("revoked_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_key"),
    )
    op.create_table(
        "login_backoff",
        sa.Column("key", sa.String(80), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_login_backoff"),
    )
