"""A company whose points are mapped, an outbox to fill, and a simulated EnOS to publish to."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import SecretStr
from sqlalchemy import delete, func, insert, select

from demo.enos_sim.app import Simulator
from demo.enos_sim.server import Addresses, serving
from demo.enos_sim.world import Limits, World
from plantroom_cloud.config import EnosTarget
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.ingest.rows import stored_value
from plantroom_cloud.publishing.repository import PublishingRepository
from plantroom_cloud.tables import (
    Company,
    Device,
    Gateway,
    Mapping,
    Outbox,
    Point,
    SampleRow,
    Site,
    Target,
)
from plantroom_shared.clock import SystemClock
from plantroom_shared.model import Value
from support.servers import as_owner

CLOCK = SystemClock()
AHU = "EnOS_HVAC_AHU"
TEMPERATURE = "AHU_raw_supply_air_temp"
STATUS = "AHU_raw_status"


def now_us() -> int:
    """Return microseconds since 1970, on a whole millisecond."""
    return time.time_ns() // 1_000_000 * 1000


@dataclass
class PublishSite:
    """A site of one company, with one gateway and one device on it."""

    database: Database
    company_id: int
    site_id: int
    gateway_id: str
    device_id: int
    kind: str = "enos"
    ids: dict[str, int] = field(default_factory=dict)
    """Name → point id."""
    stored: int = 0
    """Samples stored so far."""

    @property
    def scope(self) -> Scope:
        """The company's scope."""
        return Scope(self.company_id)

    async def add_point(
        self, name: str, *, unit: str = "", object_type: str = "", states: Sequence[str] = ()
    ) -> int:
        """Add a point that the mapper has not looked at."""
        async with as_owner(self.database).write() as session:
            point = Point(
                company_id=self.company_id,
                site_id=self.site_id,
                gateway_id=self.gateway_id,
                device_id=self.device_id,
                key=f"bacnet:1:{name}",
                name=name,
                unit=unit,
                object_type=object_type,
                states=list(states),
                hints={},
                changed_us=1,
            )
            session.add(point)
            await session.flush()
            self.ids[name] = point.id
            return point.id

    async def map_point(
        self,
        name: str,
        equipment: str = "AHU-1",
        target: tuple[str, str] = (AHU, TEMPERATURE),
        *,
        confidence: float | None = 0.9,
        source: str = "offline",
        state: str = "proposed",
        parent: str = "",
    ) -> None:
        """Say what a point is, as the mapper or a person would."""
        async with as_owner(self.database).write() as session:
            await session.merge(
                Mapping(
                    point_id=self.ids[name],
                    company_id=self.company_id,
                    site_id=self.site_id,
                    template=name,
                    equipment=equipment,
                    parent=parent,
                    model_id=target[0],
                    model_point=target[1],
                    confidence=confidence,
                    source=source,
                    state=state,
                    evidence=[],
                    mapped_us=1,
                )
            )

    async def add_many(
        self, points: Sequence[tuple[str, str, tuple[str, str]]], *, mapped: bool = True
    ) -> None:
        """Add points (name, equipment, model and model point) at once, mapped and accepted."""
        head = {"company_id": self.company_id, "site_id": self.site_id}
        place = {"gateway_id": self.gateway_id, "device_id": self.device_id, "hints": {}}
        rows = [
            head | place | {"key": f"bacnet:1:{name}", "name": name, "states": [], "changed_us": 1}
            for name, _, _ in points
        ]
        async with as_owner(self.database).write() as session:
            statement = insert(Point).returning(Point.name, Point.id)
            for at in range(0, len(rows), 500):
                made = await session.execute(statement, rows[at : at + 500])
                self.ids |= dict(made.all())
        if mapped:
            await self.map_many(points)

    async def map_many(self, points: Sequence[tuple[str, str, tuple[str, str]]]) -> None:
        """Approve what points are, whatever was said before."""
        said = {"confidence": None, "source": "person", "state": "accepted", "mapped_us": 1}
        head = {"company_id": self.company_id, "site_id": self.site_id, "evidence": []} | said
        rows = [
            head
            | {"point_id": self.ids[name], "template": name, "equipment": equipment}
            | {"model_id": model_id, "model_point": model_point}
            for name, equipment, (model_id, model_point) in points
        ]
        async with as_owner(self.database).write() as session:
            ids = [row["point_id"] for row in rows]
            for at in range(0, len(rows), 500):
                part = ids[at : at + 500]
                await session.execute(delete(Mapping).where(Mapping.point_id.in_(part)))
                await session.execute(insert(Mapping), rows[at : at + 500])

    async def add_mapped(self, name: str, *, unit: str = "", **mapping: Any) -> int:
        """Add a point and its mapping."""
        point_id = await self.add_point(name, unit=unit)
        await self.map_point(name, **mapping)
        return point_id

    async def put(
        self, rows: Sequence[tuple[str, int, Value]], *, quality: int = 0, created_us: int = 0
    ) -> int:
        """Store samples (name, µs, value) and put them into the outbox; return the row's id."""
        await self.store(rows, quality=quality)
        samples = {
            "p": [self.ids[name] for name, _, _ in rows],
            "t": [ts for _, ts, _ in rows],
            "v": [value for _, _, value in rows],
            "q": [quality] * len(rows),
        }
        return await self.put_raw(orjson.dumps(samples), len(rows), created_us=created_us)

    async def store(self, rows: Sequence[tuple[str, int, Value]], *, quality: int = 0) -> None:
        """Store samples as ingest does, and put nothing into the outbox."""
        made = []
        for name, ts_us, said in rows:
            self.stored += 1
            value, words = stored_value(said)
            made.append(
                {
                    "point_id": self.ids[name],
                    "ts_us": ts_us,
                    "tie": self.stored,
                    "company_id": self.company_id,
                    "value": value,
                    "text": words,
                    "quality": quality,
                    "reason": "",
                }
            )
        async with as_owner(self.database).write() as session:
            if made:
                await session.execute(insert(SampleRow), made)

    async def put_raw(self, samples: bytes, rows: int, *, created_us: int = 0) -> int:
        """Put an outbox row as it stands."""
        async with as_owner(self.database).write() as session:
            row = Outbox(
                company_id=self.company_id,
                kind=self.kind,
                gateway_id=self.gateway_id,
                samples=samples,
                rows=rows,
                created_us=created_us or now_us(),
            )
            session.add(row)
            await session.flush()
            return row.id

    async def waiting(self) -> int:
        """Return how many outbox rows there are."""
        async with as_owner(self.database).read() as session:
            query = select(func.count(Outbox.id)).where(Outbox.company_id == self.company_id)
            return int(await session.scalar(query) or 0)

    async def counters(self) -> dict[str, int]:
        """Return what was counted, without the kind before the name."""
        async with as_owner(self.database).read() as session:
            found = await PublishingRepository(session, self.scope).counters(f"{self.kind}.")
        return {name.removeprefix(f"{self.kind}."): value for name, value in found.items()}


