"""Polling on time, in isolation, and with honest quality."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from plantroom_edge import sampler as sampler_module
from plantroom_edge.breaker import LONGEST, OPEN_AFTER, STEP, Breaker, Change
from plantroom_edge.buffer import Buffer
from plantroom_edge.drivers import Poll, PollGroup
from plantroom_edge.sampler import Sampler
from plantroom_edge.supervise import Supervisor
from plantroom_shared.cancelling import ended
from support.edge_driver import Script, ScriptedBus, ScriptedDriver
from support.edge_sampling import Shelf
from support.edge_time import VirtualTime
from support.waiting import eventually

TIMED_OUT = "timeout"


class Site:
    """A sampler on a scripted bus, in virtual time."""

    def __init__(self, **bus: object) -> None:
        self.time = VirtualTime()
        self.script = Script()
        self.memory = Shelf()
        self.config = ScriptedBus.model_validate(
            {"name": "bus", "driver": "scripted", "interval": 1.0} | bus
        )
        self.groups = 1
        self.supervisor = Supervisor(sleep=self.time.sleep)
        self.shown: list[tuple[str, tuple[str, ...], Poll]] = []
        self.sampler = Sampler(
            "bus",
            self.open,
            self.memory,  # type: ignore[arg-type] # stands in
            detectors=[self],  # type: ignore[list-item] # only `feed` is called
            supervisor=self.supervisor,
            clock=self.time,
            sleep=self.time.sleep,
        )

    def open(self) -> ScriptedDriver:
        driver = ScriptedDriver(self.config, self.time, self.script)
        driver.groups, driver.sleep = self.groups, self.time.sleep  # type: ignore[assignment] # virtual
        return driver

    def feed(self, device: str, points: tuple[str, ...], poll: Poll) -> None:
        self.shown.append((device, points, poll))


@asynccontextmanager
async def polling(site: Site) -> AsyncIterator[Site]:
    keep = site.supervisor.keep_running("bus", site.sampler.run)
    task = asyncio.create_task(keep)
    await site.time.advance(0.0)
    try:
        yield site
    finally:
        await ended(task)


async def test_every_group_is_read_on_its_own_slot() -> None:
    """Groups are read once per interval, each at its own place in it, aligned to the clock."""
    async with polling(Site(devices=4)) as site:
        await site.time.advance(10.0)
        assert set(site.script.reads.values()) == {10}
        for i in range(4):
            times = [at for name, at in site.script.at if name == f"scripted:{i}"]
            assert [round(at % 1.0, 3) % 1.0 for at in times] == [i * 0.25] * 10
        assert site.sampler.counters["overruns"] == 0
        assert site.sampler.counters["samples"] == 4 * 10 * 5


async def test_samples_carry_values_and_growing_times() -> None:
    """Rows of one point have strictly growing times, also when the clock steps back a little."""
    async with polling(Site(devices=1)) as site:
        await site.time.advance(3.0)
        site.time.wall_offset_us -= 10_000_000
        await site.time.advance(5.0)
        rows = site.memory.rows("scripted:0:p0")
        times = [ts for ts, _, _ in rows]
        assert len(rows) >= 7
        assert all(a < b for a, b in pairwise(times))
        assert [value for _, value, _ in rows] == [float(i + 1) for i in range(len(rows))]


async def test_a_clock_that_was_set_back_is_followed() -> None:
    """Beyond a minute the new time is taken: an hour of samples must not share one moment."""
    async with polling(Site(devices=1)) as site:
        await site.time.advance(3.0)
        site.time.wall_offset_us -= 3_600_000_000
        await site.time.advance(3.0)
        times = [ts for ts, _, _ in site.memory.rows("scripted:0:p0")]
        assert times[-1] < times[0]
        assert times[-1] - times[-2] == 1_000_000
        assert site.sampler.counters["clock_set_back"] == 1


async def test_a_hanging_device_slows_nobody() -> None:
    """One device that never answers costs the others not one poll."""
    site = Site(devices=5)
    site.script.hung.add("scripted:2")
    async with polling(site):
        await site.time.advance(30.0)
        for i in (0, 1, 3, 4):
            assert site.script.reads[f"scripted:{i}"] == 30
        assert site.script.reads["scripted:2"] == 1


async def test_a_read_that_never_ends_counts_as_unanswered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After its limit a hanging read is given up and its points are bad."""
    monkeypatch.setattr(sampler_module, "POLL_LIMIT", 0.01)
    site = Site(devices=1)
    site.script.hung.add("scripted:0")
    async with polling(site):
        await site.time.advance(1.0)
        async with asyncio.timeout(60):
            while not site.memory.batches:
                await asyncio.sleep(0.005)
        assert site.memory.rows("scripted:0:p0")[0][1:] == (None, TIMED_OUT)
        assert site.sampler.counters["reads_hung"] == 1


