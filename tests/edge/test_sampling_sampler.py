"""From polls to samples: units, totals, derived points and silence, with a sampler at work."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from plantroom_edge.drivers import Poll
from plantroom_edge.sampling import keeping
from plantroom_edge.sampling.engine import wanted_by
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Point, Quality
from support.edge_sampling import Plant

BY_EXCEPTION = {"report": "by-exception", "heartbeat": 60}


def point(key: str, unit: str = "", **more: Any) -> Point:
    return Point(key=key, device=key.split(":", maxsplit=1)[0], name=key, unit=unit, **more)


async def test_what_hardly_moves_is_read_and_not_reported() -> None:
    """Within the deadband of its kind a value is suppressed, counted, and told by the heartbeat."""
    plant = Plant([point("d:t", "°C"), point("d:n"), point("d:s")], BY_EXCEPTION)
    plant.table.values = {"d:t": 20.0, "d:n": 1, "d:s": "auto"}
    async with plant.polling():
        for second in range(300):
            plant.table.values["d:t"] = 20.0 + 0.02 * (second % 2)
            await plant.time.advance(1.0)
        rows = plant.shelf.rows("d:t")
        assert 5 <= len(rows) <= 7
        gaps = [b[0] - a[0] for a, b in itertools.pairwise(rows)]
        assert max(gaps) <= 60_000_000
        plant.table.values["d:t"] = 20.2
        await plant.time.advance(1.0)
        assert plant.shelf.rows("d:t")[-1][1] == 20.2
        plant.table.values["d:s"] = "hand"
        await plant.time.advance(1.0)
        assert plant.shelf.rows("d:s")[-1][1] == "hand"
    counted = plant.sampler.counters
    stored = sum(len(batch) for batch in plant.shelf.batches)
    assert counted["samples"] == stored
    assert counted["suppressed"] + stored == 3 * counted["polls"]


async def test_nothing_is_suppressed_unless_it_is_asked_for() -> None:
    """By default every poll of every point is a sample."""
    plant = Plant([point("d:t", "°C"), point("d:n")], {})
    plant.table.values = {"d:t": 20.0, "d:n": 1}
    async with plant.polling():
        await plant.time.advance(10.0)
    assert len(plant.shelf.rows("d:t")) == len(plant.shelf.rows("d:n")) == 10
    assert plant.sampler.counters["suppressed"] == 0


async def test_quality_is_always_reported_and_so_is_the_value_after_it() -> None:
    """Going bad, another reason and coming back are samples, though the value is the same."""
    plant = Plant([point("d:t", "°C"), point("d:u", "°C")], BY_EXCEPTION)
    plant.table.values = {"d:t": 20.0, "d:u": 20.0}
    bad, doubtful = int(Quality.BAD), int(Quality.UNCERTAIN)
    async with plant.polling():
        for flaw in (None, (bad, "fault"), (bad, "exception-2"), (doubtful, "overridden"), None):
            plant.table.flaws = {"d:t": flaw} if flaw else {}
            await plant.time.advance(3.0)
    reasons = [reason for _, _, reason in plant.shelf.rows("d:t")]
    assert reasons == ["", "fault", "exception-2", "overridden", ""]
    assert len(plant.shelf.rows("d:u")) == 1


async def test_what_the_buffer_refuses_is_reported_again() -> None:
    """A refused report does not count as reported: the next poll brings it."""
    plant = Plant([point("d:t", "°C")], BY_EXCEPTION)
    plant.table.values = {"d:t": 20.0}
    plant.shelf.full = True
    async with plant.polling():
        await plant.time.advance(5.0)
        assert plant.sampler.counters["refused"] == 5
        plant.shelf.full = False
        await plant.time.advance(5.0)
    assert len(plant.shelf.rows("d:t")) == 1


async def test_all_that_is_reported_rebuilds_the_signal() -> None:
    """Holding the last sample gives every reading within its deadband, over thousands of polls."""
    keys = [f"d:{n}" for n in range(20)]
    plant = Plant([point(key, "°C") for key in keys], {**BY_EXCEPTION, "heartbeat": 900})
    walk, dice = dict.fromkeys(keys, 20.0), random.Random(4)
    read: list[tuple[int, dict[str, float]]] = []
    async with plant.polling():
        for _ in range(300):
            walk = {key: value + dice.gauss(0, 0.02) for key, value in walk.items()}
            plant.table.values = dict(walk)
            await plant.time.advance(1.0)
            read.append((plant.time.now_us(), walk))
    assert plant.sampler.counters["suppressed"] > 3000
    for key in keys:
        rows = plant.shelf.rows(key)
        for ts, values in read:
            held = [value for at, value, _ in rows if at <= ts][-1]
            assert isinstance(held, float)
            assert abs(held - values[key]) <= 0.0500001


async def test_units_are_changed_before_anything_is_stored() -> None:
    """Values, dictionary and deadband are in the unit that was asked for; writable points are not."""
    config = {
        "units": [{"quantity": "temperature", "to": "°C"}, {"point": "d:p", "to": "kW"},
                  {"point": "d:n", "to": "kW"}],
        "bands": [{"point": "d:t", "deadband": 1}],
    }  # fmt: skip
    points = [point("d:t", "°F"), point("d:p", "W"), point("d:set", "°F", writable=True),
              point("d:n", "%"), point("d:ok", "°C")]  # fmt: skip
    plant = Plant(points, config)
    plant.table.values = {"d:t": 212.0, "d:p": 1500, "d:set": 70.0, "d:n": 5.0, "d:ok": 7.0}
    async with plant.polling():
        await plant.time.advance(1.0)
        plant.table.values["d:t"] = 213.7  # 0.94 K more
        await plant.time.advance(1.0)
        plant.table.values["d:t"] = 214.0  # 1.1 K more
        await plant.time.advance(1.0)
    units = {one.key: one.unit for one in plant.shelf.points}
    assert units == {"d:t": "°C", "d:p": "kW", "d:set": "°F", "d:n": "%", "d:ok": "°C"}
    assert [value for _, value, _ in plant.shelf.rows("d:t")] == pytest.approx([100.0, 101.111111])
    assert plant.shelf.rows("d:p")[0][1] == 1.5
    assert plant.shelf.rows("d:set")[0][1] == 70.0
    assert plant.shelf.rows("d:n")[0][1] == 5.0


async def test_a_total_goes_on_after_a_crash_and_a_restart(tmp_path: Path) -> None:
    """A roll-over between the last save, a kill and the next start is neither lost nor counted twice."""
    file = tmp_path / "counters.json"
    config = {"counters": [{"point": "d:c", "modulus": "2^16"}]}
    points = [point("d:c", "kWh"), point("d:x", "kWh")]
    plant = Plant(points, config, counters=file)
    async with plant.polling():
        for reading in (65_000, 65_100, 65_200):
            plant.table.values = {"d:c": reading, "d:x": 1}
            await plant.time.advance(1.0)
        plant.sampling.keep()
        plant.table.values = {"d:c": 65_300, "d:x": 1}
        await plant.time.advance(1.0)
    # killed: what came after the save is not in the file
    assert [value for _, value, _ in plant.shelf.rows("d:c:total")] == [
        65_000,
        65_100,
        65_200,
        65_300,
    ]
    again = Plant(points, config, counters=file)
    again.time.seconds = 10.0
    async with again.polling():
        for reading in (64, 164):
            again.table.values = {"d:c": reading, "d:x": 1}
            await again.time.advance(1.0)
    assert [value for _, value, _ in again.shelf.rows("d:c:total")] == [65_600, 65_700]
    assert again.sampling.figures()["rollovers"] == 1
    total = again.shelf.points[again.shelf.keys.index("d:c:total")]
    assert (total.unit, total.device, total.writable) == ("kWh", "d", False)
    assert "d:x:total" not in again.shelf.keys


async def test_a_reset_is_kept_at_once_and_the_rest_every_minute(tmp_path: Path) -> None:
    """What the next reading could not bring back does not wait; a disk that refuses is said."""
    file = tmp_path / "counters.json"
    plant = Plant([point("d:c", "kWh")], {"counters": [{"point": "d:c"}]}, counters=file)
    kept: list[float] = []
    keeper = asyncio.create_task(plant.sampling.run())
    async with plant.polling(), asyncio.timeout(20):
        for second in range(70):
            plant.table.values = {"d:c": float(second if second < 65 else second - 64)}
            await plant.time.advance(1.0)
            if second in {30, 62, 67}:
                while not file.exists() and second > 30:  # it is written in a thread
                    await asyncio.sleep(0.01)
                while second == 67 and keeping.load(file)["d:c"].last > 10:
                    await asyncio.sleep(0.01)
                kept.append(keeping.load(file)["d:c"].total if file.exists() else 0.0)
        assert kept[0] == 0.0
        assert 55 <= kept[1] <= 62
        assert kept[2] >= 65
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    assert keeping.load(file)["d:c"].total == 69.0
    file.unlink()
    tmp_path.rmdir()
    with pytest.raises(Unavailable, match="cannot be kept"):
        plant.sampling.keep()


async def test_a_total_can_be_calculated_with_and_shows_what_is_bad() -> None:
    """The rate of an energy total is a power; a reading that is bad makes the total bad."""
    config = {
        "counters": [{"point": "d:c"}],
        "derived": [{"id": "p", "name": "Power", "unit": "kW", "expression": "rate('d:c:total')"}],
    }
    plant = Plant([point("d:c", "kWh")], config, interval=60.0)
    async with plant.polling():
        for reading in (100.0, 101.0, 103.0, 0.5):
            plant.table.values = {"d:c": reading}
            await plant.time.advance(60.0)
        plant.table.flaws = {"d:c": (int(Quality.BAD), "fault")}
        await plant.time.advance(60.0)
        plant.table.flaws = {}
        plant.table.values = {"d:c": "text"}
        await plant.time.advance(60.0)
    totals = [(value, reason) for _, value, reason in plant.shelf.rows("d:c:total")]
    assert totals[-3:] == [(103.5, "counter-reset"), (None, "fault"), (None, "not-a-number")]
    powers = [value for _, value, _ in plant.shelf.rows("derived:p") if value is not None]
    assert powers[-3:] == pytest.approx([60.0, 120.0, 30.0])


async def test_derived_points_reach_over_buses() -> None:
    """The operands of one point may be on two buses; its device is one of its own."""
    config = {"derived": [
        {"id": "cop", "name": "COP", "expression": "'h:heat' / 'm:power'"},
        {"id": "never", "name": "Never", "expression": "'z:z' + 1"},
    ]}  # fmt: skip
    one = Plant([point("h:heat", "kW")], config)
    other = Plant([point("m:power", "W")], config, more=one)
    one.table.values, other.table.values = {"h:heat": 8.0}, {"m:power": 2000.0}
    async with one.polling(), other.polling():
        await one.time.advance(3.0)
    rows = one.shelf.rows("derived:cop")
    assert rows[-1][1:] == (4.0, "")
    assert one.sampling.figures()["problems"] == {"never": "no bus has z:z"}
    assert one.sampler.counters["derived"] + other.sampler.counters["derived"] == len(rows)


class Watcher:
    """A detector that wants one point."""

    def __init__(self, *wanted: str) -> None:
        self.wanted, self.seen = wanted, 0

    def wants(self, key: str) -> bool:
        return key in self.wanted

    def feed(self, _device: str, _points: tuple[str, ...], poll: Poll) -> None:
        self.seen += poll.values[0] == 20.0


async def test_detectors_are_shown_every_poll_under_report_by_exception() -> None:
    """What is suppressed for the cloud is still seen on the gateway."""
    watcher = Watcher("d:t")
    plant = Plant([point("d:t", "°C")], BY_EXCEPTION, detectors=[watcher])
    plant.table.values = {"d:t": 20.0}
    async with plant.polling():
        await plant.time.advance(10.0)
    assert watcher.seen == 10
    assert len(plant.shelf.rows("d:t")) == 1


# ---------------------------------------------------------------- silence


async def test_a_point_that_is_not_read_any_more_is_stale_once() -> None:
    """After three intervals without a read there is one stale sample; the next good value ends it."""
    plant = Plant([point("d:t"), point("d:u"), point("e:t")], {}, interval=2.0)
    plant.table.values = {"d:t": 1.0, "d:u": 1.0, "e:t": 1.0}
    plant.table.flaws = {"d:u": (int(Quality.BAD), "fault")}
    async with plant.polling():
        await plant.time.advance(10.0)
        last = plant.shelf.rows("d:t")[-1][0]
        plant.table.hung = {"d"}  # the request never comes back, the line is busy for all
        await plant.time.advance(30.0)
        for key in ("d:t", "e:t"):
            assert [reason for *_, reason in plant.shelf.rows(key)].count("stale") == 1
        assert plant.shelf.rows("d:t")[-1] == (last + 6_000_000, None, "stale")
        assert "stale" not in [reason for *_, reason in plant.shelf.rows("d:u")]
        assert plant.sampler.counters["stale"] == 2


async def test_staleness_passes_the_gate_and_so_does_what_ends_it() -> None:
    """Under report by exception as well: stale once, then the value, though it is the same as before."""
    plant = Plant([point("d:t", "°C")], BY_EXCEPTION)
    plant.table.values = {"d:t": 20.0}
    async with plant.polling():
        await plant.time.advance(3.0)
        async with plant.table.line:
            await plant.time.advance(10.0)
        await plant.time.advance(3.0)
    assert [row[1:] for row in plant.shelf.rows("d:t")] == [(20.0, ""), (None, "stale"), (20.0, "")]


def test_a_detector_that_does_not_choose_sees_all() -> None:
    """Only where every detector says what it wants can the others be left undecoded."""
    plain: Any = object()
    choosy: Any = Watcher("d:t")
    assert wanted_by([plain, choosy])("d:x")
    assert wanted_by([choosy])("d:t")
    assert not wanted_by([choosy])("d:x")
    assert not wanted_by([])("d:t")


async def test_stale_points_come_back_with_the_next_value() -> None:
    """A read that was held up ends the silence: good again, in order of time, and stale anew later."""
    plant = Plant([point("d:t")], {"stale_after": 2})
    plant.table.values = {"d:t": 1.0}
    async with plant.polling():
        await plant.time.advance(3.0)
        for _ in range(2):
            async with plant.table.line:  # somebody else has the bus
                await plant.time.advance(8.0)
            await plant.time.advance(3.0)
    rows = plant.shelf.rows("d:t")
    assert [reason for *_, reason in rows if reason] == ["stale", "stale"]
    assert rows[-1][1:] == (1.0, "")
    times = [ts for ts, *_ in rows]
    assert times == sorted(set(times))


async def test_the_points_of_a_bus_that_cannot_be_opened_any_more_are_stale() -> None:
    """A bus that fails as a whole is silent too: its points are stale once, and come back with it."""
    plant = Plant([point("d:t")], {})
    plant.table.values = {"d:t": 1.0}
    plant.table.missing = ("e",)  # looked for every 30 s, which fails with the bus
    async with plant.polling():
        await plant.time.advance(3.0)
        plant.table.broken = True
        await plant.time.advance(300.0)
        *before, last = [reason for *_, reason in plant.shelf.rows("d:t")]
        assert last == "stale"
        assert set(before) == {""}
        assert plant.supervisor.tasks["bus"].restarts > 3
        plant.table.broken = False
        await plant.time.advance(60.0)
        assert plant.shelf.rows("d:t")[-1][1:] == (1.0, "")


async def test_a_point_that_changes_is_stored_as_what_it_is_now() -> None:
    """A search that finds another unit, and what follows from the point, changes what samples say."""
    plant = Plant([point("d:t", "°C"), point("d:n", "kWh")], {"counters": [{"point": "d:n"}]})
    plant.table.values = {"d:t": 20.0, "d:n": 7.0}
    plant.table.missing = ("e",)  # looked for every 30 s
    async with plant.polling():
        await plant.time.advance(10.0)
        plant.table.points[:] = [point("d:t", "K"), point("d:n", "MWh")]
        await plant.time.advance(40.0)
    for key, before, now in (
        ("d:t", "°C", "K"),
        ("d:n", "kWh", "MWh"),
        ("d:n:total", "kWh", "MWh"),
    ):
        units = plant.shelf.units(key)
        assert (units[0], units[-1]) == (before, now)
        assert units == sorted(units, key=[before, now].index)
        assert len(plant.shelf.rows(key)) == len(units) > 40


async def test_a_dead_device_is_not_stale_on_top() -> None:
    """Whoever said why there is no value needs not say that it is old."""
    plant = Plant([point("d:t")], BY_EXCEPTION)
    plant.table.values = {"d:t": 1.0}
    async with plant.polling():
        await plant.time.advance(3.0)
        plant.table.dead = {"d"}
        await plant.time.advance(50.0)
    reasons = [reason for *_, reason in plant.shelf.rows("d:t")]
    assert reasons == ["", "timeout"]


async def test_reads_fall_on_the_wall_clock() -> None:
    """With 60 s between them reads come at the same second of every minute, spread over it."""
    plant = Plant([point("a:t"), point("b:t"), point("c:t")], {}, interval=60.0)
    async with plant.polling():
        await plant.time.advance(60.0)
        plant.table.reads.clear()
        await plant.time.advance(600.0)
        wall = plant.time.now_us() / 1e6 - plant.time.monotonic()
    for device, second in (("a", 0), ("b", 20), ("c", 40)):
        at = [when + wall for when, name in plant.table.reads if name == device]
        assert len(at) == 10
        assert {round(when % 60, 3) for when in at} == {float(second)}
    stamps = [ts for ts, *_ in plant.shelf.rows("b:t")][-10:]
    assert {ts % 60_000_000 for ts in stamps} == {20_000_000}


# ---------------------------------------------------------------- dead devices


def _ten(**config: Any) -> Plant:
    plant = Plant([point(f"u{n}:p") for n in range(10)], config)
    plant.table.take = 1.0  # a time-out holds the whole line
    plant.table.values = {f"u{n}:p": 1.0 for n in range(10)}
    return plant


@pytest.mark.parametrize("dead", [1, 5])
async def test_dead_units_behind_one_line_cost_the_others_little(dead: int) -> None:
    """Half of ten units dead on a line that serves one at a time: the others keep 99 % of their polls.

    One of ten dead: as many; the pauses follow from what a probe costs.
    """
    plant = _ten()
    plant.table.dead = {f"u{n}" for n in range(dead)}
    async with plant.polling():
        await plant.time.advance(60.0)
        plant.table.reads.clear()
        await plant.time.advance(1200.0)
    for unit in range(dead, 10):
        assert sum(name == f"u{unit}" for _, name in plant.table.reads) >= 0.99 * 1200
    for unit in range(dead):
        probes = [at for at, name in plant.table.reads if name == f"u{unit}"]
        assert len(probes) >= 3  # all of them are looked after, none starves
        assert all(b - a <= 700 for a, b in itertools.pairwise(probes))


async def test_a_unit_that_flaps_is_not_trusted_at_once() -> None:
    """One answer between silences costs no three time-outs each time."""
    plant = _ten()
    async with plant.polling():
        await plant.time.advance(5.0)
        spent = 0
        for _ in range(15):  # 30 s away, 3 s there
            plant.table.dead = {"u0"}
            plant.table.reads.clear()
            await plant.time.advance(30.0)
            spent += sum(name == "u0" for _, name in plant.table.reads)
            plant.table.dead = set()
            await plant.time.advance(3.0)
        assert spent <= 20
        await plant.time.advance(300.0)
        assert plant.sampler.devices["u0"].breaker.pauses == 0


async def test_a_whole_bus_that_was_away_comes_back_together() -> None:
    """When the first of a dead bus answers, the others are not left to the end of their pauses."""
    plant = _ten()
    async with plant.polling():
        await plant.time.advance(2.0)
        plant.table.dead = {f"u{n}" for n in range(10)}
        await plant.time.advance(900.0)
        probes = [at for at, _ in plant.table.reads if at > 60]
        assert all(b - a >= 0.99 for a, b in itertools.pairwise(probes))
        plant.table.dead = set()
        while all(device.breaker.is_open for device in plant.sampler.devices.values()):
            await plant.time.advance(1.0)
        await plant.time.advance(20.0)
        assert not any(device.breaker.is_open for device in plant.sampler.devices.values())
