"""Derived points: when they are calculated, how good they are, and what becomes of mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from plantroom_edge.sampling.config import SamplingConfig
from plantroom_edge.sampling.definition import DerivedPoint
from plantroom_edge.sampling.derived import Derivation
from plantroom_edge.sampling.gate import Band, RowGate
from plantroom_shared.model import Batch, Quality

BAD, UNCERTAIN = int(Quality.BAD), int(Quality.UNCERTAIN)
S = 1_000_000


class Rig:
    """A derivation whose operands are ``a`` ... , fed by hand."""

    def __init__(self, *derived: dict[str, Any], units: dict[str, str], gate: bool = False) -> None:
        config = SamplingConfig.model_validate({"derived": list(derived)})
        self.now = 0.0
        self.derivation = Derivation(
            config.derived,
            lambda _one: RowGate([Band(1.0)], lambda: self.now) if gate else None,
        )
        known = self.derivation.learn(units)
        self.keys = [one.key for one in known]
        self.derivation.bind({key: index for index, key in enumerate(self.keys)})

    def feed(self, key: str, value: Any, ts: int, flaw: tuple[int, str] | None = None) -> Batch:
        return self.derivation.take([(0, key)], [value], {0: flaw} if flaw else {}, ts)


def one(**keys: Any) -> dict[str, Any]:
    return {"id": "d", "name": "D", "unit": "kW", "expression": "'a' + 'b'", **keys}


def rows(batch: Batch) -> list[tuple[int, int, Any, tuple[int, str] | None]]:
    return [
        (alias, ts, value, batch.quality.get(row))
        for row, (alias, ts, value) in enumerate(
            zip(batch.points, batch.times, batch.values, strict=True)
        )
    ]


def test_a_result_has_the_newest_time_and_the_worst_quality() -> None:
    """A missing or bad operand makes it bad, an uncertain one uncertain; the time is the newest's."""
    rig = Rig(one(), units={"a": "kW", "b": "W"})
    assert rows(rig.feed("a", 3.0, 5 * S)) == [(0, 5 * S, None, (BAD, "operand"))]
    assert rows(rig.feed("b", 500.0, 7 * S)) == [(0, 7 * S, 3.5, None)]
    assert rows(rig.feed("b", 600, 8 * S, (UNCERTAIN, "overridden"))) == [
        (0, 8 * S, 3.6, (UNCERTAIN, "operand"))
    ]
    assert rows(rig.feed("a", None, 9 * S, (BAD, "timeout"))) == [
        (0, 9 * S, None, (BAD, "operand"))
    ]
    assert rows(rig.feed("a", None, 10 * S, (BAD, "timeout"))) == []
    assert rows(rig.feed("a", 1.0, 11 * S))[0][2] == 1.6


def test_times_of_results_grow() -> None:
    """An operand that was read earlier but came later does not turn time back."""
    rig = Rig(one(), units={"a": "kW", "b": "W"})
    times = []
    for key, ts in (("a", 5), ("b", 9), ("a", 7), ("b", 9), ("a", 8)):
        times += rig.feed(key, 1.0, ts * S).times
    assert times == sorted(set(times))
    assert len(times) == 5
    # somebody has set the clock
    rig.feed("a", 1.0, -1000 * S)
    assert rig.feed("b", 1.0, -999 * S).times == [-999 * S]


@pytest.mark.parametrize(
    ("expression", "unit", "value"),
    [("'a' / ('b' - 'b')", "", 1.0), ("sqrt('a' - 2 * 'b')", "", 1.0), ("'a' * 'b' * 1e300 * 1e300", "", 10.0)],
)  # fmt: skip
def test_what_is_undefined_is_bad(expression: str, unit: str, value: float) -> None:
    """A division by zero, a root of a negative number or an overflow is a bad sample, told once."""
    rig = Rig(one(expression=expression, unit=unit), units={"a": "", "b": ""})
    rig.feed("a", value, 1 * S)
    assert rows(rig.feed("b", value, 2 * S)) == [(0, 2 * S, None, (BAD, "undefined"))]
    assert rows(rig.feed("b", value, 3 * S)) == []


def test_an_interval_thins_and_quality_does_not_wait_for_it() -> None:
    """With an interval there is one value in each slot; what goes bad is told at once."""
    rig = Rig(one(interval=60), units={"a": "kW", "b": "kW"})
    rig.feed("a", 1.0, 0)
    assert len(rig.feed("b", 1.0, 1 * S)) == 1
    assert not any(len(rig.feed("b", 1.0, second * S)) for second in range(2, 59))
    assert len(rig.feed("b", None, 59 * S, (BAD, "timeout"))) == 1
    assert len(rig.feed("b", 1.0, 60 * S)) == 1


def test_derived_points_build_on_each_other_in_any_order() -> None:
    """One read goes through the whole chain, however the list is written."""
    chain = [
        one(id="c", expression="'derived:b' * 2"),
        one(id="b", expression="'derived:a' + 1 [kW]"),
        one(id="a", expression="x", operands={"x": "m"}),
    ]
    rig = Rig(*chain, units={"m": "W"})
    got = rig.feed("m", 500.0, 1 * S)
    assert {rig.keys[alias]: value for alias, _, value, _ in rows(got)} == {
        "derived:a": 0.5,
        "derived:b": 1.5,
        "derived:c": 3.0,
    }


