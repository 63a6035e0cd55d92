"""Looking for BACnet devices: where, how gently, and what becomes of what is found."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import yaml

from plantroom_edge import config as agent_config
from plantroom_edge.drivers import Candidate, Progress, ScanRequest, drivers
from plantroom_edge.drivers.bacnet.cards import Card, card, cards
from plantroom_edge.drivers.bacnet.config import Target
from plantroom_edge.drivers.bacnet.places import EVERYWHERE, MOST_HOSTS, Place, places
from plantroom_edge.drivers.bacnet.survey import Pace, _Survey, look_around
from plantroom_shared.clock import SystemClock
from support.bacnet_device import Field, real, serving
from support.bacnet_peers import free_port, simulator

CARDS = [Card("lo", "127.0.0.1", 8), Card("eth0", "10.1.2.3", 24), Card("eth1", "192.168.7.9", 25)]


async def _scan(*targets: str, **limits: Any) -> tuple[list[Candidate], list[Progress]]:
    scan = drivers.get("bacnet").scan
    assert scan is not None
    request = ScanRequest(targets=targets, **({"seconds": 20.0, "rate": 500.0} | limits))
    async with asyncio.timeout(40):
        items = [item async for item in scan(request, SystemClock())]
    candidates = [item for item in items if isinstance(item, Candidate)]
    return candidates, [item for item in items if isinstance(item, Progress)]


# ---------------------------------------------------------------- where


def test_without_targets_every_card_is_asked() -> None:
    """Each card's network gets a broadcast of its own; the machine itself is no network."""
    found, strange = places((), CARDS)
    assert [place.bind for place in found] == ["10.1.2.3/24:47808", "192.168.7.9/25:47808"]
    assert all(place.broadcast for place in found)
    assert strange == []
    assert places((), [])[0] == [Place(EVERYWHERE, (Target("", 47808),))]


def test_targets_are_cards_networks_and_hosts() -> None:
    """A network with a card is asked by broadcast, a foreign one address by address."""
    found, strange = places(
        ("eth1:47809", "10.1.2.0/24", "172.16.0.0/30", "10.9.9.9:47810", "/dev/ttyUSB0", "10.0.0.0/33",
         "broadcast:47811"),
        CARDS,
    )  # fmt: skip
    assert [place.bind for place in found] == [
        "192.168.7.9/25:47809", "10.1.2.3/24:47808", EVERYWHERE, EVERYWHERE,
    ]  # fmt: skip
    assert found[2].targets == (Target("", 47811),)
    hosts = [str(target) for target in found[3].targets]
    assert hosts == ["172.16.0.1:47808", "172.16.0.2:47808", "10.9.9.9:47810"]
    assert not found[3].broadcast
    assert strange == ["/dev/ttyUSB0", "10.0.0.0/33"]


def test_a_large_foreign_network_is_not_swept() -> None:
    """Beyond a thousand addresses there is one question to its broadcast address."""
    [place], _ = places(("172.16.0.0/16",), CARDS)
    assert place.targets == (Target("172.16.255.255", 47808),)
    [place], _ = places(("172.16.0.0/22",), CARDS)
    assert len(place.targets) == MOST_HOSTS - 2


def test_the_kernel_tells_its_cards() -> None:
    """The machine's own network is known with its prefix; a card that is not there is none."""
    assert card("lo") == Card("lo", "127.0.0.1", 8)
    assert card("no-such-card") is None
    assert card("lo") in cards(loopback=True)
    assert card("lo") not in cards()


# ---------------------------------------------------------------- what is found


