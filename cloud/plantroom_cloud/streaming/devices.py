"""SQL of streaming devices: who they are, their sessions and births, and their points."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import insert_into
from plantroom_cloud.gateways.repository import Owned
from plantroom_cloud.ingest.dictionary import DictionaryRepository
from plantroom_cloud.ingest.rows import clean
from plantroom_cloud.streaming.readings import Reading
from plantroom_cloud.streaming.sparkplug import Birth
from plantroom_cloud.tables import Gateway, Point, SparkplugBirth, StreamingDevice
from plantroom_shared import model

MAX_POINTS = 10_000
"""Points that one streaming device may have."""
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """A point that is in the database, as its device last described it."""

    id: int
    unit: str


@dataclass(slots=True)
class Memory:
    """What is committed of the devices in use, so that it is not read for every message."""

    most: int = 256
    points: OrderedDict[str, dict[str, Known]] = field(default_factory=OrderedDict)
    """Gateway → point key → point."""
    births: OrderedDict[tuple[str, str], tuple[int, Birth]] = field(default_factory=OrderedDict)
    """Gateway and device → when it was born, and what it said."""

    def learn(
        self,
        gateway: str,
        points: dict[str, Known],
        births: dict[str, tuple[int, Birth]],
    ) -> None:
        """Remember what a batch has read and written, now that it is committed."""
        self.points.setdefault(gateway, {}).update(points)
        self.points.move_to_end(gateway)
        for device, birth in births.items():
            self.births[gateway, device] = birth
            self.births.move_to_end((gateway, device))
        while len(self.points) > self.most:
            self.points.popitem(last=False)
        while len(self.births) > self.most * 4:
            self.births.popitem(last=False)


class StreamingRepository:
    """One streaming device in the database, its row locked while a batch is stored."""

    def __init__(self, session: AsyncSession, gateway: Owned, memory: Memory) -> None:
        self._session, self._gateway, self._memory = session, gateway, memory
        self._describe = DictionaryRepository(session, gateway)
        self.points: dict[str, Known] = {}
        """Points read or written here."""
        self.births: dict[str, tuple[int, Birth]] = {}
        """Births read or written here."""

    async def lock(self) -> StreamingDevice | None:
        """Return the device, locked until the transaction ends; None if it is no streaming one."""
        query = select(StreamingDevice).where(*self._is(StreamingDevice)).with_for_update()
        return (await self._session.execute(query)).scalar_one_or_none()

    def _is(self, table: Any) -> tuple[Any, ...]:
        return (
            table.company_id == self._gateway.company_id,
            table.gateway_id == self._gateway.id,
        )

    async def note(self, **values: Any) -> None:
        """Change what stands in the gateway's row: ``online``, ``seen_us``, ``report``."""
        where = (Gateway.company_id == self._gateway.company_id, Gateway.id == self._gateway.id)
        await self._session.execute(update(Gateway).where(*where).values(**values))

    async def save_session(self, document: dict[str, Any]) -> None:
        """Keep the numbers of a node."""
        change = update(StreamingDevice).where(*self._is(StreamingDevice))
        await self._session.execute(change.values(session=document))

    # ------------------------------------------------------------ births

    async def birth(self, device: str) -> Birth | None:
        """Return what `device` (empty: the node) said at its last birth."""
        if device in self.births:
            return self.births[device][1]
        where = (*self._is(SparkplugBirth), SparkplugBirth.device == device)
        born_us = await self._session.scalar(select(SparkplugBirth.born_us).where(*where))
        if born_us is None:
            return None
        kept = self._memory.births.get((self._gateway.id, device))
        if kept is None or kept[0] != born_us:
            rows = await self._session.scalar(select(SparkplugBirth.metrics).where(*where))
            kept = (born_us, Birth.load(rows or []))
        self.births[device] = kept
        return kept[1]

    async def born(self, device: str, birth: Birth, now_us: int) -> None:
        """Keep what `device` (empty: the node) says at its birth."""
        where = (*self._is(SparkplugBirth), SparkplugBirth.device == device)
        before = await self._session.scalar(select(SparkplugBirth.born_us).where(*where))
        born_us = max(now_us, (before or 0) + 1)
        row = {
            "company_id": self._gateway.company_id,
            "gateway_id": self._gateway.id,
            "device": device,
            "online": True,
            "born_us": born_us,
            "metrics": birth.dump(),
        }
        insert = insert_into(self._session, SparkplugBirth)
        names = ("online", "born_us", "metrics")
        upsert = insert.on_conflict_do_update(
            index_elements=["gateway_id", "device"],
            set_={name: insert.excluded[name] for name in names},
        )
        await self._session.execute(upsert, row)
        self.births[device] = (born_us, birth)

    async def gone(self, device: str | None) -> None:
        """Note that `device` is offline; None means the node and everything below it."""
        change = update(SparkplugBirth).where(*self._is(SparkplugBirth))
        if device is not None:
            change = change.where(SparkplugBirth.device == device)
        await self._session.execute(change.values(online=False))

    async def census(self) -> dict[str, int]:
        """Return how many devices the node has, and how many of them are offline."""
        query = select(SparkplugBirth.online, func.count()).where(
            *self._is(SparkplugBirth), SparkplugBirth.device != ""
        )
        by_state = dict((await self._session.execute(query.group_by(SparkplugBirth.online))).all())
        return {"devices": sum(by_state.values()), "devices_dead": by_state.get(False, 0)}

    # ------------------------------------------------------------ points

    async def resolve(self, readings: Iterable[Reading], now_us: int) -> dict[str, Known]:
        """Return the points of `readings`; new ones are made, as far as there is room for them."""
        newest = {clean(reading.point): reading for reading in readings}
        self.points |= {
            key: known
            for key, known in self._memory.points.get(self._gateway.id, {}).items()
            if key in newest
        }
        await self._read([key for key in newest if key not in self.points])
        changed = {
            key: reading
            for key, reading in newest.items()
            if key in self.points
            and reading.unit is not None
            and clean(reading.unit) != self.points[key].unit
        }
        new = [key for key in newest if key not in self.points]
        if new:
            room = MAX_POINTS - await self._count()
            changed |= {key: newest[key] for key in new[: max(room, 0)]}
        await self._write(changed, now_us)
        return self.points

    async def _read(self, keys: list[str]) -> None:
        mine = (Point.company_id == self._gateway.company_id, Point.gateway_id == self._gateway.id)
        for start in range(0, len(keys), _CHUNK):
            query = select(Point.key, Point.id, Point.unit).where(
                *mine, Point.key.in_(keys[start : start + _CHUNK])
            )
            for key, id_, unit in await self._session.execute(query):
                self.points[key] = Known(id_, unit)

    async def _count(self) -> int:
        query = select(func.count()).select_from(Point)
        mine = (Point.company_id == self._gateway.company_id, Point.gateway_id == self._gateway.id)
        return await self._session.scalar(query.where(*mine)) or 0

    async def _write(self, changed: dict[str, Reading], now_us: int) -> None:
        if not changed:
            return
        devices = {reading.device: _device(reading.device) for reading in changed.values()}
        points = [_point(key, reading) for key, reading in changed.items()]
        ids = await self._describe.describe(list(devices.values()), points, now_us)
        for point, id_ in zip(points, ids, strict=True):
            self.points[point.key] = Known(id_, point.unit)


def _device(key: str) -> model.Device:
    protocol, _, name = key.partition(":")
    return model.Device(key=key, name=name, protocol=protocol)


def _point(key: str, reading: Reading) -> model.Point:
    return model.Point(
        key=key,
        device=reading.device,
        name=clean(reading.name[:512]),
        unit=clean(reading.unit or ""),
        object_type=reading.object_type,
        writable=False,
    )
