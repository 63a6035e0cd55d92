"""The one conversion: states, sign, multiplier, unit, type."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from plantroom_shared.errors import Rejected
from plantroom_shared.mapping.conversion import Adjustment, Source, assumes_unit, conversion_of
from plantroom_shared.mapping.things import SCALARS, STRUCTURES, ModelPoint
from plantroom_shared.model import Value
from plantroom_shared.units import convert, known_units

UNITS = known_units()
DIMENSIONS = sorted({unit.dimension for unit in UNITS})
POWER = ModelPoint("p", "DOUBLE", "kW", "AI")
MODE = ModelPoint("m", "ENUM", choices=(("0", "Off"), ("1", "Cool"), ("2", "Heat")))
NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)
FACTORS = st.floats(1e-4, 1e4).flatmap(lambda x: st.sampled_from([x, -x]))
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40), st.just("1")
)
ADJUSTMENTS = st.builds(
    Adjustment,
    unit=st.sampled_from(["", "kW", "degC", "no-units", "?"]),
    sign=st.sampled_from([1, -1]),
    multiplier=FACTORS,
    states=st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=2).map(tuple),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """Two units that convert into each other."""
    dimension = draw(st.sampled_from(DIMENSIONS))
    alike = [unit.symbol for unit in UNITS if unit.dimension == dimension]
    return draw(st.sampled_from(alike)), draw(st.sampled_from(alike))


@given(pairs(), NUMBERS)
def test_there_and_back_is_the_same(units: tuple[str, str], value: float) -> None:
    """Whatever two units of one dimension, converting there and back changes nothing."""
    one, other = units
    there = conversion_of(Source(one), ModelPoint("x", "DOUBLE", other))(value)
    back = conversion_of(Source(other), ModelPoint("x", "DOUBLE", one))(there)
    assert back == pytest.approx(value, rel=1e-9, abs=1e-6)


@given(pairs(), NUMBERS, FACTORS)
def test_an_adjustment_is_of_the_raw_value(
    units: tuple[str, str], value: float, factor: float
) -> None:
    """Multiplier and sign act before the unit: as if the bus had said the product."""
    source, target = Source(units[0]), ModelPoint("x", "DOUBLE", units[1])
    adjustment = Adjustment(sign=-1 if factor < 0 else 1, multiplier=abs(factor))
    made = conversion_of(source, target, adjustment)(value)
    assert made == conversion_of(source, target)(value * factor)


@given(pairs(), NUMBERS)
def test_a_unit_that_a_person_says_stands_above_the_bus(
    units: tuple[str, str], value: float
) -> None:
    """The bus may say another unit, or none, or rubbish."""
    told = conversion_of(Source(units[0]), ModelPoint("x", "DOUBLE", units[1]))(value)
    for bus in ("", "no-units", "furlongs", "lx"):
        adjustment = Adjustment(unit=units[0])
        made = conversion_of(Source(bus), ModelPoint("x", "DOUBLE", units[1]), adjustment)(value)
        assert made == told


@given(NUMBERS, st.sampled_from([1e-3, 1.0, 1e3, 1e6]))
def test_a_model_may_count_in_thousands(value: float, scale: float) -> None:
    """The model's multiplier is one of its unit: KILO of W is kW."""
    made = conversion_of(Source("watts"), ModelPoint("p", "DOUBLE", "W", scale=scale))(value)
    assert made == pytest.approx(value / scale)


@given(st.sampled_from(UNITS), st.sampled_from(UNITS))
def test_units_of_two_dimensions_are_refused_before_any_value(one: Any, other: Any) -> None:
    """That they do not convert is known when the conversion is made, and by `convert` too."""
    assume(one.dimension != other.dimension)
    with pytest.raises(Rejected) as refused:
        conversion_of(Source(one.symbol), ModelPoint("x", "DOUBLE", other.symbol))
    assert refused.value.reason == "unit"
    with pytest.raises(Rejected):
        convert(1.0, one, other)


