"""Who is asked and when: slices, who is missing, and devices that appear later."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from plantroom_edge.drivers import Inventory
from plantroom_edge.drivers.bacnet import BacnetConfig, roster
from plantroom_edge.drivers.bacnet.client import Client
from plantroom_edge.drivers.bacnet.config import Range, Target
from plantroom_edge.drivers.bacnet.discovery import Discovery
from plantroom_edge.drivers.bacnet.frames import IAm, Peer
from plantroom_edge.drivers.bacnet.roster import AT_ONCE, EVERYBODY, around, call, slices
from plantroom_edge.drivers.bacnet.vocabulary import MAX_INSTANCE
from support.bacnet_device import Field, real, serving
from support.bacnet_peers import driver
from support.edge_time import VirtualTime

QUICK = {"timeout": 0.1, "retries": 0}
INSTANCES = st.integers(0, MAX_INSTANCE)


def plant(instance: int) -> Field:
    device = Field(instance=instance)
    device.add(0, 1, real(instance), "Temp")
    return device


# ---------------------------------------------------------------- slices


@given(st.sets(INSTANCES, max_size=1500), st.lists(st.tuples(INSTANCES, INSTANCES), max_size=4))
def test_slices_cover_the_ranges_and_no_more(known: set[int], pairs: list[Range]) -> None:
    """No instance is left out or asked twice, and no slice holds too many known devices."""
    for low, high in [(min(pair), max(pair)) for pair in pairs]:
        cut = slices([(low, high)], known)
        assert cut[0][0] == low
        assert cut[-1][1] == high
        assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(cut))
        assert all(first <= last for first, last in cut)
        assert all(sum(a <= one <= b for one in known) <= AT_ONCE for a, b in cut)


def test_a_thousand_known_devices_are_asked_in_slices_of_a_hundred() -> None:
    """The slices follow where the devices are, and end where the range does."""
    cut = slices([(0, 5000), (9000, 9999)], range(1000, 2050))
    assert cut[:2] == [(0, 1099), (1100, 1199)]
    assert cut[-2:] == [(2000, 5000), (9000, 9999)]
    assert len(cut) == 12


def test_around_is_the_least_range() -> None:
    """Nobody missing is nobody to ask for."""
    assert around({5, 900, 17}) == [(5, 900)]
    assert around(set()) == []


class Roll(Client):
    """A client that only notes who is asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[Target, ...], Range | None]] = []

    async def who_is(
        self, targets: tuple[Target, ...], limits: tuple[int, int] | None
    ) -> list[IAm]:
        self.asked.append((targets, limits))
        return [IAm(Peer("10.0.0.1", 47808), 5, 1476)]


