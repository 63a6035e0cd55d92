"""The gate on raw registers: what it saves, and that nothing is told differently for it."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.drivers.modbus.group import GroupPlan, Layout, Sweep
from plantroom_edge.drivers.modbus.learning import Lessons
from plantroom_edge.sampling.config import SamplingConfig
from plantroom_edge.sampling.engine import Sampling
from plantroom_edge.sampling.gate import Band, RowGate
from plantroom_shared.model import Value
from plantroom_shared.profiles import Profile
from support.edge_time import VirtualTime
from support.modbus_bus import bus, independent, write_profile

REGISTERS: list[dict[str, Any]] = [
    {"id": "plain", "type": "int16"},
    {"id": "scaled", "type": "int16", "scale": 0.1, "sentinel": [0x8000, 0x7FFF]},
    {
        "id": "ranged",
        "type": "int16",
        "scale": -0.5,
        "range": [-10, 40],
        "sentinel": [0, 20, 0xFFB0],
    },
    {"id": "shifted", "type": "int16", "scale": 0.1, "offset": -40.0},
    {"id": "float", "type": "float32", "range": [0, 100], "sentinel": [0x7FC00000, 0x42C80000]},
    {"id": "free-float", "type": "float32", "sentinel": [0]},
    {"id": "by-factor", "type": "int16", "sf": "factor", "sentinel": [0x8000]},
    {"id": "factor", "type": "int16", "hidden": True},
    {"id": "text", "type": "string", "length": 2},
    {"id": "bcd", "type": "bcd16"},
    {"id": "bit", "type": "bool", "bit": 0},
]
FACTOR = 10  # its slot: behind the points


def _plan() -> GroupPlan:
    registers = [{"name": "r", "address": 4 * n, **one} for n, one in enumerate(REGISTERS)]
    profile = Profile.model_validate(
        {"profile": 1, "vendor": "v", "model": "m", "source": "s", "registers": registers}
    )
    return GroupPlan(Layout(profile, profile.points), Lessons())


_SHORT = st.integers(-32768, 32767) | st.sampled_from([-32768, 32767, 20, -80, 81, -79])
_FLOAT = st.floats(width=32) | st.sampled_from([0.0, 100.0, math.nan, math.inf, 99.99])
_RAWS = st.tuples(
    _SHORT, _SHORT, _SHORT, _SHORT, _FLOAT, _FLOAT, _SHORT,
    st.sampled_from(["", "AB", "CD"]), st.none() | st.integers(0, 9999), st.booleans(),
    st.integers(-11, 11),
)  # fmt: skip
_FLAWS = st.dictionaries(st.integers(0, FACTOR), st.sampled_from(["timeout", "exception-2"]))
_POLLS = st.lists(st.tuples(_RAWS, _FLAWS), min_size=1, max_size=8)


def _sweep(plan: GroupPlan, raws: tuple[Value, ...], flaws: dict[int, str]) -> Sweep:
    sweep = plan.sweep()
    sweep.raws[:] = [None if slot in flaws else raw for slot, raw in enumerate(raws)]
    sweep.flaws, sweep.answered = dict(flaws), True
    return sweep


@settings(max_examples=120, deadline=None)
@given(_POLLS, st.lists(st.sampled_from([0.0, 1.0, 30.0]), min_size=10, max_size=10))
def test_what_is_reported_is_what_would_be_without_a_gate(
    polls: list[tuple[tuple[Value, ...], dict[int, str]]], bands: list[float]
) -> None:
    """Values and qualities of reported rows are the same, and every change of quality is reported."""
    plan, bare = _plan(), _plan()
    needed = [1, 6]
    gate = RowGate([Band(band, heartbeat=1e9) for band in bands], lambda: 0.0, needed)
    told: dict[int, tuple[int, str] | None] = {}
    for raws, flaws in polls:
        got = plan.poll(7, _sweep(plan, raws, flaws), gate)
        want = bare.poll(7, _sweep(bare, raws, flaws))
        assert got.rows is not None
        assert got.quality == want.quality
        for row in {*got.rows, *needed}:
            assert got.values[row] == want.values[row]
            assert type(got.values[row]) is type(want.values[row])
        for row in range(10):
            flaw = want.quality.get(row)
            if row in got.rows:
                told[row] = flaw
            assert told[row] == flaw


def test_steps_say_what_a_raw_unit_is_worth() -> None:
    """Where raw distances are no distances of values, the gate is shown the values."""
    steps = dict(zip([one.id for one in _plan().points], _plan().steps, strict=True))
    assert steps == {
        "plain": 1.0, "scaled": 0.1, "ranged": 0.5, "shifted": 1.0, "float": 1.0,
        "free-float": 1.0, "by-factor": 1.0, "text": 1.0, "bcd": 1.0, "bit": 1.0,
    }  # fmt: skip


def test_only_what_is_reported_or_needed_is_scaled() -> None:
    """Suppressed rows stay empty; those that a detector needs have their value in every poll."""
    plan = _plan()
    gate = RowGate([Band(5.0)] * 10, lambda: 0.0, needed=[0])
    raws: tuple[Value, ...] = (1, 10, 2, 3, 4.0, 5.0, 6, "AB", 7, True, 0)
    first = plan.poll(1, _sweep(plan, raws, {}), gate)
    second = plan.poll(2, _sweep(plan, raws, {}), gate)
    assert list(first.rows or []) == list(range(10))
    assert first.values[1] == 1.0
    assert second.rows is not None
    assert list(second.rows) == []
    assert second.values == [1] + [None] * 9


def test_a_silent_device_needs_no_gate() -> None:
    """Who says nothing has bad rows only; the sampler asks the gate about them."""
    plan = _plan()
    sweep = plan.sweep()
    sweep.silent = "timeout"
    poll = plan.poll(1, sweep, RowGate([Band()] * 10, lambda: 0.0))
    assert (poll.alive, poll.rows) == (False, None)


async def test_a_deadband_in_the_points_unit_over_a_socket(tmp_path: Path) -> None:
    """0.5 K on tenths of a degree Fahrenheit is nine raw steps; the sample is in the unit wanted."""
    registers = [{"id": "t", "address": 0, "type": "int16", "scale": 0.1, "unit": "°F"}]
    device = write_profile(tmp_path, registers)
    rules = {
        "units": [{"quantity": "temperature", "to": "°C"}],
        "bands": [{"point": "*", "deadband": "0.5 K"}],
    }
    sampling = Sampling(SamplingConfig.model_validate(rules), VirtualTime())
    async with (
        asyncio.timeout(20),
        independent({"holding": {0: 500}}) as port,
        bus(port, device) as driver,
    ):
        inventory = sampling.admit(await driver.discover())
        lane = sampling.lane(inventory.groups[0], {"modbus:bench:t": 0})
        stored = [lane.take(await driver.read(lane.group), ts, 0.0) for ts in (1, 2)]
    assert [batch.values for batch in stored] == [[10.0], []]
    plan: GroupPlan = lane.group.plan.group
    moved = []
    for raw in (509, 510, 519, 518):
        poll = plan.poll(3, _sweep(plan, (raw,), {}), lane.gate)
        moved.append(len(lane.take(poll, 3, 0.0)))
    assert moved == [0, 1, 0, 0]
    assert lane.silent == 1


def test_a_value_that_scaling_makes_endless_is_bad_behind_a_gate_too() -> None:
    """A float64 near its end times ten is no number: it says so, with a gate as without."""
    row = {"id": "wide", "name": "Wide", "address": 0, "type": "float64", "scale": 10}
    profile = Profile.model_validate(
        {"profile": 1, "vendor": "v", "model": "m", "source": "s", "registers": [row]}
    )
    plan = GroupPlan(Layout(profile, profile.points), Lessons())
    gate = RowGate([Band(0.0)], lambda: 0.0)
    for raw in (1.7e308, 1.79e307, -1.7e308, 3.5):
        got = plan.poll(7, _sweep(plan, (raw,), {}), gate)
        want = plan.poll(7, _sweep(plan, (raw,), {}))
        assert (got.values, got.quality) == (want.values, want.quality)
