"""Units: every spelling leads to one unit, conversions are exact and reversible."""

from __future__ import annotations

import math

import pytest
from bacpypes3.basetypes import EngineeringUnits
from hypothesis import given
from hypothesis import strategies as st

from plantroom_shared.errors import Rejected
from plantroom_shared.units import Unit, convert, known_units, parse_unit

_UNITS = known_units()


@pytest.mark.parametrize(
    ("spellings", "symbol"),
    [
        ("°C|degC|DEG C|ºC|℃|degrees-celsius|degreesCelsius|C|Celsius|摄氏度", "°C"),
        ("°F|degF|degrees-fahrenheit|degreesFahrenheit|fahrenheit|Deg_F", "°F"),
        ("kW|KW|kilowatts|kilowatt", "kW"),
        ("Wh|WH|watt-hours|wattHours", "Wh"),
        ("kWh|KWH|kW-h|kilowatt-hours|kilowattHours", "kWh"),
        ("TR|tons-refrigeration|tonsRefrigeration|tonref|RT", "TR"),
        ("gpm|GPM|gal/min|us-gallons-per-minute", "gpm"),
        ("m3/h|m³/h|m3/hr|CMH|cubic-meters-per-hour", "m³/h"),
        ("inH₂O|inH2O|in.w.c.|inches-of-water|IN WC", "inH₂O"),
        ("%|percent|Pct|PERCENT", "%"),
        ("%RH|% r.h.|percent-relative-humidity|%rF", "%RH"),
        ("ΔdegF|∆°F|delta-degrees-fahrenheit", "Δ°F"),
        ("µg/m³|μg/m3|ug/m3|micrograms-per-cubic-meter", "µg/m³"),
        ("l/s|L/S|lps|liters-per-second", "L/s"),
        ("W/m2|W/m²|watts-per-square-meter", "W/m²"),
    ],
)
def test_spellings_of_one_unit_are_one_unit(spellings: str, symbol: str) -> None:
    """BACnet names, symbols and vendor spellings become the same canonical unit."""
    found = {text: parse_unit(text) for text in spellings.split("|")}
    assert {text: unit.symbol if unit else None for text, unit in found.items()} == dict.fromkeys(
        found, symbol
    )


def test_case_decides_only_where_it_must() -> None:
    """Milli and mega are told apart by case; elsewhere case says nothing."""
    milli, mega = parse_unit("mW"), parse_unit("MW")
    assert milli is not None
    assert mega is not None
    assert (milli.factor, mega.factor) == (1e-3, 1e6)
    assert parse_unit("Hz") == parse_unit("HZ") == parse_unit("hz")


@pytest.mark.parametrize("text", ["", " ", "no-units", "noUnits", "furlong", "$", "x" * 10_000])
def test_what_is_no_unit_is_none(text: str) -> None:
    """Empty, unknown and absurd texts are no unit, and cost nothing."""
    assert parse_unit(text) is None


@pytest.mark.parametrize(
    ("value", "from_", "to_", "expected"),
    [
        (72, "°F", "°C", 22.2222222),
        (-40, "degrees-celsius", "degF", -40),
        (0, "°C", "K", 273.15),
        (9, "Δ°F", "ΔK", 5),
        (1, "kWh", "Wh", 1000),
        (1, "TR", "kW", 3.51685284),
        (1, "ton-hours", "kWh", 3.51685284),
        (100, "gpm", "L/s", 6.30901964),
        (1000, "cfm", "m³/h", 1699.01082),
        (1, "inH₂O", "Pa", 249.08891),
        (30, "psi", "kPa", 206.842719),
        (45, "%RH", "%", 45),
        (0.95, "pf", "%", 95),
        (60, "mph", "m/s", 26.8224),
        (1, "kvar", "var", 1000),
        (1, "MMBTU", "kWh", 293.07107),
    ],
)
def test_conversion_follows_the_tables(value: float, from_: str, to_: str, expected: float) -> None:
    """Published factors (NIST SP 811) come out."""
    assert convert(value, from_, to_) == pytest.approx(expected, rel=1e-7)


@given(
    pair=st.sampled_from(
        [(a, b) for a in _UNITS for b in _UNITS if a.dimension == b.dimension],
    ),
    value=st.floats(-1e9, 1e9),
)
def test_every_conversion_can_be_undone(pair: tuple[Unit, Unit], value: float) -> None:
    """There and back again gives the value, for every pair of one dimension."""
    there = convert(value, pair[0], pair[1])
    # An offset (0 °C = 273.15 K) costs absolute precision near zero.
    assert convert(there, pair[1], pair[0]) == pytest.approx(value, rel=1e-9, abs=1e-9)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_none(text: str) -> None:
    """No text breaks the parser, and a canonical symbol parses to itself."""
    unit = parse_unit(text)
    assert unit is None or parse_unit(unit.symbol) == unit


def test_symbols_parse_to_themselves() -> None:
    """Every canonical symbol names its own unit."""
    assert [unit.symbol for unit in _UNITS if parse_unit(unit.symbol) != unit] == []


def test_unlike_units_are_refused_by_name() -> None:
    """Power does not become energy; the error names both."""
    with pytest.raises(Rejected, match=r"kW \(power\) is not kWh \(energy\)") as caught:
        convert(1, "kW", "kWh")
    assert caught.value.reason == "unit"
    with pytest.raises(Rejected, match="'furlong' is no unit known here"):
        convert(1, "furlong", "m")


def test_same_unit_and_non_numbers_pass_unchanged() -> None:
    """The same unit changes no bit; infinity stays what it is."""
    assert convert(0.1 + 0.2, "kW", "kilowatts") == 0.1 + 0.2
    assert convert(math.inf, "°C", "°F") == math.inf


def test_bacnet_names_that_a_plant_uses_are_known() -> None:
    """The standard's own names of the quantities of a plant room are all read."""
    words = (
        "watt",
        "pascal",
        "celsius",
        "fahrenheit",
        "per-hour",
        "liters",
        "btu",
        "volt",
        "amper",
    )
    odd = (
        "per-degree", "per-square-foot", "-per-meter", "square-", "grams-per-liter", "decibel", "degree-days", "per-hour",
        "megajoules", "per-cubic", "per-minute", "pascal-seconds", "watt-hours-per-square-meter",
    )  # fmt: skip
    names = [n for n in EngineeringUnits._enum_map if "-" in n or n.islower()]
    plain = [n for n in names if any(w in n for w in words) and not any(o in n for o in odd)]
    assert len(plain) > 40
    assert [n for n in plain if parse_unit(n) is None] == []


def test_bacnet_spelling_styles_agree() -> None:
    """Hyphens and camelCase of one BACnet name are one unit."""
    names = [n for n in EngineeringUnits._enum_map if "-" in n]
    for name in names:
        first, *rest = name.split("-")
        camel = first + "".join(part.capitalize() for part in rest)
        assert parse_unit(name) == parse_unit(camel)