async def test_broadcasts_ask_slice_by_slice_and_hosts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A single address answers for itself; a broadcast goes out for each slice."""
    monkeypatch.setattr(roster, "_JITTER", 0.0)
    client, host, wide = Roll(), Target("10.0.0.1", 47808), Target("", 47808)
    heard = await call(client, (host, wide), [(0, 9), (10, 99)])
    assert client.asked == [((host,), None), ((wide,), (0, 9)), ((wide,), (10, 99))]
    assert [said.instance for said in heard] == [5]
    client.asked.clear()
    await call(client, (wide,), [EVERYBODY])
    assert client.asked == [((wide,), None)]


# ---------------------------------------------------------------- over time


def _discovery(clock: VirtualTime, **settings: Any) -> Discovery:
    config = BacnetConfig.model_validate({"name": "field", "timeout": 0.01} | settings)
    return Discovery(config, clock)


def _asked(discovery: Discovery, lost: set[int]) -> list[Range]:
    discovery._lost = lost
    discovery.scans = {5: None}  # type: ignore[dict-item] # only that there are some counts
    return discovery._to_ask()


def test_between_two_searches_only_the_missing_are_asked() -> None:
    """All are asked for at first and when it is time again; in between who did not answer."""
    clock = VirtualTime()
    discovery = _discovery(clock, discover_every=300)
    assert discovery._to_ask() == [EVERYBODY]
    assert discovery._to_ask() == [EVERYBODY]  # as long as nobody was ever heard
    clock.seconds += 30
    assert _asked(discovery, {17, 40}) == [(17, 40)]
    assert _asked(discovery, set()) == []
    clock.seconds += 300
    assert _asked(discovery, {17}) == [EVERYBODY]


def test_a_search_keeps_to_the_ranges_and_to_what_is_listed() -> None:
    """Ranges are asked one after the other; with a list, only the instances around it."""
    clock = VirtualTime()
    pairs = _discovery(clock, range=[[0, 99], [1000, 1999]])
    assert pairs._to_ask() == [(0, 99), (1000, 1999)]
    listed = _discovery(clock, only_listed=True, devices=[{"instance": 7}, {"instance": 9}])
    assert listed._to_ask() == [(7, 9)]


async def test_only_listed_devices_are_read_if_so_configured() -> None:
    """What is not named stays alone, and who is named and silent is missing."""
    settings = {"only_listed": True, "devices": {5: {}, 8: {"interval": 9}}} | QUICK
    async with serving(plant(5), plant(6)) as targets, driver(*targets, **settings) as bus:
        found = await bus.discover()
    assert [device.key for device in found.devices] == ["bacnet:5"]
    assert found.missing == ("bacnet:8: no answer to Who-Is, though the configuration names it",)


async def test_a_device_that_appears_later_is_added_with_its_points() -> None:
    """The next discovery brings it; the groups of the others stay as they are."""
    early, late = plant(5), plant(6)
    late.deaf = True
    async with serving(early, late) as targets, driver(*targets, **QUICK) as bus:
        first = await bus.discover()
        late.deaf = False
        second = await bus.discover()
    assert [point.key for point in second.points] == [
        "bacnet:5:analog-input:1",
        "bacnet:6:analog-input:1",
    ]
    assert second.groups[0] is first.groups[0]
    assert second.missing == ()


async def test_a_device_that_was_silent_for_once_is_not_missing_for_ever() -> None:
    """It is told while it does not answer, keeps its points, and then all is well again."""
    device = plant(5)
    async with serving(device) as targets, driver(*targets, **QUICK) as bus:
        first = await bus.discover()
        device.mute = lambda _: True
        silent = await bus.discover()
        device.mute = lambda _: False
        well = await bus.discover()
    assert silent.points == well.points == first.points
    assert "does not tell its object list: no answer" in silent.missing[0]
    assert well.missing == ()


async def test_who_never_becomes_a_device_is_forgotten() -> None:
    """An I-Am of somebody who then answers nothing leaves nothing behind."""
    device = plant(5)
    async with serving(device) as targets, driver(*targets, **QUICK) as bus:
        device.mute = lambda _: True
        await bus.discover()
        assert list(bus._discovery.scans) == [5]
        device.deaf = True
        await bus.discover()
        assert not bus._discovery.scans


async def test_a_bus_says_when_it_wants_to_be_searched_again() -> None:
    """The sampler learns how often new devices are looked for."""
    async with serving(plant(5)) as targets, driver(*targets, discover_every=90) as bus:
        assert (await bus.discover()).again == 90
    assert Inventory().again == 0


async def test_a_scan_goes_on_though_nobody_is_asked_for() -> None:
    """A device that is not wholly scanned is gone on with at its address, without a Who-Is."""
    device, clock = plant(5), VirtualTime()
    for index in range(2, 60):
        device.add(0, index, real(index), f"AI {index}")
    async with serving(device) as [target], driver(target, clock=clock, **QUICK) as bus:
        port = target.partition(":")[2]
        device.mute = lambda _: len(device.requests) > 3
        broken = await bus.discover()
        device.mute = lambda _: False
        discovery = bus._discovery
        discovery._targets = (Target("", int(port)),)  # from now on as if found by a broadcast
        async with asyncio.timeout(20):
            found = await bus.discover()
    assert "not wholly scanned yet" in broken.missing[0]
    assert len(found.points) == 59
    assert found.missing == ()


# ---------------------------------------------------------------- configuration


def test_devices_are_a_mapping_or_a_list() -> None:
    """A list of entries means the same as a mapping by instance."""
    listed = BacnetConfig.model_validate(
        {"name": "f", "devices": [{"instance": 7, "interval": 9}, {"instance": 8}]}
    )
    mapped = BacnetConfig.model_validate({"name": "f", "devices": {7: {"interval": 9}, 8: {}}})
    assert listed == mapped
    assert listed.ours(7)
    assert listed.ours(1)
    assert BacnetConfig.model_validate({"name": "f", "range": None}).range == ()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"devices": [{"interval": 9}]}, "each entry needs its device instance"),
        ({"devices": [7]}, "each entry needs its device instance"),
        ({"devices": [{"instance": 7}, {"instance": 7}]}, "device instance 7 stands twice"),
        ({"range": [[0, 9], [9, 3]]}, "[9, 3] runs backwards"),
        ({"discover_every": 5}, "greater than or equal to 30"),
    ],
)
def test_what_is_wrong_with_devices_and_ranges_is_told(settings: dict[str, Any], says: str) -> None:
    """Each mistake has words of its own."""
    with pytest.raises(ValidationError) as caught:
        BacnetConfig.model_validate({"name": "f"} | settings)
    assert says in str(caught.value)
