"""Streaming devices for tests: at home in a database, their messages, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select

from plantroom_cloud import streaming
from plantroom_cloud.db import Database
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.store import Item, Store
from plantroom_cloud.tables import (
    Counter,
    Gateway,
    Latest,
    Point,
    QuarantinedRow,
    SampleRow,
    StreamingDevice,
)
from plantroom_shared import sparkplug
from plantroom_shared.sparkplug import DataType, Metric, Payload
from support.cloud_site import NOW, Home
from support.servers import as_owner

METER = "dev-meter-0001"
NODE = "node-chiller-01"
GROUP = "Plant 7"
MS = NOW // 1000
"""The test clock's start in milliseconds."""


async def add_streaming(
    database: Database, home: Home, device: str = METER, *, group: str = ""
) -> None:
    """Make `device` a streaming device at `home`; with a group it is a Sparkplug node."""
    async with as_owner(database).write() as session:
        if await session.get(Gateway, device) is None:
            session.add(
                Gateway(
                    id=device,
                    company_id=home.company_id,
                    site_id=home.site_id,
                    name=device,
                    created_us=NOW,
                    report={},
                )
            )
            await session.flush()
        session.add(
            StreamingDevice(
                gateway_id=device,
                company_id=home.company_id,
                protocol="sparkplug" if group else "json",
                sparkplug_group=group,
                session={},
            )
        )


def sent(document: Any, device: str = METER, channel: str = "data") -> Item:
    """Return what the ingest makes of a device's JSON."""
    payload = document if isinstance(document, bytes) else orjson.dumps(document)
    return streaming.read(f"dev1/{device}/up/{channel}", payload)


def told(kind: str, payload: Payload, device: str = "", *, group: str = GROUP) -> Item:
    """Return what the ingest makes of a node's message."""
    topic = sparkplug.build(group, kind, NODE, device)
    return streaming.read(topic, sparkplug.encode(payload))


def nbirth(*metrics: Metric, bd_seq: int = 0, at: int = MS) -> Item:
    """Return a node's birth."""
    own = Metric(name=sparkplug.BD_SEQ, datatype=DataType.INT64, value=("long", bd_seq))
    return told("NBIRTH", Payload(timestamp=at, seq=0, metrics=[own, *metrics]))


def ndeath(bd_seq: int = 0) -> Item:
    """Return a node's death."""
    own = Metric(name=sparkplug.BD_SEQ, datatype=DataType.INT64, value=("long", bd_seq))
    return told("NDEATH", Payload(timestamp=MS, metrics=[own]))


def payload(seq: int, *metrics: Metric, at: int = MS) -> Payload:
    """Return a payload with `seq`."""
    return Payload(timestamp=at, seq=seq, metrics=list(metrics))


def double(name: str, value: float, **more: Any) -> Metric:
    """Return a metric with a double."""
    head: dict[str, Any] = {"name": name, "datatype": DataType.DOUBLE, "timestamp": MS}
    return Metric(value=("double", value), **(head | more))


@dataclass(frozen=True, slots=True)
class Stored:
    """One sample as the database has it."""

    point: str
    ts_us: int
    value: float | str | None
    quality: int
    reason: str


class Shelf:
    """A store and what lies in its database."""

    def __init__(self, database: Database, store: Store) -> None:
        self.database, self.store = database, store

    async def take(self, *items: Item) -> Answers:
        """Store `items` in one transaction."""
        return await self.store.store(items)

    async def samples(self) -> list[Stored]:
        """Return all samples by point and time."""
        return await self._rows(SampleRow)

    async def latest(self) -> dict[str, float | str | None]:
        """Return point key → latest value."""
        return {row.point: row.value for row in await self._rows(Latest)}

    async def _rows(self, table: Any) -> list[Stored]:
        query = (
            select(Point.key, table.ts_us, table.value, table.text, table.quality, table.reason)
            .join(Point, Point.id == table.point_id)
            .order_by(Point.key, table.ts_us, table.tie)
        )
        async with as_owner(self.database).read() as session:
            rows = (await session.execute(query)).all()
        return [
            Stored(key, ts, number if words is None else words, quality, reason)
            for key, ts, number, words, quality, reason in rows
        ]

    async def refused(self) -> list[tuple[str, bytes]]:
        """Return why and what lies in the quarantine."""
        query = select(QuarantinedRow.reason, QuarantinedRow.payload).order_by(QuarantinedRow.id)
        async with as_owner(self.database).read() as session:
            return [(reason, payload) for reason, payload in await session.execute(query)]

    async def points(self) -> dict[str, Point]:
        """Return point key → point."""
        async with as_owner(self.database).read() as session:
            return {point.key: point for point in (await session.execute(select(Point))).scalars()}

    async def counters(self) -> dict[str, int]:
        """Return counter → value, without the device's name."""
        async with as_owner(self.database).read() as session:
            rows: Sequence[Counter] = (await session.execute(select(Counter))).scalars().all()
        return {row.name.partition("/")[0].removeprefix("ingest."): row.value for row in rows}

    async def device(self, name: str) -> Gateway:
        """Return a device's row."""
        async with as_owner(self.database).read() as session:
            found = await session.get(Gateway, name)
        assert found is not None
        return found
