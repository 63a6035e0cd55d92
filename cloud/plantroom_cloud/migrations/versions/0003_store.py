"""The sample store: partitions by month on PostgreSQL, roll-ups, retention.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from plantroom_cloud.store import partitions

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# SQLite only numbers rows by itself where the type is exactly INTEGER.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _rollups()
    _retention()
    if op.get_bind().dialect.name == "postgresql":
        _partition()
    # What was stored before has no roll-up yet: the worker makes them, a month of a point at once.
    _all_due()


def _rollups() -> None:
    numbers = ("count", "uncertain", "bad", "numbers")
    ends = [
        column
        for end in ("first", "last")
        for column in (
            sa.Column(f"{end}_us", BIG, nullable=True),
            sa.Column(f"{end}_tie", BIG, nullable=True),
            sa.Column(end, sa.Double(), nullable=True),
            sa.Column(f"{end}_text", sa.Text(), nullable=True),
        )
    ]
    op.create_table(
        "rollup",
        sa.Column("point_id", BIG, autoincrement=False, nullable=False),
        sa.Column("length_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start_us", BIG, nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        *(sa.Column(name, BIG, nullable=False) for name in numbers),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("total", "min", "max")),
        *ends,
        sa.PrimaryKeyConstraint("point_id", "length_s", "start_us", name="pk_rollup"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_due",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("lo_us", BIG, nullable=False),
        sa.Column("hi_us", BIG, nullable=False),
        sa.Column("samples", BIG, nullable=False),
        sa.Column("points", sa.LargeBinary(), nullable=False),
        sa.Column("minutes", sa.LargeBinary(), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_rollup_due_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_rollup_due"),
    )
    op.create_index("ix_rollup_due_company_id", "rollup_due", ["company_id"])
    op.create_index("ix_rollup_due_company_lo", "rollup_due", ["company_id", "lo_us"])


def _retention() -> None:
    op.create_table(
        "retention",
        sa.Column("company_id", BIG, nullable=False),
        sa.Column("site_id", BIG, autoincrement=False, nullable=False),
        sa.Column("raw_days", sa.Integer(), nullable=True),
        sa.Column("rollup_days", sa.Integer(), nullable=True),
        sa.Column("raw_from_us", BIG, nullable=False),
        sa.Column("rollup_from_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_retention_company_id"),
        sa.PrimaryKeyConstraint("company_id", "site_id", name="pk_retention"),
    )


def _partition() -> None:
    """Put the samples there are into a table of the same name that is partitioned by month."""
    bind = op.get_bind()
    op.execute("ALTER TABLE sample RENAME TO sample_0001")
    op.execute("ALTER INDEX pk_sample RENAME TO pk_sample_0001")
    op.execute(
        "CREATE TABLE sample (LIKE sample_0001, CONSTRAINT pk_sample"
        " PRIMARY KEY (point_id, ts_us, tie)) PARTITION BY RANGE (ts_us)"
    )
    op.execute("CREATE TABLE sample_default PARTITION OF sample DEFAULT")
    lo, hi = bind.execute(sa.text("SELECT min(ts_us), max(ts_us) FROM sample_0001")).one()
    for month in partitions.months(lo, hi) if lo is not None else ():
        for statement in _statements(month):
            op.execute(statement)
    op.execute("INSERT INTO sample SELECT * FROM sample_0001")
    op.execute("DROP TABLE sample_0001")


def _statements(month: partitions.Month) -> list[str]:
    """Return the SQL that makes the partition of `month`, in one transaction."""
    name, lo, hi = month.table, month.start_us, month.end_us
    bounds = f"ts_us >= {lo} AND ts_us < {hi}"
    moved = (
        f"WITH moved AS (DELETE FROM sample_default WHERE {bounds} RETURNING *)"  # noqa: S608 - numbers
        f" INSERT INTO {name} SELECT * FROM moved"
    )
    return [
        "LOCK TABLE sample_default IN ACCESS EXCLUSIVE MODE",
        f"CREATE TABLE {name} (LIKE sample INCLUDING ALL)",
        # Saves PostgreSQL the look at every row while it attaches.
        f"ALTER TABLE {name} ADD CONSTRAINT bounds CHECK ({bounds})",
        moved,
        f"ALTER TABLE sample ATTACH PARTITION {name} FOR VALUES FROM ({lo}) TO ({hi})",
        f"ALTER TABLE {name} DROP CONSTRAINT bounds",
    ]


def _all_due() -> None:
    """Mark every month of every point that has samples."""
    bind = op.get_bind()
    rows = bind.execute(
        sa.text(
            "SELECT p.company_id, p.gateway_id, p.id, min(s.ts_us), max(s.ts_us), count(*)"
            " FROM point p JOIN sample s ON s.point_id = p.id"
            " GROUP BY p.company_id, p.gateway_id, p.id ORDER BY p.id"
        )
    ).all()
    due = sa.table(
        "rollup_due",
        *(sa.column(name) for name in ("company_id", "gateway_id", "lo_us", "hi_us", "samples")),
        sa.column("points", sa.LargeBinary()),
        sa.column("minutes", sa.LargeBinary()),
    )
    for company_id, gateway_id, point_id, lo, hi, samples in rows:
        spanned = partitions.months(lo, hi)
        for month in spanned:
            start, end = max(month.start_us, lo), min(month.end_us - 1, hi)
            values = {
                "company_id": company_id,
                "gateway_id": gateway_id,
                "lo_us": start,
                "hi_us": end,
                "samples": samples // len(spanned),
                "points": point_id.to_bytes(8, "little"),
                "minutes": (start // 60_000_000).to_bytes(8, "little")
                + (end // 60_000_000 + 1).to_bytes(8, "little"),
            }
            bind.execute(sa.insert(due).values(values))