async def test_what_a_scan_finds_is_a_configuration_that_reads(tmp_path: Path) -> None:
    """Devices of two stacks are found, and their candidates make a file that reads them."""
    port = free_port()
    first = simulator("bacnet_bacpypes3", instance=9, analog=30, port=port)
    second = simulator("bacnet_legacy", instance=77, multiple=True)
    with first, second as address:
        candidates, progress = await _scan(f"127.0.0.0/8:{port}", address)
        buses = []
        for at, one in enumerate(candidates):
            bus = {"bind": "127.0.0.1:0"} | dict(one.bus) | {"name": f"b{at}"}
            # Here the devices sit on the port that the agent would have for itself.
            bus["bind"] = bus["bind"].rpartition(":")[0] + ":0"
            buses.append(bus | {"devices": [one.entry]})
        file = tmp_path / "agent.yaml"
        whole = {"gateway": "gw-test-0001", "site": "here", "buses": buses}
        file.write_text(yaml.safe_dump(whole))
        found = {}
        for loaded in agent_config.load(file).buses:
            opened = drivers.get("bacnet").open(loaded, SystemClock())
            try:
                inventory = await opened.discover()
                poll = await opened.read(inventory.groups[0])
            finally:
                await opened.close()
            assert inventory.missing == ()
            assert poll.alive
            found[inventory.devices[0].key] = set(inventory.points)
    assert found == {one.device.key: set(one.points) for one in candidates}
    by_key = {one.device.key: one for one in candidates}
    assert by_key["bacnet:9"].entry == {"instance": 9}
    assert by_key["bacnet:9"].bus["who_is"] == [f"broadcast:{port}"]
    assert by_key["bacnet:77"].bus["who_is"] == [address]
    assert by_key["bacnet:77"].device.vendor == "Plantroom tests"
    evidence = "\n".join(by_key["bacnet:77"].evidence)
    assert "8 points of 10 objects" in evidence
    assert "a poll takes 1 requests" in evidence
    assert "left out: 1 x schedule: a plan, no value" in evidence
    assert (progress[-1].done, progress[-1].of) == (2, 2)
    assert any("in use, perhaps by the agent" in one.now for one in progress)


def plant(instance: int, count: int = 3, **settings: Any) -> Field:
    device = Field(instance=instance, **settings)
    for index in range(count):
        device.add(0, index, real(index), f"AI {index}")
    return device


async def test_a_device_that_is_not_read_in_time_is_told_with_what_is_known() -> None:
    """A huge, slow device costs its own points, and the small one beside it is complete."""
    slow, small = plant(1, 400, says_max_apdu=128, net=2001, mac=b"\x07"), plant(2)
    silent = plant(3)
    silent.mute = lambda _: True
    async with serving(slow, small, silent) as targets:
        candidates, _ = await _scan(*targets, seconds=3.0, rate=60.0)
    by_key = {one.device.key: one for one in candidates}
    assert sorted(by_key) == ["bacnet:1", "bacnet:2", "bacnet:3"]
    assert len(by_key["bacnet:2"].points) == 3
    assert len(by_key["bacnet:1"].points) < 400
    text = "\n".join(by_key["bacnet:1"].evidence)
    assert "not wholly looked at" in text
    assert "behind a router" in text
    assert by_key["bacnet:3"].points == ()
    assert "no answer" in "\n".join(by_key["bacnet:3"].evidence)


async def test_two_devices_of_one_instance_are_told() -> None:
    """The second is named in the evidence of the first."""
    async with serving(plant(5), plant(5)) as targets:
        [one], _ = await _scan(*targets)
    assert any("calls itself device 5" in line for line in one.evidence)


async def test_requests_keep_to_the_rate() -> None:
    """The sender waits so that no second holds more than it may, whatever asks at once."""
    loop = asyncio.get_running_loop()
    pace, began = Pace(200.0), loop.time()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(pace.turn())
    await pace.turn(5)
    await pace.turn()
    assert loop.time() - began >= 25 / 200.0


async def test_a_scan_that_is_left_ends_its_work() -> None:
    """Who stops listening leaves no task and no socket behind."""
    async with serving(plant(5)) as targets:
        request = ScanRequest(targets=tuple(targets), seconds=20.0)
        scan = look_around(request, SystemClock(), ())
        async with asyncio.timeout(10):
            await anext(scan)
            await scan.aclose()  # type: ignore[attr-defined] # it is a generator
    assert [task.get_name() for task in asyncio.all_tasks() if "bacnet" in task.get_name()] == []


async def test_a_place_that_cannot_be_asked_is_told_and_costs_no_other() -> None:
    """An address that is not this machine's is a line of progress."""
    out: asyncio.Queue[Any] = asyncio.Queue()
    survey = _Survey(ScanRequest(seconds=5.0), (), out)
    client, note = await survey._open(Place("192.0.2.77:47808", (Target("", 47808),)))
    assert client is None
    assert "no address of this machine" in note
    await survey.run([Place("192.0.2.77:47808", (Target("", 47808),))])
    assert "no address of this machine" in out.get_nowait().now
