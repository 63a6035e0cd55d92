"""Sun, battery and meters. Power in kW; a meter counts import positive, a battery charging."""

from __future__ import annotations

from dataclasses import dataclass

from .climate import Climate, swing

PV_RATED, BATTERY_RATED, BATTERY_CAPACITY = 100.0, 100.0, 400.0
"""kW of the inverter, kW and kWh of the battery."""
ONE_WAY = 0.965
"""Efficiency of charging, and of discharging."""
REACTIVE_SHARE = 0.30
"""Reactive over active power of all that the building uses."""
SOC_MIN, SOC_MAX, SOC_START = 0.10, 0.95, 0.35


@dataclass(frozen=True, slots=True)
class Flows:
    """Power through every meter of the site, kW."""

    base: float
    """Light, sockets and lifts."""
    plant: float
    floors: float
    """Air handling of both floors, and half of `base`."""
    pv: float
    battery: float
    """At the terminals, positive while charging."""
    grid: float
    """Positive while the site imports."""
    stored: float
    """What goes into the cells: `battery` less its losses."""
    load: float
    """All that the building uses."""


def flows(
    seed: int, t: float, sky: Climate, *, soc: float, loads: tuple[float, float], dt: float
) -> Flows:
    """Return the power flows at `t`.

    Args:
        seed: of the site.
        t: site time, s.
        sky: the climate at `t`.
        soc: state of charge, 0 to 1.
        loads: power of the chiller plant and of the air handlers, kW.
        dt: how long they will last, s: the battery stops before it is full or empty.
    """
    plant, air = loads
    base = 28 + 64 * sky.occupancy * (1 + 0.07 * swing(seed, "sockets", t))
    cell = sky.t_oa + 0.028 * sky.irradiance
    pv = min(PV_RATED, 118 * sky.irradiance / 1000 * 0.9 * (1 - 0.0038 * (cell - 25)))
    battery = _battery(sky.hour, pv, soc, dt)
    return Flows(
        base=base,
        plant=plant,
        floors=air + base / 2,
        pv=pv,
        battery=battery,
        grid=base + plant + air - pv + battery,
        stored=battery * ONE_WAY if battery > 0 else battery / ONE_WAY,
        load=base + plant + air,
    )


def _battery(hour: float, pv: float, soc: float, dt: float) -> float:
    """Return the power into the battery: from the sun by day, out of it in the evening peak."""
    hours = max(dt, 1.0) / 3600
    if 8 < hour < 16.75:
        room = (SOC_MAX - soc) * BATTERY_CAPACITY / hours / ONE_WAY
        return max(0.0, min(0.62 * pv, BATTERY_RATED, room))
    if 17 < hour < 21:
        ramp = min(1.0, (hour - 17) * 4, (21 - hour) * 4)
        left = (soc - SOC_MIN) * BATTERY_CAPACITY / hours * ONE_WAY
        return -max(0.0, min(78 * ramp, BATTERY_RATED, left))
    return 0.0
