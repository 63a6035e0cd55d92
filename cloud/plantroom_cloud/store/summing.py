"""The SQL that sums up samples, or roll-ups, by intervals; the same on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Insert,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.repository import AnySelect
from plantroom_cloud.tables import Rollup, SampleRow

SECOND: Final = 1_000_000
LEVELS: Final = (60, 900, 3600, 86_400)
"""Seconds of the intervals that are kept; each holds a whole number of those before it."""
SUMMABLE: Final = 1e290
"""Sums of larger numbers may overflow a double, which PostgreSQL makes an error of the query."""
PARTIAL: Final = (
    "count",
    "uncertain",
    "bad",
    "numbers",
    "total",
    "min",
    "max",
    "first_us",
    "first_tie",
    "first",
    "first_text",
    "last_us",
    "last_tie",
    "last",
    "last_text",
)
"""What is known of an interval: columns of `Rollup` and of the selects below."""

Condition = ColumnElement[bool]


def raw_sums(length_us: int, *where: Condition) -> AnySelect:
    """Return a select of (point_id, start_us, *PARTIAL) over samples, by intervals.

    Args:
        length_us: microseconds; intervals start at multiples of it since 1970-01-01 UTC.
        where: which samples.
    """
    good = SampleRow.quality == 0
    bucket = _bucket(SampleRow.ts_us, length_us)
    order: dict[str, Any] = {
        "partition_by": (SampleRow.point_id, bucket, good),
        "order_by": (SampleRow.ts_us, SampleRow.tie),
    }
    columns = (
        SampleRow.point_id,
        bucket.label("start_us"),
        SampleRow.ts_us,
        SampleRow.tie,
        SampleRow.value,
        SampleRow.text,
        SampleRow.quality,
        func.row_number().over(**order).label("up"),
        func.lead(SampleRow.tie).over(**order).label("after"),
    )
    rows = select(*columns).where(*where).subquery("rows").c
    good = rows.quality == 0
    first, last = and_(good, rows.up == 1), and_(good, rows.after.is_(None))
    number = case((good, rows.value))
    sums = (
        func.count(case((good, 1))).label("count"),
        func.count(case((rows.quality == 1, 1))).label("uncertain"),
        # Whatever code nobody knows is bad.
        func.count(case((or_(rows.quality < 0, rows.quality > 1), 1))).label("bad"),
        func.count(number).label("numbers"),
        func.sum(case((and_(good, func.abs(rows.value) <= SUMMABLE), rows.value))).label("total"),
        func.min(number).label("min"),
        func.max(number).label("max"),
        *_end("first", first, (rows.ts_us, rows.tie, rows.value, rows.text)),
        *_end("last", last, (rows.ts_us, rows.tie, rows.value, rows.text)),
    )
    return select(rows.point_id, rows.start_us, *sums).group_by(rows.point_id, rows.start_us)


def rollup_sums(length_us: int, *where: Condition) -> AnySelect:
    """Return a select of (point_id, start_us, *PARTIAL) over roll-ups, by longer intervals.

    Args:
        length_us: microseconds, best a multiple of the roll-ups' length.
        where: which roll-ups; all must be of one length.
    """
    said, bucket = Rollup.count > 0, _bucket(Rollup.start_us, length_us)
    order: dict[str, Any] = {
        "partition_by": (Rollup.point_id, bucket, said),
        "order_by": (Rollup.start_us,),
    }
    columns = (
        Rollup.point_id,
        bucket.label("start_us"),
        *(getattr(Rollup, name) for name in PARTIAL),
        func.row_number().over(**order).label("up"),
        func.lead(Rollup.start_us).over(**order).label("after"),
    )
    rows = select(*columns).where(*where).subquery("rows").c
    said = rows.count > 0
    first, last = and_(said, rows.up == 1), and_(said, rows.after.is_(None))
    sums = (
        # PostgreSQL sums integers up to a numeric.
        *(cast(func.sum(rows[name]), BigInteger).label(name) for name in PARTIAL[:4]),
        func.sum(rows.total).label("total"),
        func.min(rows.min).label("min"),
        func.max(rows.max).label("max"),
        *_end("first", first, (rows.first_us, rows.first_tie, rows.first, rows.first_text)),
        *_end("last", last, (rows.last_us, rows.last_tie, rows.last, rows.last_text)),
    )
    return select(rows.point_id, rows.start_us, *sums).group_by(rows.point_id, rows.start_us)


def _bucket(at: Any, length_us: int) -> ColumnElement[int]:
    # Written out, not bound: PostgreSQL must see that both places say the same.
    length = literal(length_us, literal_execute=True)
    found: ColumnElement[int] = at - at % length
    return found


def _end(name: str, here: Condition, columns: Sequence[Any]) -> list[ColumnElement[Any]]:
    """Return time, tie, number and text of the one row where `here` holds."""
    kinds = (f"{name}_us", f"{name}_tie", name, f"{name}_text")
    return [
        func.max(case((here, column))).label(kind)
        for kind, column in zip(kinds, columns, strict=True)
    ]


# ------------------------------------------------------------ into the table


def store_sums(session: AsyncSession, company_id: int, length_s: int, sums: AnySelect) -> Insert:
    """Return the statement that puts `sums` in the place of roll-ups of that length."""
    statement = _into(session, company_id, length_s, sums)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["point_id", "length_s", "start_us"],
        set_={name: new[name] for name in PARTIAL},
    )


def merge_sums(session: AsyncSession, company_id: int, length_s: int, sums: AnySelect) -> Insert:
    """Return the statement that adds `sums` to the roll-ups of that length.

    For samples that came after the others of their interval were deleted.
    """
    statement = _into(session, company_id, length_s, sums)
    new, old = statement.excluded, Rollup
    values: dict[str, Any] = {name: getattr(old, name) + new[name] for name in PARTIAL[:4]}
    values["total"] = case(
        (old.total.is_(None), new.total),
        (new.total.is_(None), old.total),
        else_=old.total + new.total,
    )
    values["min"] = _better(old.min, new.min, new.min < old.min)
    values["max"] = _better(old.max, new.max, new.max > old.max)
    for end, better in (("first", _before), ("last", _after)):
        us, tie = f"{end}_us", f"{end}_tie"
        sooner = better(new[us], new[tie], getattr(old, us), getattr(old, tie))
        wins = and_(new[us].is_not(None), or_(getattr(old, us).is_(None), sooner))
        for name in (us, tie, end, f"{end}_text"):
            values[name] = case((wins, new[name]), else_=getattr(old, name))
    return statement.on_conflict_do_update(
        index_elements=["point_id", "length_s", "start_us"], set_=values
    )


def _into(
    session: AsyncSession, company_id: int, length_s: int, sums: AnySelect
) -> postgresql.Insert | sqlite.Insert:
    found = sums.subquery("sums").c
    rows = select(
        literal(company_id),
        literal(length_s),
        found.point_id,
        found.start_us,
        *(found[name] for name in PARTIAL),
    ).where(found.start_us >= 0)  # SQLite takes ON CONFLICT for a join without a WHERE before it
    names = ("company_id", "length_s", "point_id", "start_us", *PARTIAL)
    return insert_into(session, Rollup).from_select(names, rows)


def _better(old: Any, new: Any, wins: Condition) -> ColumnElement[Any]:
    return case((and_(new.is_not(None), or_(old.is_(None), wins)), new), else_=old)


def _before(us: Any, tie: Any, old_us: Any, old_tie: Any) -> Condition:
    return or_(us < old_us, and_(us == old_us, tie < old_tie))


def _after(us: Any, tie: Any, old_us: Any, old_tie: Any) -> Condition:
    return or_(us > old_us, and_(us == old_us, tie > old_tie))
