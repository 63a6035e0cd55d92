"""The bus as a whole: its configuration, its socket, and who lives at which address."""

from __future__ import annotations

import errno
import socket

import pytest
from pydantic import ValidationError

from plantroom_edge.drivers.bacnet import BacnetConfig
from plantroom_edge.drivers.bacnet.client import _RollCall
from plantroom_edge.drivers.bacnet.config import Target, parse_target
from plantroom_edge.drivers.bacnet.frames import IAm, Peer
from plantroom_edge.drivers.bacnet.link import _bind_error
from plantroom_shared.errors import ConfigError, Unavailable
from plantroom_shared.model import Quality
from support.bacnet_device import Field, real, serving
from support.bacnet_peers import by_key, driver

BAD = int(Quality.BAD)
QUICK = {"timeout": 0.05, "retries": 0}


def plant(instance: int, count: int = 2, **settings: int | bytes) -> Field:
    """Return a device whose values tell instance and object apart."""
    device = Field(instance=instance, **settings)  # type: ignore[arg-type] # as the test wants it
    for index in range(count):
        device.add(0, index, real(100 * instance + index), f"AI {index}")
    return device


# ------------------------------------------------------------ configuration


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"bind": "eth0"}, "'eth0' is no IPv4 address"),
        ({"bind": "10.0.0.1:99999"}, "no IPv4 address with an optional port"),
        ({"bind": "10.0.0.300"}, "no IPv4 address"),
        ({"bind": "0.0.0.0/24:47808"}, "a prefix goes with the address of one card"),
        ({"bind": "10.0.0.1/31:47808"}, "is at most 30"),
        ({"who_is": ("10.0.0.0/24",)}, "names no device"),
        ({"who_is": ("10.0.0.9:0",)}, "names no device"),
        ({"who_is": ("nowhere",)}, "no IPv4 address"),
        ({"range": (9, 3)}, "[9, 3] runs backwards"),
    ],
)
def test_a_wrong_setting_says_how_to_write_it(settings: dict[str, object], says: str) -> None:
    """Every setting that means nothing is refused with an example."""
    with pytest.raises(ValidationError) as caught:
        BacnetConfig.model_validate({"name": "field"} | settings)
    assert says in str(caught.value)


def test_targets_read_as_people_write_them() -> None:
    """A broadcast and an address may leave the port out; naming one twice asks it once."""
    assert parse_target("broadcast") == parse_target("broadcast:47808") == Target("", 47808)
    assert parse_target("10.0.0.9") == Target("10.0.0.9", 47808)
    config = BacnetConfig(name="field", who_is=("10.0.0.9", "10.0.0.9"), range=(1, 1))
    assert config.who_is == ("10.0.0.9",)


# ------------------------------------------------------------ the socket


async def test_a_taken_address_is_named() -> None:
    """Another program on the port makes the bus unavailable, and says which address it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{other.getsockname()[1]}"
        async with driver("127.0.0.1:1", bind=where) as bus:
            with pytest.raises(Unavailable, match=f"{where} is taken by another program"):
                await bus.discover()


async def test_an_address_of_no_card_is_named() -> None:
    """A gateway without the address waits for it instead of giving up."""
    async with driver("127.0.0.1:1", bind="192.0.2.77:0") as bus:
        with pytest.raises(Unavailable, match="no address of this machine now"):
            await bus.discover()


def test_other_troubles_of_the_socket_say_what_to_do() -> None:
    """A missing right is the configuration's fault, anything else passes."""
    denied = _bind_error(("0.0.0.0", 80), OSError(errno.EACCES, "denied"))
    assert isinstance(denied, ConfigError)
    assert denied.key == "bind"
    other = _bind_error(("10.0.0.1", 80), OSError(errno.ENOBUFS, "no buffers"))
    assert isinstance(other, Unavailable)
    assert "no buffers; check `bind`" in str(other)


async def test_ending_while_a_device_is_asked_leaves_nobody_waiting() -> None:
    """A read that is under way when the bus closes ends at once, as of a dead device."""
    device = plant(1)
    async with serving(device) as targets, driver(*targets, timeout=30.0) as bus:
        [group] = (await bus.discover()).groups

        def close(_request: object) -> bool:
            assert bus._client is not None
            bus._client.close()
            return True

        device.mute = close
        poll = await bus.read(group)
    assert not poll.alive
    assert poll.quality == {0: (BAD, "timeout"), 1: (BAD, "timeout")}


