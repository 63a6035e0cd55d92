"""A company with points in a database, its samples, and a model of what must be known of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import insert, select

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.ingest.rows import Column
from plantroom_cloud.ingest.samples import SampleRepository as Sink
from plantroom_cloud.samples.repository import SampleRepository as Source
from plantroom_cloud.samples.window import Window
from plantroom_cloud.store.history import Sums
from plantroom_cloud.tables import Device, Point, SampleRow
from support import cloud_site
from support.servers import as_owner

DAY = 86_400_000_000
MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class Said:
    """One sample."""

    point: int
    ts: int
    tie: int
    value: float | None = None
    text: str | None = None
    quality: int = 0
    reason: str = ""


@dataclass
class Plant:
    """One company's site with points."""

    database: Database
    home: cloud_site.Home
    gateway: str
    points: list[int] = field(default_factory=list)

    @property
    def scope(self) -> Scope:
        """Whose it is."""
        return Scope(self.home.company_id)

    async def add(self, said: Iterable[Said], *, gateway: str | None = None) -> int:
        """Store samples in one transaction; return how many were new."""
        async with self.database.write(self.scope) as session:
            sink = Sink(session, self.scope, self.gateway if gateway is None else gateway)
            column = column_of(said)
            if column:
                await sink.advance_latest(column)
            return await sink.add(column)

    async def stored(self) -> list[Said]:
        """Return everything in the table of samples, in order."""
        names = (SampleRow.point_id, SampleRow.ts_us, SampleRow.tie, SampleRow.value)
        query = select(*names, SampleRow.text, SampleRow.quality, SampleRow.reason).where(
            SampleRow.company_id == self.home.company_id
        )
        order = (SampleRow.point_id, SampleRow.ts_us, SampleRow.tie)
        async with self.database.read(self.scope) as session:
            return [Said(*row) for row in await session.execute(query.order_by(*order))]

    async def history(self, point: int, start: int, end: int, interval: int) -> list[Sums]:
        """Return what the store says of intervals."""
        async with self.database.read(self.scope) as session:
            source = Source(session, self.scope)
            return list(await source.buckets(point, Window(start, end), interval))


async def plant(
    database: Database, company: str = "acme", *, points: int = 3, gateway: str = cloud_site.GATEWAY
) -> Plant:
    """Make a company with a site, a gateway and points."""
    home = await cloud_site.add_home(database, company, "tower", gateway)
    made = Plant(database, home, gateway)
    own = {"company_id": home.company_id, "site_id": home.site_id, "gateway_id": gateway}
    async with as_owner(database).write() as session:
        device = {"key": "bacnet:1", "name": "AHU 1", "protocol": "bacnet"}
        device_id = await session.scalar(insert(Device).values(own | device).returning(Device.id))
        for number in range(points):
            about = {"key": f"ai:{number}", "name": f"AI {number}", "unit": "kW", "changed_us": 0}
            values = own | about | {"device_id": device_id}
            point = await session.scalar(insert(Point).values(values).returning(Point.id))
            assert point is not None
            made.points.append(point)
    return made


def column_of(said: Iterable[Said]) -> Column:
    """Return samples as the ingest hands them over."""
    column = Column()
    for item in said:
        column.point_id.append(item.point)
        column.ts_us.append(item.ts)
        column.tie.append(item.tie)
        column.value.append(item.value)
        column.text.append(item.text)
        column.quality.append(item.quality)
        column.reason.append(item.reason)
        column.raw.append(item.value if item.text is None else item.text)
    return column


def model(said: Iterable[Said], point: int, start: int, end: int, interval: int) -> list[Sums]:
    """Return what must be known of a point's intervals, worked out row by row."""
    groups: dict[int, dict[tuple[int, int], Said]] = {}
    for item in said:
        if item.point == point and start <= item.ts < end:
            key = item.ts - item.ts % interval
            groups.setdefault(key, {}).setdefault((item.ts, item.tie), item)
    return [
        _sums(key, [group[at] for at in sorted(group)]) for key, group in sorted(groups.items())
    ]


def _sums(start: int, said: Sequence[Said]) -> Sums:
    good = [item for item in said if item.quality == 0]
    numbers = [item.value for item in good if item.value is not None]
    small = [value for value in numbers if abs(value) <= 1e290]
    return Sums(
        start,
        len(good),
        sum(item.quality == 1 for item in said),
        sum(item.quality not in {0, 1} for item in said),
        len(numbers),
        sum(small) if small else None,
        min(numbers, default=None),
        max(numbers, default=None),
        *_end(good[:1]),
        *_end(good[-1:]),
    )


def _end(said: Sequence[Said]) -> tuple[int | None, int | None, float | None, str | None]:
    """Return time, tie, number and text of the one sample there is, if any."""
    for one in said:
        return one.ts, one.tie, one.value, one.text
    return None, None, None, None
