"""What the parts of an expression measure, and which of them can be joined. Pure.

All is calculated in SI; so kW and W, °C and °F, or L/s and m³/h mix by themselves. Temperatures are
kept apart from their differences by a weight: a temperature has 1, the difference of two has 0,
``0.3 * a + 0.7 * b`` has 1 again, and what has another weight is neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from plantroom_edge.sampling.expression import BadExpression
from plantroom_shared.dimensions import NOTHING, Dimension, Vector, dimension_of

_THERMAL: Final = {"temperature", "temperature_difference"}
NUMBER: Final = "number"
"""The family of what has no unit."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a part of an expression measures."""

    vector: Vector = NOTHING
    family: str = NUMBER
    """Empty for products: they are known by their vector alone."""
    weight: float | None = 0.0
    """How often absolute temperature is in it; None for what fits either way: ``5 [K]``."""
    zero: bool = False
    """A bare 0: it fits any unit."""
    truth: bool = False

    @property
    def label(self) -> str:
        """What it measures, in words."""
        return self.family.replace("_", " ") or "a product of units"


def kind_of(unit: str, what: str) -> Kind:
    """Return what a unit measures; BadExpression if it is none."""
    if not unit:
        return Kind()
    dimension = dimension_of(unit)
    if dimension is None:
        msg = f"{what} is in {unit!r}, which is no unit known here: name its unit under `operands:`"
        raise BadExpression(msg)
    absolute = dimension.family == "temperature"
    family = "temperature" if dimension.family in _THERMAL else dimension.family
    return Kind(dimension.vector, family, 1.0 if absolute else 0.0)


def to_si(unit: str) -> tuple[float, float]:
    """Return factor and offset from `unit` to SI."""
    dimension = dimension_of(unit) or Dimension(NOTHING, NUMBER)
    return dimension.factor, dimension.offset


def check_result(kind: Kind, unit: str) -> None:
    """Raise BadExpression if what is calculated cannot be told in `unit`."""
    wanted = kind_of(unit, "the result")
    if kind.zero:
        return
    if kind.vector != wanted.vector or _differ(kind, wanted):
        msg = f"the result measures {kind.label}, but its unit {unit or 'nothing'!r} {wanted.label}"
        raise BadExpression(msg)
    if wanted.family != "temperature" or kind.weight is None:
        return
    scale = dimension_of(unit)
    kelvin = scale is not None and scale.family == "temperature" and not scale.offset
    fits = {0.0, 1.0} if kelvin else {wanted.weight}
    if not any(math.isclose(kind.weight, one, abs_tol=1e-6) for one in fits if one is not None):
        msg = (
            f"temperatures add up to {kind.weight:g} times one, but {unit} needs {wanted.weight:g}:"
            " a difference is in K, ΔK or Δ°F, and the parts of a mixture add up to 1"
        )
        raise BadExpression(msg)


def _differ(one: Kind, other: Kind) -> bool:
    return bool(one.family and other.family and one.family != other.family)


def alike(name: str, one: Kind, other: Kind) -> Kind:
    """Return the kind of what two parts that must measure the same have in common."""
    if one.zero and not other.zero:
        return other
    if other.zero:
        return one
    if one.vector != other.vector or _differ(one, other):
        hint = ""
        if NUMBER in {one.family, other.family}:
            hint = ": a number takes its unit in brackets, such as 5 [kW]"
        msg = f"`{name}` joins {one.label} and {other.label}{hint}"
        raise BadExpression(msg)
    return replace(one, family=one.family or other.family, truth=one.truth and other.truth)


def same(name: str, kinds: Sequence[Kind]) -> Kind:
    """Return the kind of parts of which one is taken, or that are compared."""
    kind = kinds[0]
    for other in kinds[1:]:
        joined = alike(name, kind, other)
        weights = {one.weight for one in (kind, other) if one.weight is not None}
        if joined.family == "temperature" and not (kind.zero or other.zero):
            if len(weights) > 1:
                msg = f"`{name}` joins a temperature and a difference of temperatures"
                raise BadExpression(msg)
            joined = replace(joined, weight=next(iter(weights), None))
        elif joined.family == "temperature" and joined.weight != 0:
            msg = f"`{name}`: write 0 with its unit, 0 [°C] or 0 [K]"
            raise BadExpression(msg)
        kind = joined
    return kind


def plain(name: str, kind: Kind) -> Kind:
    """Return the kind of a part in which absolute temperature would make no sense."""
    if kind.weight not in {0.0, None}:
        msg = f"`{name}` of a temperature depends on the scale: take a difference, or kelvin(x)"
        raise BadExpression(msg)
    return replace(kind, zero=False, truth=False)


def scaled(kind: Kind, factor: float) -> Kind:
    """Return the kind of a part taken `factor` times."""
    return replace(kind, weight=None if kind.weight is None else kind.weight * factor)
