"""What tells a gateway's newest report from those that are stored late.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    epoch = sa.Column("told_epoch", sa.String(16), nullable=False, server_default="")
    op.add_column("gateway", epoch)
    for name in ("told_rows", "told_at_us", "told_us"):
        op.add_column("gateway", sa.Column(name, BIG, nullable=False, server_default="0"))
