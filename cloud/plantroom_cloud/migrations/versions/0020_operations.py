"""What processes say of themselves; how publishing to a target goes.

Revision ID: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "process_report",
        sa.Column("process", sa.String(100), nullable=False),
        sa.Column("parts", sa.String(100), nullable=False),
        sa.Column("started_us", BIG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("dependencies", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("process", name="pk_process_report"),
    )
    with op.batch_alter_table("target") as batch:
        batch.add_column(sa.Column("ok_us", BIG, nullable=True))
        batch.add_column(sa.Column("failure", sa.String(60), nullable=False, server_default=""))
        batch.add_column(sa.Column("failing_us", BIG, nullable=True))
