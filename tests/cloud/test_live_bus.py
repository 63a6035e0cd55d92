"""The bus brings what happens to who follows it, over one process or several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Scope
from plantroom_cloud.live import bus as live_bus
from plantroom_cloud.live.bus import Bus, MemoryBus, Subscription
from plantroom_cloud.live.events import Event, Resync
from plantroom_cloud.live.opening import open_bus
from plantroom_cloud.live.redis_bus import RedisBus
from plantroom_shared.errors import Unavailable
from support.redis_server import Redis, running_redis
from support.waiting import eventually

ACME, RIVAL = Scope(1), Scope(2)
Pair = tuple[Bus, Bus]


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with running_redis() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """A bus to publish on, and one to follow: two processes where it is Redis."""
    if request.param == "memory":
        one = MemoryBus()
        yield one, one
        return
    url = request.getfixturevalue("redis").url
    here, there = RedisBus(url), RedisBus(url)
    await here._redis.flushall()
    yield here, there
    await here.close()
    await there.close()


async def _next(subscription: Subscription) -> Event | Resync:
    async with asyncio.timeout(20):
        while (news := await subscription.next(5)) is None:
            pass
        return news


async def _data(subscription: Subscription) -> bytes:
    news = await _next(subscription)
    assert isinstance(news, Event), news
    return news.data


async def test_followers_hear_their_topics_in_order(pair: Pair) -> None:
    """Who follows a topic hears all of it in order, and nothing of other topics or companies."""
    here, there = pair
    alarms = await there.subscribe(ACME, {"alarms"}, room=100)
    both = await there.subscribe(ACME, {"alarms", "jobs"}, room=100)
    foreign = await there.subscribe(RIVAL, {"alarms", "jobs"}, room=100)
    await eventually(lambda: here.wants(ACME, "jobs") and here.wants(RIVAL, "jobs"))
    for number in range(5):
        here.publish(ACME, "alarms", {"n": number}, (7,))
        here.publish(ACME, "jobs", {"n": number})
    here.publish(RIVAL, "jobs", {"rival": 1})
    assert [await _data(alarms) for _ in range(5)] == [b'{"n":%d}' % n for n in range(5)]
    heard = [await _next(both) for _ in range(10)]
    assert [one.topic for one in heard if isinstance(one, Event)] == ["alarms", "jobs"] * 5
    assert {one.sites for one in heard if isinstance(one, Event)} == {(7,), ()}
    assert await _data(foreign) == b'{"rival":1}'
    assert await alarms.next(0.01) is None


async def test_nobody_follows_nothing_is_made(pair: Pair) -> None:
    """Without a follower nothing is wanted; with one it is, for its company and topic alone."""
    here, there = pair
    here.wants(ACME, "samples/1")
    await eventually(lambda: not here.wants(ACME, "samples/1"))
    here.publish(ACME, "samples/1", {})
    subscription = await there.subscribe(ACME, {"samples/1"}, room=10)
    await eventually(lambda: here.wants(ACME, "samples/1"))
    assert not here.wants(ACME, "samples/2")
    assert not here.wants(RIVAL, "samples/1")
    subscription.close()
    assert here.wants(ACME, "samples/1"), "for a while it may come back"


async def test_who_comes_back_misses_nothing(pair: Pair) -> None:
    """Behind the id of the last event a client has comes what it missed, and then what is new."""
    here, there = pair
    first = await there.subscribe(ACME, {"alarms"}, room=100)
    await eventually(lambda: here.wants(ACME, "alarms"))
    for number in range(6):
        here.publish(ACME, "alarms", {"n": number})
    events = [await _next(first) for _ in range(3)]
    first.close()
    assert isinstance(events[2], Event)
    here.publish(ACME, "alarms", {"n": 6})
    await here.flush()
    again = await there.subscribe(ACME, {"alarms"}, room=100, after=events[2].id)
    here.publish(ACME, "alarms", {"n": 7})
    assert [await _data(again) for _ in range(5)] == [b'{"n":%d}' % n for n in range(3, 8)]


@pytest.mark.parametrize("after", ["", "x", "1-1", "9999999999999-1", "-", "00000000-0", "1" * 300])
async def test_an_unknown_id_is_a_gap(pair: Pair, after: str) -> None:
    """An id that is none of ours, or is forgotten, is answered with a call to read anew."""
    here, there = pair
    first = await there.subscribe(ACME, {"alarms"}, room=100)
    await eventually(lambda: here.wants(ACME, "alarms"))
    again = await there.subscribe(ACME, {"alarms"}, room=100, after=after)
    assert await _next(again) == Resync("gap")
    here.publish(ACME, "alarms", {"n": 1})
    assert await _data(again) == await _data(first) == b'{"n":1}'


async def test_a_topic_that_nobody_followed_is_a_gap(pair: Pair) -> None:
    """What was not followed was not kept: who asks for it from an id on is told so."""
    here, there = pair
    first = await there.subscribe(ACME, {"alarms"}, room=100)
    await eventually(lambda: here.wants(ACME, "alarms"))
    here.publish(ACME, "alarms", {"n": 1})
    event = await _next(first)
    assert isinstance(event, Event)
    here.publish(ACME, "alarms", {"n": 2})
    again = await there.subscribe(ACME, {"alarms", "jobs"}, room=100, after=event.id)
    assert await _next(again) == Resync("gap")


async def test_a_slow_follower_costs_its_own_events(pair: Pair) -> None:
    """One that takes nothing is told to read anew, keeps no memory, and slows nobody."""
    here, there = pair
    slow = await there.subscribe(ACME, {"alarms"}, room=3)
    quick = await there.subscribe(ACME, {"alarms"}, room=100)
    await eventually(lambda: here.wants(ACME, "alarms"))
    for number in range(10):
        here.publish(ACME, "alarms", {"n": number})
    assert [await _data(quick) for _ in range(10)] == [b'{"n":%d}' % n for n in range(10)]
    assert len(slow._waiting) <= 3
    assert await _next(slow) == Resync("slow")
    while await slow.next(0.01) is not None:
        pass
    here.publish(ACME, "alarms", {"n": 10})
    assert await _data(slow) == b'{"n":10}'


async def test_big_events_are_bounded_by_bytes() -> None:
    """A client's room, and what is kept, is bounded by bytes as by number."""
    bus = MemoryBus()
    slow = await bus.subscribe(ACME, {"alarms"}, room=1000)
    big = {"x": "y" * (live_bus.WAITING_BYTES // 3)}
    for _ in range(20):
        bus.publish(ACME, "alarms", big)
    assert slow._bytes <= live_bus.WAITING_BYTES
    row = bus._rows[1]
    assert row.bytes <= live_bus.KEPT_BYTES
    assert len(row.kept) < 20
    assert await _next(slow) == Resync("slow")
    again = await bus.subscribe(ACME, {"alarms"}, room=9, after=f"{row.token}-1")
    assert await _next(again) == Resync("gap")


async def test_what_cannot_be_written_fails_nobody() -> None:
    """An event that JSON cannot hold is told as one that cannot be shown: storing goes on."""
    bus = MemoryBus()
    subscription = await bus.subscribe(ACME, {"alarms"}, room=9)
    bus.publish(ACME, "alarms", {"kind": "x", "number": 2**70})
    assert await _data(subscription) == b'{"kind":"x","error":"cannot be shown"}'


async def test_events_are_forgotten_when_nobody_comes_back() -> None:
    """After a while without followers nothing is kept, and an old id is a gap."""
    bus = MemoryBus(linger=0.0)
    first = await bus.subscribe(ACME, {"alarms"}, room=10)
    bus.publish(ACME, "alarms", {})
    event = await _next(first)
    assert isinstance(event, Event)
    first.close()
    first.close()
    await eventually(lambda: not bus.wants(ACME, "alarms"))
    again = await bus.subscribe(ACME, {"alarms"}, room=10, after=event.id)
    assert await _next(again) == Resync("gap")


async def test_seats_are_counted_over_all_processes(pair: Pair) -> None:
    """So many seats and no more; one that is given back, or runs out, is free again."""
    here, there = pair
    taken = [
        await bus.take_seat("1:key:1", f"s{n}", 3, 60)
        for n, bus in enumerate((here, there, here, there))
    ]
    assert taken == [True, True, True, False]
    assert await there.take_seat("1:key:1", "s0", 3, 60), "its own is kept"
    assert await there.take_seat("1:key:2", "s0", 3, 60)
    await here.leave_seat("1:key:1", "s1")
    assert await there.take_seat("1:key:1", "s4", 3, -5)
    assert await here.take_seat("1:key:1", "s5", 3, 60), "the one before has run out"


async def test_redis_away_and_back() -> None:
    """While Redis is away publishing neither waits nor fails; afterwards followers read anew."""
    with running_redis() as redis:
        here, there = RedisBus(redis.url), RedisBus(redis.url)
        subscription = await there.subscribe(ACME, {"alarms"}, room=100)
        await eventually(lambda: here.wants(ACME, "alarms") and here._wanted)
        redis.kill()
        for number in range(5):
            here.publish(ACME, "alarms", {"n": number})
        assert await _next(subscription) == Resync("bus")
        with pytest.raises(Unavailable):
            await there.subscribe(ACME, {"jobs"}, room=10)
        assert await here.take_seat("x", "y", 1, 60), "nobody is sent away for that"
        await here.leave_seat("x", "y")
        redis.start()
        async with asyncio.timeout(20):
            while not isinstance(news := await subscription.next(1), Event):
                here.publish(ACME, "alarms", {"n": "later"})
        assert news.data == b'{"n":"later"}'
        await here.close()
        await there.close()


async def test_a_full_queue_is_told_as_lost(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room on its way to Redis is told as lost, to its company alone."""
    monkeypatch.setattr("plantroom_cloud.live.redis_bus._MOST_BYTES", 30)
    here, there = RedisBus(redis.url), RedisBus(redis.url)
    acme = await there.subscribe(ACME, {"alarms"}, room=100)
    rival = await there.subscribe(RIVAL, {"alarms"}, room=100)
    here.publish(ACME, "alarms", {"big": "x" * 50})
    here.publish(RIVAL, "alarms", {})
    assert await _next(acme) == Resync("bus")
    assert await _data(rival) == b"{}"
    await here.close()
    await there.close()


def test_the_setting_chooses(redis: Redis) -> None:
    """``live.bus`` says which bus it is."""
    assert isinstance(open_bus(CloudSettings()), MemoryBus)
    chosen = open_bus(CloudSettings(redis=redis.url, live={"bus": "redis"}))
    assert isinstance(chosen, RedisBus)
    assert chosen.shared
