"""Segments, COV, writes with priority and a BBMD against the legacy bacpypes, over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from plantroom_edge.drivers import Poll, PollGroup
from plantroom_edge.drivers.bacnet import BacnetDriver
from plantroom_shared.model import Quality
from support.bacnet_peers import by_key, driver, free_port
from support.bacnet_plant import plant

BAD, UNCERTAIN = int(Quality.BAD), int(Quality.UNCERTAIN)


async def test_answers_in_segments_are_read() -> None:
    """An object list and its names arrive whole from a device whose datagrams are small."""
    async with plant(analog=300, max_apdu=128) as it, driver(it.address) as bus:
        found = await bus.discover()
        poll = await bus.read(found.groups[0])
        [figures] = bus.figures()
    assert found.missing == ()
    assert len(found.points) == 306
    assert by_key(found.groups[0], poll)["analog-value:300"] == (320.0, None)
    assert any("came in segments" in line for line in figures.advice)


async def test_a_device_without_segments_is_read_in_small_answers() -> None:
    """The same plant, unable to segment, is read completely all the same, and figures say how."""
    spec = {"analog": 60, "max_apdu": 480, "segmentation": "noSegmentation"}
    async with plant(**spec) as it, driver(it.address) as bus:
        found = await bus.discover()
        poll = await bus.read(found.groups[0])
        [figures] = bus.figures()
    assert by_key(found.groups[0], poll)["analog-value:60"] == (80.0, None)
    assert figures.requests > 0
    assert figures.failures <= figures.requests
    assert any("answers of at most 480 octets" in line for line in figures.advice)
    assert "read-property-multiple" in figures.plan[0]


# ---------------------------------------------------------------- writes


async def test_a_write_with_priority_is_held_and_relinquished() -> None:
    """The slot shows what was written, a release gives the value below it back."""
    async with plant() as it, driver(it.address) as bus:
        await bus.discover()
        valve = "bacnet:5:analog-output:1"
        assert await bus.held(valve, 8) == (None, "")
        low = await bus.write(valve, 30.0, 12)
        high = await bus.write(valve, 55.5, 8)
        assert await bus.held(valve, 8) == (55.5, "")
        assert await bus.held(valve, 12) == (30.0, "")
        assert await bus.held(valve, None) == (55.5, "")
        under = await bus.write(valve, 31.0, 12)
        back = await bus.write(valve, None, 8)
        none = await bus.write(valve, None, 12)
    assert (low.ok, low.shows) == (True, 30.0)
    assert (high.ok, high.shows) == (True, 55.5)
    assert (under.ok, under.reason, under.shows) == (False, "outranked-by-8", 55.5)
    assert (back.ok, back.shows) == (True, 31.0)
    assert (none.ok, none.shows) == (True, 10.0)


async def test_every_object_is_written_in_its_own_type() -> None:
    """REAL, ENUMERATED, UNSIGNED and CharacterString: an independent stack accepts each."""
    async with plant() as it, driver(it.address) as bus:
        await bus.discover()
        results = [
            await bus.write("bacnet:5:binary-output:1", True, 8),
            await bus.write("bacnet:5:analog-output:1", 19, 16),
            await bus.write("bacnet:5:multi-state-value:1", 3.0, None),
            await bus.write("bacnet:5:large-analog-value:1", 1e9 + 0.5, None),
            await bus.write("bacnet:5:characterstring-value:1", "Lüfter", None),
        ]
    assert [(one.ok, one.reason, one.shows) for one in results] == [
        (True, "", 1),
        (True, "", 19.0),
        (True, "", 3),
        (True, "", 1e9 + 0.5),
        (True, "", "Lüfter"),
    ]


async def test_why_a_device_refuses_is_the_reason() -> None:
    """Its own error is what the write says."""
    async with plant() as it, driver(it.address) as bus:
        await bus.discover()
        denied = await bus.write("bacnet:5:analog-value:1", 1.0, None)
    assert (denied.ok, denied.reason, denied.reached) == (False, "write-access-denied", True)


async def test_an_object_without_a_priority_array_is_not_written_with_a_priority() -> None:
    """Such a value could not be given back: it is refused before the device sees it."""
    async with plant() as it, driver(it.address) as bus:
        await bus.discover()
        held = await bus.held("bacnet:5:analog-value:1", 8)
        refused = await bus.write("bacnet:5:analog-value:1", 1.0, 8)
        value = await bus.held("bacnet:5:analog-value:1", None)
    assert held == (None, "not-commandable")
    assert (refused.ok, refused.reason, refused.reached) == (False, "not-commandable", False)
    assert value == (21.0, "")


# ---------------------------------------------------------------- COV


async def test_changes_are_told_and_polling_becomes_rare() -> None:
    """Subscribed points come as notices at once, and a round of polls is one request."""
    async with plant(analog=100) as it, cov(it.address) as (bus, group):
        await until(bus, group, lambda: _watch(group).live == 105)
        before = bus.figures()[0].requests
        poll = await bus.read(group)
        assert bus.figures()[0].requests == before + 1
        assert len(poll.values) == 106
        assert by_key(group, poll)["analog-value:2"] == (22.0, None)
        await it.say("analogValue 2 30.5")
        assert await told(bus, group) == {"analog-value:2": 30.5}
        await it.say("binaryValue 1 active")
        assert await told(bus, group) == {"binary-value:1": 1}
        after = by_key(group, await bus.read(group))
        advice = bus.figures()[0].advice
    assert after["analog-value:2"] == (30.5, None)
    assert after["binary-value:1"] == (1, None)
    assert "COV: 105 of 106 points are told by the device" in advice


async def test_a_device_that_forgets_its_subscriptions_is_polled() -> None:
    """A poll of everything shows what was not told: the point is polled again, and no other."""
    async with plant(analog=100) as it, cov(it.address) as (bus, group):
        await until(bus, group, lambda: _watch(group).live == 105)
        await it.say("forget")
        await it.say("analogValue 2 50")
        stale = by_key(group, await bus.read(group))["analog-value:2"]
        _watch(group)._whole_due = 0.0
        seen = by_key(group, await bus.read(group))["analog-value:2"]
        await it.say("analogValue 2 51")
        polled = by_key(group, await bus.read(group))["analog-value:2"]
        assert _watch(group).live == 104
        [line] = [line for line in bus.figures()[0].advice if "silent" in line]
    assert (stale, seen, polled) == ((22.0, None), (50.0, None), (51.0, None))
    assert line.startswith("COV: 1 subscriptions were silent")


async def test_a_device_that_was_away_is_subscribed_again() -> None:
    """After an outage nothing that was told before counts, and everything is subscribed anew."""
    port = free_port()
    spec = {"analog": 100, "port": port}
    async with cov(f"127.0.0.1:{port}", timeout=0.2, retries=1) as (bus, _):
        async with plant(**spec):
            [group] = (await bus.discover()).groups
            await until(bus, group, lambda: _watch(group).live == 105)
        dead = await bus.read(group)
        assert (dead.alive, _watch(group).live) == (False, 0)
        async with plant(**spec) as it:
            await until(bus, group, lambda: _watch(group).live == 105)
            assert int(await it.say("subscriptions")) == 105


async def test_a_device_without_cov_is_polled() -> None:
    """It is asked once, and the figures say that its points are polled."""
    async with plant(analog=100, cov=False) as it, cov(it.address) as (bus, group):
        for _ in range(3):
            poll = await bus.read(group)
        [line] = [line for line in bus.figures()[0].advice if "COV" in line]
    assert line == "COV: the device has no COV; all points are polled"
    assert by_key(group, poll)["analog-value:2"] == (22.0, None)


# ---------------------------------------------------------------- BBMD


async def test_a_foreign_device_finds_and_reads_through_a_bbmd() -> None:
    """Registered with a BBMD, our broadcast reaches the devices of its network."""
    port = free_port()
    async with plant(bbmd=True, port=port) as it:
        settings: dict[str, Any] = {"bbmd": it.address, "timeout": 0.5, "retries": 1}
        async with driver(f"broadcast:{free_port()}", **settings) as bus:
            found = await bus.discover()
            poll = await bus.read(found.groups[0])
    assert [device.key for device in found.devices] == ["bacnet:5"]
    assert found.missing == ()
    assert by_key(found.groups[0], poll)["analog-value:1"] == (21.0, None)


# ---------------------------------------------------------------- support


@asynccontextmanager
async def cov(target: str, **settings: Any) -> AsyncIterator[tuple[BacnetDriver, PollGroup]]:
    """Open the driver with COV; yields no group if nobody answers yet."""
    async with driver(target, cov="auto", **settings) as bus:
        found = await bus.discover() if not settings else None
        yield bus, found.groups[0] if found else PollGroup("", 1.0, ())


def _watch(group: PollGroup) -> Any:
    return group.plan.watch


async def until(bus: BacnetDriver, group: PollGroup, done: Callable[[], bool]) -> None:
    """Read until `done`."""
    async with asyncio.timeout(20):
        while not done():
            await bus.read(group)
            await asyncio.sleep(0.05)


async def told(bus: BacnetDriver, group: PollGroup) -> dict[str, Any]:
    """Return the next news that is not the first notification of a subscription."""
    async with asyncio.timeout(10):
        while True:
            about, poll = await bus.notice()
            assert about is group
            news = _news(group, poll)
            if len(news) == 1:
                return news


def _news(group: PollGroup, poll: Poll) -> dict[str, Any]:
    assert poll.rows is not None
    return {group.points[row].split(":", 2)[2]: poll.values[row] for row in poll.rows}
