"""Values that are published from the store: history, what waited long, what EnOS could not take."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.db import Database
from plantroom_cloud.publishing.ranges import (
    GAP_US,
    MOST,
    Range,
    bounded,
    holds,
    merged,
    stretches,
    without,
)
from support.enos_plans import HOUR, MINUTE, SECOND, PlanWay, opened
from support.enos_site import AHU, TEMPERATURE

RETURN = "AHU_raw_return_air_temp"

times = st.lists(st.integers(0, 200 * GAP_US), max_size=60)


async def say(
    way: PlanWay, name: str, count: int, *, device: str = "AHU-1", step: int = MINUTE
) -> None:
    """Have a point say something every `step`; what it says must be in EnOS in the end."""
    for number in range(count):
        way.clock.us += step
        value = float(number)
        point = TEMPERATURE if name == "t" else RETURN
        await way.site.put([(name, way.clock.us, value)], created_us=way.clock.us)
        way.ledger[device, point, way.clock.us // 1000] = value


def check(way: PlanWay) -> None:
    """Everything is there, and came once."""
    assert way.enos.values() == way.ledger
    assert set(way.enos.kept.values()) <= {1}


# ------------------------------------------------------------ ranges


@given(times)
def test_stretches_hold_what_they_are_made_of(moments: list[int]) -> None:
    """Every moment lies in a range, ranges are in order, and what lies far from all is in none."""
    ranges = stretches(moments)
    assert all(holds(ranges, moment) for moment in moments)
    assert ranges == sorted(ranges)
    assert all(after[0] - before[1] > GAP_US for before, after in pairwise(ranges))
    assert not holds(ranges, max(moments, default=0) + 1)


@given(times, st.integers(1, MOST))
def test_few_ranges_hold_as_much(moments: list[int], most: int) -> None:
    """However few ranges a point may have, none of its moments is left out."""
    few = bounded(stretches(moments), most)
    assert len(few) <= most
    assert all(holds(few, moment) for moment in moments)
    assert merged(few) == few


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


@given(spans, spans)
def test_what_is_taken_out_is_gone(ranges: list[Range], cuts: list[Range]) -> None:
    """Of a set of moments exactly those are left that no cut holds; a cut without length is none."""
    whole = merged([(lo, hi) for lo, hi in ranges if lo < hi], 0)
    left = without(whole, cuts)
    gone = {moment for lo, hi in cuts for moment in range(lo, hi)}
    assert [moment for moment in range(41) if holds(left, moment)] == [
        moment for moment in range(41) if holds(whole, moment) and moment not in gone
    ]
    assert all(lo < hi for lo, hi in left)


# ------------------------------------------------------------ history


async def test_a_mapping_approved_later_sends_what_was_said_before(
    sqlite_database: Database,
) -> None:
    """Values that were drained while nobody knew what they mean arrive once somebody does."""
    async with opened(sqlite_database, mapping_wait=0) as way:
        await way.site.add_point("t")
        await say(way, "t", 90)
        assert await way.drain() == {}
        assert await way.site.waiting() == 0
        await way.site.map_point("t")
        await say(way, "t", 3)
        assert await way.drain() == {"published": 93}
        check(way)
        latest = way.enos.world.latest[way.enos.device("AHU-1"), TEMPERATURE]
        assert latest == (way.clock.us // 1000, 2.0)


async def test_history_goes_back_as_far_as_the_settings_say(sqlite_database: Database) -> None:
    """With an hour of history a new mapping sends the last hour, and with none only what comes."""
    async with opened(sqlite_database, history_days=1 / 24, mapping_wait=0) as way:
        await way.site.add_point("t")
        await say(way, "t", 90)
        await way.drain()
        await way.site.map_point("t")
        way.clock.us += 20 * SECOND
        since = (way.clock.us - HOUR) // 1000
        await way.drain()
        way.ledger = {key: value for key, value in way.ledger.items() if key[2] >= since}
        check(way)
        assert 50 < len(way.ledger) < 90


async def test_history_of_another_meaning_goes_to_its_new_place(sqlite_database: Database) -> None:
    """A point that turns out to be another one is published as that with all it has said."""
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t")
        await say(way, "t", 5)
        await way.drain()
        before = dict(way.ledger)
        await way.site.map_point("t", target=(AHU, RETURN))
        way.clock.us += 20 * SECOND
        await way.drain()
        moved = {("AHU-1", RETURN, ms): value for (_, _, ms), value in before.items()}
        way.ledger = before | moved
        check(way)


async def test_one_place_has_one_history(sqlite_database: Database) -> None:
    """A surer point takes the place of another one from now on: what that has sent stands."""
    async with opened(sqlite_database, mapping_wait=0) as way:
        await way.site.add_mapped("t")
        await way.site.add_point("r")
        await say(way, "t", 3)
        before = dict(way.ledger)
        await say(way, "r", 3)
        await way.drain()
        await way.site.map_point("r", source="person")
        way.clock.us += MINUTE
        await way.drain()
        way.ledger = before
        check(way)
        way.clock.us += MINUTE
        await way.site.put([("r", way.clock.us, 7.0)], created_us=way.clock.us)
        way.ledger["AHU-1", TEMPERATURE, way.clock.us // 1000] = 7.0
        await way.drain()
        check(way)


async def test_a_point_rejected_for_a_while_sends_what_it_said_meanwhile(
    sqlite_database: Database,
) -> None:
    """What a point says while its mapping is rejected is sent when it is accepted again, once."""
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t")
        await say(way, "t", 5)
        await way.drain()
        await way.site.map_point("t", state="rejected")
        await say(way, "t", 5)
        await way.drain()
        assert len(way.enos.values()) == 5
        await way.site.map_point("t", state="accepted")
        await say(way, "t", 5)
        assert (await way.drain())["published"] == 15
        check(way)


async def test_history_goes_in_portions_beside_what_is_new(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long history waits its turn: values of today are not behind it."""
    monkeypatch.setattr("plantroom_cloud.publishing.worker.MAX_VALUES", 20)
    async with opened(sqlite_database, mapping_wait=0) as way:
        await way.site.add_point("t")
        await way.site.add_mapped("r", target=(AHU, RETURN))
        await say(way, "t", 95)
        await way.drain()
        await way.site.map_point("t")
        await say(way, "r", 1)
        assert await way.worker.round()
        assert ("AHU-1", RETURN, way.clock.us // 1000) in way.enos.values()
        assert 1 < len(way.enos.values()) < 95
        await way.drain()
        check(way)


# ------------------------------------------------------------ away for days


async def test_an_outbox_lets_go_of_what_waits_too_long(sqlite_database: Database) -> None:
    """EnOS is away for three days: few values wait as such, and all of them arrive, once."""
    async with opened(sqlite_database, most_waiting=1000) as way:
        await way.site.add_mapped("t")
        await way.site.add_mapped("r", target=(AHU, RETURN))
        await say(way, "t", 2)
        await way.drain()
        await way.enos.off()
        most = 0
        for _ in range(72):
            rows = []
            for minute in range(30):
                for name, point in (("t", TEMPERATURE), ("r", RETURN)):
                    ts_us = way.clock.us + minute * 2 * MINUTE + SECOND
                    rows.append((name, ts_us, float(minute)))
                    way.ledger["AHU-1", point, ts_us // 1000] = float(minute)
            way.clock.us += HOUR
            await way.site.put(rows, created_us=way.clock.us)
            assert not await way.try_round()
            most = max(most, await way.site.waiting() * 60)
        assert 800 <= most <= 1060
        assert (await way.site.counters())["let_go"] >= 3000
        await way.enos.on()
        assert (await way.drain())["published"] == len(way.ledger) == 72 * 60 + 2
        check(way)


async def test_what_waits_for_a_model_is_sent_once_it_is_there(sqlite_database: Database) -> None:
    """Values of equipment whose thing model EnOS lacks are not lost: they come when it has it."""
    async with opened(sqlite_database) as way:
        way.enos.world.hidden_models.add(AHU)
        await way.site.add_mapped("t")
        await say(way, "t", 20)
        assert await way.drain() == {}
        assert await way.site.waiting() == 0
        way.enos.world.hidden_models.clear()
        way.clock.us += HOUR
        assert await way.drain() == {"published": 20}
        check(way)
