"""The review: what the mapper found, and who decided what.

Revision ID: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# SQLite only numbers rows by itself where the type is exactly INTEGER.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "mapping_basis",
        sa.Column("point_id", BIG, autoincrement=False, nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("template_id", sa.String(16), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("key", "template", "equipment", "equip_class", "point_class")
        ),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("model_point", sa.String(128), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("candidates", sa.JSON(), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["point_id"], ["point.id"], name="fk_mapping_basis_point_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_mapping_basis_site_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_mapping_basis_company_id"),
        sa.PrimaryKeyConstraint("point_id", name="pk_mapping_basis"),
    )
    op.create_index("ix_mapping_basis_company_id", "mapping_basis", ["company_id"])
    op.create_index("ix_mapping_basis_site_template", "mapping_basis", ["site_id", "template_id"])
    op.create_table(
        "review_request",
        sa.Column("company_id", BIG, nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name="fk_review_request_company_id"
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_review_request_site_id"),
        sa.PrimaryKeyConstraint("company_id", "site_id", "id", name="pk_review_request"),
    )
    op.create_table(
        "review_event",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("point_class", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_review_event_site_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_review_event_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_review_event"),
    )
    op.create_index("ix_review_event_company_id", "review_event", ["company_id"])
    op.create_index("ix_review_event_site_id_id", "review_event", ["site_id", "id"])
    _only_added()


def _only_added() -> None:
    """Have the database itself refuse to change the history."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER review_event_no_{verb.lower()} BEFORE {verb} ON review_event "
                "BEGIN SELECT RAISE(ABORT, 'review_event is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION review_event_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'review_event is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER review_event_append_only BEFORE UPDATE OR DELETE ON review_event "
        "FOR EACH ROW EXECUTE FUNCTION review_event_append_only()"
    )