@given(
    VALUES,
    st.sampled_from(["", "kW", "°C", "?"]),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
    st.sampled_from(["", "binary-input", "multi-state-value", "analog-input"]),
    st.sampled_from(sorted(SCALARS | STRUCTURES)),
    st.sampled_from(["", "AI", "DI"]),
    st.sampled_from(["", "°C", "W"]),
    st.sampled_from([(), MODE.choices, (("x", "Off"), ("-1", "on"))]),
    ADJUSTMENTS,
)
def test_everything_is_sent_rightly_or_refused(  # noqa: PLR0917 - as many as there are
    value: Value,
    unit: str,
    states: tuple[str, ...],
    object_type: str,
    data_type: str,
    signal: str,
    wants: str,
    choices: tuple[tuple[str, str], ...],
    adjustment: Adjustment,
) -> None:
    """Nothing crashes, and what comes out is of the model's type, finite and of its choices."""
    target = ModelPoint("x", data_type, wants, signal, choices=choices)
    try:
        made = conversion_of(Source(unit, states, object_type), target, adjustment)(value)
    except Rejected:
        return
    kinds: dict[str, Any] = {"DOUBLE": float, "FLOAT": float, "INT": int, "BOOL": bool}
    kinds |= {"STRING": str, "ENUM": (int, str)}
    assert isinstance(made, kinds[data_type])
    assert not isinstance(made, float) or math.isfinite(made)
    if data_type == "ENUM" and choices:
        assert str(made) in dict(choices)


@pytest.mark.parametrize(
    ("value", "states", "object_type", "adjustment", "expected"),
    [
        (1, (), "", (), 1),
        ("2", (), "", (), 2),
        ("heat", (), "", (), 2),
        ("Cooling", (), "", (("cooling", "1"),), 1),
        (1, ("Off", "Cool", "Warm"), "multi-state-input", (), 0),
        (2, ("Stop", "Cool", "Warm"), "multi-state-input", (), 1),
        (3, ("Stop", "Cool", "Warm"), "multi-state-input", (("warm", "2"),), 2),
        (3, ("Stop", "Cool", "Warm"), "multi-state-input", (("3", "2"),), 2),
        (True, ("off", "cool"), "binary-input", (), 1),
        (0, ("inactive", "cool"), "binary-input", (), 0),
        ("Stop", ("Stop", "Cool"), "multi-state-input", (("1", "2"),), 2),
    ],
)
def test_states_become_choices(
    value: Value, states: tuple[str, ...], object_type: str, adjustment: Any, expected: int
) -> None:
    """By what a person says, else by the text, else by the number."""
    source = Source("", states, object_type)
    assert conversion_of(source, MODE, Adjustment(states=adjustment))(value) == expected


@pytest.mark.parametrize(
    ("value", "states", "object_type", "adjustment"),
    [
        (3, ("Stop", "Cool", "Warm"), "multi-state-input", ()),
        (2, ("Off", "Dry"), "multi-state-input", ()),
        ("dry", (), "", ()),
        (3, (), "", ()),
        (1, (), "", (("1", "9"),)),
        (None, (), "", (("1", "9"),)),
    ],
)
def test_a_number_is_no_state_that_is_called_otherwise(
    value: Value, states: tuple[str, ...], object_type: str, adjustment: Any
) -> None:
    """State 2 "Dry" of a bus is not 2 "Heat" of the model, though both are a 2."""
    with pytest.raises(Rejected):
        conversion_of(Source("", states, object_type), MODE, Adjustment(states=adjustment))(value)


def test_what_is_out_of_range_is_refused() -> None:
    """Limits are in the model's unit."""
    target = ModelPoint("t", "DOUBLE", "°C", minimum=-40.0, maximum=60.0)
    assert conversion_of(Source("degF"), target)(32) == pytest.approx(0.0)
    for value in (-100.0, 200.0):
        with pytest.raises(Rejected, match="outside"):
            conversion_of(Source("degF"), target)(value)


def test_where_the_unit_is_only_assumed() -> None:
    """Only where the model wants one and nobody says one."""
    assert assumes_unit(Source(), POWER)
    assert assumes_unit(Source("no-units"), POWER)
    assert not assumes_unit(Source("W"), POWER)
    assert not assumes_unit(Source(), POWER, Adjustment(unit="W"))
    assert not assumes_unit(Source(), ModelPoint("s", "INT", "", "DI"))


def test_a_unit_nobody_knows_converts_into_itself() -> None:
    """A model of one's own may count in apples, as long as the point does."""
    target = ModelPoint("a", "DOUBLE", "Apples")
    assert conversion_of(Source("apples "), target)(3) == 3.0
    with pytest.raises(Rejected):
        conversion_of(Source("kW"), target)
