"""A company's thing models and overrides; the unit that each alias of a dictionary tells.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("dictionary", sa.Column("unit", sa.Text(), nullable=True))
    op.add_column("dictionary", sa.Column("first_seq", BIG, nullable=True))
    op.create_index("ix_dictionary_point_id", "dictionary", ["point_id"])
    op.create_table(
        "thing_model",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("origin", sa.String(200), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_thing_model_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_thing_model"),
        sa.UniqueConstraint(
            "company_id", "model_id", "version", name="uq_thing_model_company_id_model_id_version"
        ),
    )
    op.create_index("ix_thing_model_company_id", "thing_model", ["company_id"])
    op.create_table(
        "mapping_override",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("site_id", BIG, nullable=True),
        sa.Column("point_id", BIG, nullable=True),
        sa.Column("equipment", sa.Text(), nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("model_point", sa.String(128), nullable=False),
        sa.Column("to_model", sa.String(128), nullable=False),
        sa.Column("to_point", sa.String(128), nullable=False),
        sa.Column("unit", sa.String(64), nullable=False),
        sa.Column("sign", sa.Integer(), nullable=False),
        sa.Column("multiplier", sa.Float(), nullable=False),
        sa.Column("states", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name="fk_mapping_override_company_id"
        ),
        sa.ForeignKeyConstraint(["point_id"], ["point.id"], name="fk_mapping_override_point_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_mapping_override_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_mapping_override"),
    )
    op.create_index("ix_mapping_override_company_id", "mapping_override", ["company_id"])
    op.create_index(
        "ix_mapping_override_company_ended", "mapping_override", ["company_id", "ended_us"]
    )
