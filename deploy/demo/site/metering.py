"""What the meters, the inverter and the battery show: by device, register id and point unit.

Pure: one `State` gives one reading of every register, all of one instant and of one sum.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from plantroom_shared.model import Value

from .climate import climate, swing
from .electric import BATTERY_CAPACITY, BATTERY_RATED, REACTIVE_SHARE, SOC_MAX, SOC_MIN
from .physics import State

Readings = dict[str, Value]

PHASES = ("a", "b", "c")
STRINGS = (1, 2, 3)
SUB_REACTIVE = 0.42
_CELLS = 224
_MODULES = 16
_NOISE = 0.001


@dataclass(frozen=True, slots=True)
class ThreePhase:
    """Three phases of one feeder: W, var, VA, V and A."""

    active: tuple[float, ...]
    reactive: tuple[float, ...]
    apparent: tuple[float, ...]
    volts: tuple[float, ...]
    amps: tuple[float, ...]
    line: tuple[float, ...]
    """Line to line: 1-2, 2-3, 3-1."""
    hertz: float

    @property
    def totals(self) -> tuple[float, float, float]:
        """Active, reactive and apparent power of all phases."""
        p, q = sum(self.active), sum(self.reactive)
        return p, q, math.hypot(p, q)


def readings(state: State) -> dict[str, Readings]:
    """Return what every Modbus device shows."""
    now, energies = state.flows, state.energies
    q_grid = REACTIVE_SHARE * now.load
    plant = three_phase(state, "plant-meter", now.plant, SUB_REACTIVE * now.plant)
    floors = three_phase(state, "floors-meter", now.floors, SUB_REACTIVE * now.floors)
    return {
        "main-meter": _pm5560(state, three_phase(state, "main-meter", now.grid, q_grid)),
        "pv-inverter": _inverter(state, three_phase(state, "pv-inverter", now.pv, 0.02 * now.pv)),
        "battery": _battery(state),
        "plant-meter": _sdm630(plant, energies["plant-meter"], state),
        "floors-meter": _em24(floors, energies["floors-meter"], state),
    }


def three_phase(state: State, name: str, kilowatts: float, kilovars: float) -> ThreePhase:
    """Split a load over three phases as an electrician would: nearly, not quite, evenly."""
    seed, t = state.seed, state.t
    rng = random.Random(f"{name}-{seed}-{state.step}")
    noise = 1 + rng.gauss(0.0, _NOISE)
    tilt = 0.01 * swing(seed, f"{name}-tilt", t)
    shares = (1 / 3 + 0.012 + tilt, 1 / 3 - 0.004 - tilt, 1 / 3 - 0.008)
    active = tuple(1000 * kilowatts * noise * share for share in shares)
    reactive = tuple(1000 * kilovars * noise * share for share in shares)
    apparent = tuple(math.hypot(p, q) for p, q in zip(active, reactive, strict=True))
    volts = tuple(230.5 + 1.4 * swing(seed, f"volts-{phase}", t) for phase in PHASES)
    amps = tuple(s / u for s, u in zip(apparent, volts, strict=True))
    a, b, c = volts
    line = tuple(math.sqrt(x * x + y * y + x * y) for x, y in ((a, b), (b, c), (c, a)))
    hertz = 50 + 0.02 * swing(seed, "hertz", t)
    return ThreePhase(active, reactive, apparent, volts, amps, line, hertz)


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


def _spread(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return how far each value is from the mean, percent of the mean."""
    mean = _mean(values)
    return tuple(100 * abs(value - mean) / mean if mean else 0.0 for value in values)


def _factor(active: float, apparent: float) -> float:
    return active / apparent if apparent else 1.0


def _per_phase(pattern: str, values: tuple[float, ...]) -> Readings:
    return {pattern.format(x): value for x, value in zip(PHASES, values, strict=True)}


