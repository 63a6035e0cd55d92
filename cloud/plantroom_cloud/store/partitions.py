"""Monthly partitions of the table of samples; PostgreSQL only.

A partition is made beside the table and then attached, so that nobody who writes elsewhere waits.
Rows of a month that has none lie in the default partition and move when it is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

AHEAD = 2
"""Months that the worker makes in advance."""
_LOCK = 0x73616D706C65  # any number, the same in every process: one of them changes partitions
_NAME = re.compile(r"sample_(\d{4})_(\d{2})\Z")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, ts_us: int) -> Month:
        """Return the month of a moment."""
        moment = datetime.fromtimestamp(ts_us // 1_000_000, UTC)
        return cls(moment.year, moment.month)

    @property
    def next(self) -> Month:
        """The month after."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def start_us(self) -> int:
        """Its first microsecond."""
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * 1_000_000

    @property
    def end_us(self) -> int:
        """The first microsecond after it."""
        return self.next.start_us

    @property
    def table(self) -> str:
        """The name of its partition."""
        return f"sample_{self.year:04}_{self.month:02}"


def months(lo_us: int, hi_us: int) -> list[Month]:
    """Return all months from that of `lo_us` to that of `hi_us`."""
    month, last = Month.of(lo_us), Month.of(hi_us)
    out = [month]
    while month < last:
        month = month.next
        out.append(month)
    return out


async def existing(session: AsyncSession) -> set[Month]:
    """Return the months that have a partition."""
    query = (
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'sample'::regclass"
    )
    names = (await session.execute(text(query))).scalars()
    found = (_NAME.match(name) for name in names)
    return {Month(int(match[1]), int(match[2])) for match in found if match}


async def ensure(session: AsyncSession, wanted: Iterable[Month]) -> set[Month]:
    """Make the partitions of `wanted` that are missing; return the months that were there before.

    They are there for others once the session's transaction is committed.
    """
    needed, present = set(wanted), await existing(session)
    if needed <= present:
        return present
    await lock(session)
    # Whoever held the lock may have made them.
    for month in sorted(needed - await existing(session)):
        # The owner's function (revision 0015): it makes the table beside and then attaches it.
        await session.execute(text("SELECT plantroom_add_month(:year, :month)"), _said(month))
    return present


async def lock(session: AsyncSession) -> None:
    """Keep others from making or dropping partitions until the transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


async def take_all(session: AsyncSession) -> None:
    """Keep everybody from the table of samples until the transaction ends.

    Raises:
        sqlalchemy.exc.OperationalError: somebody kept us waiting; nobody waits long behind us.
    """
    await session.execute(text("SET LOCAL lock_timeout = '500ms'"))
    await lock(session)
    await session.execute(text("LOCK TABLE ONLY sample IN ACCESS EXCLUSIVE MODE"))


async def drop(session: AsyncSession, month: Month) -> None:
    """Drop the partition of `month` with everything in it."""
    await session.execute(text("SELECT plantroom_drop_month(:year, :month)"), _said(month))


def _said(month: Month) -> dict[str, int]:
    return {"year": month.year, "month": month.month}
