"""The simulated building without its servers: its catalogue, its physics, its readings."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from demo.site.catalogue import FLOOR_2, catalogue, controllers, keys_of
from demo.site.climate import DAY, HOUR
from demo.site.electric import BATTERY_CAPACITY, SOC_MAX, SOC_MIN
from demo.site.manifest import detector_config
from demo.site.metering import readings
from demo.site.modbus_devices import raw_value, site_devices
from demo.site.physics import State, advance, observe, start
from demo.site.running import TICK, Site
from plantroom_edge.detectors import detectors

NINE = 9 * HOUR


def _walk(state: State, steps: int, dt: float, severity: float = 0.0) -> list[State]:
    states = [state]
    for _ in range(steps):
        states.append(advance(states[-1], dt, severity))
    return states


@pytest.fixture(scope="module")
def day() -> list[State]:
    """A day and a bit in steps of five minutes, from midnight."""
    return _walk(start(7, 0.0), 300, 300.0)


def test_catalogue_is_large_enough_and_unambiguous() -> None:
    """There are 420 objects on 8 BACnet devices, 150 registers, and no key or name twice."""
    entries = catalogue(7)
    bacnet = [entry for entry in entries if entry.instance or entry.key.startswith("bacnet")]
    registers = sum(one.words for device in site_devices() for one in device.profile.registers)
    assert len(bacnet) >= 420
    assert len({entry.device for entry in bacnet}) >= 8
    assert registers >= 150
    assert len(entries) >= 550
    assert len({entry.key for entry in entries}) == len(entries)
    assert len({(entry.device, entry.name) for entry in bacnet}) == len(bacnet)
    assert [entry.index for entry in entries] == list(range(len(entries)))


def test_catalogue_depends_on_its_seed_alone() -> None:
    """One seed gives one list; another leaves out other descriptions, and changes no truth."""
    one, other = catalogue(7), catalogue(8)
    assert catalogue(7) == one
    assert [e.description for e in one] != [e.description for e in other]
    bare = [[replace(e, description="", unit="") for e in entries] for entries in (one, other)]
    assert bare[0] == bare[1]


def test_some_descriptions_and_units_are_missing() -> None:
    """Integrators leave out texts, but never the unit of a value that would then be read wrong."""
    bacnet = [entry for entry in catalogue(7) if entry.key.startswith("bacnet")]
    measured = [entry for entry in bacnet if entry.true_unit]
    assert 0.2 < sum(not entry.description for entry in bacnet) / len(bacnet) < 0.4
    assert 0.05 < sum(not entry.unit for entry in measured) / len(measured) < 0.2
    assert all(entry.unit for entry in measured if "fahrenheit" in entry.true_unit)


def test_names_follow_four_manners() -> None:
    """Apostrophes, references with dots, words run together and words spelled out all occur."""
    names = {entry.name for entry in catalogue(7)}
    samples = {
        "B1'Ch01'TFlwCHW",
        "NAE-01/FC-1.AHU-1.SA-T",
        "AHU 2 Discharge Air Temp",
        "VAV_1_07.ZoneTemp",
        "VAV-2-03 ZN-T",
    }
    assert samples <= names


def test_boxes_have_no_counterpart_and_plant_has() -> None:
    """EnOS has no public VAV points; every chiller, pump, tower, AHU and meter has some."""
    known = Counter(entry.equipment for entry in catalogue(7) if entry.enos)
    machines = {entry.equipment for entry in catalogue(7)}
    assert not [name for name in known if name.startswith("vav")]
    assert {name for name in machines if not name.startswith("vav")} == set(known)


def test_every_point_has_a_signal_behind_it() -> None:
    """The physics knows every signal of the catalogue, and every register of every profile."""
    state = start(7, NINE)
    signals, shown = observe(state), readings(state)
    for entry in catalogue(7):
        device, _, name = entry.signal.partition(".")
        known = entry.signal in signals or name in shown.get(device, {})
        assert known or name.startswith("Evt1-"), entry.key


def test_same_seed_gives_the_same_trajectory() -> None:
    """Steps of the same length from the same seed agree bit for bit, other seeds do not."""
    one = [observe(state) for state in _walk(start(7, NINE), 50, 60.0)]
    again = [observe(state) for state in _walk(start(7, NINE), 50, 60.0)]
    other = [observe(state) for state in _walk(start(8, NINE), 50, 60.0)]
    assert one == again
    assert one[-1] != other[-1]


def test_power_and_energy_balance(day: list[State]) -> None:
    """Grid = load - PV + battery at every step, and every counter is the integral of its power."""
    for before, now in pairwise(day):
        flow, hours = now.flows, (now.t - before.t) / HOUR
        assert flow.grid == pytest.approx(flow.load - flow.pv + flow.battery)
        assert flow.load == pytest.approx(
            flow.base
            + now.signals["plant.power"]
            + sum(now.signals[f"ahu-{n}.power"] for n in (1, 2))
        )
        gained = now.energies["grid-import"] - before.energies["grid-import"]
        assert gained == pytest.approx(max(0.0, flow.grid) * hours, abs=1e-6)
        charged = (now.soc - before.soc) * BATTERY_CAPACITY
        assert charged == pytest.approx(flow.stored * hours, abs=1e-9)


def test_battery_lives_on_the_sun_and_serves_the_evening(day: list[State]) -> None:
    """It charges by day, discharges in the evening, stays within its limits and loses energy."""
    assert all(SOC_MIN - 1e-9 <= state.soc <= SOC_MAX + 1e-9 for state in day)
    noon = [s for s in day if 11 * HOUR < s.t < 13 * HOUR]
    evening = [s for s in day if 18 * HOUR < s.t < 19.5 * HOUR]
    assert all(0 < s.flows.battery < s.flows.pv for s in noon)
    assert all(s.flows.battery < 0 for s in evening)
    taken = day[-1].energies["battery-in"] - day[0].energies["battery-in"]
    given = day[-1].energies["battery-out"] - day[0].energies["battery-out"]
    kept = (day[-1].soc - day[0].soc) * BATTERY_CAPACITY
    assert 0 < given + kept < taken


def test_plant_follows_the_clock(day: list[State]) -> None:
    """At night the plant stands, with no flow and no power; by day heat balances flow x ΔT."""
    night = [s.signals for s in day if s.t < 5 * HOUR]
    assert {s["plant.power"] for s in night} == {0.0}
    for signals in (s.signals for s in day if 9 * HOUR < s.t < 19 * HOUR):
        drop = signals["chiller-1.t_chwr"] - signals["chiller-1.t_chws"]
        heat = 4.187 * signals["chiller-1.flow_chw"] * drop
        assert signals["chiller-1.load"] == pytest.approx(heat)


def test_every_register_holds_its_value_all_day(day: list[State]) -> None:
    """No reading overflows its register, and each reads back within half a digit of it."""
    for state in day[::10]:
        shown = readings(state)
        for device in site_devices():
            known = device.profile.by_id
            for register in device.profile.points:
                words = raw_value(register, shown[device.name])
                exponent = None
                if register.sf:
                    (raw,) = raw_value(known[register.sf], {})
                    exponent = raw - 65_536 if raw > 32_767 else raw
                value, reason = register.decode(words, exponent)
                expected = shown[device.name].get(register.id, False)
                if expected is None:
                    assert (value, reason) == (None, "not-available")
                elif isinstance(expected, float) and isinstance(value, float | int):
                    step = abs(register.scale) * 10.0 ** (exponent or 0)
                    near = 0.51 * step if register.type != "float32" else abs(expected) * 1e-6
                    assert value == pytest.approx(expected, abs=near + 1e-9), register.id
                    assert not reason, register.id
                else:
                    assert value == expected, register.id


def test_meters_agree_with_each_other(day: list[State]) -> None:
    """Phases sum to the total, strings to the bank, and the main meter sees the grid's power."""
    for state in day[::20]:
        shown = readings(state)
        main: dict[str, float] = shown["main-meter"]  # type: ignore[assignment]  # no text is used
        battery: dict[str, float] = shown["battery"]  # type: ignore[assignment]  # nor here
        total = sum(main[f"active-power-{phase}"] for phase in "abc")
        assert main["active-power-total"] == pytest.approx(total)
        assert main["active-power-total"] == pytest.approx(state.flows.grid, rel=0.006)
        assert main["apparent-power-total"] == pytest.approx(
            math.hypot(main["active-power-total"], main["reactive-power-total"])
        )
        assert sum(battery[f"Str{n}A"] for n in (1, 2, 3)) == pytest.approx(battery["A"])
        assert battery["W"] == pytest.approx(battery["A"] * battery["V"])
        assert battery["W"] == pytest.approx(-1000 * state.flows.battery)