def _pm5560(state: State, feed: ThreePhase) -> Readings:
    p, q, s = feed.totals
    i = feed.amps
    neutral = math.sqrt(max(0.0, sum(x * x for x in i) - i[0] * i[1] - i[1] * i[2] - i[2] * i[0]))
    out: Readings = {
        "meter-name": "Incomer 1", "meter-model": "PM5560", "serial-number": 1_523_000_417,
        "manufacturer": "Schneider Electric",
        "current-n": neutral, "current-g": 0.01, "current-avg": _mean(i),
        "voltage-ll-avg": _mean(feed.line), "voltage-ln-avg": _mean(feed.volts),
        "active-power-total": p / 1000, "reactive-power-total": q / 1000,
        "apparent-power-total": s / 1000, "power-factor-total": _factor(p, s),
        "frequency": feed.hertz,
    }  # fmt: skip
    out |= _per_phase("current-{}", i) | _per_phase("current-unbalance-{}", _spread(i))
    out |= _per_phase("voltage-{}n", feed.volts)
    out |= _per_phase("voltage-unbalance-{}n", _spread(feed.volts))
    out["current-unbalance-worst"] = max(_spread(i))
    out["voltage-unbalance-ln-worst"] = max(_spread(feed.volts))
    out["voltage-unbalance-ll-worst"] = max(_spread(feed.line))
    for pair, volts, apart in zip(("ab", "bc", "ca"), feed.line, _spread(feed.line), strict=True):
        out[f"voltage-{pair}"], out[f"voltage-unbalance-{pair}"] = volts, apart
    for kind, values in (
        ("active", feed.active), ("reactive", feed.reactive), ("apparent", feed.apparent),
    ):  # fmt: skip
        out |= _per_phase(kind + "-power-{}", tuple(value / 1000 for value in values))
    factors = tuple(_factor(*pair) for pair in zip(feed.active, feed.apparent, strict=True))
    out |= _per_phase("power-factor-{}", factors)
    return out | _pm5560_energy(state.energies) | _pm5560_harmonics(state)


def _pm5560_energy(energies: dict[str, float]) -> Readings:
    out: Readings = {}
    for kind, into, out_of in (
        ("active", energies["grid-import"], energies["grid-export"]),
        ("reactive", REACTIVE_SHARE * energies["site-load"], 0.0),
        ("apparent", energies["grid-apparent"], 0.0),
    ):
        out[f"{kind}-energy-delivered"], out[f"{kind}-energy-received"] = into, out_of
        out[f"{kind}-energy-sum"], out[f"{kind}-energy-net"] = into + out_of, into - out_of
    return out


def _pm5560_harmonics(state: State) -> Readings:
    amps = {"a": 6.1, "b": 6.6, "c": 5.9, "n": 41.0, "g": 2.0}
    volts = dict.fromkeys(("ab", "bc", "ca", "ll", "an", "bn", "cn", "ln"), 1.9)
    sway = 1 + 0.08 * swing(state.seed, "harmonics", state.t)
    out: Readings = {f"thd-current-{name}": value * sway for name, value in amps.items()}
    return out | {f"thd-voltage-{name}": value * sway for name, value in volts.items()}


def _sub_meter(feed: ThreePhase, energy: float) -> Readings:
    """Return what the two DIN-rail meters have in common, in W, var and VA."""
    p, q, s = feed.totals
    out: Readings = {
        "active-power": p, "reactive-power": q, "apparent-power": s,
        "power-factor": _factor(p, s), "frequency": feed.hertz,
        "voltage-ln-avg": _mean(feed.volts), "voltage-ll-avg": _mean(feed.line),
        "voltage-l1-l2": feed.line[0], "voltage-l2-l3": feed.line[1],
        "voltage-l3-l1": feed.line[2],
        "import-active-energy": energy, "export-active-energy": 0.0,
        "import-reactive-energy": SUB_REACTIVE * energy, "export-reactive-energy": 0.0,
    }  # fmt: skip
    rows = zip(feed.volts, feed.amps, feed.active, feed.reactive, feed.apparent, strict=True)
    for n, (volt, amp, watt, var, va) in enumerate(rows, start=1):
        out |= {
            f"l{n}-voltage": volt, f"l{n}-current": amp, f"l{n}-active-power": watt,
            f"l{n}-reactive-power": var, f"l{n}-apparent-power": va,
            f"l{n}-power-factor": _factor(watt, va),
        }  # fmt: skip
    return out


