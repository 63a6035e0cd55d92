"""All SQL of the mapper; every repository sees one company."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.review.standing import IMPORTED
from plantroom_cloud.tables import Counter, MappingCache
from plantroom_cloud.tables import Device as DeviceRow
from plantroom_cloud.tables import Mapping as MappingRow
from plantroom_cloud.tables import Point as PointRow
from plantroom_shared.model import Device, Point

_CHUNK: Final = 500
"""Rows of one statement: below every engine's limit of bound values."""
DECIDED: Final = ("person", IMPORTED)
"""Sources that the mapper never overrules."""
FIELDS: Final = (
    "template",
    "equipment",
    "equip_class",
    "parent",
    "relation",
    "point_class",
    "model_id",
    "model_point",
    "confidence",
    "source",
    "state",
    "evidence",
)
"""What a mapping says, without when it was said."""


@dataclass(frozen=True, slots=True)
class SitePoint:
    """A point of a site with its row ids and times."""

    id: int
    gateway_id: str
    changed_us: int
    point: Point
    """Keys made unique in the site: gateway and key."""


class MappingRepository(Repository):
    """Points to map, mappings, the LLM's answers and counters of one company."""

    async def site(self, site_id: int) -> tuple[list[SitePoint], list[Device]]:
        """Return every point and device of a site, by point id."""
        found = await self._session.execute(
            select(DeviceRow).where(self._own(DeviceRow), DeviceRow.site_id == site_id)
        )
        devices = {row.id: row for row in found.scalars()}
        points = await self._session.execute(
            select(PointRow)
            .where(self._own(PointRow), PointRow.site_id == site_id)
            .order_by(PointRow.id)
        )
        return (
            [_site_point(row, devices[row.device_id]) for row in points.scalars()],
            [_device(row) for row in devices.values()],
        )

    async def existing(self, site_id: int) -> dict[int, dict[str, Any]]:
        """Return point id → what its mapping says, and when it was said."""
        columns = [getattr(MappingRow, name) for name in (*FIELDS, "mapped_us")]
        rows = await self._session.execute(
            select(MappingRow.point_id, *columns).where(
                self._own(MappingRow), MappingRow.site_id == site_id
            )
        )
        return {row.point_id: dict(row._mapping) for row in rows}  # noqa: SLF001 - its public way

    async def decided(self, site_id: int) -> dict[int, str]:
        """Return point id → class of what persons decided."""
        rows = await self._session.execute(
            select(MappingRow.point_id, MappingRow.point_class).where(
                self._own(MappingRow), MappingRow.site_id == site_id, MappingRow.source == "person"
            )
        )
        return {point_id: name for point_id, name in rows}  # noqa: C416 - rows are no pairs to dict()

    async def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add mappings; where another worker was faster, its row stays."""
        if not rows:
            return
        new = self._insert(MappingRow).on_conflict_do_nothing(index_elements=[MappingRow.point_id])
        # By the connection: the session compiles a statement of all values, for every few hundred rows.
        connection = await self._session.connection()
        await connection.execute(
            new, [{**row, "company_id": self._scope.company_id} for row in rows]
        )

    async def change(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Change mappings by point id; one that was decided meanwhile stays."""
        if not rows:
            return
        table = MappingRow.__table__
        statement = (
            update(table)  # type: ignore[arg-type]  # the mapped class's own table
            .where(
                table.c.point_id == bindparam("at"),
                table.c.company_id == self._scope.company_id,
                *(table.c.source != source for source in DECIDED),
            )
            .values({name: bindparam(f"new_{name}") for name in (*FIELDS, "mapped_us")})
        )
        values = [
            {"at": row["point_id"], **{f"new_{name}": row[name] for name in (*FIELDS, "mapped_us")}}
            for row in rows
        ]
        connection = await self._session.connection()
        await connection.execute(statement, values)

    async def looked_at(self, point_ids: Collection[int], now_us: int) -> None:
        """Note that unchanged mappings, a person's too, were looked at again."""
        for part in _parts(sorted(point_ids)):
            await self._session.execute(
                update(MappingRow)
                .where(self._own(MappingRow), MappingRow.point_id.in_(part))
                .values(mapped_us=now_us)
            )

    async def answers(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return the cached answers among `keys`."""
        found: dict[str, bytes] = {}
        for part in _parts(sorted(keys)):
            rows = await self._session.execute(
                select(MappingCache.key, MappingCache.answer).where(
                    self._own(MappingCache), MappingCache.key.in_(part)
                )
            )
            found.update((key, answer) for key, answer in rows)
        return found

    async def remember(self, answers: Mapping[str, bytes], now_us: int) -> None:
        """Cache answers; the first one stays."""
        rows = [
            {
                "company_id": self._scope.company_id,
                "key": key,
                "answer": answer,
                "created_us": now_us,
            }
            for key, answer in sorted(answers.items())
        ]
        for part in _parts(rows):
            await self._session.execute(
                self._insert(MappingCache)
                .values(list(part))
                .on_conflict_do_nothing(index_elements=[MappingCache.company_id, MappingCache.key])
            )

    async def count(self, counts: Mapping[str, int]) -> None:
        """Add to the company's counters, always in the same order."""
        for name, value in sorted(counts.items()):
            if not value:
                continue
            new = self._insert(Counter).values(
                company_id=self._scope.company_id, name=name, value=value
            )
            await self._session.execute(
                new.on_conflict_do_update(
                    index_elements=[Counter.company_id, Counter.name],
                    set_={"value": Counter.value + new.excluded.value},
                )
            )

    async def counter(self, name: str) -> int:
        """Return one of the company's counters."""
        value = await self._session.scalar(
            select(func.coalesce(func.sum(Counter.value), 0)).where(
                self._own(Counter), Counter.name == name
            )
        )
        return int(value or 0)

    def _insert(self, table: Any) -> Any:
        """Return an INSERT that knows ON CONFLICT, of the dialect in use."""
        engine = self._session.get_bind().dialect.name
        return sqlite.insert(table) if engine == "sqlite" else postgresql.insert(table)


def _parts(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))


def _unique(gateway_id: str, key: str) -> str:
    """Make a key of one gateway unique in the site; both are short enough for `model.Key`."""
    return f"{gateway_id[:40]} {key}"[:200]


def _site_point(row: PointRow, device: DeviceRow) -> SitePoint:
    hints = row.hints or {}
    point = Point.model_construct(
        key=str(row.id),
        device=_unique(device.gateway_id, device.key),
        name=row.name,
        description=row.description,
        unit=row.unit,
        object_type=row.object_type,
        states=tuple(map(str, row.states or ())),
        writable=row.writable,
        equip_class=str(hints.get("equip_class", "")),
        point_class=str(hints.get("point_class", "")),
        enos=str(hints.get("enos", "")),
    )
    return SitePoint(row.id, row.gateway_id, row.changed_us, point)


def _device(row: DeviceRow) -> Device:
    return Device.model_construct(
        key=_unique(row.gateway_id, row.key),
        name=row.name,
        protocol=row.protocol,
        address=row.address,
        vendor=row.vendor,
        model=row.model,
        description=row.description,
    )
