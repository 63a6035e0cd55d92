"""Beyond the local network: BBMDs, routers, and who may say what."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from plantroom_edge.drivers.bacnet import bvlc, frames, link
from plantroom_edge.drivers.bacnet.bvlc import Result
from plantroom_edge.drivers.bacnet.client import Client, open_client
from plantroom_edge.drivers.bacnet.config import BacnetConfig, Target, parse_target
from plantroom_edge.drivers.bacnet.foreign import Registration
from plantroom_edge.drivers.bacnet.frames import Peer, RouterSays
from plantroom_edge.drivers.bacnet.routes import ASK_AGAIN, Routes
from plantroom_edge.drivers.bacnet.values import Malformed

HERE = ("10.0.0.1", 47808)
THERE = ("10.0.0.2", 47808)


@given(st.binary(max_size=60), st.sampled_from([0x00, 0x04, 0x0A, 0x0B, 0x05]))
def test_an_envelope_of_any_octets_opens_or_is_malformed(rest: bytes, function: int) -> None:
    """Nothing else is raised, and what is in it is what was put in."""
    datagram = struct.pack(">BBH", 0x81, function, len(rest) + 4) + rest
    for data in (rest, datagram):
        try:
            said = bvlc.unwrap(data, HERE)
        except Malformed:
            continue
        assert isinstance(said, Result) or data.endswith(said.npdu)


@pytest.mark.parametrize(
    ("text", "target", "shown"),
    [
        ("broadcast", Target("", 47808, 0xFFFF), "broadcast:47808"),
        ("local:47809", Target("", 47809, 0), "local:47809"),
        ("network-2001", Target("", 47808, 2001), "network 2001:47808"),
        ("10.0.0.9", Target("10.0.0.9", 47808), "10.0.0.9:47808"),
    ],
)
def test_a_broadcast_can_be_for_one_network(text: str, target: Target, shown: str) -> None:
    """All networks, the local one, one behind a router."""
    assert parse_target(text) == target
    assert str(target) == shown


@pytest.mark.parametrize(
    "settings",
    [
        {"bbmd": "broadcast"},
        {"bbmd": "x"},
        {"who_is": ["network-0"]},
        {"who_is": ["network-70000"]},
    ],
)
def test_what_is_no_address_is_refused(settings: dict[str, Any]) -> None:
    """The message shows how to write it."""
    with pytest.raises(ValidationError, match="write it like"):
        BacnetConfig.model_validate({"name": "field"} | settings)


# ---------------------------------------------------------------- foreign device


class Bbmd:
    """Answers registrations as `says` does; counts them."""

    def __init__(self, says: Callable[[int], int | None]) -> None:
        self.says, self.asked = says, 0
        self.arrived = asyncio.Event()
        self.mine = Registration(HERE, 300, 0.01, self._send)

    def _send(self, datagram: bytes, to: tuple[str, int]) -> None:
        assert (datagram, to) == (bytes.fromhex("81050006012c"), HERE)
        self.asked += 1
        code = self.says(self.asked)
        if code is not None:
            asyncio.get_running_loop().call_soon(self.mine.hear, Result(code))

    async def until(self, asked: int) -> None:
        async with asyncio.timeout(5):
            while self.asked < asked:
                await asyncio.sleep(0.005)


async def test_a_registration_is_renewed_long_before_it_ends() -> None:
    """After half of its time; and again after that."""
    bbmd = Bbmd(lambda _: 0)
    bbmd.mine._renew_after = 0.02
    bbmd.mine.begin()
    await bbmd.until(3)
    assert bbmd.mine.trouble == ""
    assert bbmd.mine.registrations >= 2
    bbmd.mine.close()


async def test_an_unanswered_registration_is_tried_again() -> None:
    """A BBMD that comes late is still used; until then it is named as trouble."""
    bbmd = Bbmd(lambda asked: 0 if asked >= 4 else None)
    bbmd.mine.begin()
    await bbmd.until(2)
    assert "does not answer" in bbmd.mine.trouble
    await bbmd.mine.settled(5)
    assert (bbmd.mine.trouble, bbmd.asked) == ("", 4)
    bbmd.mine.close()


async def test_a_refused_registration_is_told_and_not_hammered() -> None:
    """A NAK settles the matter for a minute."""
    bbmd = Bbmd(lambda _: 0x30)
    bbmd.mine.begin()
    await bbmd.mine.settled(5)
    assert bbmd.mine.trouble == "it refuses to register foreign devices"
    assert bbmd.mine._timer is not None
    assert bbmd.mine._timer.when() - asyncio.get_running_loop().time() > 50
    assert Result(0x99).refusal == "it answers 0x0099"
    bbmd.mine.close()


async def test_a_bbmd_that_lost_its_table_is_asked_again_at_once() -> None:
    """A refused broadcast says so; a result that nobody waits for changes nothing."""
    bbmd = Bbmd(lambda _: 0)
    bbmd.mine.begin()
    await bbmd.mine.settled(5)
    bbmd.mine.hear(Result(0x30))
    assert bbmd.mine.trouble == ""
    bbmd.mine.hear(Result(0x60))
    assert "lost the registration" in bbmd.mine.trouble
    bbmd.mine.hear(Result(0x60))  # of the second of two broadcasts
    assert bbmd.asked == 2
    await bbmd.mine.settled(5)
    assert bbmd.mine.trouble == ""
    bbmd.mine.close()


async def test_waiting_for_a_silent_bbmd_ends() -> None:
    """Discovery goes on without it."""
    bbmd = Bbmd(lambda _: None)
    bbmd.mine.begin()
    await bbmd.mine.settled(0.02)
    bbmd.mine.close()


# ---------------------------------------------------------------- routes


def test_a_router_that_drops_messages_is_replaced() -> None:
    """Once another says that it leads there, it is used; until then the old one."""
    routes, peer = Routes(), Peer(*HERE, 7, b"\x01")
    assert routes.via(peer) == HERE
    assert not routes.hear(RouterSays(THERE, (7,), reachable=True))  # nobody asked
    assert routes.seek(7, 0.0)
    assert not routes.seek(7, ASK_AGAIN - 1)
    assert routes.hear(RouterSays(THERE, (3, 7), reachable=True))
    assert (routes.via(peer), routes.to(7), routes.to(3)) == (THERE, THERE, None)
    assert routes.hear(RouterSays(HERE, (7,), reachable=True))
    assert routes.via(peer) == HERE  # it leads there, too
    assert routes.hear(RouterSays(HERE, (7,), reachable=False))
    assert routes.via(peer) == THERE
    for host in range(10):
        routes.hear(RouterSays((f"10.0.1.{host}", 1), (7,), reachable=True))
    assert len(routes._networks[7].routers) == 4
    assert routes.seek(7, ASK_AGAIN)
    assert routes.to(7) is None


class Wire(asyncio.DatagramProtocol):
    """A socket that answers NPDUs as `answer` says."""

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self.answer, self.heard = answer, list[bytes]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)
        for npdu in self.answer(data[4:]):
            self.transport.sendto(bvlc.unicast(npdu), addr)


@asynccontextmanager
async def wire(
    answer: Callable[[bytes], list[bytes]], host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[Wire, tuple[str, int]]]:
    protocol = Wire(answer)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: protocol, local_addr=(host, port), allow_broadcast=True
    )
    try:
        yield protocol, transport.get_extra_info("sockname")
    finally:
        transport.close()


@asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[Client]:
    settings = {"bind": "127.0.0.1:0", "timeout": 0.2, "retries": 0} | settings
    opened = await open_client(BacnetConfig(name="field", **settings))
    try:
        yield opened
    finally:
        opened.close()


I_AM = "1000 c4020000{:02x} 220400 9103 21ff"


def _router(npdu: bytes) -> list[bytes]:
    """Lead to networks 7 and 8, each with a station; 9 is known, but down."""
    if npdu[1] == 0x80 and npdu[2] == 0 and npdu[3:5] in (b"\0\7", b"\0\x08"):
        return [bytes.fromhex("0180 01 0007 0008")]
    if npdu[1] & 0x20:
        net = npdu[3]
        if net == 9:
            return [bytes.fromhex("0180 03 01 0009")]
        if npdu[2:5] == b"\xff\xff\0":
            return [bytes.fromhex(f"0108 000{net} 01 0{net}" + I_AM.format(net)) for net in (7, 8)]
        if npdu[4] == 0:
            return [bytes.fromhex(f"0108 000{net} 01 0{net}" + I_AM.format(net))]
        return [npdu[:1] + b"\x08" + npdu[2:6] + bytes((0x30, npdu[9], npdu[10])) + bytes((net,))]
    return []


async def test_one_router_leads_to_several_networks() -> None:
    """Stations of two networks behind one address are two devices, each asked by its own route."""
    async with (
        wire(_router, "0.0.0.0") as (_, (_, port)),
        client(bind="127.0.0.1/8:0") as it,
    ):
        heard = await it.who_is((Target("", port),), None)
        answers = [await it.ask(said.peer, 12, b"") for said in heard]
    assert [(said.instance, said.peer.net) for said in heard] == [(7, 7), (8, 8)]
    assert [answer.body if answer else None for answer in answers] == [b"\7", b"\x08"]


async def test_a_who_is_for_one_network_goes_by_its_router() -> None:
    """The first is broadcast with the question who leads there, the next goes straight."""
    async with (
        wire(_router, "0.0.0.0") as (router, (_, port)),
        client(bind="127.0.0.1/8:0") as it,
    ):
        first = await it.who_is((Target("", port, 7),), (1, 9))
        count = len(router.heard)
        await it.who_is((Target("", port, 7),), None)
    assert [said.peer.net for said in first] == [7]
    assert [data[1] for data in router.heard[:count]] == [bvlc._BROADCAST] * 2
    assert len(router.heard) == count + 1
    assert router.heard[-1][1] == bvlc._UNICAST


async def test_a_network_that_cannot_be_reached_costs_no_timeout() -> None:
    """The router's word ends the request at once; stations elsewhere are not touched."""
    async with wire(_router) as (_, address), client(timeout=30.0) as it:
        async with asyncio.timeout(5):
            assert await it.ask(Peer(*address, 9, b"\1"), 12, b"") is None
        assert it.traffic(Peer(*address, 9, b"\1")).failures == 1
        assert it.ignored["uninvited"] == 0


