"""The first schema: companies, sites, points, the account of delivery, samples, mapping, outbox.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite only numbers rows by itself where the type is exactly INTEGER.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _identity()
    _sites()
    _watermarks()
    _account()
    _dictionary()
    _samples()
    _mapping()
    _publishing()


def _identity() -> None:
    op.create_table(
        "company",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("slug", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_company"),
        sa.UniqueConstraint("slug", name="uq_company_slug"),
    )
    op.create_table(
        "api_key",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("last_used_us", BIG, nullable=True),
        sa.Column("revoked_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_api_key_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("digest", name="uq_api_key_digest"),
    )
    op.create_index("ix_api_key_company_id", "api_key", ["company_id"])


def _sites() -> None:
    op.create_table(
        "site",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("slug", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_site_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_site"),
        sa.UniqueConstraint("company_id", "slug", name="uq_site_company_id_slug"),
    )
    op.create_index("ix_site_company_id", "site", ["company_id"])
    op.create_table(
        "gateway",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("certificate_serial", sa.String(64), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("seen_us", BIG, nullable=True),
        sa.Column("agent_version", sa.String(64), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_gateway_company_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_gateway_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_gateway"),
    )
    op.create_index("ix_gateway_company_id", "gateway", ["company_id"])
    op.create_index("ix_gateway_site_id", "gateway", ["site_id"])
    op.create_table(
        "device",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("vendor", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_device_company_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_device_gateway_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_device_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_device"),
        sa.UniqueConstraint("gateway_id", "key", name="uq_device_gateway_id_key"),
    )
    op.create_index("ix_device_company_id", "device", ["company_id"])
    op.create_index("ix_device_site_id", "device", ["site_id"])
    op.create_table(
        "point",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("device_id", BIG, nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("states", sa.JSON(), nullable=False),
        sa.Column("writable", sa.Boolean(), nullable=True),
        sa.Column("hints", sa.JSON(), nullable=False),
        sa.Column("changed_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_point_company_id"),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name="fk_point_device_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_point_gateway_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_point_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_point"),
        sa.UniqueConstraint("gateway_id", "key", name="uq_point_gateway_id_key"),
    )
    op.create_index("ix_point_company_id", "point", ["company_id"])
    op.create_index("ix_point_device_id", "point", ["device_id"])
    op.create_index("ix_point_site_name", "point", ["site_id", "name"])


def _watermarks() -> None:
    op.create_table(
        "stream_range",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("stream", sa.String(8), nullable=False),
        sa.Column("lo", BIG, nullable=False),
        sa.Column("hi", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_stream_range_company_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_stream_range_gateway_id"),
        sa.PrimaryKeyConstraint("gateway_id", "epoch", "stream", "lo", name="pk_stream_range"),
    )
    op.create_index("ix_stream_range_company_id", "stream_range", ["company_id"])
    op.create_table(
        "stream_total",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("stream", sa.String(8), nullable=False),
        sa.Column("stored", BIG, nullable=False),
        sa.Column("quarantined", BIG, nullable=False),
        sa.Column("declared", BIG, nullable=False),
        sa.Column("duplicates", BIG, nullable=False),
        sa.Column("accepted", BIG, nullable=False),
        sa.Column("held", sa.Text(), nullable=False),
        sa.Column("reported_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_stream_total_company_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_stream_total_gateway_id"),
        sa.PrimaryKeyConstraint("gateway_id", "epoch", "stream", name="pk_stream_total"),
    )
    op.create_index("ix_stream_total_company_id", "stream_total", ["company_id"])


def _account() -> None:
    op.create_table(
        "gap",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("stream", sa.String(8), nullable=False),
        sa.Column("lo", BIG, nullable=False),
        sa.Column("hi", BIG, nullable=False),
        sa.Column("cause", sa.String(64), nullable=False),
        sa.Column("received_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_gap_company_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_gap_gateway_id"),
        sa.PrimaryKeyConstraint("gateway_id", "epoch", "stream", "lo", name="pk_gap"),
    )
    op.create_index("ix_gap_company_id", "gap", ["company_id"])
    op.create_table(
        "quarantine",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("stream", sa.String(8), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("received_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_quarantine_company_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_quarantine_gateway_id"),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
    )
    op.create_index("ix_quarantine_company_id", "quarantine", ["company_id"])
    op.create_index("ix_quarantine_gateway_id", "quarantine", ["gateway_id"])
    op.create_table(
        "counter",
        sa.Column("company_id", BIG, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("value", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_counter_company_id"),
        sa.PrimaryKeyConstraint("company_id", "name", name="pk_counter"),
    )


def _dictionary() -> None:
    op.create_table(
        "dictionary",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("alias", BIG, nullable=False),
        sa.Column("point_id", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_dictionary_company_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_dictionary_gateway_id"),
        sa.ForeignKeyConstraint(["point_id"], ["point.id"], name="fk_dictionary_point_id"),
        sa.PrimaryKeyConstraint("gateway_id", "epoch", "alias", name="pk_dictionary"),
    )
    op.create_index("ix_dictionary_company_id", "dictionary", ["company_id"])


def _samples() -> None:
    op.create_table(
        "sample",
        sa.Column("point_id", BIG, autoincrement=False, nullable=False),
        sa.Column("ts_us", BIG, nullable=False),
        sa.Column("tie", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("quality", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("point_id", "ts_us", "tie", name="pk_sample"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "latest",
        sa.Column("point_id", BIG, nullable=False),
        sa.Column("ts_us", BIG, nullable=False),
        sa.Column("tie", BIG, nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("quality", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_latest_company_id"),
        sa.ForeignKeyConstraint(["point_id"], ["point.id"], name="fk_latest_point_id"),
        sa.PrimaryKeyConstraint("point_id", name="pk_latest"),
    )
    op.create_index("ix_latest_company_id", "latest", ["company_id"])
    op.create_table(
        "finding",
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("points", sa.JSON(), nullable=False),
        sa.Column("started_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_finding_company_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_finding_gateway_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_finding_site_id"),
        sa.PrimaryKeyConstraint("gateway_id", "id", name="pk_finding"),
    )
    op.create_index("ix_finding_company_id", "finding", ["company_id"])
    op.create_index("ix_finding_site_started", "finding", ["site_id", "started_us"])


def _mapping() -> None:
    op.create_table(
        "mapping",
        sa.Column("point_id", BIG, nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("equipment", sa.Text(), nullable=False),
        sa.Column("equip_class", sa.Text(), nullable=False),
        sa.Column("point_class", sa.Text(), nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("model_point", sa.String(128), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("mapped_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_mapping_company_id"),
        sa.ForeignKeyConstraint(["point_id"], ["point.id"], name="fk_mapping_point_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_mapping_site_id"),
        sa.PrimaryKeyConstraint("point_id", name="pk_mapping"),
    )
    op.create_index("ix_mapping_company_id", "mapping", ["company_id"])
    op.create_index("ix_mapping_site_state", "mapping", ["site_id", "state"])
    op.create_table(
        "mapping_cache",
        sa.Column("company_id", BIG, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_mapping_cache_company_id"),
        sa.PrimaryKeyConstraint("company_id", "key", name="pk_mapping_cache"),
    )


def _publishing() -> None:
    op.create_table(
        "target",
        sa.Column("company_id", BIG, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_target_company_id"),
        sa.PrimaryKeyConstraint("company_id", "kind", name="pk_target"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("samples", sa.LargeBinary(), nullable=False),
        sa.Column("rows", BIG, nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_outbox_company_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_outbox_gateway_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_company_id", "outbox", ["company_id"])
    op.create_table(
        "enos_device",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("equipment", sa.Text(), nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("product_key", sa.String(64), nullable=False),
        sa.Column("device_key", sa.String(64), nullable=False),
        sa.Column("asset_id", sa.String(64), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_enos_device_company_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_enos_device_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_enos_device"),
        sa.UniqueConstraint("site_id", "equipment", name="uq_enos_device_site_id_equipment"),
    )
    op.create_index("ix_enos_device_company_id", "enos_device", ["company_id"])
