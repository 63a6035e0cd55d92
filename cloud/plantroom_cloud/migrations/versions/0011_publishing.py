"""What is published since when, what is still to be, plans; what feeds or contains equipment.

Revision ID: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name, kind in (("parent", sa.Text()), ("relation", sa.String(16))):
        op.add_column("mapping", sa.Column(name, kind, nullable=False, server_default=""))
    op.add_column("enos_device", sa.Column("name", sa.Text(), nullable=False, server_default=""))
    op.add_column("enos_device", sa.Column("gone_us", BIG, nullable=True))
    op.create_table(
        "published_point",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("point_id", BIG, nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("equipment", sa.Text(), nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("model_point", sa.String(128), nullable=False),
        sa.Column("since_us", BIG, nullable=False),
        sa.Column("until_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        _reference("published_point", "point"),
        _reference("published_point", "site"),
        _reference("published_point", "company"),
        sa.PrimaryKeyConstraint("kind", "point_id", name="pk_published_point"),
    )
    op.create_index("ix_published_point_company_id", "published_point", ["company_id"])
    op.create_table(
        "published_past",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("point_id", BIG, nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("equipment", sa.Text(), nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("model_point", sa.String(128), nullable=False),
        sa.Column("since_us", BIG, nullable=False),
        sa.Column("until_us", BIG, nullable=False),
        sa.Column("held_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        _reference("published_past", "point"),
        _reference("published_past", "site"),
        _reference("published_past", "company"),
        sa.PrimaryKeyConstraint(
            "kind", "point_id", "site_id", "equipment", "model_id", "model_point",
            name="pk_published_past",
        ),
    )  # fmt: skip
    op.create_index("ix_published_past_company_id", "published_past", ["company_id"])
    op.create_table(
        "publish_due",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("point_id", BIG, nullable=False),
        sa.Column("lo_us", BIG, nullable=False),
        sa.Column("hi_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        _reference("publish_due", "point"),
        _reference("publish_due", "company"),
        sa.PrimaryKeyConstraint("id", name="pk_publish_due"),
    )
    op.create_index("ix_publish_due_company_id", "publish_due", ["company_id"])
    op.create_index("ix_publish_due_kind_point", "publish_due", ["kind", "point_id"])
    op.create_table(
        "publish_plan",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("left_out", sa.JSON(), nullable=False),
        sa.Column("asked_us", BIG, nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("made_us", BIG, nullable=True),
        sa.Column("approved_us", BIG, nullable=True),
        sa.Column("approved_by", sa.String(200), nullable=False),
        sa.Column("done_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        _reference("publish_plan", "site"),
        _reference("publish_plan", "company"),
        sa.PrimaryKeyConstraint("id", name="pk_publish_plan"),
    )
    for columns in (["site_id"], ["company_id"]):
        op.create_index(f"ix_publish_plan_{columns[0]}", "publish_plan", columns)
    op.create_index("ix_publish_plan_kind_state", "publish_plan", ["kind", "state"])
    _note_what_is_published()


def _note_what_is_published() -> None:
    """Take what has a device to be published already: its history is not sent once more."""
    op.execute(
        "INSERT INTO published_point (kind, point_id, site_id, equipment, model_id, model_point,"
        " since_us, company_id)"
        " SELECT 'enos', m.point_id, m.site_id, m.equipment, m.model_id, m.model_point,"
        " d.created_us, m.company_id FROM mapping m JOIN enos_device d"
        " ON d.site_id = m.site_id AND d.equipment = m.equipment AND d.model_id = m.model_id"
        " WHERE d.asset_id <> '' AND m.model_point <> '' AND m.state <> 'rejected'"
        " AND (m.state = 'accepted' OR m.source IN ('profile', 'person') OR m.confidence >= 0.5)"
    )


def _reference(table: str, to: str) -> sa.ForeignKeyConstraint:
    """Return the foreign key of `table` to a row of `to`."""
    return sa.ForeignKeyConstraint([f"{to}_id"], [f"{to}.id"], name=f"fk_{table}_{to}_id")