def test_functions_with_a_memory() -> None:
    """A rate is the change by time, a hysteresis stays as it was between its ends."""
    rig = Rig(
        one(id="r", expression="rate('e')"),
        one(id="h", unit="", expression="hysteresis('e', 1 [kWh], 3 [kWh])"),
        one(id="x", unit="kWh", expression="delta('e')"),
        units={"e": "kWh"},
    )
    seen: dict[str, list[Any]] = {"derived:r": [], "derived:h": [], "derived:x": []}
    for hour, energy in enumerate([2.0, 4.0, 2.0, 0.5, 2.0]):
        for alias, _, value, _ in rows(rig.feed("e", energy, hour * 3600 * S)):
            seen[rig.keys[alias]].append(value)
    assert seen["derived:r"] == pytest.approx([None, 2.0, -2.0, -1.5, 1.5])
    assert seen["derived:x"] == pytest.approx([None, 2.0, -2.0, -1.5, 1.5])
    assert seen["derived:h"] == [False, True, True, False, False]


def test_results_are_reported_by_exception_as_well() -> None:
    """Under a deadband a result that hardly moves is no sample."""
    rig = Rig(one(expression="'a'"), units={"a": "kW"}, gate=True)
    counts = [len(rig.feed("a", value, i * S)) for i, value in enumerate([5.0, 5.5, 6.5, 6.6])]
    assert counts == [1, 0, 1, 0]


def test_units_the_bus_says_are_checked_when_they_are_known() -> None:
    """A point whose unit turns out not to fit makes a bad point and says why; others go on."""
    rig = Rig(one(), one(id="ok", expression="'a'"), units={"a": "kW", "b": "°C"})
    problem = rig.derivation.problems()
    assert list(problem) == ["d"]
    assert "derived.d.expression: `+` joins power and temperature" in problem["d"]
    got = rows(rig.feed("a", 1.0, 1 * S))
    assert {rig.keys[alias]: flaw for alias, _, _, flaw in got} == {
        "derived:d": (BAD, "unit"),
        "derived:ok": None,
    }
    assert rows(rig.feed("b", 1.0, 2 * S)) == []


def test_points_that_no_bus_has_are_named() -> None:
    """What keeps a derived point waiting can be read in the status."""
    rig = Rig(one(), units={"a": "kW"})
    assert rig.derivation.problems() == {"d": "no bus has b"}
    rig.derivation.learn({"b": "W"})
    assert rig.derivation.problems() == {}


def test_texts_are_no_operands() -> None:
    """A text, or a number that is none, makes the result bad."""
    rig = Rig(one(expression="'a'"), units={"a": "kW"})
    assert rows(rig.feed("a", "on", 1 * S))[0][3] == (BAD, "operand")
    assert rows(rig.feed("a", float("nan"), 2 * S)) == []
    assert rows(rig.feed("a", True, 3 * S))[0][2] == 1.0


@pytest.mark.parametrize(
    ("derived", "says"),
    [
        ([one(expression="'derived:d' + 1 [kW]")], "in a circle"),
        ([one(expression="'derived:e'"), one(id="e", expression="'derived:d'")], "in a circle"),
        ([one(expression="'derived:nobody'")], "there is no point 'derived:nobody'"),
        ([one(expression="somebody + 1")], "'somebody' is no operand"),
        ([one(), one()], "the ids d stand twice"),
        ([one(operands={"a": {"point": "a", "unit": "bushel"}})], "is no unit known"),
        ([one(unit="bushel")], "is no unit known"),
        (
            [one(expression="x + y", operands={"x": {"point": "a", "unit": "kW"}, "y": {"point": "b", "unit": "°C"}})],
            "derived.d.expression: `+` joins power and temperature",
        ),
        ([one(expression="1 [kW]"), one(id="e", unit="°C", expression="'derived:d'")], "derived.e.expression: the result"),
        ([one(expression="1 +")], "ends where a value belongs"),
    ],
)  # fmt: skip
def test_what_can_be_known_to_be_wrong_is_refused_at_load(
    derived: list[dict[str, Any]], says: str
) -> None:
    """Circles, unknown names and units that the file itself tells are errors of the file."""
    with pytest.raises(ValueError, match="derived") as caught:
        SamplingConfig.model_validate({"derived": derived})
    assert says in str(caught.value)


def test_a_derived_point_is_a_point_like_others() -> None:
    """Its key, unit and meaning travel in the dictionary; it cannot be written."""
    config = DerivedPoint.model_validate(one(point_class="Power_Sensor", enos="Chiller/P"))
    point = config.point()
    assert (point.key, point.device, point.unit) == ("derived:d", "derived", "kW")
    assert (point.point_class, point.enos, point.writable) == ("Power_Sensor", "Chiller/P", False)
    assert point.description == "'a' + 'b'"