async def test_a_strangers_word_about_networks_changes_nothing() -> None:
    """Neither I-Am-Router nor a rejection counts from somebody whom nobody asked."""
    async with wire(_router) as (_, address), client() as it:
        for npdu in ("0180 01 0007", "0180 03 01 0007"):
            it.hear(bytes.fromhex(npdu), ("10.9.9.9", 1), False)
        assert it.ignored["uninvited"] == 2
        answer = await it.ask(Peer(*address, 7, b"\7"), 12, b"")
    assert answer is not None


# ---------------------------------------------------------------- who may say what


async def test_only_our_bbmd_forwards_and_only_announcements() -> None:
    """With a BBMD configured others do not forward; an answer never comes that way."""
    i_am = bytes.fromhex("0100" + I_AM.format(5))
    forwarded = bvlc._wrap(4, bytes((10, 0, 0, 5)) + b"\xba\xc0" + i_am)
    answer = bvlc._wrap(4, bytes((10, 0, 0, 5)) + b"\xba\xc0" + bytes.fromhex("0100 30010c"))
    async with client(bbmd="127.0.0.1:9") as it:
        socket: Any = it.link
        socket.datagram_received(forwarded, HERE)
        socket.datagram_received(answer, ("127.0.0.1", 9))
        socket.datagram_received(b"\x81\0\0\6\0\0", HERE)
        socket.datagram_received(forwarded, ("127.0.0.1", 9))
        assert it.ignored == {"false-bbmd": 1, "forwarded": 1, "unasked": 1, "uninvited": 1}
        assert "127.0.0.1:9" in it.link.trouble()


