"""The mapper in the database: what is new is mapped, a person's word stands, nothing leaks."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation.lookups import stale_sites
from plantroom_cloud.mapping.jobs import Mapper
from plantroom_cloud.mapping.repository import MappingRepository
from plantroom_cloud.mapping.service import map_site
from plantroom_cloud.tables import Device, Mapping, Point
from support.cloud_site import NOW, Home, TestClock, add_home
from support.servers import as_owner

NAMES = ("AHU-1 Supply Air Temp", "AHU-1 SF-S", "VAV-1 ZN-T", "QXZW 9 9")


async def add_points(
    db: Database, home: Home, gateway: str, *names: str, **fields: Any
) -> list[int]:
    """Add a device with points of these names."""
    async with as_owner(db).write() as session:
        device = Device(
            company_id=home.company_id,
            site_id=home.site_id,
            gateway_id=gateway,
            key="bacnet:1",
            name="controller",
            protocol="bacnet",
        )
        session.add(device)
        await session.flush()
        rows = [
            Point(
                company_id=home.company_id,
                site_id=home.site_id,
                gateway_id=gateway,
                device_id=device.id,
                key=f"bacnet:1:x:{index}",
                name=name,
                changed_us=NOW,
                **fields,
            )
            for index, name in enumerate(names)
        ]
        session.add_all(rows)
        await session.flush()
        return [row.id for row in rows]


async def mappings(db: Database) -> dict[int, Mapping]:
    """Return every mapping of every company by point id."""
    async with as_owner(db).read() as session:
        return {row.point_id: row for row in (await session.scalars(select(Mapping))).all()}


@pytest.fixture
async def home(database: Database) -> Home:
    """A company with a site and two gateways."""
    return await add_home(database, "acme", "tower", "gw-a", "gw-b")


def said(row: Mapping) -> dict[str, Any]:
    """Return what a mapping says, without when."""
    return {
        name: value
        for name, value in vars(row).items()
        if name not in {"mapped_us", "_sa_instance_state"}
    }


async def test_new_points_are_mapped_once_and_the_same_way(database: Database, home: Home) -> None:
    """A row per point, undecided names too; a second pass adds and changes nothing."""
    ids = await add_points(database, home, "gw-a", *NAMES)
    scope, clock = Scope(home.company_id), TestClock(NOW + 5)
    first = await map_site(database, scope, home.site_id, clock=clock)
    assert (first.points, first.added, first.changed) == (4, 4, 0)
    rows = await mappings(database)
    assert sorted(rows) == ids
    assert rows[ids[0]].point_class == "Supply_Air_Temperature_Sensor"
    assert rows[ids[0]].model_point == "AHU_raw_supply_air_temp"
    assert rows[ids[0]].equipment == "AHU-1"
    assert rows[ids[3]].point_class == ""
    assert rows[ids[3]].confidence is None
    assert {row.source for row in rows.values()} == {"offline"}
    again = await map_site(database, scope, home.site_id, clock=clock)
    assert (again.added, again.changed) == (0, 0)
    after = await mappings(database)
    assert {i: said(row) for i, row in after.items()} == {i: said(row) for i, row in rows.items()}


async def test_only_new_and_changed_points_make_a_site_stale(
    database: Database, home: Home
) -> None:
    """A site is looked at again when a point has changed since, and not otherwise."""
    ids = await add_points(database, home, "gw-a", *NAMES)
    clock = TestClock(NOW + 5)
    mapper = Mapper(database, None, clock)
    assert await mapper.round() == 1
    assert await mapper.round() == 0
    async with as_owner(database).write() as session:
        await session.execute(
            update(Point).where(Point.id == ids[0]).values(name="AHU-1 RAT", changed_us=NOW + 9)
        )
        await session.execute(
            update(Point).where(Point.id == ids[1]).values(description="", changed_us=NOW + 9)
        )
    clock.now = NOW + 20
    assert await mapper.round() == 1
    rows = await mappings(database)
    assert rows[ids[0]].point_class == "Return_Air_Temperature_Sensor"
    assert rows[ids[1]].mapped_us == NOW + 20
    assert await mapper.round() == 0


async def test_a_person_is_never_overruled(database: Database, home: Home) -> None:
    """What a person decided stays, also when the point changes; what a person refused stays so."""
    ids = await add_points(database, home, "gw-a", *NAMES)
    scope, clock = Scope(home.company_id), TestClock(NOW + 5)
    await map_site(database, scope, home.site_id, clock=clock)
    async with as_owner(database).write() as session:
        await session.execute(
            update(Mapping)
            .where(Mapping.point_id == ids[0])
            .values(source="person", point_class="CO2_Sensor", state="accepted")
        )
        await session.execute(
            update(Mapping).where(Mapping.point_id == ids[1]).values(state="rejected")
        )
        await session.execute(update(Point).values(changed_us=NOW + 9))
    clock.now = NOW + 20
    await map_site(database, scope, home.site_id, clock=clock)
    rows = await mappings(database)
    assert (rows[ids[0]].source, rows[ids[0]].point_class) == ("person", "CO2_Sensor")
    assert rows[ids[1]].state == "rejected"
    async with as_owner(database).read() as session:
        assert await stale_sites(session) == []
    async with as_owner(database).write() as session:
        await session.execute(
            update(Point).where(Point.id == ids[1]).values(name="AHU-1 RAT", changed_us=NOW + 30)
        )
    clock.now = NOW + 40
    await map_site(database, scope, home.site_id, clock=clock)
    assert (await mappings(database))[ids[1]].state != "rejected"


async def test_a_person_who_decides_meanwhile_wins(database: Database, home: Home) -> None:
    """A decision made between reading and writing is not overwritten by the write."""
    ids = await add_points(database, home, "gw-a", *NAMES)
    scope = Scope(home.company_id)
    await map_site(database, scope, home.site_id, clock=TestClock(NOW + 5))
    async with as_owner(database).write() as session:
        repository = MappingRepository(session, scope)
        before = await repository.existing(home.site_id)
        await session.execute(
            update(Mapping).where(Mapping.point_id == ids[0]).values(source="person")
        )
        await repository.change([{**before[ids[0]], "point_class": "Alarm"}])
        await repository.add([{**before[ids[0]], "point_class": "Alarm", "site_id": home.site_id}])
    assert (await mappings(database))[ids[0]].point_class == "Supply_Air_Temperature_Sensor"


async def test_profile_hints_are_accepted_at_once(database: Database, home: Home) -> None:
    """What a device profile says needs nobody's consent."""
    hints = {
        "equip_class": "Electrical_Meter",
        "point_class": "Active_Power_Sensor",
        "enos": "EnOS_Solar_METER_Generic/METER.ActivePW",
    }
    ids = await add_points(database, home, "gw-a", "P1", hints=hints)
    clock = TestClock(NOW + 5)
    await map_site(database, Scope(home.company_id), home.site_id, clock=clock)
    row = (await mappings(database))[ids[0]]
    assert (row.source, row.state, row.equipment) == ("profile", "accepted", "controller")
    assert (row.model_id, row.model_point) == ("EnOS_Solar_METER_Generic", "METER.ActivePW")


