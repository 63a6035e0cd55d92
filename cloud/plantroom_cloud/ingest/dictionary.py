"""Dictionaries: which point an alias of an epoch means; devices and points come into being here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.gateways.repository import Owned
from plantroom_cloud.ingest.rows import clean
from plantroom_cloud.tables import Device, DictionaryEntry, Point
from plantroom_shared import model

_MANY = 1000
_DEVICE = ("name", "protocol", "address", "vendor", "model", "description")
_HINTS = ("equip_class", "point_class", "enos")


class DictionaryRepository:
    """Devices, points and aliases of one gateway."""

    def __init__(self, session: AsyncSession, gateway: Owned) -> None:
        self._session, self._gateway = session, gateway
        self._head = {
            "company_id": gateway.company_id,
            "gateway_id": gateway.id,
            "site_id": gateway.site_id,
        }

    async def entries(self, epoch: str, start: int = 0) -> list[int]:
        """Return the point ids of the aliases of `epoch` from `start` on."""
        query = (
            select(DictionaryEntry.point_id)
            .where(*self._is(epoch), DictionaryEntry.alias >= start)
            .order_by(DictionaryEntry.alias)
        )
        return list((await self._session.execute(query)).scalars())

    async def lengths(self, epochs: Iterable[str]) -> dict[str, int]:
        """Return how many aliases of each of `epochs` are known."""
        query = (
            select(DictionaryEntry.epoch, func.count())
            .where(DictionaryEntry.company_id == self._gateway.company_id)
            .where(DictionaryEntry.gateway_id == self._gateway.id)
            .where(DictionaryEntry.epoch.in_(epochs))
            .group_by(DictionaryEntry.epoch)
        )
        return dict((await self._session.execute(query)).all())

    def _is(self, epoch: str) -> tuple[Any, ...]:
        return (
            DictionaryEntry.company_id == self._gateway.company_id,
            DictionaryEntry.gateway_id == self._gateway.id,
            DictionaryEntry.epoch == epoch,
        )

    async def append(
        self, epoch: str, start: int, points: Sequence[int], told: Sequence[model.Point]
    ) -> None:
        """Give the next aliases, from `start` on, to `points`, of which the gateway says `told`."""
        head = {
            "company_id": self._gateway.company_id,
            "gateway_id": self._gateway.id,
            "epoch": epoch,
        }
        rows = [
            head | {"alias": start + i, "point_id": id_, "unit": clean(point.unit)}
            for i, (id_, point) in enumerate(zip(points, told, strict=True))
        ]
        if rows:
            await self._session.execute(insert(DictionaryEntry), rows)

    async def note_first(self, epoch: str, firsts: Mapping[int, int]) -> None:
        """Note the lowest order number that came by each of some aliases (alias → number)."""
        table = DictionaryEntry.__table__
        later = or_(table.c.first_seq.is_(None), table.c.first_seq > bindparam("seq"))
        statement = (
            update(table)  # type: ignore[arg-type]  # the mapped class's own table
            .where(*self._is(epoch), table.c.alias == bindparam("at"), later)
            .values(first_seq=bindparam("seq"))
        )
        rows = [{"at": alias, "seq": seq} for alias, seq in sorted(firsts.items())]
        await (await self._session.connection()).execute(statement, rows)

    async def find(self, points: Sequence[model.Point]) -> list[int | None]:
        """Return the ids of `points`, None for those that are new."""
        ids = await self._ids(Point, {clean(point.key) for point in points})
        return [ids.get(clean(point.key)) for point in points]

    async def describe(
        self,
        devices: Sequence[model.Device],
        points: Sequence[model.Point],
        now_us: int,
        *,
        newest: bool = True,
    ) -> list[int]:
        """Bring devices and points to what the gateway says; return the ids of `points`.

        Args:
            devices: what they hang on; more than those is fine.
            points: the later one of a key counts.
            now_us: when that is.
            newest: False if a former start of the gateway says so: what is known stays as it is.
        """
        named = {clean(point.device) for point in points}
        device_ids = await self._devices(devices, named, newest=newest)
        ids = await self._points(points, device_ids, now_us, newest=newest)
        return [ids[clean(point.key)] for point in points]

    async def _devices(
        self, devices: Sequence[model.Device], named: set[str], *, newest: bool
    ) -> dict[str, int]:
        wanted = {clean(device.key): _device(device) for device in devices}
        have = {row.key: row for row in await self._existing(Device, wanted.keys() | named)}
        for key in named - have.keys() - wanted.keys():
            # A point must hang somewhere: its device is told later, or never.
            wanted[key] = dict.fromkeys(_DEVICE, "") | {
                "name": key,
                "protocol": key.partition(":")[0],
            }
        new = [self._head | {"key": key} | wanted[key] for key in wanted.keys() - have.keys()]
        if new:
            await self._session.execute(insert(Device), new)
        for key in wanted.keys() & have.keys() if newest else ():
            changed = {k: v for k, v in wanted[key].items() if getattr(have[key], k) != v}
            if changed:
                change = update(Device).where(*self._mine(Device), Device.id == have[key].id)
                await self._session.execute(change.values(**changed))
        return await self._ids(Device, wanted.keys() | named)

    async def _points(
        self,
        points: Sequence[model.Point],
        devices: dict[str, int],
        now_us: int,
        *,
        newest: bool,
    ) -> dict[str, int]:
        wanted = {
            clean(point.key): _point(point) | {"device_id": devices[clean(point.device)]}
            for point in points
        }
        have = {row.key: row for row in await self._existing(Point, wanted.keys())}
        new = [
            self._head | {"key": key, "changed_us": now_us} | wanted[key]
            for key in wanted
            if key not in have
        ]
        if new:
            await self._session.execute(insert(Point), new)
        for key, row in have.items() if newest else ():
            changed = {k: v for k, v in wanted[key].items() if getattr(row, k) != v}
            if changed:
                change = update(Point).where(*self._mine(Point), Point.id == row.id)
                await self._session.execute(change.values(**changed, changed_us=now_us))
        return await self._ids(Point, wanted.keys())

    async def _existing(self, table: type[Device | Point], keys: Iterable[str]) -> list[Any]:
        found: list[Any] = []
        for chunk in _chunks(keys):
            query = select(table.__table__).where(*self._mine(table), table.key.in_(chunk))
            found += (await self._session.execute(query)).all()
        return found

    async def _ids(self, table: type[Device | Point], keys: Iterable[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for chunk in _chunks(keys):
            query = select(table.key, table.id).where(*self._mine(table), table.key.in_(chunk))
            found |= dict((await self._session.execute(query)).all())
        return found

    def _mine(self, table: type[Device | Point]) -> tuple[Any, ...]:
        return (
            table.company_id == self._gateway.company_id,
            table.gateway_id == self._gateway.id,
        )


def _device(device: model.Device) -> dict[str, Any]:
    return {name: clean(getattr(device, name)) for name in _DEVICE}


def _point(point: model.Point) -> dict[str, Any]:
    hints = {name: clean(getattr(point, name)) for name in _HINTS}
    return {
        "name": clean(point.name),
        "description": clean(point.description),
        "unit": clean(point.unit),
        "object_type": clean(point.object_type),
        "states": [clean(text) for text in point.states],
        "writable": point.writable,
        "hints": {name: text for name, text in hints.items() if text},
    }


def _chunks(keys: Iterable[str]) -> Iterable[list[str]]:
    """Yield sorted `keys` in lists that fit in one statement."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), _MANY):
        yield ordered[start : start + _MANY]