def test_planted_fault_breaks_relations_and_spares_the_rest() -> None:
    """Fouling lifts chiller 1's condenser and its power; chiller 2 and every load stay."""
    state = start(7, NINE)
    clean, fouled = advance(state, 60.0).signals, advance(state, 60.0, 1.0).signals
    changed = {name for name in clean if fouled[name] != clean[name]}
    assert fouled["chiller-1.t_cond"] > clean["chiller-1.t_cond"] + 1
    assert fouled["chiller-1.power"] > 1.03 * clean["chiller-1.power"]
    assert fouled["chiller-1.t_cond"] < 38
    assert fouled["chiller-1.fla"] < 100
    assert not [name for name in changed if name.startswith(("chiller-2", "ahu", "vav"))]
    assert "chiller-1.load" not in changed


def test_fault_grows_and_goes() -> None:
    """Told to, the site lets the fault grow step by step, and heals it when told to."""
    site = Site(7, NINE, 600.0)

    def approach() -> float:
        signals = site.moment.signals
        return signals["chiller-1.t_cond"] - signals["chiller-1.t_cwr"]

    clean = approach()
    site.fault = True
    for _ in range(60):
        site.step()
    fouled = approach()
    site.fault = False
    for _ in range(60):
        site.step()
    assert fouled > clean + 0.8
    assert approach() == pytest.approx(clean, abs=0.4)