async def add_site(
    database: Database, company: str = "acme", site: str = "tower", *, timezone: str = "UTC"
) -> PublishSite:
    """Add a company, a site, a gateway and a device."""
    async with as_owner(database).write() as session:
        owner = Company(slug=company, name=company, created_us=1)
        session.add(owner)
        await session.flush()
        place = Site(company_id=owner.id, slug=site, name=site, timezone=timezone, created_us=1)
        session.add(place)
        await session.flush()
        gateway = Gateway(
            id=f"gw-{company}-0001",
            company_id=owner.id,
            site_id=place.id,
            name="gateway",
            created_us=1,
            report={},
        )
        session.add(gateway)
        await session.flush()
        device = Device(
            company_id=owner.id,
            site_id=place.id,
            gateway_id=gateway.id,
            key="bacnet:1",
            name="AHU 1",
            protocol="bacnet",
        )
        session.add_all([device, Target(company_id=owner.id, kind="enos")])
        await session.flush()
        return PublishSite(database, owner.id, place.id, gateway.id, device.id)


def world(**more: Any) -> World:
    """Return an empty EnOS with fixed keys."""
    limits = {name: more.pop(name) for name in list(more) if hasattr(Limits(), name)}
    return World("0d0ea2bc-15de", "f3b3c2d1-7a6e", limits=Limits(**limits), **more)


def target_of(simulated: World, addresses: Addresses, **more: Any) -> EnosTarget:
    """Return the settings of a company that publishes to a simulator."""
    parts = {
        "company": "acme",
        "apigw": addresses.http,
        "integration": addresses.http,
        "org_id": simulated.org_id,
        "app_key": simulated.app_key,
        "app_secret": SecretStr(simulated.app_secret),
    }
    return EnosTarget(**(parts | more))


@asynccontextmanager
async def running(*, mqtt: bool = False, **more: Any) -> AsyncIterator[tuple[Simulator, Addresses]]:
    """Yield a simulator of an empty EnOS."""
    async with serving(world(**more), mqtt_port=0 if mqtt else None) as both:
        yield both