async def test_never_two_polls_of_one_device_in_flight() -> None:
    """Slow devices with several groups are read one group at a time; missed slots are counted."""
    site = Site(devices=2, points=6)
    site.groups = 3
    site.script.take = 0.7
    async with polling(site):
        await site.time.advance(30.0)
        assert site.script.most_flying == 1
        assert site.sampler.counters["overruns"] > 0
        for j in range(6):
            assert len(site.memory.rows(f"scripted:0:p{j}")) >= 10


async def test_who_was_not_asked_is_not_given_up() -> None:
    """Polls that a driver does not make, for the sake of others, leave bad rows but no dead device."""
    site = Site(devices=2, points=2)
    async with polling(site):
        await site.time.advance(5.0)
        site.script.dead.add("scripted:0")
        site.script.spared.add("scripted:0")
        await site.time.advance(10.0)
        state = site.sampler.devices["scripted:0"]
        assert state.breaker.failures == 0
        assert site.memory.rows("scripted:0:p0")[-1][2] == TIMED_OUT
        site.script.dead.clear()
        await site.time.advance(1.0)
        assert site.memory.rows("scripted:0:p0")[-1][2] == ""
        assert site.sampler.counters["skipped_dead"] == 0


async def test_a_probe_that_was_not_made_is_no_probe() -> None:
    """The pause of a dead device does not grow by probes that the driver did not make."""
    site = Site(devices=2, points=2)
    async with polling(site):
        await site.time.advance(5.0)
        site.script.dead.add("scripted:0")
        while not site.sampler.devices["scripted:0"].breaker.is_open:
            await site.time.advance(0.5)
        breaker = site.sampler.devices["scripted:0"].breaker
        site.script.spared.add("scripted:0")
        pauses, rows = breaker.pauses, len(site.memory.rows("scripted:0:p0"))
        await site.time.advance(100.0)
        assert breaker.is_open
        assert breaker.pauses == pauses
        assert len(site.memory.rows("scripted:0:p0")) == rows
        site.script.dead.clear()
        await site.time.advance(1.0)
        assert not breaker.is_open


