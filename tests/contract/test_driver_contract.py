"""What holds for every registered driver, against a far end of its own protocol."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from pydantic import ValidationError

from plantroom_edge.drivers import Driver, Poll, drivers
from plantroom_shared.clock import SystemClock
from plantroom_shared.model import Quality, Value
from support.driver_simulators import simulators

NAMES = [name for name, _ in drivers]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a driver, as in the configuration."""
    return str(request.param)


@asynccontextmanager
async def opened(name: str, config: dict[str, Any]) -> AsyncIterator[Driver]:
    """Open a driver and close it again."""
    spec = drivers.get(name)
    driver = spec.open(spec.config.model_validate({"name": "field", **config}), SystemClock())
    try:
        yield driver
    finally:
        await driver.close()


@asynccontextmanager
async def running(name: str) -> AsyncIterator[tuple[Driver, dict[str, Value]]]:
    """Open a driver on its simulator; yields what the points show, too."""
    async with simulators[name]() as (config, shown), opened(name, config) as driver:
        yield driver, shown


def test_every_driver_has_a_simulator() -> None:
    """A driver that nobody can try is not finished."""
    assert sorted(simulators) == NAMES


async def test_discover_lists_every_point_once(name: str) -> None:
    """Points, devices and poll groups fit each other, and nothing that answers is missing."""
    async with running(name) as (driver, shown):
        inventory = await driver.discover()
    devices = {device.key for device in inventory.devices}
    assert len(devices) == len(inventory.devices)
    assert inventory.missing == ()
    assert Counter(point.key for point in inventory.points) == Counter(shown.keys())
    assert {point.device for point in inventory.points} == devices
    owner = {point.key: point.device for point in inventory.points}
    polled = [(key, group.device) for group in inventory.groups for key in group.points]
    assert sorted(polled) == sorted(owner.items())
    assert all(group.interval > 0 for group in inventory.groups)
    assert all(key.startswith(f"{owner[key]}:") for key in owner)
    assert inventory.hints.keys() <= owner.keys()


async def test_discover_is_stable(name: str) -> None:
    """A second look finds the same devices and points."""
    async with running(name) as (driver, _):
        first, second = await driver.discover(), await driver.discover()
    assert set(first.devices) == set(second.devices)
    assert set(first.points) == set(second.points)
    assert {group.points for group in first.groups} == {group.points for group in second.groups}


async def test_read_gives_every_value(name: str) -> None:
    """Groups read at the same time give the values of the far end, good and timed within the read."""
    clock = SystemClock()
    async with running(name) as (driver, shown):
        groups = (await driver.discover()).groups
        before = clock.now_us()
        polls = await asyncio.gather(*(driver.read(group) for group in groups))
        after = clock.now_us()
    got: dict[str, Value] = {}
    for group, poll in zip(groups, polls, strict=True):
        assert poll.alive
        assert poll.quality == {}
        assert before <= poll.ts <= after
        got |= dict(zip(group.points, poll.values, strict=True))
    assert got == {key: _close(value) for key, value in shown.items()}


def _close(value: Value) -> Any:
    return pytest.approx(value, rel=1e-6) if type(value) is float else value


async def test_a_far_end_that_went_away_is_bad_rows(name: str) -> None:
    """Every row of a dead device is bad with a reason, its poll is not alive, and nothing raises."""
    async with AsyncExitStack() as far_end:
        config, _ = await far_end.enter_async_context(simulators[name]())
        async with opened(name, config) as driver:
            groups = (await driver.discover()).groups
            await far_end.aclose()
            polls: list[Poll] = [await driver.read(group) for group in groups[:2]]
    for group, poll in zip(groups, polls, strict=False):
        rows = range(len(group.points))
        assert not poll.alive
        assert poll.values == [None] * len(rows)
        assert sorted(poll.quality) == list(rows)
        assert all(quality == Quality.BAD and why for quality, why in poll.quality.values())


async def test_discover_without_a_far_end_names_what_is_missing(name: str) -> None:
    """Where nothing answers, discover says so in words instead of raising."""
    async with simulators[name]() as (config, _):
        pass
    async with opened(name, config) as driver:
        inventory = await driver.discover()
    assert inventory.missing
    assert all(inventory.missing)


async def test_an_unknown_key_is_refused(name: str) -> None:
    """A key that the driver does not know is an error that names it."""
    async with simulators[name]() as (config, _):
        pass
    model = drivers.get(name).config
    with pytest.raises(ValidationError, match="basis"):
        model.model_validate({"name": "field", **config, "basis": 1})
