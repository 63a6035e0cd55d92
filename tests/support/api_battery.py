"""Synthetic batteries whose figures are known by construction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from plantroom_cloud.battery.analytic import BatteryData, Figure, evaluate
from plantroom_cloud.battery.series import Raw, Series

SECOND = 1_000_000
HOUR = 3600 * SECOND
T0 = 1_769_860_800_000_000
RATED = 40.0


def sampled(
    value: Callable[[float], float | None], hours: float, step_s: int = 10, start: int = T0
) -> list[Raw]:
    """Return samples of `value` (a function of hours) over `hours`, both ends included."""
    count = round(hours * 3600 / step_s)
    return [(start + n * step_s * SECOND, value(n * step_s / 3600), 0) for n in range(count + 1)]


def cycling(
    hours: float, *, efficiency: float = 0.9, power: float = 40.0
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Return power (kW, > 0 discharges) and state of charge (%) of full cycles of 40 kWh.

    An hour charges from 10 to 90 %, half an hour rests, an hour discharges what the efficiency
    leaves, half an hour rests: closed after each two times an hour and a half.
    """

    def level(t: float) -> float:
        phase = t % 3
        if phase < 1:
            return -power
        return power * efficiency if 1.5 <= phase < 2.5 else 0.0

    def charge(t: float) -> float:
        phase = t % 3
        return 10 + 80 * (min(phase, 1.0) - min(max(phase - 1.5, 0.0), 1.0))

    del hours
    return level, charge


def data_of(
    hours: float,
    *,
    power: Sequence[Raw] | None = None,
    soc: Sequence[Raw] | None = None,
    charge: Sequence[Raw] | None = None,
    discharge: Sequence[Raw] | None = None,
    rated_kwh: float | None = RATED,
    rated_kw: float | None = 50.0,
    counter_scale: float = 1.0,
) -> BatteryData:
    """Return a battery over `hours` from `T0` on; points 1 to 4 in the order of the arguments."""

    def series(point: int, samples: Sequence[Raw] | None, scale: float = 1.0) -> Series | None:
        return None if samples is None else Series(point, samples, scale)

    return BatteryData(
        start=T0,
        end=T0 + round(hours * HOUR),
        power=series(1, power),
        soc=series(2, soc),
        charge_counter=series(3, charge, counter_scale),
        discharge_counter=series(4, discharge, counter_scale),
        rated_kwh=rated_kwh,
        rated_kw=rated_kw,
    )


def figures(data: BatteryData) -> dict[str, Figure]:
    """Return the figures of every analytic by name."""
    return {figure.name: figure for figure in evaluate(data)}
