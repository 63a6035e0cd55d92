"""The section ``sampling:``: which rule is for which point, and what its mistakes are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from plantroom_edge.config import ConfigErrors, load
from plantroom_edge.sampling.bands import ABSOLUTE, SHARE, band_of
from plantroom_edge.sampling.config import BandRule, CounterRule, SamplingConfig, UnitRule
from plantroom_edge.sampling.gate import Band
from plantroom_shared.model import Point
from plantroom_shared.units import known_units

FILE = """\
gateway: gw-demo-0001
site: demo-tower
sampling:
  report: by-exception
"""


def point(unit: str = "", **more: Any) -> Point:
    return Point(key="modbus:m:p", device="modbus:m", name="p", unit=unit, **more)


def band(of: Point, *rules: dict[str, Any], **config: Any) -> Band | None:
    return band_of(of, SamplingConfig.model_validate({"bands": list(rules), **config}))


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"point": "modbus:*:p"}, True),
        ({"point": "modbus:*:q"}, False),
        ({"device": "modbus:m"}, True),
        ({"device": "modbus:n"}, False),
        ({"point_class": "*_Sensor"}, True),
        ({"point_class": "Alarm"}, False),
        ({"quantity": "power"}, True),
        ({"quantity": "temperature"}, False),
        ({"unit": "kilowatts"}, True),
        ({"unit": "W"}, False),
        ({"unit": "kW", "device": "modbus:n"}, False),
    ],
)
def test_a_rule_is_for_points_of_which_all_it_says_is_true(
    rule: dict[str, Any], fits: bool
) -> None:
    """Key, device, class, quantity and unit select; a unit is known in every spelling."""
    found = BandRule.model_validate({**rule, "every": True})
    assert found.picks(point("kW", point_class="Power_Sensor")) is fits


def test_units_nobody_knows_select_by_their_text() -> None:
    """A vendor's own unit can be named as it is written; it has no quantity."""
    strange = point("furlong")
    assert BandRule(unit="furlong", every=True).picks(strange)
    assert not BandRule(quantity="power", every=True).picks(strange)


@pytest.mark.parametrize(
    ("unit", "rule", "wanted"),
    [
        ("kW", {"deadband": 2}, Band(2.0)),
        ("kW", {"deadband": "50 W"}, Band(0.05)),
        ("°F", {"deadband": "0.5 K"}, Band(0.9)),
        ("°C", {"deadband": "50 W"}, None),
        ("", {"deadband": "50 W"}, None),
        ("kW", {"percent": 2}, Band(share=0.02)),
        ("kW", {"percent": 2, "span": [0, 50]}, Band(1.0)),
        ("kW", {"every": True}, None),
        ("kW", {"heartbeat": 60}, Band(share=0.005, heartbeat=60.0)),
        ("kW", {"deadband": 1, "heartbeat": 60}, Band(1.0, heartbeat=60.0)),
    ],
)
def test_a_rule_becomes_a_distance_in_the_points_unit(
    unit: str, rule: dict[str, Any], wanted: Band | None
) -> None:
    """Absolute, with a unit, in percent of the value or of a span; heartbeat alone takes the usual band."""
    found = band(point(unit), {"point": "*", **rule})
    if wanted is None or found is None:
        assert found is wanted
        return
    assert found.absolute == pytest.approx(wanted.absolute)
    assert found.share == pytest.approx(wanted.share)
    assert found.heartbeat == wanted.heartbeat


def test_the_first_rule_that_fits_holds() -> None:
    """A deadband in a unit that measures something else does not fit; the next rule is asked."""
    rules: list[dict[str, Any]] = [
        {"point": "*", "deadband": "50 W"},
        {"point": "*", "deadband": 3},
    ]
    assert band(point("°C"), *rules) == Band(3.0)
    assert band(point("W"), *rules) == Band(50.0)


def test_by_exception_has_a_deadband_for_every_kind_of_point() -> None:
    """Known quantities have theirs, in any unit; states and what is not known report any change."""
    on = {"report": "by-exception"}
    assert band(point("°C"), **on) == Band(0.05, origin="kind")
    fahrenheit = band(point("°F"), **on)
    assert fahrenheit is not None
    assert fahrenheit.absolute == pytest.approx(0.09)
    assert band(point("W"), **on) == Band(share=0.005, origin="kind")
    any_change = Band(origin="kind")
    for symbol in ("kWh", "", "furlong"):
        assert band(point(symbol), **on) == any_change
    assert band(point("%", states=("off", "on")), **on) == any_change
    assert band(point("°C")) is None
    assert {*ABSOLUTE, *SHARE} <= {unit.quantity for unit in known_units()}
    for unit in known_units():
        found = band(point(unit.symbol), **on)
        assert found is not None
        assert (found.absolute > 0) is (unit.quantity in ABSOLUTE)


@pytest.mark.parametrize(
    ("model", "keys", "says"),
    [
        (BandRule, {"deadband": 1}, "which points it is for"),
        (BandRule, {"point": "*", "deadband": -1}, "not below 0"),
        (BandRule, {"point": "*", "deadband": "wide"}, "is no deadband"),
        (BandRule, {"point": "*", "deadband": "1 furlong"}, "is no deadband"),
        (BandRule, {"point": "*", "deadband": 1, "percent": 1}, "give one of"),
        (BandRule, {"point": "*", "deadband": 1, "span": [0, 1]}, "`percent` is a part of"),
        (BandRule, {"point": "*", "percent": 1, "span": [1, 1]}, "`percent` is a part of"),
        (BandRule, {"quantity": "heat", "every": True}, "no unit measures 'heat'"),
        (UnitRule, {"point": "*", "to": "furlong"}, "is no unit known here"),
        (CounterRule, {"point": "*", "modulus": 1}, "greater than or equal to 2"),
        (CounterRule, {"point": "*", "modulus": "2^99"}, "less than or equal to"),
        (CounterRule, {"point": "*", "modulus": "3^4"}, "valid integer"),
    ],
)
def test_mistakes_are_named(model: Any, keys: dict[str, Any], says: str) -> None:
    """Every rule that means nothing is refused with what to write instead."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(keys)
    assert says in str(caught.value)


def test_a_modulus_is_a_number_or_a_power() -> None:
    """``2^32`` and ``10^6`` are what they are on paper."""
    given = [CounterRule(point="*", modulus=text).modulus for text in ("2^32", "10^6", 65536)]
    assert given == [2**32, 10**6, 65536]


def test_the_file_names_key_and_line_of_what_is_wrong(tmp_path: Path) -> None:
    """A wrong expression, an unknown key and a unit that does not fit are found before the start."""
    file = tmp_path / "edge.yaml"
    file.write_text(FILE)
    assert load(file).sampling.report == "by-exception"
    file.write_text(
        FILE
        + "  bands:\n    - {quantity: temperature, dead_band: 1}\n"
        + "  derived:\n    - {id: a, name: A, expression: '1 +'}\n"
    )
    with pytest.raises(ConfigErrors) as caught:
        load(file)
    text = str(caught.value)
    assert (
        "edge.yaml:6: sampling.bands[0].dead_band: is no known key; did you mean `deadband`?"
        in text
    )
    assert "edge.yaml:8: sampling.derived[0].expression: ends where a value belongs" in text
    file.write_text(
        FILE + "  derived:\n    - {id: a, name: A, unit: °C, expression: '1 [kW] + 1 [°C]'}\n"
    )
    with pytest.raises(ConfigErrors, match=r"derived\.a\.expression: `\+` joins power and temp"):
        load(file)
