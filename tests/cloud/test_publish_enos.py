"""The EnOS publisher: what it sends, drops and counts, and how it keeps its devices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from demo.enos_sim.app import Simulator
from demo.enos_sim.faults import Fault
from demo.enos_sim.world import Refused
from plantroom_cloud.db import Database
from plantroom_cloud.publishing.enos import delivery
from plantroom_cloud.publishing.publishers.enos import EnosPublisher
from plantroom_cloud.publishing.worker import OutboxWorker
from plantroom_cloud.tables import EnosDevice
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Unavailable
from support import enos_site
from support.enos_site import AHU, STATUS, TEMPERATURE, PublishSite
from support.servers import as_owner

RETURN = "AHU_raw_return_air_temp"


@dataclass
class Clock:
    """The machine's clock; its monotonic side can be moved."""

    ahead: float = 0.0

    def now_us(self) -> int:
        return SystemClock().now_us()

    def monotonic(self) -> float:
        return SystemClock().monotonic() + self.ahead


@dataclass
class Way:
    """A site, its worker, and the EnOS it publishes to."""

    site: PublishSite
    simulator: Simulator
    publisher: EnosPublisher
    worker: OutboxWorker
    clock: Clock = field(default_factory=Clock)

    async def drain(self) -> dict[str, int]:
        """Publish all there is; return the counters."""
        while await self.worker.round():
            pass
        return await self.site.counters()

    def values(self) -> dict[tuple[str, int], Any]:
        """Return (point, ms) → value of all that EnOS holds."""
        found = self.simulator.world.values
        return {(point, ms): value for (_, point, ms), value in found.items()}

    def fail(self, mode: str, count: int = 1, path: str = "/integration") -> None:
        fault = Fault.model_validate({"mode": mode, "count": count, "path": path})
        self.simulator.faults.waiting.append(fault)

    async def devices(self) -> list[EnosDevice]:
        async with as_owner(self.site.database).read() as session:
            return list(await session.scalars(select(EnosDevice).order_by(EnosDevice.equipment)))


@asynccontextmanager
async def way(
    site: PublishSite, simulator: Simulator, addresses: Any, **more: Any
) -> AsyncIterator[Way]:
    """Yield a worker with a publisher of its own."""
    clock = Clock()
    target = enos_site.target_of(simulator.world, addresses, **more)
    publisher = EnosPublisher(site.database, site.scope, target, clock)
    worker = OutboxWorker(
        site.database, site.scope, "enos", publisher, clock, mapping_wait=target.mapping_wait
    )
    try:
        yield Way(site, simulator, publisher, worker, clock)
    finally:
        await publisher.close()


@asynccontextmanager
async def opened(
    database: Database, *, hidden: set[str] | None = None, **more: Any
) -> AsyncIterator[Way]:
    """Yield a way with one mapped point ``t`` in °F."""
    site = await enos_site.add_site(database)
    await site.add_mapped("t", unit="degrees-fahrenheit")
    async with (
        enos_site.running(hidden_models=hidden or set()) as (simulator, addresses),
        way(site, simulator, addresses, **more) as made,
    ):
        yield made


def now() -> int:
    return enos_site.now_us()


# ------------------------------------------------------------ what is sent


