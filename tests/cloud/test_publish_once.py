"""Every approved value arrives once, whatever goes on while it is published."""

from __future__ import annotations

from typing import Any

import pytest

from plantroom_cloud.db import Database
from support.enos_plans import MINUTE, SECOND, PlanWay, opened
from support.enos_site import AHU, TEMPERATURE

RETURN = "AHU_raw_return_air_temp"


async def say(way: PlanWay, name: str, count: int, *, ago: int = 0) -> list[int]:
    """Have a point say something every minute; return the milliseconds."""
    moments = []
    for number in range(count):
        way.clock.us += MINUTE
        ts_us = way.clock.us - ago
        await way.site.put([(name, ts_us, float(number))], created_us=way.clock.us)
        moments.append(ts_us // 1000)
    return moments


def once(way: PlanWay, counts: dict[str, int], point: str, moments: list[int]) -> None:
    """EnOS has `moments` of a point of AHU-1, each of them came and was counted once."""
    assert sorted(ms for _, name, ms in way.enos.values() if name == point) == sorted(moments)
    assert set(way.enos.kept.values()) == {1}
    assert counts == {"published": sum(way.enos.kept.values())}


async def test_what_waits_behind_a_full_round_comes_once(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More waits in the outbox than goes out at once, and all of it is history, too."""
    monkeypatch.setattr("plantroom_cloud.publishing.worker.MAX_ROWS", 2)
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t")
        moments = await say(way, "t", 7)
        once(way, await way.drain(), TEMPERATURE, moments)


async def test_what_is_stored_while_history_goes_out_comes_once(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples are ingested after the outbox was read and before the history is."""
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t")
        moments = await say(way, "t", 3)
        publish_due = way.worker._publish_due

        async def late(*arguments: Any) -> bool:
            monkeypatch.undo()
            # Read on the gateway before the point was noted as published, so it is history as well.
            moments.extend(await say(way, "t", 2, ago=10 * MINUTE))
            return await publish_due(*arguments)

        monkeypatch.setattr(way.worker, "_publish_due", late)
        once(way, await way.drain(), TEMPERATURE, moments)


async def test_a_long_history_and_a_full_outbox_come_once(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """History goes in portions while what it holds waits in the outbox as well."""
    monkeypatch.setattr("plantroom_cloud.publishing.worker.MAX_ROWS", 1)
    monkeypatch.setattr("plantroom_cloud.publishing.worker.MAX_VALUES", 3)
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t")
        await way.site.add_mapped("r", target=(AHU, RETURN))
        moments, others = await say(way, "t", 11), await say(way, "r", 11)
        counts = await way.drain()
        once(way, counts, TEMPERATURE, moments)
        once(way, counts, RETURN, others)


def held(way: PlanWay, point: str) -> list[int]:
    """Return the milliseconds that EnOS has of a point of AHU-1; each of them came once."""
    assert set(way.enos.kept.values()) <= {1}
    return sorted(ms for _, name, ms in way.enos.values() if name == point)


async def remap(way: PlanWay, name: str, **mapping: Any) -> None:
    """Say what a point is from now on, and have the worker hear of it."""
    await way.drain()
    await way.site.map_point(name, **mapping)
    way.clock.us += MINUTE
    await way.drain()


async def test_a_meaning_that_comes_back_sends_what_its_place_lacks(
    database: Database,
) -> None:
    """A point is one thing, then another, then the first again: no place gets a value twice."""
    async with opened(database) as way:
        await way.site.add_mapped("t")
        first = await say(way, "t", 4)
        await remap(way, "t", target=(AHU, RETURN))
        second = await say(way, "t", 3)
        await remap(way, "t", target=(AHU, TEMPERATURE))
        third = await say(way, "t", 2)
        counts = await way.drain()
        assert held(way, TEMPERATURE) == first + second + third
        assert held(way, RETURN) == first + second
        assert counts == {"published": 16}
        await remap(way, "t", target=(AHU, RETURN))
        assert (await way.drain()) == {"published": 18}
        assert held(way, RETURN) == held(way, TEMPERATURE) == first + second + third


async def test_what_comes_late_while_a_point_is_another_is_not_lost(
    sqlite_database: Database,
) -> None:
    """Old values that arrive while a point is something else are sent to both its places."""
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t")
        first = await say(way, "t", 2)
        await remap(way, "t", target=(AHU, RETURN))
        late = await say(way, "t", 2, ago=30 * MINUTE)
        await remap(way, "t", target=(AHU, TEMPERATURE))
        await way.drain()
        assert set(way.enos.values()) == {
            ("AHU-1", point, ms) for point in (TEMPERATURE, RETURN) for ms in first + late
        }


async def test_what_was_not_yet_sent_when_a_meaning_went_is_sent_when_it_is_back(
    sqlite_database: Database,
) -> None:
    """EnOS is away while a point is another one for a while: nothing is missing, nothing doubled."""
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t")
        moments = await say(way, "t", 2)
        await way.drain()
        await way.enos.off()
        for target in (RETURN, TEMPERATURE):
            moments += await say(way, "t", 3)
            await way.try_round()
            await way.site.map_point("t", target=(AHU, target))
            way.clock.us += MINUTE
            await way.try_round()
        await way.enos.on()
        way.clock.us += 2 * MINUTE
        counts = await way.drain()
        assert held(way, TEMPERATURE) == moments
        assert counts == {"published": len(moments)}


async def test_two_points_that_take_turns_in_one_place_double_nothing(
    sqlite_database: Database,
) -> None:
    """What one of them has sent while it was the surer one stands when the other is back."""
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t", confidence=0.8)
        await way.site.add_mapped("r", target=(AHU, RETURN))
        moments = await say(way, "t", 2)
        for confidence in (0.9, 0.7, 0.9, 0.7):
            await remap(way, "r", confidence=confidence)
            for _ in range(2):
                way.clock.us += MINUTE
                both = [(name, way.clock.us, confidence) for name in ("t", "r")]
                await way.site.put(both, created_us=way.clock.us)
                moments.append(way.clock.us // 1000)
        await remap(way, "r", target=(AHU, RETURN))
        assert held(way, TEMPERATURE) == moments
        told = [v for (_, name, _), v in sorted(way.enos.values().items()) if name == TEMPERATURE]
        assert told == [0.0, 1.0, *(c for c in (0.9, 0.7, 0.9, 0.7) for _ in range(2))]


async def test_values_of_a_clock_that_is_ahead_are_history_too(sqlite_database: Database) -> None:
    """A gateway's clock is ahead: what it has said before anybody knew its meaning is not lost."""
    async with opened(sqlite_database, mapping_wait=0) as way:
        await way.site.add_point("t")
        moments = await say(way, "t", 5, ago=-3 * MINUTE)
        await way.drain()
        await way.site.map_point("t")
        way.clock.us += 20 * SECOND
        await way.drain()
        moments += await say(way, "t", 5, ago=-3 * MINUTE)
        once(way, await way.drain(), TEMPERATURE, moments)
