"""A site whose points an LLM is asked about, and what became of them."""

from __future__ import annotations

from itertools import islice, product
from typing import Any

from pydantic import SecretStr
from sqlalchemy import select

from plantroom_cloud.config import LlmSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.mapping.llm import Asker
from plantroom_cloud.mapping.llm.endpoint import Endpoint
from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.mapping.repository import MappingRepository
from plantroom_cloud.tables import Device, Mapping
from plantroom_cloud.tables import Point as PointRow
from plantroom_shared.clock import Clock
from plantroom_shared.model import Point
from support.cloud_site import NOW, Home, add_home
from support.mapping_llm_stub import LlmStub
from support.servers import as_owner

CHOICES = ("Zone_Air_Temperature_Sensor", "CO2_Sensor", "Alarm")


async def no_pause(_: float) -> None:
    """Wait for nothing: time does not pass in these tests."""


def settings_of(stub: LlmStub, **more: Any) -> LlmSettings:
    """Return settings of a stub's endpoint."""
    given: dict[str, Any] = {"timeout": 5.0, "concurrency": 4} | more
    return LlmSettings(base_url=stub.base_url, api_key=SecretStr("k"), model="m", **given)


def asker_of(db: Database, stub: LlmStub, clock: Clock, **more: Any) -> Asker:
    """Return an asker of a stub's endpoint that never waits between attempts."""
    settings = settings_of(stub, **more)
    return Asker(db, settings, clock, endpoint=Endpoint(settings, clock, pause=no_pause))


def ask(count: int = 3, **about: Any) -> list[Question]:
    """Return made-up questions."""
    return [
        Question(f"key{n}", {"name": f"name {n}", **about}, CHOICES, (n,), (f"name {n}|",), "Alarm")
        for n in range(count)
    ]


def odd_names(count: int) -> list[str]:
    """Return names that mean nothing, each a template of its own."""
    return [f"Qxzw {''.join(letters)}" for letters in islice(product("qxzjkvw", repeat=4), count)]


def plain_points(*names: str) -> list[Point]:
    """Return points of these names, in whose every text the name stands."""
    return [
        Point.model_construct(
            key=f"p{n}",
            device="d",
            name=name,
            description=name,
            unit=name,
            object_type=name,
            states=(name,) * 9,
            writable=None,
            equip_class="",
            point_class="",
            enos="",
        )
        for n, name in enumerate(names)
    ]


async def add_site(db: Database, *names: str, company: str = "acme") -> Home:
    """Add a company with a site of these points."""
    gateway = f"gw-{company}"
    home = await add_home(db, company, "tower", gateway)
    where = {"company_id": home.company_id, "site_id": home.site_id, "gateway_id": gateway}
    async with as_owner(db).write() as session:
        device = Device(**where, key="d", name="controller", protocol="bacnet")
        session.add(device)
        await session.flush()
        session.add_all(
            PointRow(**where, device_id=device.id, key=f"k{n}", name=name, changed_us=NOW)
            for n, name in enumerate(names)
        )
    return home


async def add_points(db: Database, home: Home, *names: str) -> None:
    """Let further points come to the site's device, changed after those that it has."""
    async with as_owner(db).write() as session:
        device = await session.scalar(select(Device).where(Device.site_id == home.site_id))
        assert device is not None
        where = {"company_id": home.company_id, "site_id": home.site_id}
        where |= {"device_id": device.id}
        session.add_all(
            PointRow(
                **where, gateway_id=device.gateway_id, key=f"m{n}", name=name, changed_us=NOW + 7
            )
            for n, name in enumerate(names)
        )


async def mapping_rows(db: Database) -> list[Mapping]:
    """Return every mapping, by point."""
    async with as_owner(db).read() as session:
        return list((await session.scalars(select(Mapping).order_by(Mapping.point_id))).all())


async def counter(db: Database, home: Home, name: str) -> int:
    """Return a counter of the company."""
    async with as_owner(db).read() as session:
        return await MappingRepository(session, Scope(home.company_id)).counter(name)
