"""Dimensions of units, for calculating with them: what may be added, and what a product measures.

A dimension is a vector of exponents of the base units. Values are calculated with in SI: every
`Unit` says how it gets there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from plantroom_shared.units import Unit, parse_unit

Vector = tuple[float, ...]
"""Exponents of kg, m, s, A, K, lm."""

NOTHING: Final[Vector] = (0.0,) * 6

_VECTORS: Final[dict[str, tuple[int, int, int, int, int, int]]] = {
    "temperature": (0, 0, 0, 0, 1, 0),
    "temperature_difference": (0, 0, 0, 0, 1, 0),
    "power": (1, 2, -3, 0, 0, 0),
    "reactive_power": (1, 2, -3, 0, 0, 0),
    "apparent_power": (1, 2, -3, 0, 0, 0),
    "energy": (1, 2, -2, 0, 0, 0),
    "reactive_energy": (1, 2, -2, 0, 0, 0),
    "apparent_energy": (1, 2, -2, 0, 0, 0),
    "current": (0, 0, 0, 1, 0, 0),
    "voltage": (1, 2, -3, -1, 0, 0),
    "charge": (0, 0, 1, 1, 0, 0),
    "resistance": (1, 2, -3, -2, 0, 0),
    "frequency": (0, 0, -1, 0, 0, 0),
    "rotation": (0, 0, -1, 0, 0, 0),
    "flow": (0, 3, -1, 0, 0, 0),
    "mass_flow": (1, 0, -1, 0, 0, 0),
    "volume": (0, 3, 0, 0, 0, 0),
    "pressure": (1, -1, -2, 0, 0, 0),
    "ratio": (0, 0, 0, 0, 0, 0),
    "concentration": (0, 0, 0, 0, 0, 0),
    "mass_concentration": (1, -3, 0, 0, 0, 0),
    "humidity_ratio": (0, 0, 0, 0, 0, 0),
    "enthalpy": (0, 2, -2, 0, 0, 0),
    "illuminance": (0, -2, 0, 0, 0, 1),
    "irradiance": (1, 0, -3, 0, 0, 0),
    "speed": (0, 1, -1, 0, 0, 0),
    "length": (0, 1, 0, 0, 0, 0),
    "area": (0, 2, 0, 0, 0, 0),
    "angle": (0, 0, 0, 0, 0, 0),
    "mass": (1, 0, 0, 0, 0, 0),
    "time": (0, 0, 1, 0, 0, 0),
    "sound": (0, 0, 0, 0, 0, 0),
    "ph": (0, 0, 0, 0, 0, 0),
}
_BASES: Final = {"rotation": 2 * math.pi / 60}
"""What one base unit of `units.py` is in SI, where it is not 1: rotation is in rpm there."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """What a unit measures, and the way to SI: ``value * factor + offset``."""

    vector: Vector
    family: str
    """Only members of one family are added, though the vectors agree: ``kW`` and ``kvar`` are not."""
    factor: float = 1.0
    offset: float = 0.0


def dimension_of(unit: str | Unit) -> Dimension | None:
    """Return the dimension of a unit in any spelling; None where there is no such unit."""
    found = unit if isinstance(unit, Unit) else parse_unit(unit)
    if found is None:
        return None
    base = _BASES.get(found.dimension, 1.0)
    vector = tuple(map(float, _VECTORS[found.dimension]))
    return Dimension(vector, found.dimension, found.factor * base, found.offset)
