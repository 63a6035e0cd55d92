"""What an analytic gets and gives.

An analytic is a pure function from `BatteryData` to `Figure` s, registered under a name. It reads
no clock and no database, and where it does not know it says so: None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, Protocol

from plantroom_cloud.battery.flow import Amount, Flow, PowerKind, count, integrate
from plantroom_cloud.battery.series import MINUTE_US, NOT_IMPLEMENTED, Clean, Series, clean
from plantroom_shared.registry import Registry

Grade = Literal["A", "B", "C", "N"]
"""A: bill-quality; B: trends; C: shown, not for trends; N: nothing to show."""

MAX_KW: Final = 1e7
MAX_KWH: Final = 1e12
_BLOCKS: Final = 4


@dataclass(frozen=True, slots=True)
class Figure:
    """One result with all that is needed to judge it."""

    name: str
    value: float | None
    unit: str
    start: int
    end: int
    """The window it is of, microseconds since 1970."""
    method: str
    """Id and version: ``energy.counter/1``."""
    coverage: float
    """Share of the window that is known, 0..1."""
    grade: Grade
    points: tuple[int, ...] = ()
    """Ids of the points it was made from."""
    flags: tuple[str, ...] = ()
    """What a person should know, sorted."""


@dataclass(frozen=True)
class BatteryData:
    """One battery over one window; samples may reach beyond it on both sides."""

    start: int
    end: int
    power: Series | None = None
    """Scaled to kW, > 0 discharges."""
    soc: Series | None = None
    """Scaled to per cent."""
    charge_counter: Series | None = None
    """Scaled to kWh, as is the next."""
    discharge_counter: Series | None = None
    rated_kwh: float | None = None
    rated_kw: float | None = None
    power_kind: PowerKind = "sampled"

    def __post_init__(self) -> None:
        if self.start >= self.end:
            msg = "a window ends after its start"
            raise ValueError(msg)

    @cached_property
    def soc_samples(self) -> list[Clean]:
        """State of charge in per cent."""
        found = clean(self.soc, -1.0, 101.0, NOT_IMPLEMENTED)
        return [(ts, soc) for ts, soc in found if self.start <= ts <= self.end]

    @cached_property
    def power_samples(self) -> list[Clean]:
        """Power in kW, > 0 discharges."""
        return clean(self.power, -MAX_KW, MAX_KW, NOT_IMPLEMENTED)

    @cached_property
    def integrals(self) -> tuple[Flow, Flow]:
        """Charged and discharged energy by integration of power."""
        return integrate(self.power_samples, self.power_kind, self.rated_kw)

    @cached_property
    def counters(self) -> tuple[Flow, Flow]:
        """Charged and discharged energy by counters."""
        return self._counted(self.charge_counter), self._counted(self.discharge_counter)

    def _counted(self, series: Series | None) -> Flow:
        readings = clean(series, 0.0, MAX_KWH, NOT_IMPLEMENTED)
        return count(readings, self.limit_kw, series.scale if series else 1.0)

    @cached_property
    def limit_kw(self) -> float | None:
        """The most that can flow; None if nothing tells."""
        if self.rated_kw:
            return self.rated_kw
        if self.rated_kwh:
            return 4 * self.rated_kwh
        if len(self.power_samples) >= 10:
            return 2 * max(abs(kw) for _, kw in self.power_samples) or None
        return None

    @cached_property
    def sign(self) -> Literal["ok", "untested", "sign_suspect", "sign_inverted"]:
        """Whether power and state of charge agree on which direction charges."""
        return _sign(self)


def _sign(data: BatteryData) -> Literal["ok", "untested", "sign_suspect", "sign_inverted"]:
    """Correlate what went in with how the state of charge moved, block by block.

    Blocks, since a state of charge of coarse steps hardly ever moves between two samples; about
    zero and not about the mean, since a battery that only charges has a sign too.
    """
    charge, discharge = data.integrals
    moved, charged = [], []
    for (start, before), (end, after) in _blocks(data.soc_samples, data.end - data.start):
        into, out = charge.within(start, end), discharge.within(start, end)
        if 2 * into.covered_us > end - start:
            moved.append(after - before)
            charged.append(into.kwh - out.kwh)
    size = math.sqrt(math.fsum(x * x for x in moved) * math.fsum(x * x for x in charged))
    if math.fsum(map(abs, moved)) < 5 or size == 0:
        return "untested"
    r = math.fsum(x * y for x, y in zip(moved, charged, strict=True)) / size
    if r < -0.5:
        return "sign_inverted"
    return "sign_suspect" if r <= 0.5 else "ok"


def _blocks(soc: Sequence[Clean], length: int) -> Iterator[tuple[Clean, Clean]]:
    """Cut where the state of charge has moved by 1 %, or a quarter of the window is over."""
    if not soc:
        return
    first = soc[0]
    for sample in soc:
        if abs(sample[1] - first[1]) >= 1 or (sample[0] - first[0]) * _BLOCKS >= length:
            yield first, sample
            first = sample


class Analytic(Protocol):
    """Makes the figures of one kind."""

    def __call__(self, data: BatteryData, /) -> Sequence[Figure]:
        """Return the figures; the same for the same data, always."""
        ...


ANALYTICS: Final[Registry[Analytic]] = Registry("analytic", "plantroom_cloud.battery.analytics")


def grade_of(coverage: float, step_us: int, *, counted: bool) -> Grade:
    """Return how far a figure can be trusted: A, B or C, and N where nothing is covered."""
    if coverage <= 0:
        return "N"
    if coverage >= 0.99 and (counted or step_us <= MINUTE_US):
        return "A"
    if coverage >= 0.95 and (counted or step_us <= 5 * MINUTE_US):
        return "B"
    return "C"


def worst(*grades: Grade) -> Grade:
    """Return the least of `grades`."""
    return max(grades)  # the letters are in order


def evaluate(data: BatteryData) -> list[Figure]:
    """Return the figures of every analytic there is."""
    return [figure for _, analytic in ANALYTICS for figure in analytic(data)]


__all__ = [
    "ANALYTICS", "Amount", "Analytic", "BatteryData", "Figure", "Grade",
    "evaluate", "grade_of", "worst",
]  # fmt: skip
