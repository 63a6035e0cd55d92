"""What profiles and devices say of how points move: defaults of the sampling, which the file overrides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from plantroom_edge.drivers import Driver
from plantroom_edge.hints import Hint, hint_of
from plantroom_edge.sampling.bands import band_of
from plantroom_edge.sampling.config import SamplingConfig
from plantroom_edge.sampling.engine import Sampling
from plantroom_edge.sampling.explaining import words
from plantroom_edge.sampling.gate import Band, RowGate
from plantroom_edge.sampling.lane import Lane
from plantroom_edge.sampling.totals import counting_of
from plantroom_edge.simulation import modbus_server
from plantroom_edge.simulation.image import Image
from plantroom_shared.model import Point, Value
from plantroom_shared.profiles import Register, load_profile
from support.bacnet_device import Field, enumerated, oid, real, serving, text, unsigned
from support.bacnet_peers import driver
from support.edge_sampling import Plant
from support.edge_time import VirtualTime
from support.modbus_bus import bus, write_profile

ON = {"report": "by-exception"}
COV, PRESENT, UNITS = "_22", 85, "_117"


def point(unit: str = "", key: str = "d:p", **more: Any) -> Point:
    return Point(key=key, device="d", name="p", unit=unit, **more)


def register(**more: Any) -> Register:
    return Register.model_validate({"id": "r", "name": "R", "address": 0, **more})


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ({}, None),
        ({"deadband": 0.5}, Hint(deadband=0.5)),
        ({"deadband": 0}, Hint(deadband=0)),
        ({"deadband": "1.5%"}, Hint(percent=1.5)),
        ({"counter": True, "scale": 0.1}, Hint(counter=True, rollover=pytest.approx(6553.6))),  # type: ignore[arg-type] # stands in
        ({"counter": True, "rollover": 1000}, Hint(counter=True, rollover=1000)),
        ({"counter": True, "type": "int32"}, Hint(counter=True)),
    ],
)
def test_what_a_profile_says_becomes_a_hint(entry: dict[str, Any], wanted: Hint | None) -> None:
    """A deadband is absolute or a percentage; a counter is 0 again where it says, or its type ends."""
    assert hint_of(register(**entry)) == wanted


def test_a_device_that_says_something_is_heard_without_a_profile() -> None:
    """The increment comes alone, or with what the profile says."""
    assert hint_of(None) is None
    assert hint_of(None, 0.5) == hint_of(register(), 0.5) == Hint(increment=0.5)
    assert hint_of(register(deadband=2), 0.5) == Hint(deadband=2, increment=0.5)


RULE = {"bands": [{"point": "*", "deadband": 3}]}
BEAT = {"bands": [{"point": "*", "heartbeat": 60}]}
EVERY = {"bands": [{"point": "*", "every": True}]}


@pytest.mark.parametrize(
    ("config", "unit", "hint", "origin", "width"),
    [
        ({}, "°C", Hint(deadband=1), None, (0, 0)),
        (ON | EVERY, "°C", Hint(deadband=1), None, (0, 0)),
        (ON | RULE, "°C", Hint(deadband=1), "rule", (3, 0)),
        (ON, "°C", Hint(deadband=1), "profile", (0.999, 0)),
        (ON, "kW", Hint(percent=2), "profile", (0, 0.01998)),
        (ON, "°C", Hint(deadband=0), "profile", (0, 0)),
        (BEAT, "°C", Hint(deadband=1), "profile", (0.999, 0)),
        (ON, "°C", Hint(increment=1), "kind", (0.05, 0)),
        (ON, "kWh", Hint(increment=1), "kind", (0, 0)),
        (ON, "", Hint(increment=1), "device", (0.999, 0)),
        (ON, "furlong", Hint(deadband=2, increment=1), "profile", (1.998, 0)),
        (ON, "", Hint(counter=True), "kind", (0, 0)),
        ({}, "", Hint(increment=1), None, (0, 0)),
    ],
)
def test_rule_then_profile_then_kind_then_device(
    config: dict[str, Any], unit: str, hint: Hint, origin: str | None, width: tuple[float, float]
) -> None:
    """Nothing is suppressed that the file does not switch on; then the one that knows more wins."""
    band = band_of(point(unit), SamplingConfig.model_validate(config), hint)
    if band is None:
        assert origin is None
        return
    assert band.origin == origin
    assert (band.absolute, band.share) == pytest.approx(width)
    assert band.heartbeat == (60 if config is BEAT else 900)


def test_states_have_no_deadband_whatever_a_profile_says() -> None:
    """The number of a state is no quantity: one more is another state."""
    of = point(states=("off", "on", "auto"))
    band = band_of(of, SamplingConfig.model_validate(ON), Hint(deadband=5, increment=2))
    assert band == Band(origin="kind")


def test_a_change_of_a_hint_is_worth_a_sample_however_it_is_rounded() -> None:
    """A hint is the least change worth a sample: floats of 32 bits that are that far apart are told."""
    for hint in (Hint(deadband=0.1), Hint(increment=0.1)):
        band = band_of(point(), SamplingConfig.model_validate(ON), hint)
        gate, told = RowGate([band], VirtualTime().monotonic), 0
        for value in (20.0, 20.100000381469727, 50.0, 50.099998474121094, 50.15):
            told += len(gate.changed([value], {}))
        assert told == 4


DECLARED = Hint(counter=True, rollover=1000)


@pytest.mark.parametrize(
    ("config", "hint", "modulus"),
    [
        ({}, DECLARED, "no total"),
        ({"totals": "by-profile"}, DECLARED, 1000),
        ({"totals": "by-profile"}, Hint(counter=True), None),
        ({"totals": "by-profile"}, Hint(deadband=1), "no total"),
        ({"totals": "by-profile"}, None, "no total"),
        ({"counters": [{"point": "*"}]}, DECLARED, 1000),
        ({"counters": [{"point": "*"}]}, None, None),
        ({"counters": [{"point": "*", "modulus": 500}]}, DECLARED, 50),
        (
            {"totals": "by-profile", "counters": [{"point": "d:*", "total": False}]},
            DECLARED,
            "no total",
        ),
    ],
)
def test_a_rule_goes_before_the_profile_of_a_counter(
    config: dict[str, Any], hint: Hint | None, modulus: float | str | None
) -> None:
    """Which points are counters, and where they are 0 again: raw by a rule, in the unit by a profile."""
    counting = counting_of(point("kWh"), SamplingConfig.model_validate(config), hint)
    assert (counting.modulus(0.1) if counting else "no total") == modulus


def test_the_pace_of_a_rule_holds_with_the_profiles_rollover() -> None:
    """Each key of a rule overrides for itself."""
    config = SamplingConfig.model_validate({"counters": [{"point": "*", "fastest": 7200}]})
    counting = counting_of(point("kWh"), config, DECLARED)
    assert counting is not None
    assert (counting.modulus(1.0), counting.fastest) == (1000, 2.0)


async def test_hints_are_in_the_unit_that_is_stored() -> None:
    """Where values are converted, so are the deadband and the rollover of a profile."""
    config = ON | {"totals": "by-profile", "units": [{"quantity": "energy", "to": "kWh"},
                                                     {"quantity": "temperature", "to": "°C"}]}  # fmt: skip
    plant = Plant([point("Wh", "d:e"), point("°F", "d:t")], config)
    plant.table.hints = {
        "d:e": Hint(deadband=500, counter=True, rollover=100_000),
        "d:t": Hint(deadband=1.8),
    }
    plant.table.values = {"d:e": 99_000, "d:t": 32.0}
    async with plant.polling():
        for energy, fahrenheit in ((99_600, 33.7), (99_999, 33.9), (600, 34.0)):
            await plant.time.advance(1.0)
            plant.table.values = {"d:e": energy, "d:t": fahrenheit}
        await plant.time.advance(1.0)
    totals = [(value, why) for _, value, why in plant.shelf.rows("d:e:total")]
    assert totals == [(99.0, ""), (99.6, ""), (pytest.approx(100.6), "")]
    temperatures = [value for _, value, _ in plant.shelf.rows("d:t")]
    assert temperatures == [0.0, pytest.approx(1.9 / 1.8)]
    figures = plant.sampling.figures()
    assert figures["deadbands"] == {"profile": 2}
    assert (figures["counters"], figures["rollovers"], figures["resets"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("config", "hint", "unit", "said"),
    [
        ({}, DECLARED, "kWh", ("every poll", "")),
        (ON, Hint(deadband=0.5), "kW", ("0.5 kW (by profile), or 900 s", "")),
        (ON, Hint(percent=1), "kW", ("1 % (by profile), or 900 s", "")),
        (ON, Hint(increment=7), "", ("7 (by device), or 900 s", "")),
        (
            ON | {"totals": "by-profile"},
            DECLARED,
            "kWh",
            ("any change (by kind), or 900 s", "0 again at 1000 kWh (by profile)"),
        ),
        (
            {"totals": "by-profile"},
            Hint(counter=True),
            "kWh",
            ("every poll", "never 0 again (by profile)"),
        ),
    ],
)
async def test_it_is_said_who_says_so(
    config: dict[str, Any], hint: Hint, unit: str, said: tuple[str, str]
) -> None:
    """A person sees deadband and counter of a point with their origin."""
    plant = Plant([point(unit)], config)
    plant.table.hints = {"d:p": hint}
    plant.sampling.admit(await plant.table.discover())
    assert words(plant.sampling.explain("d:p"), unit) == said


# ---------------------------------------------------------------- over sockets


async def test_a_modbus_profile_counts_and_suppresses(tmp_path: Path) -> None:
    """A register that its profile calls a counter rolls over unharmed; small changes wait for a heartbeat."""
    registers = [
        {"id": "energy", "address": 0, "scale": 0.1, "unit": "kWh", "counter": True,
         "rollover": 1000},
        {"id": "power", "address": 1, "scale": 0.1, "unit": "kW", "deadband": "10%"},
        {"id": "level", "address": 2, "scale": 0.1, "unit": "m", "deadband": 0.5},
    ]  # fmt: skip
    device = write_profile(tmp_path, registers)
    shown = [9950, 1000, 50]
    picture: Image = {"holding": dict(enumerate(shown))}
    unit = modbus_server.unit_of(
        load_profile("test/bench", tmp_path),
        picture,
        lambda: {"holding": dict(enumerate(shown))},
    )
    time = VirtualTime()
    stored: list[dict[str, Value]] = []
    async with (
        asyncio.timeout(30),
        modbus_server.serving({1: unit}) as port,
        bus(port, device) as opened,
    ):
        sampling, aliases, lane = await _lane(opened, ON | {"totals": "by-profile"}, time)
        for second, words_now in enumerate(
            [
                (9950, 1000, 50),
                (9980, 1099, 54),  # 9.9 %, 0.4 m: nothing new
                (9, 1100, 55),  # 2.9 kWh on, through 1000; 10 %, 0.5 m
                (9, 1100, 55),
            ]
        ):
            shown[:] = words_now
            batch = lane.take(await opened.read(lane.group), second * 1_000_000, time.seconds)
            assert not batch.quality
            stored.append(_by_id(aliases, batch.points, batch.values))
        time.seconds += 900
        batch = lane.take(await opened.read(lane.group), 900_000_000, time.seconds)
        stored.append(_by_id(aliases, batch.points, batch.values))
    first, second_, third, fourth, late = stored
    assert first == {"energy": 995.0, "energy:total": 995.0, "power": 100.0, "level": 5.0}
    assert second_ == {"energy": 998.0, "energy:total": 998.0}
    assert third == {
        "energy": 0.9, "energy:total": pytest.approx(1000.9), "power": 110.0, "level": 5.5,
    }  # fmt: skip
    assert fourth == {}
    assert late == third
    assert sampling.figures()["rollovers"] == 1


async def test_without_the_file_saying_so_a_profile_changes_nothing(tmp_path: Path) -> None:
    """No section `sampling:`: every poll of every point is a sample, and no point is added."""
    registers = [
        {"id": "energy", "address": 0, "counter": True, "deadband": 5, "unit": "kWh"},
    ]
    device = write_profile(tmp_path, registers)
    unit = modbus_server.unit_of(load_profile("test/bench", tmp_path), {"holding": {0: 7}})
    async with (
        asyncio.timeout(30),
        modbus_server.serving({1: unit}) as port,
        bus(port, device) as opened,
    ):
        _, aliases, lane = await _lane(opened, {}, VirtualTime())
        polls = [lane.take(await opened.read(lane.group), ts, 0.0) for ts in (1, 2)]
    assert list(aliases) == ["modbus:bench:energy"]
    assert [batch.values for batch in polls] == [[7], [7]]


async def test_a_reset_is_flagged_and_no_roll_over(tmp_path: Path) -> None:
    """A counter that its profile lets roll over, and that falls too far from there, began anew."""
    registers = [{"id": "energy", "address": 0, "counter": True, "rollover": 60_000}]
    device = write_profile(tmp_path, registers)
    shown = {0: 20_000}
    unit = modbus_server.unit_of(
        load_profile("test/bench", tmp_path), {"holding": {0: 0}}, lambda: {"holding": shown}
    )
    async with (
        asyncio.timeout(30),
        modbus_server.serving({1: unit}) as port,
        bus(port, device) as opened,
    ):
        sampling, _, lane = await _lane(opened, {"totals": "by-profile"}, VirtualTime())
        lane.take(await opened.read(lane.group), 0, 0.0)
        shown[0] = 3
        batch = lane.take(await opened.read(lane.group), 1_000_000, 1.0)
    assert batch.values == [3, 20_003.0]
    assert batch.quality == {1: (1, "counter-reset")}
    assert sampling.figures()["resets"] == 1


PROFILE = """\
profile: 1
protocol: bacnet
vendor: Acme
model: Meter 9
source: "Acme Meter 9, BACnet objects, edition 1"
match: {model: ["Meter 9*"]}
objects:
  - {id: supply, type: analog-input, instance: 1, name: Supply, unit: degrees-celsius, deadband: 0.5}
  - {id: heat, type: accumulator, instance: 2, name: Heat, unit: kilowatt-hours, counter: true,
     rollover: 1000}
