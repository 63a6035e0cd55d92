"""COV: notifications in, subscriptions kept alive, and polling as the watchdog."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_edge.drivers import Notifying, PollGroup
from plantroom_edge.drivers.bacnet import BacnetDriver
from plantroom_edge.drivers.bacnet.cov import _Subscription
from plantroom_edge.drivers.bacnet.news import News
from plantroom_edge.drivers.bacnet.notices import PROCESS, decode_notice
from plantroom_edge.drivers.bacnet.values import Malformed, context
from plantroom_shared.model import Quality, Value
from support.bacnet_cov import ConfirmedField, CovField, notification
from support.bacnet_device import FLAGS, PV, enumerated, flags, oid, real, serving, unsigned
from support.bacnet_peers import by_key, driver


def plant(**settings: Any) -> CovField:
    """Return a device with 70 quiet analog values, more than one request reads, and a switch."""
    device = CovField(instance=3, **settings)
    for index in range(70):
        device.add(2, index, real(index), f"AV {index}", _22=real(0.5))
    device.add(5, 1, enumerated(0), "Switch")
    return device


async def subscribed(bus: BacnetDriver, live: int = 71) -> PollGroup:
    """Discover, and read until `live` points are told by the device."""
    [group] = (await bus.discover()).groups
    async with asyncio.timeout(10):
        while group.plan.watch.live < live:
            await bus.read(group)
            await asyncio.sleep(0)
    return group


async def news(bus: BacnetDriver, group: PollGroup, key: str) -> tuple[Value, Any]:
    """Return what is told of a point, other than the first notification."""
    async with asyncio.timeout(5):
        while True:
            _, poll = await bus.notice()
            assert poll.rows is not None
            rows = [row for row in poll.rows if group.points[row].endswith(key)]
            if rows and len(poll.rows) == 1:
                return poll.values[rows[0]], poll.quality.get(rows[0])


# ---------------------------------------------------------------- octets


@given(st.binary(max_size=80))
def test_a_notification_of_any_octets_decodes_or_is_malformed(body: bytes) -> None:
    """Nothing else is raised; the same behind a sound head."""
    head = notification(3, oid(2, 1), {PV: real(1)})
    for data in (body, head[: len(body)], head[:-1] + body):
        try:
            decode_notice(data)
        except Malformed:
            continue


def test_a_notification_says_what_it_says() -> None:
    """Priorities and array elements stand in it without harm."""
    body = notification(3, oid(2, 1), {PV: real(1.5), FLAGS: flags(0x10)})
    said = decode_notice(body)
    assert (said.process, said.device, said.oid) == (PROCESS, oid(8, 3), oid(2, 1))
    assert said.values[PV] == 1.5
    more = body[:-1] + bytes.fromhex("0957 1903 2e 00 2f 3908 4f")
    assert decode_notice(more).values == said.values
    for wrong in (body[:3] + b"\x2c" + body[4:], body[:-1] + b"\x09\x55\x4e", b"\x09\x01"):
        with pytest.raises(Malformed):
            decode_notice(wrong)
    start = body.index(b"\x4e")
    with pytest.raises(Malformed):
        decode_notice(body[:start] + b"\x0c" + body[start + 1 :])
    many = b"".join(b"\x0a" + struct.pack(">H", 300 + n) + b"\x2e\x00\x2f" for n in range(99))
    with pytest.raises(Malformed):
        decode_notice(body[: start + 1] + many + b"\x4f")


async def test_news_of_one_row_keep_their_order_and_are_bounded() -> None:
    """What changes twice is told twice; what nobody takes is replaced."""
    waiting, about = News(), object()
    for value in (1.0, 1.0, 2.0):
        waiting.add(about, 7, (value, None), 5)
    waiting.add(about, 8, (9.0, None), 6)
    assert (await waiting.take()).rows == {7: (1.0, None)}
    assert (await waiting.take()).rows == {7: (2.0, None), 8: (9.0, None)}
    for value in range(1000):
        waiting.add(about, 7, (value, None), 5)
    assert len(waiting._waiting) == 256
    assert waiting.replaced == 1000 - 256


# ---------------------------------------------------------------- telling


async def test_the_gate_is_asked_before_news_are_reported() -> None:
    """A sampler's deadband holds for what is told, too, and gets the whole row of values."""
    asked: list[Sequence[Value]] = []

    class Gate:
        needed: Sequence[int] = ()

        def changed(self, raws: Sequence[Value], bad: Any) -> Sequence[int]:
            asked.append(raws)
            return [0]

    device = plant()
    async with serving(device) as targets, driver(*targets, cov="auto") as bus:
        assert isinstance(bus, Notifying)
        group = replace(await subscribed(bus), gate=Gate())
        await bus.read(group)
        device.change(oid(2, 4), real(99))
        async with asyncio.timeout(5):
            while True:
                about, poll = await bus.notice()
                if poll.values[4] == 99:
                    break
    assert about is group
    assert poll.rows == [0]
    assert asked[-1][4] == 99
    assert len(asked[-1]) == 71