def _sdm630(feed: ThreePhase, energy: float, state: State) -> Readings:
    out = _sub_meter(feed, energy)
    apparent = feed.totals[2]
    demand, highest = _demand(state, "plant-meter")
    angle = math.degrees(math.atan(SUB_REACTIVE))
    ratio = math.hypot(1, SUB_REACTIVE)
    sway = 1 + 0.08 * swing(state.seed, "harmonics", state.t)
    out |= {
        "current-avg": _mean(feed.amps), "current-sum": sum(feed.amps), "phase-angle": angle,
        "apparent-energy": ratio * energy, "charge": 1000 * ratio * energy / 3 / 230,
        "power-demand": demand, "power-demand-max": highest,
        "apparent-power-demand": ratio * demand, "apparent-power-demand-max": ratio * highest,
        "neutral-current": 0.05 * apparent / 230, "neutral-current-demand": 0.05 * demand / 230,
        "neutral-current-demand-max": 0.05 * highest / 230,
        "voltage-thd-avg": 1.8 * sway, "current-thd-avg": 7.4 * sway,
        "total-active-energy": energy, "total-reactive-energy": SUB_REACTIVE * energy,
    }  # fmt: skip
    for n in (1, 2, 3):
        out |= {
            f"l{n}-phase-angle": angle, f"l{n}-voltage-thd": 1.8 * sway,
            f"l{n}-current-thd": 7.4 * sway,
        }  # fmt: skip
    return out


def _em24(feed: ThreePhase, energy: float, state: State) -> Readings:
    out = _sub_meter(feed, energy)
    demand, highest = _demand(state, "floors-meter")
    out |= {"phase-sequence": 0, "power-demand": demand, "power-demand-max": highest}
    shares = (1 / 3 + 0.012, 1 / 3 - 0.004, 1 / 3 - 0.008)
    for n, share in enumerate(shares, start=1):
        out[f"l{n}-import-active-energy"] = share * energy
    return out


def _demand(state: State, meter: str) -> tuple[float, float]:
    """Return the demand of a meter and its highest, W."""
    return 1000 * state.demands[meter], 1000 * state.demands[f"{meter}-max"]


def _nameplate(maker: str, model: str, serial: str) -> Readings:
    return {"Mn": maker, "Md": model, "Opt": "demo", "Vr": "1.4.2", "SN": serial}


def _inverter(state: State, feed: ThreePhase) -> Readings:
    p, q, s = feed.totals
    dc_watts = p / 0.982
    dc_volts = 640 + 25 * swing(state.seed, "dc", state.t)
    producing = p > 200
    heat = 0.12 * p / 1000
    ambient = climate(state.seed, state.t).t_oa
    mode = 4 if producing else 2
    return _nameplate("Fieldsun", "FS-100-3P", "FS100-2231-0042") | {
        "A": sum(feed.amps), "AphA": feed.amps[0], "AphB": feed.amps[1], "AphC": feed.amps[2],
        "PPVphAB": feed.line[0], "PPVphBC": feed.line[1], "PPVphCA": feed.line[2],
        "PhVphA": feed.volts[0], "PhVphB": feed.volts[1], "PhVphC": feed.volts[2],
        "W": p, "Hz": feed.hertz, "VA": s, "VAr": q, "PF": 100 * _factor(p, s),
        "WH": 1000 * state.energies["pv"], "DCA": dc_watts / dc_volts, "DCV": dc_volts,
        "DCW": dc_watts, "TmpCab": ambient + 6 + heat, "TmpSnk": ambient + 9 + 1.6 * heat,
        "TmpTrns": None, "TmpOt": None, "St": mode, "StVnd": mode,
    }  # fmt: skip