def _polled(seed: int, fault_at: float | None) -> npt.NDArray[np.float64]:
    """Return a minute of polls of chiller 1, two a second."""
    entries = catalogue(seed)
    keys = keys_of(entries, "chiller-1")
    wanted = [entry.signal for entry in entries if entry.key in keys]
    site = Site(seed, NINE, 600.0)
    rows = []
    for step in range(1, round(60 / TICK) + 1):
        site.fault = fault_at is not None and step * TICK > fault_at
        site.step()
        if step % 5 == 0:
            rows.append([site.moment.signals[name] for name in wanted])
    return np.array(rows)


@pytest.mark.parametrize("seed", [1, 7, 23])
def test_a_pca_sees_the_fault_and_nothing_before(seed: int) -> None:
    """Fitted on the first 22 s, windows never leave the model before the fault, and do after."""
    config = detector_config({"watch": {"chiller-1": ["a"]}})
    detectors.get("pca").config.model_validate(config)
    window, lesson = config["window"], 44

    def means(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        kernel = np.ones(window) / window
        return np.column_stack([np.convolve(column, kernel, "valid") for column in rows.T])

    healthy, fouled = means(_polled(seed, None)), means(_polled(seed, 35.0))
    taught = healthy[: lesson - window]
    centre, spread = taught.mean(axis=0), taught.std(axis=0)
    _, singular, axes = np.linalg.svd((taught - centre) / spread, full_matrices=False)
    share = np.cumsum(singular**2) / np.sum(singular**2)
    kept = axes[: int(np.searchsorted(share, config["variance"])) + 1].T

    def error(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        z = (rows - centre) / spread
        rest = z - z @ kept @ kept.T
        squares: npt.NDArray[np.float64] = (rest**2).sum(axis=1)
        return squares

    threshold = config["margin"] * error(taught).max()
    assert error(healthy).max() < threshold
    assert (error(fouled)[(41 * 2) :] > threshold).all()


def test_floor_two_has_small_controllers() -> None:
    """The boxes of floor 2 are devices of their own."""
    assert sum(FLOOR_2 < one.instance < FLOOR_2 + 100 for one in controllers()) == 8


def test_time_goes_on_after_midnight(day: list[State]) -> None:
    """The second day begins where the first ended."""
    assert day[-1].t > DAY
    assert observe(day[-1])["weather.t_oa"] == pytest.approx(26, abs=6)