async def test_flags_that_are_told_make_the_quality() -> None:
    """A fault that is told is bad at once and in the next poll, and ends when it is told so."""
    device = plant()
    async with serving(device) as targets, driver(*targets, cov="auto", reliability=False) as bus:
        group = await subscribed(bus)
        device.objects[oid(2, 4)][FLAGS] = flags(0x40)
        device.change(oid(2, 4), real(5))
        assert await news(bus, group, ":4") == (5.0, (int(Quality.BAD), "fault"))
        held = by_key(group, await bus.read(group))["analog-value:4"]
        device.objects[oid(2, 4)][FLAGS] = flags(0)
        device.change(oid(2, 4), real(6))
        assert await news(bus, group, ":4") == (6.0, None)
    assert held == (5.0, (int(Quality.BAD), "fault"))


async def test_confirmed_notifications_are_acknowledged() -> None:
    """States are told with acknowledgement, numbers without; both are asked for so."""
    device = ConfirmedField(instance=3)
    for index in range(70):
        device.add(2, index, real(index))
    device.add(5, 1, enumerated(0))
    async with serving(device) as targets, driver(*targets, cov="auto") as bus:
        group = await subscribed(bus)
        device.change(oid(5, 1), enumerated(1))
        assert await news(bus, group, "binary-value:1") == (1, None)
        async with asyncio.timeout(5):
            while len(device.thanked) < 2:
                await asyncio.sleep(0.01)
    assert device.subscriptions[oid(5, 1)][0] is True
    assert device.subscriptions[oid(2, 1)][0] is False


async def test_a_device_that_confirms_nothing_is_asked_for_the_other_kind() -> None:
    """A refused confirmed subscription is tried unconfirmed."""
    device = plant()
    device.confirms = False
    async with serving(device) as targets, driver(*targets, cov="auto") as bus:
        await subscribed(bus)
    assert device.subscriptions[oid(5, 1)][0] is False


async def test_a_full_table_is_respected() -> None:
    """The points that found no room are polled, and the device is not asked on and on."""
    device = plant()
    device.room = 30
    async with serving(device) as targets, driver(*targets, cov="auto") as bus:
        group = await subscribed(bus, 30)
        asked = device.asked
        for _ in range(4):
            poll = await bus.read(group)
        assert device.asked == asked
        assert group.plan.watch.live == 30
        [line] = [line for line in bus.figures()[0].advice if "refused" in line]
    assert by_key(group, poll)["analog-value:69"] == (69, None)
    assert "1 subscriptions refused" in line


async def test_a_device_that_refuses_the_service_is_only_polled() -> None:
    """Whatever it announces."""
    device = plant()
    device.refuses_all = True
    async with serving(device) as targets, driver(*targets, cov="auto") as bus:
        [group] = (await bus.discover()).groups
        for _ in range(3):
            await bus.read(group)
        assert device.asked == 1
        assert group.plan.watch.off == "the device refuses COV subscriptions"


async def test_a_small_device_that_is_read_often_is_not_subscribed() -> None:
    """Where one request reads all points, polling is cheaper, and the figures say so."""
    device = CovField(instance=3)
    device.add(2, 1, real(1))
    async with serving(device) as targets, driver(*targets, cov="auto", interval=5) as bus:
        [group] = (await bus.discover()).groups
        await bus.read(group)
        assert device.asked == 0
        assert bus.figures()[0].advice == (
            "COV: one request reads all points, polling is cheaper; all points are polled",
        )


async def test_a_small_device_that_is_read_rarely_is_subscribed() -> None:
    """There its changes come sooner than by any poll."""
    device = CovField(instance=3)
    device.add(2, 1, real(1))
    async with serving(device) as targets, driver(*targets, cov="auto", interval=900) as bus:
        await subscribed(bus, 1)
    assert device.subscriptions[oid(2, 1)] == (False, 5400)


