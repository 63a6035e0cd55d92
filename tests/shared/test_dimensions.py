"""Dimensions: what units have in common, and the way to SI."""

from __future__ import annotations

import math

import pytest

from plantroom_shared.dimensions import NOTHING, dimension_of
from plantroom_shared.units import Unit, convert, known_units


@pytest.mark.parametrize("unit", known_units(), ids=lambda unit: unit.symbol)
def test_every_known_unit_has_a_dimension_that_converts_alike(unit: Unit) -> None:
    """By way of SI a value gets to every unit of its kind as `convert` takes it there."""
    dimension = dimension_of(unit)
    assert dimension is not None
    for other in known_units():
        target = dimension_of(other)
        assert target is not None
        if other.dimension != unit.dimension:
            continue
        assert target.vector == dimension.vector
        value = (20.0 * dimension.factor + dimension.offset - target.offset) / target.factor
        assert math.isclose(value, convert(20.0, unit, other), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("product", "parts"),
    [
        ("kW", ["V", "A"]),
        ("kWh", ["kW", "h"]),
        ("m³", ["m³/h", "s"]),
        ("Pa", ["W/m²", "s", "m", "m"]),
        ("kg/s", ["kg/h"]),
        ("V", ["Ω", "A"]),
    ],
)
def test_products_of_units_measure_what_physics_says(product: str, parts: list[str]) -> None:
    """The exponents of the factors add up to those of the product."""
    found = dimension_of(product)
    vectors = [dimension.vector for part in parts if (dimension := dimension_of(part))]
    assert found is not None
    total = tuple(map(sum, zip(*vectors, strict=True)))
    if product == "Pa":  # W/m² x s x m² is an energy, Pa x m³ as well
        assert total == tuple(a + b for a, b in zip(found.vector, (0, 3, 0, 0, 0, 0), strict=True))
    else:
        assert total == found.vector


def test_what_is_no_unit_has_no_dimension() -> None:
    """Unknown texts give None; a percentage is a plain number in SI."""
    assert dimension_of("furlong") is None
    assert dimension_of("") is None
    percent = dimension_of("%")
    assert percent is not None
    assert (percent.vector, percent.factor) == (NOTHING, 0.01)