"""


async def test_a_bacnet_profile_and_the_increment_of_an_object(tmp_path: Path) -> None:
    """The deadband is in the device's unit, the counter rolls over, an object without a unit has its COV increment."""
    (tmp_path / "meter").mkdir()
    (tmp_path / "meter" / "acme-meter-9.yaml").write_text(PROFILE)
    device = Field(instance=7)
    device.add(0, 1, real(70.0), "T", **{UNITS: enumerated(64)})
    device.add(23, 2, unsigned(998), "H", **{UNITS: enumerated(19)})
    device.add(2, 3, real(10.0), "Index", **{COV: real(2.0)})
    device.add(2, 4, real(10.0), "Warm", **{COV: real(2.0), UNITS: enumerated(62)})
    own = device._own
    device._own = lambda prop: text("Meter 9") if prop == 70 else own(prop)  # type: ignore[method-assign] # a product
    stored: list[dict[str, Value]] = []
    async with (
        asyncio.timeout(30),
        serving(device) as targets,
        driver(*targets, profile_dir=tmp_path) as opened,
    ):
        config = ON | {"totals": "by-profile"}
        sampling, aliases, lane = await _lane(opened, config, VirtualTime())
        for second, (fahrenheit, heat, index) in enumerate(
            [(70.0, 998, 10.0), (70.8, 999, 11.9), (70.9, 3, 12.0)]
        ):
            device.objects[oid(0, 1)][PRESENT] = real(fahrenheit)
            device.objects[oid(23, 2)][PRESENT] = unsigned(heat)
            for number in (3, 4):
                device.objects[oid(2, number)][PRESENT] = real(index)
            batch = lane.take(await opened.read(lane.group), second * 1_000_000, 0.0)
            stored.append(_by_id(aliases, batch.points, batch.values))
    assert stored[1:] == [
        {"accumulator:2": 999, "accumulator:2:total": 999.0,
         "analog-value:4": pytest.approx(11.9)},
        {"analog-input:1": pytest.approx(70.9), "accumulator:2": 3,
         "accumulator:2:total": 1003.0, "analog-value:3": 12.0, "analog-value:4": 12.0},
    ]  # fmt: skip
    assert sampling.figures()["deadbands"] == {"profile": 1, "kind": 2, "device": 1}


async def _lane(
    opened: Driver, config: dict[str, Any], time: VirtualTime
) -> tuple[Sampling, dict[str, int], Lane]:
    """Return the one lane of a bus, and the aliases of its points."""
    sampling = Sampling(SamplingConfig.model_validate(config), time)
    inventory = sampling.admit(await opened.discover())
    aliases = {one.key: alias for alias, one in enumerate(inventory.points)}
    [group] = inventory.groups
    return sampling, aliases, sampling.lane(group, aliases)


def _by_id(aliases: dict[str, int], points: list[int], values: list[Value]) -> dict[str, Value]:
    keys = list(aliases)
    return {keys[one].split(":", 2)[2]: value for one, value in zip(points, values, strict=True)}
