"""Every profile of the product: rendered, planned, served by a device made from it, read back.

A new profile is found in its folder: nothing here names one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from itertools import groupby
from typing import Any

import pytest
import pytest_asyncio

from plantroom_edge.simulation import bacnet_device, modbus_server
from plantroom_edge.simulation.image import Image, render
from plantroom_edge.simulation.motion import Motion
from plantroom_shared.model import Value
from plantroom_shared.profiles import (
    BacnetProfile,
    Profile,
    bacnet_profiles,
    list_profiles,
    load_profile,
)
from support import bacnet_peers
from support.modbus_bus import bus, groups_of, independent, read
from support.modbus_image import filled, words_of

NAMES = list_profiles(protocol="modbus")
BACNET = list_profiles(protocol="bacnet")
FIRST_OF_CLASS = [next(names) for _, names in groupby(NAMES, lambda name: name.split("/")[0])]

profile_of = cache(load_profile)


@cache
def bacnet() -> dict[str, BacnetProfile]:
    return dict(bacnet_profiles())


@cache
def device(name: str) -> tuple[Image, dict[str, Value]]:
    return filled(profile_of(name), seed=len(name))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    """Serve one unit for each Modbus profile, in the order of `NAMES`."""
    units = {
        number: modbus_server.unit_of(profile_of(name), device(name)[0])
        for number, name in enumerate(NAMES, start=1)
    }
    async with modbus_server.serving(units) as at:
        yield at


def _nearly(shown: dict[str, Value]) -> dict[str, Any]:
    return {
        one: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        for one, value in shown.items()
    }


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", NAMES)
async def test_what_a_device_shows_is_read(port: int, name: str) -> None:
    """Every point of a device of this model has the value it was given, and is good."""
    unit = NAMES.index(name) + 1
    async with asyncio.timeout(20), bus(port, {"name": "one", "unit": unit, "profile": name}) as d:
        inventory = await d.discover()
        got = await read(d, inventory.groups)
    assert inventory.missing == ()
    assert got.reasons == {}
    assert got.values == _nearly(device(name)[1])


@pytest.mark.parametrize("name", FIRST_OF_CLASS)
async def test_an_independent_server_is_read(name: str) -> None:
    """The same from a server that shares no code with the client."""
    image, shown = device(name)
    settings = {"name": "one", "unit": 1, "profile": name}
    async with asyncio.timeout(20), independent(image) as at, bus(at, settings) as driver:
        got = await read(driver, await groups_of(driver, "one"))
    assert got.reasons == {}
    assert got.values == _nearly(shown)


@pytest.mark.parametrize("name", NAMES)
def test_a_simulated_device_moves_within_reason(name: str) -> None:
    """What `profile simulate` shows is read back as it was meant, and is within the range."""
    profile = profile_of(name)
    motion = Motion(profile, seed=3)
    first, later = motion.values(0), motion.values(1000)
    assert first == Motion(profile, seed=3).values(0)
    assert first != later
    image = render(profile, later, motion.exponents)
    for one in profile.points:
        words = words_of(image, one.space, one.address, one.words)
        assert words is not None
        value, why = one.decode(words, motion.exponents.get(one.sf or ""))
        assert not why, one.id
        if _is_alone(profile, one.id) and not isinstance(value, str) and one.expect is None:
            assert value == pytest.approx(later[one.id]), one.id


def _is_alone(profile: Profile, one: str) -> bool:
    """Say whether no other entry shares its register."""
    it = profile.by_id[one]
    return not any(
        other.id != it.id
        and other.space == it.space
        and other.address < it.address + it.words
        and it.address < other.address + other.words
        for other in profile.registers
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_a_device_cannot_tell_is_no_value(name: str) -> None:
    """Where a register has a way to say that there is no value, it is read so."""
    for register in profile_of(name).points:
        if register.sentinel or register.type in {"float32", "string"}:
            assert register.decode(register.encode(None), 0) == (None, "not-available")


@pytest.mark.parametrize("name", BACNET)
async def test_a_bacnet_device_is_known_and_read(name: str) -> None:
    """A device of this model is known by what it says, by this profile alone, and read whole."""
    profile = bacnet()[name]
    values = Motion(profile, seed=len(name)).values(60)
    async with (
        asyncio.timeout(20),
        bacnet_device.serving(profile, lambda: values, instance=7) as at,
        bacnet_peers.driver(f"127.0.0.1:{at}") as driver,
    ):
        inventory = await driver.discover()
        polls = [(group, await driver.read(group)) for group in inventory.groups]
    (found,) = inventory.devices
    objects = [(p.object_type, int(p.key.rsplit(":", 1)[1]), p.name) for p in inventory.points]
    vendor = profile.match.vendor_id
    firmware = "simulated" if profile.match.firmware is None else profile.match.firmware
    claims = [
        one
        for one, other in bacnet().items()
        if other.matches(vendor, found.model, firmware, profile.match.application or "", objects)
    ]
    assert claims == [name]
    ids = {}
    for point, named in zip(inventory.points, objects, strict=True):
        entry = profile.find(*named)
        assert entry is not None
        ids[point.key] = entry.id
    got = {
        ids[key]: value
        for group, poll in polls
        for key, value in zip(group.points, poll.values, strict=True)
    }
    assert [poll.quality for _, poll in polls] == [{}] * len(polls)
    assert got == values