def test_a_flood_of_announcements_is_cut_off() -> None:
    """More devices than a network can hold are not kept in memory."""
    roll = _RollCall((Target("", 47808),))
    kept = [roll.hear(IAm(Peer("10.0.0.1", 47808), n, 1476)) for n in range(5000)]
    assert 4000 < sum(kept) < 5000
    assert len(roll.heard) == sum(kept)


# ------------------------------------------------------------ addresses


async def test_only_instances_in_range_are_ours() -> None:
    """A device that answers a Who-Is which did not mean it stays out."""
    async with serving(plant(5), plant(50)) as targets, driver(*targets, range=(1, 9)) as bus:
        found = await bus.discover()
        assert bus._client is not None
        assert bus._client.ignored["out-of-range"] == 1
    assert [device.key for device in found.devices] == ["bacnet:5"]


async def test_of_two_devices_with_one_instance_the_first_is_read() -> None:
    """The second is named as missing, and the next discovery does not swap them."""
    async with serving(plant(5), plant(5)) as targets, driver(*targets) as bus:
        first = await bus.discover()
        again = await bus.discover()
    home = min(targets, key=lambda target: int(target.split(":")[1]))
    [other] = set(targets) - {home}
    assert [device.address for device in first.devices] == [home]
    assert first.missing == again.missing
    assert first.missing[0].startswith(f"{other}: calls itself device 5, as {home} does")


async def test_a_device_that_moved_is_read_at_its_new_address() -> None:
    """Its points and keys stay; only the address changes."""
    old, new = plant(5), plant(5)
    async with serving(old, new) as (before, after), driver(before, after, **QUICK) as bus:
        new.deaf = True
        first = await bus.discover()
        old.deaf, new.deaf = True, False
        moved = await bus.discover()
        poll = await bus.read(moved.groups[0])
    assert first.devices[0].address == before
    assert moved.devices[0].address == after
    assert moved.points == first.points
    assert poll.values == [500, 501]


async def test_another_device_at_the_address_gives_no_values() -> None:
    """After two devices have swapped addresses nothing is stored under the wrong point."""
    device, other = plant(5), plant(6)
    async with serving(device) as targets, driver(*targets) as bus:
        [group] = (await bus.discover()).groups
        other.objects |= device.objects
        device.instance = 6
        poll = await bus.read(group)
    assert not poll.alive
    assert set(poll.quality.values()) == {(BAD, "wrong-device")}
    assert poll.values == [None, None]


async def test_one_address_stays_the_device_it_was() -> None:
    """An address that goes by a second name, too, keeps the one it is known by."""
    device = plant(77)
    async with serving(device) as targets, driver(*targets, timeout=2.0) as bus:
        await bus.discover()
        device.greet = lambda apdu: [apdu.replace(b"\x02\x00\x00\x4d", b"\x02\x00\x00\x01"), apdu]
        found = await bus.discover()
        assert bus._client is not None
        assert bus._client.ignored["second-instance"] >= 1
    assert [device.key for device in found.devices] == ["bacnet:77"]
    assert found.missing == ()


async def test_devices_behind_a_router_are_read() -> None:
    """Network and station of the I-Am route every request."""
    device = plant(9, net=2001, mac=b"\x07")
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
        poll = await bus.read(found.groups[0])
    assert found.devices[0].address == f"{targets[0]} network 2001 station 07"
    assert poll.values == [900, 901]


async def test_ignored_objects_and_an_interval_of_its_own() -> None:
    """What a device's options leave out becomes no point, and the rest is read as often as they say."""
    device = plant(3, count=4)
    device.add(2, 8, real(8), "AV 8")
    options = {3: {"interval": 60, "ignore": ["analog-input:[12]", "analog-value:*"]}}
    async with serving(device) as targets, driver(*targets, devices=options) as bus:
        found = await bus.discover()
        rows = by_key(found.groups[0], await bus.read(found.groups[0]))
    assert found.groups[0].interval == 60
    assert rows == {"analog-input:0": (300, None), "analog-input:3": (303, None)}
    assert len(found.points) == 2


async def test_a_device_of_which_nothing_is_wanted_is_not_polled() -> None:
    """It stays in the inventory, with no points."""
    nothing = {3: {"ignore": ["*"]}}
    async with serving(plant(3)) as targets, driver(*targets, devices=nothing) as bus:
        found = await bus.discover()
    assert [device.key for device in found.devices] == ["bacnet:3"]
    assert not found.points
    assert not found.groups