async def test_values_are_sent_in_the_model_s_unit(sqlite_database: Database) -> None:
    """A Fahrenheit point arrives in °C, under the millisecond it was read."""
    async with opened(sqlite_database) as made:
        when = now()
        await made.site.put([("t", when + 999, 59.0)])
        assert await made.drain() == {"published": 1}
        assert made.values() == {(TEMPERATURE, when // 1000): pytest.approx(15.0)}


async def test_devices_stand_for_equipment(sqlite_database: Database) -> None:
    """Each equipment is one device of its model's product, made once, known for ever."""
    async with opened(sqlite_database) as made:
        await made.site.add_mapped("s", equipment="AHU 2", target=(AHU, STATUS))
        await made.site.add_mapped("c", equipment="CH-1", target=("EnOS_HVAC_CH", "CH_raw_status"))
        for _ in range(2):
            await made.site.put([(name, now(), 1.0) for name in ("t", "s", "c")])
            await made.drain()
        world = made.simulator.world
        rows = await made.devices()
        assert [row.equipment for row in rows] == ["AHU 2", "AHU-1", "CH-1"]
        assert [row.asset_id for row in rows] == [
            next(a for a, d in world.devices.items() if d.key == row.device_key) for row in rows
        ]
        assert {product.model_id for product in world.products.values()} == {AHU, "EnOS_HVAC_CH"}
        assert len(world.products) == 2


async def test_a_successor_finds_the_devices(sqlite_database: Database) -> None:
    """A new publisher, even one that lost its memory of them, makes no device twice."""
    async with opened(sqlite_database) as made:
        await made.site.put([("t", now(), 59.0)])
        await made.drain()
        async with as_owner(sqlite_database).write() as session:
            for row in await session.scalars(select(EnosDevice)):
                row.asset_id = ""
        target = made.publisher._target
        again = EnosPublisher(sqlite_database, made.site.scope, target, made.clock)
        worker = OutboxWorker(
            sqlite_database, made.site.scope, "enos", again, made.clock, mapping_wait=600
        )
        await made.site.put([("t", now() + 5000, 59.0)])
        await worker.round()
        await again.close()
        assert len(made.simulator.world.devices) == 1
        assert len(made.values()) == 2


@pytest.mark.parametrize(
    ("quality", "setting", "sent"),
    [
        (0, {}, 15.0),
        (0, {"good": 0}, {"value": 15.0, "quality": 0}),
        (1, {}, None),
        (2, {}, None),
        (7, {}, None),
        (1, {"uncertain": 5}, {"value": 15.0, "quality": 5}),
    ],
)
async def test_quality(
    sqlite_database: Database, quality: int, setting: dict[str, int], sent: Any
) -> None:
    """Good values are sent plain; others stay here, counted, unless a setting names their code."""
    async with opened(sqlite_database, quality=setting) as made:
        bodies: list[Any] = []
        store = made.simulator.world.check

        def check(device: Any, points: Any, time_ms: Any) -> dict[str, Any]:
            bodies.append(points)
            return store(device, points, time_ms)

        made.simulator.world.check = check  # type: ignore[method-assign] # to see what was sent
        await made.site.put([("t", now(), 59.0)], quality=quality)
        counted = await made.drain()
        if sent is None:
            assert counted == {"quality": 1}
            assert bodies == []
        else:
            assert counted == {"published": 1}
            assert bodies == [{TEMPERATURE: pytest.approx(sent)}]


async def test_late_values_take_the_offline_path(sqlite_database: Database) -> None:
    """What is older than the setting is stored, yet moves no latest value."""
    async with opened(sqlite_database, late_after=60.0) as made:
        await made.site.put([("t", now() - 61_000_000, 32.0), ("t", now(), 59.0)])
        assert await made.drain() == {"published": 2}
        ((_, value),) = made.simulator.world.latest.values()
        assert value == pytest.approx(15.0)
        assert len(made.values()) == 2


async def test_what_is_not_sent_is_counted_by_reason(sqlite_database: Database) -> None:
    """Every value that stays here has its reason."""
    async with opened(sqlite_database) as made:
        site = made.site
        await site.add_mapped("raw", equipment="AHU-1", target=(AHU, "AHU_write_fan_speed"))
        await site.add_mapped("none", equipment="AHU-1", target=(AHU, "AHU_raw_unknown"))
        await site.add_mapped("free", equipment="", target=(AHU, STATUS))
        await site.add_mapped("other", target=("EnOS_HVAC_FCU", "FCU_raw_status"))
        await site.add_mapped("u", unit="kilowatts", target=(AHU, RETURN))
        await site.add_mapped("s", target=(AHU, STATUS))
        names = ("raw", "none", "free", "other", "u")
        await site.put([("t", now(), 59.0), ("s", now(), "?"), *((n, now(), 1.0) for n in names)])
        assert await made.drain() == {
            "published": 1,
            "no_equipment": 1,
            "no_model_point": 1,
            "not_raw": 1,
            "other_model": 1,
            "unit": 1,
            "value": 1,
        }


async def test_two_points_that_claim_the_same(sqlite_database: Database) -> None:
    """The surer one is published, the other counted."""
    async with opened(sqlite_database) as made:
        await made.site.add_mapped("t2", confidence=0.6)
        await made.site.put([("t", now(), 59.0), ("t2", now(), 60.0)])
        assert await made.drain() == {"published": 1, "conflict": 1}


async def test_collisions_are_counted_honestly(sqlite_database: Database) -> None:
    """Of two samples in one millisecond the later stands, in one batch and across batches."""
    async with opened(sqlite_database) as made:
        when = now()
        await made.site.put([("t", when + 1, 32.0), ("t", when + 2, 50.0)])
        await made.drain()
        await made.site.put([("t", when + 3, 59.0), ("t", when + 1000, 59.0)])
        counted = await made.drain()
        assert counted == {"published": 2, "collision": 2}
        assert len(made.values()) == 2
        assert made.values()[TEMPERATURE, when // 1000] == pytest.approx(15.0)


# ------------------------------------------------------------ what EnOS refuses


def refuse_point(made: Way, name: str, code: int = 1204, *, value: float | None = None) -> None:
    """Let EnOS refuse a point that Plantroom believes in, or one value of it."""
    check = made.simulator.world.check

    def checked(device: Any, points: Any, time_ms: Any) -> dict[str, Any]:
        found = check(device, points, time_ms)
        if name in found and value in (None, found[name]):
            raise Refused(code, f"{name} is not defined here")
        return found

    made.simulator.world.check = checked  # type: ignore[method-assign] # a stricter EnOS


async def add_more(made: Way, count: int = 10) -> list[tuple[str, int, float]]:
    """Map a second point and return interleaved samples of both."""
    await made.site.add_mapped("r", target=(AHU, RETURN))
    start = now() - 60_000_000
    return [(name, start + 1000 * at, 50.0 + at) for at in range(count) for name in ("t", "r")]


async def test_a_refused_point_costs_no_other_and_is_not_tried_at_once(
    sqlite_database: Database,
) -> None:
    """EnOS refuses a whole message for one point: the point is found, dropped, left out next time."""
    async with opened(sqlite_database) as made:
        refuse_point(made, RETURN)
        rows = await add_more(made)
        await made.site.put(rows)
        assert await made.drain() == {"published": 10, "refused": 10}
        assert {point for point, _ in made.values()} == {TEMPERATURE}
        posts = made.simulator.world.counts["posts"]
        await made.site.put([("t", now(), 1.0), ("r", now(), 1.0)])
        assert await made.drain() == {"published": 11, "refused": 11}
        assert made.simulator.world.counts["posts"] == posts + 1


@pytest.mark.parametrize("at", [0, 4, 9])
async def test_a_refused_value_costs_no_other(sqlite_database: Database, at: int) -> None:
    """One value that EnOS refuses is found among others of its point, wherever it stands."""
    async with opened(sqlite_database) as made:
        refuse_point(made, RETURN, value=50.0 + at)
        await made.site.put(await add_more(made))
        assert await made.drain() == {"published": 19, "refused": 1}
        await made.site.put([("r", now(), 1.0)])
        assert (await made.drain())["published"] == 20


async def test_one_point_with_two_values_refused(sqlite_database: Database) -> None:
    """Where the oldest and the newest value are refused there may be nothing in between."""
    async with opened(sqlite_database) as made:
        refuse_point(made, RETURN)
        await made.site.put(await add_more(made, 2))
        assert await made.drain() == {"published": 2, "refused": 2}


async def test_values_of_a_device_that_is_gone_wait(sqlite_database: Database) -> None:
    """Somebody deletes a device in EnOS: its values wait for a plan, and cost no others."""
    async with opened(sqlite_database) as made:
        await made.site.add_mapped("s", equipment="AHU-2", target=(AHU, STATUS))
        await made.site.put([("t", now(), 59.0), ("s", now(), 1.0)])
        await made.drain()
        (row, _) = await made.devices()
        del made.simulator.world.devices[row.asset_id]
        await made.site.put([("t", now() + 1000, 59.0), ("s", now() + 1000, 1.0)])
        assert await made.drain() == {"published": 3}
        assert await made.site.waiting() == 0
        (after, _) = await made.devices()
        assert (after.asset_id, after.gone_us is None) == (row.asset_id, False)
        assert len(made.simulator.world.devices) == 1


async def test_a_device_that_is_denied_is_not_asked_for_again(sqlite_database: Database) -> None:
    """EnOS that takes a device and then does not know it is not asked for ever."""
    async with opened(sqlite_database) as made:
        refuse_point(made, TEMPERATURE, 1257)
        await made.site.put([("t", now(), 59.0)])
        assert await made.drain() == {}
        posts = made.simulator.world.counts["posts"]
        await made.site.put([("t", now() + 1000, 59.0)])
        assert await made.drain() == {}
        assert made.simulator.world.counts["posts"] == posts


async def test_a_code_nobody_explains_is_first_later_then_isolated(
    sqlite_database: Database,
) -> None:
    """An unknown refusal of one point holds the outbox a few rounds, then costs that point alone."""
    async with opened(sqlite_database) as made:
        refuse_point(made, RETURN, 31337)
        await made.site.put(await add_more(made))
        for _ in range(delivery.PATIENCE - 1):
            with pytest.raises(Unavailable):
                await made.worker.round()
        assert await made.drain() == {"published": 10, "refused": 10}


async def test_a_code_nobody_explains_for_everything_drops_nothing(
    sqlite_database: Database,
) -> None:
    """If EnOS takes no value at all, the trouble is its own: everything waits."""
    async with opened(sqlite_database) as made:
        refuse_point(made, TEMPERATURE, 31337)
        await made.site.put([("t", now(), 59.0), ("t", now() + 5000, 60.0)])
        for _ in range(delivery.PATIENCE + 2):
            with pytest.raises(Unavailable):
                await made.worker.round()
        assert await made.site.waiting() == 1


async def test_an_unexplained_code_during_isolation_drops_nothing(
    sqlite_database: Database,
) -> None:
    """While a refused point is looked for, other trouble is still only "later"."""
    async with opened(sqlite_database) as made:
        refuse_point(made, RETURN)
        await made.site.put(await add_more(made))
        made.fail("unclear")
        posts: list[int] = []
        post = made.publisher._gateway.integrate

        async def integrate(action: str, message: bytes) -> Any:
            posts.append(len(message))
            if len(posts) == 1:
                made.simulator.faults.waiting[:], kept = [], made.simulator.faults.waiting[:]
                try:
                    return await post(action, message)
                finally:
                    made.simulator.faults.waiting[:] = kept
            return await post(action, message)

        made.publisher._gateway.integrate = integrate  # type: ignore[method-assign] # second post fails
        with pytest.raises(Unavailable):
            await made.worker.round()
        assert await made.site.counters() == {}
        assert await made.drain() == {"published": 10, "refused": 10}


async def test_equipment_that_enos_will_not_have(sqlite_database: Database) -> None:
    """Of a missing thing model the values wait, and cost no others; later it is asked again."""
    hidden = {"EnOS_HVAC_CH"}
    async with opened(sqlite_database, hidden=hidden) as made:
        await made.site.add_mapped("c", equipment="CH-1", target=("EnOS_HVAC_CH", "CH_raw_status"))
        await made.site.put([("t", now(), 59.0), ("c", now(), 1.0)])
        assert await made.drain() == {"published": 1}
        made.simulator.world.hidden_models.clear()
        made.clock.ahead = 3600
        await made.site.put([("t", now() + 1000, 59.0), ("c", now() + 1000, 1.0)])
        assert await made.drain() == {"published": 4}


async def test_a_refused_device_costs_no_other(sqlite_database: Database) -> None:
    """One device that batchCreate refuses leaves the rest of the batch usable."""
    async with opened(sqlite_database) as made:
        await made.site.add_mapped("s", equipment="AHU-2", target=(AHU, STATUS))
        add, seen = made.simulator.world.add_device, list[str]()

        def add_device(body: Any) -> Any:
            seen.append(body["deviceKey"])
            if body["deviceKey"].endswith("AHU-2"):
                raise Refused(11739, "too many devices")
            return add(body)

        made.simulator.world.add_device = add_device  # type: ignore[method-assign] # a full product
        await made.site.put([("t", now(), 59.0), ("s", now(), 1.0)])
        assert await made.drain() == {"published": 1}
        assert len(seen) == 2


async def test_equipment_that_becomes_another_model_gets_a_new_device(
    sqlite_database: Database,
) -> None:
    """Once no point follows the old model, the equipment is a device of the new one."""
    async with opened(sqlite_database) as made:
        await made.site.put([("t", now(), 59.0)])
        await made.drain()
        await made.site.map_point("t", target=("EnOS_HVAC_FCU", "FCU_raw_zone_air_temp"))
        made.clock.ahead = 60
        await made.site.put([("t", now() + 1000, 59.0)])
        assert await made.drain() == {"published": 2}
        (row,) = await made.devices()
        assert row.model_id == "EnOS_HVAC_FCU"
        assert len(made.simulator.world.devices) == 2


async def test_enos_away_while_devices_are_made(sqlite_database: Database) -> None:
    """A fault between product and device leaves nothing half done for the next round."""
    async with opened(sqlite_database) as made:
        made.fail("500", path="v2.4/devices")
        await made.site.put([("t", now(), 59.0)])
        with pytest.raises(Unavailable):
            await made.worker.round()
        (row,) = await made.devices()
        assert row.asset_id == ""
        assert await made.drain() == {"published": 1}
        assert len(made.simulator.world.devices) == 1


async def test_a_message_over_the_limit_is_cut(sqlite_database: Database) -> None:
    """EnOS with a smaller limit than the documents say still gets everything."""
    async with opened(sqlite_database) as made:
        made.simulator.world.limits.message = 2000
        rows = await add_more(made, 40)
        await made.site.put(rows)
        assert await made.drain() == {"published": 80}
