"""Which of the two ways to the energy counts: counters where they know, else the integral."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from plantroom_cloud.battery.analytic import BatteryData, Grade, grade_of, worst
from plantroom_cloud.battery.flow import Flow
from plantroom_cloud.battery.series import Series


@dataclass(frozen=True)
class Energy:
    """Energy in one direction over a window, and how it is known."""

    data: BatteryData
    flow: Flow
    counted: bool
    points: tuple[int, ...]
    oddities: frozenset[str] = frozenset()

    @cached_property
    def value(self) -> float | None:
        """KWh over the window; None if nothing is known or the sign of power is wrong."""
        amount = self.flow.within(self.data.start, self.data.end)
        return amount.kwh if amount.covered_us > 0 and not self._blocked else None

    @property
    def _blocked(self) -> bool:
        return not self.counted and self.data.sign == "sign_inverted"

    @cached_property
    def coverage(self) -> float:
        """Share of the window that is known, 0..1."""
        return _coverage(self.flow, self.data)

    @cached_property
    def grade(self) -> Grade:
        """How far it can be trusted."""
        if self.value is None:
            return "N"
        grade = grade_of(self.coverage, self.flow.step, counted=self.counted)
        doubtful = not self.counted and self.data.sign == "sign_suspect"
        return worst(grade, "C") if doubtful else grade

    @cached_property
    def flags(self) -> frozenset[str]:
        """What a person should know."""
        flags = self.oddities | self.flow.flags
        if self.data.sign.startswith("sign_") and self.data.power is not None:
            flags |= {self.data.sign}
        if 0 < self.coverage < 0.99:
            flags |= {"gaps"}
        return flags

    @property
    def method(self) -> str:
        """Id and version."""
        return "energy.counter/1" if self.counted else "energy.integral/1"


def _coverage(flow: Flow, data: BatteryData) -> float:
    return flow.within(data.start, data.end).covered_us / (data.end - data.start)


def charged_and_discharged(data: BatteryData) -> tuple[Energy, Energy]:
    """Return the energy that went in and the energy that came out."""
    series = (data.charge_counter, data.discharge_counter)
    directions = zip(data.integrals, data.counters, series, strict=True)
    charge, discharge = (_choose(data, *direction) for direction in directions)
    return charge, discharge


def _choose(data: BatteryData, integral: Flow, counter: Flow, series: Series | None) -> Energy:
    by_integral, by_counter = _coverage(integral, data), _coverage(counter, data)
    odd = frozenset({"meter_mismatch"} if _mismatch(data, integral, counter) else ())
    if series is not None and by_counter > 0 and (by_counter >= min(0.99, by_integral)):
        return Energy(data, counter, counted=True, points=(series.point,), oddities=odd)
    points = (data.power.point,) if data.power else ()
    return Energy(data, integral, counted=False, points=points, oddities=odd | counter.flags)


def _mismatch(data: BatteryData, integral: Flow, counter: Flow) -> bool:
    """Say whether both ways know the whole window and differ by more than 2 %."""
    if min(_coverage(integral, data), _coverage(counter, data)) < 0.95:
        return False
    one = integral.within(data.start, data.end).kwh
    other = counter.within(data.start, data.end).kwh
    return abs(one - other) > 0.02 * max(one, other) + 2 * counter.resolution
