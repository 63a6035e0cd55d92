"""Answers in segments: put together whatever their order, and bounded whatever a device sends."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.drivers.bacnet import client, segments
from plantroom_edge.drivers.bacnet.client import Client, open_client
from plantroom_edge.drivers.bacnet.config import BacnetConfig
from plantroom_edge.drivers.bacnet.frames import Peer, Reply
from plantroom_edge.drivers.bacnet.segments import Assembly, Overflow, Receipt, Segment

PARTS = [bytes((65 + index,)) * (index + 1) for index in range(9)]


def _segment(number: int, window: int = 4) -> Segment:
    return Segment(number, window, number < len(PARTS) - 1, PARTS[number])


def test_segments_in_order_are_acknowledged_window_by_window() -> None:
    """The first alone, then every window, then the last."""
    assembly = Assembly()
    receipts = [assembly.take(_segment(number)) for number in range(9)]
    assert [one.number if one else None for one in receipts] == [
        0, None, None, None, 4, None, None, None, 8,
    ]  # fmt: skip
    assert assembly.complete
    assert assembly.body == b"".join(PARTS)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_order_that_a_sender_repeats_arrives_whole(data: st.DataObject) -> None:
    """Whatever is lost, doubled or late: a sender that goes on behind our receipt gets through."""
    assembly, acknowledged = Assembly(), -1
    for _ in range(300):
        sent = list(range(acknowledged + 1, min(acknowledged + 5, 9))) or [8]
        if acknowledged < 0:
            sent = [0]
        order = data.draw(st.permutations(sent + data.draw(st.lists(st.sampled_from(sent)))))
        lost = data.draw(st.sets(st.sampled_from(sent))) if data.draw(st.booleans()) else set()
        for number in order:
            if number in lost or (number and not assembly.parts):
                continue
            receipt = assembly.take(_segment(number))
            if receipt is not None:
                acknowledged = receipt.number
        if assembly.complete:
            break
    else:
        assembly = _finish(assembly)
    assert assembly.body == b"".join(PARTS)


def _finish(assembly: Assembly) -> Assembly:
    for number in range(len(assembly.parts), 9):
        assembly.take(_segment(number))
    return assembly


def test_a_gap_is_complained_about_once() -> None:
    """Each segment behind a gap would else be answered; the sender begins again behind ours."""
    assembly = Assembly()
    assembly.take(_segment(0))
    assert assembly.take(_segment(2)) == Receipt(0, 4, refused=True)
    assert assembly.take(_segment(3)) is None
    assert assembly.take(_segment(1)) is None
    assert assembly.take(_segment(1)) == Receipt(1, 4)  # the last in order, again: ours was lost
    assert assembly.take(_segment(0)) is None
    assert assembly.parts == PARTS[:2]


@pytest.mark.parametrize("numbers", ["onward", "again", "ahead"])
def test_an_endless_answer_is_given_up(numbers: str) -> None:
    """Neither going on for ever, nor repeating, nor running ahead is taken for ever."""
    assembly = Assembly()
    assembly.take(Segment(0, 200, True, b"x"))
    assert assembly._window == segments.WINDOW
    number: Callable[[int], int] = {
        "onward": lambda index: index & 0xFF, "again": lambda _: 0, "ahead": lambda _: 99,
    }[numbers]  # fmt: skip
    flood = (Segment(number(index), 200, True, b"x") for index in range(1, 10_000))
    with pytest.raises(Overflow):
        deque(map(assembly.take, flood))
    assert len(assembly.parts) <= segments.MOST_SEGMENTS


def test_empty_and_huge_segments_are_given_up() -> None:
    """A segment must bring something on, and not more than fits."""
    assembly = Assembly()
    assembly.take(Segment(0, 1, True, b""))
    with pytest.raises(Overflow):
        assembly.take(Segment(1, 1, True, b""))
    with pytest.raises(Overflow):
        Assembly().take(Segment(0, 1, True, bytes(segments.MOST_OCTETS + 1)))


# ---------------------------------------------------------------- over a socket


class Device(asyncio.DatagramProtocol):
    """Sends what `answer` says to each APDU it gets."""

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self.answer = answer
        self.heard: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data[6:])
        for apdu in self.answer(data[6:]):
            self.transport.sendto(struct.pack(">BBHH", 0x81, 10, len(apdu) + 6, 0x100) + apdu, addr)


@asynccontextmanager
async def asking(answer: Callable[[bytes], list[bytes]]) -> Any:
    """Yield a client, the device, and its peer."""
    device = Device(answer)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: device, local_addr=("127.0.0.1", 0)
    )
    config = BacnetConfig(name="field", bind="127.0.0.1:0", timeout=0.1, retries=0)
    asked = await open_client(config)
    try:
        yield asked, device, Peer(*transport.get_extra_info("sockname"))
    finally:
        asked.close()
        transport.close()


def _part(invoke: int, number: int, *, more: bool, body: bytes, window: int = 2) -> bytes:
    return bytes((0x3C if more else 0x38, invoke, number, window, 12)) + body


async def _ask(it: Client, peer: Peer, **more: Any) -> Reply | None:
    async with asyncio.timeout(10):
        return await it.ask(peer, 12, b"", **more)


async def test_a_request_says_whether_segments_are_taken() -> None:
    """Only a device that can send them is told how many: 64, of 1,476 octets."""
    async with asking(lambda apdu: [b"\x30" + apdu[2:4] + b"!"]) as (it, device, peer):
        await _ask(it, peer)
        await _ask(it, peer, segments=True)
    assert [apdu[:2] for apdu in device.heard] == [b"\x00\x05", b"\x02\x65"]


async def test_segments_are_acknowledged_on_the_wire() -> None:
    """Each window gets its segment-ack, and so does a last segment that comes again."""

    def answer(apdu: bytes) -> list[bytes]:
        if apdu[0] == 2:
            return [_part(apdu[2], 0, more=True, body=b"a")]
        if apdu[2] == 0:
            return [
                _part(apdu[1], 1, more=True, body=b"b"),
                _part(apdu[1], 2, more=False, body=b"c"),
                _part(apdu[1], 2, more=False, body=b"c"),
            ]
        return []

    async with asking(answer) as (it, device, peer):
        reply = await _ask(it, peer, segments=True)
        async with asyncio.timeout(5):
            while len(device.heard) < 4:
                await asyncio.sleep(0.01)
        assert it.traffic(peer).segmented == 1
    assert reply is not None
    assert reply.body == b"abc"
    invoke = device.heard[0][2]
    assert device.heard[1:] == [bytes((0x40, invoke, n, 2)) for n in (0, 2, 2)]


async def test_a_device_that_stops_in_the_middle_is_refused() -> None:
    """It is told that nobody waits any more, and the next request will be smaller."""
    answer = lambda apdu: [_part(apdu[2], 0, more=True, body=b"a")] if apdu[0] == 2 else []  # noqa: E731 - two lines would be no clearer
    async with asking(answer) as (it, device, peer):
        reply = await _ask(it, peer, segments=True)
        async with asyncio.timeout(5):
            while len(device.heard) < 3:
                await asyncio.sleep(0.01)
    assert reply is not None
    assert reply.refusal == client.INCOMPLETE
    assert device.heard[2][0] == 0x70


async def test_a_device_that_drips_for_ever_ends() -> None:
    """Segments that come just in time do not hold the line beyond its limit."""

    def answer(apdu: bytes) -> list[bytes]:
        number = apdu[2] + 1 if apdu[0] == 0x40 else 0
        invoke = apdu[1] if number else apdu[2]
        return [_part(invoke, number, more=True, body=b"x", window=1)] if apdu[0] != 0x70 else []

    async with asking(answer) as (it, device, peer):
        reply = await _ask(it, peer, segments=True)
        assert it.ignored["overlong"] == 1
        assert len(device.heard) <= 2 + segments.MOST_SEGMENTS
    assert reply is not None
    assert reply.refusal == client.TOO_LONG


async def test_segments_that_nobody_asked_for_are_a_refusal() -> None:
    """A device that was not told to may not begin; the request is made smaller."""
    answer = lambda apdu: [_part(apdu[2], 0, more=True, body=b"a")]  # noqa: E731 - as above
    async with asking(answer) as (it, _, peer):
        reply = await _ask(it, peer)
    assert reply is not None
    assert reply.refusal == client.UNINVITED_SEGMENTS


@pytest.mark.parametrize(
    "change", [(1, 0x55), (2, 3), (4, 1)], ids=["invoke id", "number", "service"]
)
async def test_a_segment_of_something_else_is_ignored(change: tuple[int, int]) -> None:
    """Another invoke id, a number from the middle or another service is no answer."""

    def answer(apdu: bytes) -> list[bytes]:
        part = bytearray(_part(apdu[2], 0, more=False, body=b"a"))
        part[change[0]] ^= change[1]
        return [bytes(part)]

    async with asking(answer) as (it, _, peer):
        assert await _ask(it, peer, segments=True) is None
        assert it.ignored["mismatched"] == 1