async def test_a_dead_device_is_left_alone_with_growing_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After three silent polls probes get rare; each leaves one bad sample per point; told once."""
    caplog.set_level(logging.INFO)
    site = Site(devices=2, points=4)
    site.groups = 2
    async with polling(site):
        await site.time.advance(5.0)
        site.script.dead.add("scripted:0")
        before = {j: len(site.memory.rows(f"scripted:0:p{j}")) for j in range(4)}
        await site.time.advance(600.0)
        reads = site.script.reads["scripted:0"]
        assert reads < 40
        assert site.script.reads["scripted:1"] >= 1200
        bad = {j: site.memory.rows(f"scripted:0:p{j}")[before[j] :] for j in range(4)}
        assert all(
            reason in {TIMED_OUT, "device-down"} for rows in bad.values() for *_, reason in rows
        )
        # one bad sample at the transition and one per probe, on every point of the device
        assert {len(rows) for rows in bad.values()} <= {reads - 12, reads - 11, reads - 10}
        site.script.dead.clear()
        await site.time.advance(700.0)
        assert site.memory.rows("scripted:0:p0")[-1][2] == ""
        state = site.sampler.devices["scripted:0"]
        assert state.breaker.failures == 0
        assert state.last_good_us > 0
        said = [r.getMessage() for r in caplog.records if "device" in r.getMessage()]
        assert said == [
            "device does not answer; it is asked again with growing pauses",
            "device answers again",
        ]


def test_pauses_grow_by_steps_up_to_a_limit() -> None:
    """The n-th failed probe waits n steps, jittered by the hand-in, and never above the cap."""
    breaker = Breaker(jitter=lambda _low, _high: 1.0)
    for _ in range(OPEN_AFTER - 1):
        assert breaker.note(alive=False, now=0.0) is Change.NONE
        assert breaker.may_poll(0.0)
    assert breaker.note(alive=False, now=0.0) is Change.FAILED
    assert breaker.retry_at == STEP
    assert not breaker.may_poll(STEP - 0.1)
    assert breaker.may_poll(STEP)
    assert breaker.note(alive=False, now=0.0) is Change.PROBED
    assert breaker.retry_at == 2 * STEP
    for _ in range(1000):
        breaker.note(alive=False, now=0.0)
    assert breaker.retry_at == LONGEST
    assert breaker.note(alive=True, now=0.0) is Change.RECOVERED
    assert breaker.note(alive=True, now=0.0) is Change.NONE


async def test_values_that_cannot_travel_are_bad_rows() -> None:
    """NaN, infinity and rubbish become bad quality with a reason; neighbours stay good."""
    site = Site(devices=1, points=6)
    site.script.values["scripted:0"] = [1.5, float("nan"), float("inf"), 2**80, "x" * 5000, True]
    async with polling(site):
        await site.time.advance(1.0)
        got = [site.memory.rows(f"scripted:0:p{j}")[0][1:] for j in range(6)]
        assert got == [
            (1.5, ""),
            (None, "nan"),
            (None, "nan"),
            (None, "overrange"),
            (None, "text_too_long"),
            (True, ""),
        ]


async def test_a_reply_of_the_wrong_length_shifts_nothing() -> None:
    """A poll with too few values makes all its points bad instead of shifting them."""
    site = Site(devices=1, points=3)
    site.script.values["scripted:0"] = [1.0, 2.0]
    async with polling(site):
        await site.time.advance(1.0)
        rows = [site.memory.rows(f"scripted:0:p{j}")[0][1:] for j in range(3)]
        assert rows == [(None, "short-reply")] * 3


@pytest.mark.parametrize("defect", [KeyError("defect"), asyncio.CancelledError()], ids=repr)
async def test_a_defect_of_a_driver_costs_one_poll(
    defect: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """A read that raises is a poll whose rows are bad; the next comes on its slot, the others do not notice."""
    site = Site(devices=3)
    async with polling(site):
        for _ in range(5):
            await site.time.advance(1.0)
            site.script.broken["scripted:1"] = defect
            await site.time.advance(1.0)
            site.script.broken.clear()
        assert set(site.script.reads.values()) == {10}
        rows = [(value, why) for _, value, why in site.memory.rows("scripted:1:p0")]
        assert rows[1::2] == [(None, "driver-error")] * 5
        assert all(why == "" for _, why in rows[::2])
        assert site.sampler.counters["reads_failed"] == 5
        assert not site.supervisor.tasks["bus/scripted:1"].failing
    told = [record for record in caplog.records if "defect of the driver" in record.getMessage()]
    assert len(told) == 1


async def test_a_driver_that_only_raises_is_asked_with_growing_pauses() -> None:
    """Defects in a row open the breaker as silence does, and the device comes back by itself."""
    site = Site(devices=3)
    site.script.broken["scripted:1"] = KeyError("defect")
    async with polling(site):
        await site.time.advance(30.0)
        assert site.script.reads["scripted:1"] < 12
        assert site.script.reads["scripted:0"] == site.script.reads["scripted:2"] == 30
        assert site.sampler.devices["scripted:1"].breaker.is_open
        site.script.broken.clear()
        await site.time.advance(60.0)
        assert site.memory.rows("scripted:1:p0")[-1][2] == ""


async def test_a_search_that_never_ends_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that hangs in its search for devices is closed and opened again."""
    monkeypatch.setattr(sampler_module, "DISCOVER_LIMIT", 0.01)
    site = Site(devices=1)
    site.script.endless_discovery = 1
    async with polling(site):
        await eventually(lambda: site.script.closed)
        await site.time.advance(10.0)
        assert site.script.reads["scripted:0"]
        assert "search" in site.supervisor.tasks["bus"].error


async def test_missing_devices_join_later(caplog: pytest.LogCaptureFixture) -> None:
    """What did not answer at start is looked for again and polled when it is there."""
    caplog.set_level(logging.INFO)
    site = Site(devices=3)
    site.script.missing.add("scripted:1")
    async with polling(site):
        await site.time.advance(5.0)
        assert site.sampler.missing == ("scripted:1",)
        assert site.script.reads["scripted:1"] == 0
        site.script.missing.clear()
        await site.time.advance(40.0)
        assert site.script.reads["scripted:1"] >= 10
        assert site.script.reads["scripted:0"] == 45
        await site.time.advance(120.0)
        assert site.script.discoveries == 2
    said = [r.getMessage() for r in caplog.records if "bus" in r.getMessage()]
    assert said == [
        "some of the bus does not answer; it is looked for again every 30 s",
        "all of the bus answers",
    ]


async def test_a_driver_can_ask_to_be_searched_again() -> None:
    """A bus that may have new devices is searched every so often though nothing is missing."""
    site = Site(devices=2)
    site.script.again = 90.0
    async with polling(site):
        await site.time.advance(80.0)
        assert site.script.discoveries == 1
        await site.time.advance(200.0)
        assert site.script.discoveries == 4