def _battery(state: State) -> Readings:
    """Return the battery bank; current and power are positive while it discharges."""
    watts = -1000 * state.flows.battery
    soc = state.soc
    cell = 3.19 + 0.13 * soc - 0.00018 * watts / 730
    volts = _CELLS * cell
    amps = watts / volts
    full, empty = soc >= SOC_MAX - 0.002, soc <= SOC_MIN + 0.002
    status = 3 if watts > 200 else 4 if watts < -200 else 5 if full else 2 if empty else 6
    cycles = state.energies["battery-out"] / BATTERY_CAPACITY
    warm = 24.5 + 0.02 * abs(amps) + 0.5 * swing(state.seed, "modules", state.t)
    out = _nameplate("Steadfast Storage", "SB-400", "SB400-0007") | {
        "AHRtg": 1000 * BATTERY_CAPACITY / 730, "WHRtg": 1000 * BATTERY_CAPACITY,
        "WChaRteMax": 1000 * BATTERY_RATED, "WDisChaRteMax": 1000 * BATTERY_RATED,
        "DisChaRte": 0.1, "SoCMax": 100.0, "SoCMin": 0.0,
        "SocRsvMax": 100 * SOC_MAX, "SoCRsvMin": 100 * SOC_MIN,
        "SoC": 100 * soc, "DoD": 100 * (1 - soc), "SoH": 97.4, "NCyc": int(cycles),
        "ChaSt": status, "LocRemCtl": 0, "Hb": state.step % 65_535, "Typ": 4, "State": 3,
        "StateVnd": 3, "V": volts, "VMax": 3.55 * _CELLS, "VMin": 2.8 * _CELLS,
        "CellVMax": cell + 0.006, "CellVMaxStr": 2, "CellVMaxMod": 5, "CellVMin": cell - 0.007,
        "CellVMinStr": 3, "CellVMinMod": 11, "CellVAvg": cell, "A": amps,
        "AChaMax": 160.0, "ADisChaMax": 160.0, "W": watts, "ReqInvState": 0, "ReqW": 0.0,
        "NStr": len(STRINGS), "NStrCon": len(STRINGS), "NCellBal": 4,
        "ModTmpMax": warm + 1.6, "ModTmpMaxStr": 2, "ModTmpMaxMod": 8,
        "ModTmpMin": warm - 1.3, "ModTmpMinStr": 1, "ModTmpMinMod": 1, "ModTmpAvg": warm,
        "StrVMax": volts + 0.2, "StrVMaxStr": 1, "StrVMin": volts - 0.2, "StrVMinStr": 3,
        "StrVAvg": volts, "StrAMax": 0.345 * amps, "StrAMaxStr": 1, "StrAMin": 0.322 * amps,
        "StrAMinStr": 3, "StrAAvg": amps / 3,
    }  # fmt: skip
    for n, share in zip(STRINGS, (0.345, 0.333, 0.322), strict=True):
        out |= _string(n, share * amps, cell, warm, 100 * soc)
    return out


def _string(n: int, amps: float, cell: float, warm: float, soc: float) -> Readings:
    """Return one string; the shares of the strings sum to the bank."""
    values: Readings = {
        "NMod": _MODULES, "St": 3, "ConFail": 0, "SoC": min(100.0, soc + 0.3 * (2 - n)),
        "SoH": 97.9 - 0.25 * n, "A": amps, "CellVMax": cell + 0.006, "CellVMin": cell - 0.007,
        "CellVAvg": cell, "ModTmpMax": warm + 1.6, "ModTmpMin": warm - 1.3,
        "ModTmpAvg": warm, "DisRsn": 0, "Evt1": 0,
    }  # fmt: skip
    return {f"Str{n}{name}": value for name, value in values.items()}