async def test_gateways_of_one_site_do_not_mix_their_devices(
    database: Database, home: Home
) -> None:
    """Two gateways may use the same device key; their equipment stays apart."""
    await add_points(database, home, "gw-a", "CH-1 CHWST")
    await add_points(database, home, "gw-b", "CH-1 CHWST")
    clock = TestClock(NOW + 5)
    await map_site(database, Scope(home.company_id), home.site_id, clock=clock)
    async with as_owner(database).read() as session:
        points, devices = await MappingRepository(session, Scope(home.company_id)).site(
            home.site_id
        )
    assert len({device.key for device in devices}) == 2
    assert len({point.point.device for point in points}) == 2


async def test_another_company_sees_and_changes_nothing(database: Database, home: Home) -> None:
    """A scope of another company finds no point of the site, and its answers stay its own."""
    await add_points(database, home, "gw-a", *NAMES)
    other = await add_home(database, "rival", "plant", "gw-r")
    done = await map_site(database, Scope(other.company_id), home.site_id, clock=TestClock(NOW + 5))
    assert done.points == 0
    assert await mappings(database) == {}
    async with as_owner(database).write() as session:
        await MappingRepository(session, Scope(home.company_id)).remember({"k": b"Alarm"}, NOW)
        await MappingRepository(session, Scope(home.company_id)).remember({"k": b"later"}, NOW)
    async with as_owner(database).read() as session:
        assert await MappingRepository(session, Scope(other.company_id)).answers(["k"]) == {}
        mine = await MappingRepository(session, Scope(home.company_id)).answers(["k"])
    assert mine == {"k": b"Alarm"}


async def test_one_sites_trouble_is_no_others(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site that cannot be written is said once and left; the next one is mapped."""
    from sqlalchemy.exc import OperationalError

    from plantroom_cloud.mapping import jobs

    first = await add_home(sqlite_database, "acme", "tower", "gw-a")
    second = await add_home(sqlite_database, "bcme", "plant", "gw-b")
    await add_points(sqlite_database, first, "gw-a", *NAMES)
    await add_points(sqlite_database, second, "gw-b", *NAMES)
    real = map_site

    async def broken(db: Any, scope: Any, site_id: int, **rest: Any) -> Any:
        if site_id == first.site_id:
            cause = OSError(28, "disk full")
            raise OperationalError(None, None, cause)
        return await real(db, scope, site_id, **rest)

    monkeypatch.setattr(jobs, "map_site", broken)
    mapper = Mapper(sqlite_database, None, TestClock(NOW + 5))
    assert await mapper.round() == 1
    assert await mapper.round() == 0
    monkeypatch.setattr(jobs, "map_site", real)
    assert await mapper.round() == 1
    assert len(await mappings(sqlite_database)) == 2 * len(NAMES)