async def test_a_flood_from_one_host_does_not_starve_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What one host sends beyond its share is dropped unread, and another is answered."""
    monkeypatch.setattr(link, "_MOST_A_SECOND", 20)
    monkeypatch.setattr(link, "_MOST_HOSTS", 3)
    device = lambda npdu: [b"\1\0\x30" + npdu[4:6] + b"!"]  # noqa: E731 - two lines would be no clearer
    async with wire(device) as (_, address), client() as it:
        socket: Any = it.link
        for _ in range(500):
            socket.datagram_received(b"\x81\x0a\0\5\1", ("10.0.0.66", 1))
        answer = await it.ask(Peer(*address), 12, b"")
        assert it.ignored["flood"] >= 400
        for host in range(10):
            socket.datagram_received(b"", (f"10.0.1.{host}", 1))
    assert answer is not None
    assert answer.body == b"!"


SOUND = [
    "0100 3001 0c 0c00000001 1955 3e 4441ac0000 3f", "0100 3c01 0002 0c 0c00", "0100 20 01 05",
    "0100 500105 9102 9128", "0100 600109", "0100 710104", "0180 01 0007", "0180 03 01 0007",
    "0108 0007 01 01 1000 c402000005 220404 9103 21ff",
    "0100 1002 0a504c1c020000032c00800001393c4e09552e44428200002f4f",
]  # fmt: skip


async def test_a_hostile_peer_with_any_octets_costs_itself_only() -> None:
    """20,000 mutated answers, each under the open invoke id: no error, and another is answered."""
    chance = random.Random(17)
    device = lambda npdu: [b"\1\0\x30" + npdu[4:6] + b"!"]  # noqa: E731 - two lines would be no clearer
    silent = Peer("127.0.0.1", 9)
    async with wire(device) as (_, address), client(timeout=20.0) as it:
        asked = 0
        pending: asyncio.Task[Any] | None = None
        for _ in range(20_000):
            if pending is None or not it._line(silent).waits:
                if pending is not None:
                    async with asyncio.timeout(10):
                        await pending
                asked += 1
                pending = asyncio.create_task(it.ask(silent, 12, b"", segments=True))
                await asyncio.sleep(0)
            npdu = bytearray(bytes.fromhex(chance.choice(SOUND)))
            if len(npdu) > 4 and chance.random() < 0.5:
                npdu[3] = it._line(silent).invoke
            for _ in range(chance.randrange(3)):
                npdu[chance.randrange(len(npdu))] = chance.randrange(256)
            it.hear(bytes(npdu[: chance.randrange(1, len(npdu) + 9)]), silent[:2], False)
        answer = await it.ask(Peer(*address), 12, b"")
        assert pending is not None
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
        assert it.ignored.total() > 10_000
    assert asked > 100
    assert answer is not None
    assert answer.body == b"!"


async def test_what_is_sent_after_closing_goes_nowhere() -> None:
    """A request, a Who-Is and an abort after the end do nothing, and raise nothing."""
    async with client() as it:
        it.close()
        assert await it.ask(Peer(*HERE, 7, b"\1"), 12, b"") is None
        assert await it.who_is((Target("", 1), Target("10.0.0.9", 1)), None) == []


def test_an_unconfirmed_request_to_a_routed_station() -> None:
    """It carries network and station, and expects nothing."""
    npdu = frames.encode_unconfirmed(Peer(*HERE, 7, b"\x0a"), 6, b"!")
    assert npdu == bytes.fromhex("0120 0007 01 0a ff 1006") + b"!"