async def test_subscriptions_are_renewed_before_they_end() -> None:
    """Half their life is left when they are made anew."""
    device = plant()
    async with serving(device) as targets, driver(*targets, cov="auto") as bus:
        group = await subscribed(bus)
        asked = device.asked
        await bus.read(group)
        assert device.asked == asked
        for one in group.plan.watch._subscriptions.values():
            one.ends -= 901
        for _ in range(5):
            await bus.read(group)
        assert device.asked == asked + 71
        assert group.plan.watch.live == 71


async def test_a_point_that_changes_all_the_time_is_polled_and_its_subscription_ended() -> None:
    """Notices that cost more than rows are given up."""
    device = plant()
    async with serving(device) as targets, driver(*targets, cov="auto") as bus:
        group = await subscribed(bus)
        for value in range(30):
            device.change(oid(2, 4), real(value))
            await asyncio.sleep(0)
        watch = group.plan.watch
        async with asyncio.timeout(5):
            while watch._subscriptions[oid(2, 4)].notices < 20:
                await asyncio.sleep(0.01)
        watch._whole_due = 0.0
        await bus.read(group)
        device.objects[oid(2, 4)][PV] = real(1234)
        poll = await bus.read(group)
        assert watch.live == 70
        assert poll.values[4] == 1234
        assert oid(2, 4) not in device.subscriptions
        assert any("change so often" in line for line in bus.figures()[0].advice)


async def test_flags_that_were_not_told_end_the_subscription() -> None:
    """A fault that only a poll of everything shows is polled from then on."""
    device = plant()
    async with serving(device) as targets, driver(*targets, cov="auto", reliability=False) as bus:
        group = await subscribed(bus)
        device.objects[oid(2, 4)][FLAGS] = flags(0x40)
        group.plan.watch._whole_due = 0.0
        polls = [await bus.read(group) for _ in range(2)]
        assert group.plan.watch.live == 70
    assert [poll.quality for poll in polls] == [{4: (int(Quality.BAD), "fault")}] * 2


async def test_notifications_of_nobody_are_counted_and_dropped() -> None:
    """Another process, another device, another object, no value, rubbish: nothing changes."""
    device = plant()
    async with serving(device) as targets, driver(*targets, cov="auto") as bus:
        group = await subscribed(bus)
        assert bus._client is not None
        before = (await bus.read(group)).values
        good = notification(3, oid(2, 1), {PV: real(77)})
        for body in (
            good.replace(context(0, PROCESS), context(0, 9)),
            notification(4, oid(2, 1), {PV: real(77)}),
            notification(3, oid(2, 999), {PV: real(77)}),
            notification(3, oid(2, 1), {FLAGS: flags(0)}),
            b"\x09",
        ):
            device.push(b"\x10\x02" + body)
        async with asyncio.timeout(5):
            while bus._client.ignored["strange-notice"] < 5:
                await asyncio.sleep(0.01)
        assert (await bus.read(group)).values == before


async def test_a_device_that_cannot_be_asked_now_is_asked_with_the_next_poll() -> None:
    """A lost answer to a subscription costs that poll's others, not the subscription."""
    device = plant()
    async with (
        serving(device) as targets,
        driver(*targets, cov="auto", timeout=0.05, retries=0) as bus,
    ):
        [group] = (await bus.discover()).groups
        device.drop = 3
        async with asyncio.timeout(10):
            while group.plan.watch.live < 71:
                await bus.read(group)
    assert device.drop == 0


@pytest.mark.parametrize(
    ("held", "value", "increment", "differs"),
    [
        (20.0, 20.4, 0.5, False),
        (20.0, 20.6, 0.5, True),
        (20.0, 20.6, None, False),
        (20.0, 22.0, None, True),
        (1, 2, None, True),
        (1, 1, None, False),
        ("a", "b", None, True),
    ],
)
def test_only_what_should_have_been_told_is_a_difference(
    held: Any, value: Any, increment: float | None, differs: bool
) -> None:
    """Numbers may drift within the increment; a state may not."""
    one = _Subscription(0, (1, 85, -1), (1, 111, -1), confirmed=False, held=held)
    one.increment = increment
    assert one.differs(value) is differs
    assert unsigned(1) == b"\x21\x01"