async def test_a_bus_that_is_not_there_is_tried_again() -> None:
    """A discovery that fails restarts the bus; its driver is closed each time."""
    site = Site(devices=1)
    site.script.fail_discovery = 2
    async with polling(site):
        await site.time.advance(30.0)
        assert site.script.reads["scripted:0"] > 10
        assert site.script.closed == 2
    assert site.script.closed == 3


async def test_a_bus_that_fails_later_begins_anew() -> None:
    """When looking for what is missing fails, the bus is opened again and all is polled again."""
    site = Site(devices=2)
    site.script.missing.add("scripted:1")
    async with polling(site):
        await site.time.advance(5.0)
        site.script.fail_discovery = 1
        site.script.missing.clear()
        await site.time.advance(60.0)
        assert site.script.closed == 1
        assert site.script.reads["scripted:1"] > 20
        assert len(site.sampler.devices["scripted:0"].groups) == 1


async def test_refused_rows_are_counted_and_polling_goes_on() -> None:
    """While the buffer refuses, polling goes on and every refused row is counted."""
    site = Site(devices=1, points=5)
    site.memory.full = True
    async with polling(site):
        await site.time.advance(4.0)
        assert site.sampler.counters["refused"] == 20
        site.memory.full = False
        await site.time.advance(2.0)
        assert len(site.memory.batches) == 2


async def test_detectors_see_every_poll_and_cannot_break_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A detector is shown each poll; one that raises costs nothing but a log line."""
    site = Site(devices=1, points=2)
    async with polling(site):
        await site.time.advance(3.0)
        assert len(site.shown) == 3
        device, keys, poll = site.shown[0]
        assert (device, keys) == ("scripted:0", ("scripted:0:p0", "scripted:0:p1"))
        assert poll.values == [1.0, 1.0]

        def broken(*_args: object) -> None:
            raise ZeroDivisionError

        site.feed = broken  # type: ignore[method-assign,assignment] # a defect
        await site.time.advance(3.0)
        assert len(site.memory.batches) == 6
        assert site.sampler.counters["detector_errors"] == 3
        assert sum("a detector failed" in r.getMessage() for r in caplog.records) == 1


async def test_long_intervals_do_not_wait_for_their_first_value() -> None:
    """A point polled every ten minutes has its first sample within seconds."""
    async with polling(Site(devices=2, interval=600.0)) as site:
        await site.time.advance(2.0)
        assert set(site.script.reads.values()) == {1}
        await site.time.advance(1200.0)
        assert set(site.script.reads.values()) == {3}


async def test_groups_without_known_points_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that names a point the inventory lacks is counted, not polled."""
    site = Site(devices=1)
    real = ScriptedDriver.discover

    async def odd(self: ScriptedDriver) -> object:
        found = await real(self)
        extra = PollGroup("scripted:9", 1.0, ("nobody",))
        empty = PollGroup("scripted:8", 1.0, ())
        return type(found)(found.devices, found.points, (*found.groups, extra, empty), ())

    monkeypatch.setattr(ScriptedDriver, "discover", odd)
    async with polling(site):
        await site.time.advance(3.0)
        assert set(site.script.reads) == {"scripted:0"}
        assert site.sampler.counters["groups_without_points"] == 1


async def test_samples_reach_a_real_buffer(tmp_path: Path) -> None:
    """What a bus says ends up on the disk, under the dictionary of the epoch."""
    site = Site(devices=2, points=3)
    buffer = await Buffer.open(tmp_path / "b.db", commit_s=0.001)
    site.sampler._buffer = buffer
    keep = asyncio.create_task(site.sampler.run())
    async with asyncio.timeout(60):
        while not site.sampler.devices:
            await site.time.advance(0.0)
            await asyncio.sleep(0.005)
    await site.time.advance(5.0)
    await ended(keep)
    await buffer.flush()
    assert (await buffer.stats()).accepted["tel"] == 2 * 3 * 5
    assert buffer.dictionary_size == 6
    await buffer.close()


async def test_a_library_that_swallows_the_cancellation_does_not_keep_the_agent_alive() -> None:
    """The group ends after the read that went on, and is not polled again."""
    site = Site(devices=2)
    site.script.deaf.add("scripted:1")
    task = asyncio.create_task(site.supervisor.keep_running("bus", site.sampler.run))
    await site.time.advance(1.0)
    assert site.script.flying["scripted:1"] == 1
    task.cancel()
    async with asyncio.timeout(60):
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert site.script.reads["scripted:1"] == 1
    assert not site.memory.rows("scripted:1:p0")
