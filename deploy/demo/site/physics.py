"""The whole site as a pure function: `start`, `advance`, `observe`.

The same seed and the same steps give the same trajectory, bit for bit.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from .climate import climate
from .cooling import Signals, cooling
from .electric import BATTERY_CAPACITY, REACTIVE_SHARE, SOC_START, Flows, flows

METERED = (
    *(f"{kind}-{n}" for kind in ("chiller", "chwp", "cwp", "tower", "ahu") for n in (1, 2)),
    "plant",
)
"""Equipment whose ``power`` is counted into an ``energy``."""
_DEMAND_SECONDS = 900.0
# Standard deviation of the measurement by the first word of the signal: of the value, and added.
_NOISE: dict[str, tuple[float, float]] = {
    "t": (0.0, 0.01), "rh": (0.0, 0.15), "flow": (0.001, 0.0), "p": (0.0, 0.6), "dp": (0.0, 0.4),
    "co2": (0.0, 2.0), "power": (0.0015, 0.0), "load": (0.0015, 0.0), "fla": (0.001, 0.0),
    "damper": (0.0, 0.1), "valve": (0.0, 0.1), "fan": (0.0, 0.05), "hz": (0.0, 0.02),
    "filter_dp": (0.004, 0.0), "wind": (0.02, 0.0), "irradiance": (0.002, 0.0), "lux": (0.002, 0.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """The site at one moment."""

    seed: int
    t: float
    """Site time, seconds since midnight of the first day."""
    step: int
    soc: float
    """State of charge of the battery, 0 to 1."""
    energies: dict[str, float]
    """kWh by counter: ``chiller-1``, ``grid-import``, ``battery-out`` ... (kVAh, h by name)."""
    demands: dict[str, float]
    """kW by meter, a quarter of an hour's sliding mean, and the highest as ``<meter>-max``."""
    signals: Signals
    """What is true, before it is measured."""
    flows: Flows


def start(seed: int, t: float) -> State:
    """Return the site at site time `t`, its counters as a building of some years has them."""
    rng = random.Random(f"counters-{seed}")
    names = [*METERED, *_counters(_NOTHING)]
    energies = {name: round(rng.uniform(20_000, 90_000), 1) for name in names}
    energies["hours"] = round(rng.uniform(8_000, 20_000), 1)
    energies["battery-out"] = 0.92 * energies["battery-in"]
    first = advance(State(seed, t, 0, SOC_START, energies, {}, {}, _NOTHING), 0.0)
    now = {"plant-meter": first.flows.plant, "floors-meter": first.flows.floors}
    highest = {f"{name}-max": 1.3 * power for name, power in now.items()}
    return replace(first, demands={**now, **highest})


def advance(state: State, dt: float, severity: float = 0.0) -> State:
    """Return the site `dt` seconds later.

    Args:
        state: the site before.
        dt: site seconds; what flows at the end of the step is counted for all of it.
        severity: of chiller 1's condenser fouling, 0 clean to 1.
    """
    t = state.t + dt
    sky = climate(state.seed, t)
    signals = cooling(state.seed, t, sky, severity)
    air = signals["ahu-1.power"] + signals["ahu-2.power"]
    loads = (signals["plant.power"], air)
    now = flows(state.seed, t, sky, soc=state.soc, loads=loads, dt=dt)
    hours = dt / 3600
    energies = dict(state.energies)
    for name in METERED:
        energies[name] += signals[f"{name}.power"] * hours
    for name, power in _counters(now).items():
        energies[name] += power * hours
    energies["hours"] += hours * signals["plant.on"]
    for name in METERED:
        signals[f"{name}.energy"] = energies[name]
    for number in (1, 2):
        signals[f"chiller-{number}.hours"] = energies["hours"] * (1.1 - 0.1 * number)
    soc = state.soc + now.stored * hours / BATTERY_CAPACITY
    demands = _demands(state.demands, now, dt)
    return State(state.seed, t, state.step + 1, soc, energies, demands, signals, now)


def observe(state: State) -> Signals:
    """Return the signals as the sensors of this step measure them."""
    rng = random.Random(state.seed * 1_000_003 + state.step)
    gauss = rng.gauss
    out = {}
    for name, value in state.signals.items():
        noise = _noise(name)
        out[name] = value + gauss(0.0, noise[0] * abs(value) + noise[1]) if noise else value
    return out


def _demands(before: dict[str, float], now: Flows, dt: float) -> dict[str, float]:
    keep = math.exp(-dt / _DEMAND_SECONDS)
    demands = {}
    for name, power in (("plant-meter", now.plant), ("floors-meter", now.floors)):
        demands[name] = power + keep * (before.get(name, power) - power)
        demands[f"{name}-max"] = max(before.get(f"{name}-max", 0.0), demands[name])
    return demands


def _noise(name: str) -> tuple[float, float] | None:
    signal = name.split(".", 1)[1]
    return _NOISE.get(signal) or _NOISE.get(signal.split("_", 1)[0])


def _counters(now: Flows) -> dict[str, float]:
    return {
        "grid-import": max(0.0, now.grid),
        "grid-export": max(0.0, -now.grid),
        "plant-meter": now.plant,
        "floors-meter": now.floors,
        "pv": now.pv,
        "battery-in": max(0.0, now.battery),
        "battery-out": max(0.0, -now.battery),
        "site-load": now.load,
        "grid-apparent": math.hypot(now.grid, REACTIVE_SHARE * now.load),
    }


_NOTHING = Flows(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
