"""The demo's comparison: what the store holds of published points against what EnOS has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo.delivery import differences, unpublished
from plantroom_cloud.db import Database
from support.enos_plans import MINUTE, PlanWay, opened


async def _told(way: PlanWay) -> tuple[Path, list[list[Any]]]:
    """Have a point in Fahrenheit say three things; return the database and what EnOS has of them."""
    await way.site.add_mapped("t", unit="degrees-fahrenheit")
    for number in range(3):
        way.clock.us += MINUTE
        await way.site.put([("t", way.clock.us, 50.0 + number)], created_us=way.clock.us)
    path = Path(str(way.site.database.url.database))
    assert unpublished(path) == 3
    await way.drain()
    assert unpublished(path) == 0
    return path, [[*key, value] for key, value in sorted(way.enos.world.values.items())]


async def test_what_has_arrived_differs_in_nothing(sqlite_database: Database) -> None:
    """Every stored value is there, converted, and came once."""
    async with opened(sqlite_database) as way:
        path, received = await _told(way)
        assert received[0][3] == pytest.approx(10.0)
        repeated = [[*key, count] for key, count in way.enos.world.repeated.items()]
        assert list(differences(path, received, repeated)) == []


async def test_each_difference_is_named(sqlite_database: Database) -> None:
    """Lost, strange, different and doubled values are told apart, with point and time."""
    async with opened(sqlite_database) as way:
        path, (first, second, third) = await _told(way)
        strange, other = [*third[:2], third[2] + 1, 1.0], [*second[:3], 99.0]
        told = list(differences(path, [other, third, strange], [[*third[:3], 2]]))
        assert [text.split(":")[0] for text in told] == [
            "1 values are stored and not in EnOS",
            "1 values are in EnOS and not stored",
            "1 values are others in EnOS",
            "1 values came more than once",
        ]
        assert f"the first {first[0]} {first[1]} at 2026-01-31T12:01:00.000+00:00" in told[0]
