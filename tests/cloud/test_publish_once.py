"""Every approved value arrives once, whatever goes on while it is published."""

from __future__ import annotations

from typing import Any

import pytest

from plantroom_cloud.db import Database
from support.enos_plans import MINUTE, PlanWay, opened
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
