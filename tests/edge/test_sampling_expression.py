"""The language of derived points: what it means, what it refuses, and that it cannot run away."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.sampling.checking import build
from plantroom_edge.sampling.expression import (
    FUNCTIONS,
    MAX_DEPTH,
    MAX_NODES,
    MAX_TEXT,
    BadExpression,
    Ref,
    parse,
    refs,
)
from plantroom_edge.sampling.kinds import check_result

POINTS = {
    "p": ("kW", 3.0),
    "q": ("W", 500.0),
    "t": ("°C", 20.0),
    "t2": ("°F", 50.0),
    "dt": ("ΔK", 4.0),
    "v": ("%", 30.0),
    "e": ("kWh", 2.0),
    "n": ("", 7.0),
    "r": ("kvar", 4.0),
    "s": ("kVA", 5.0),
    "f": ("m³/h", 3.6),
    "b": ("", 1.0),
    "x": ("furlong", 1.0),
}


def value_of(text: str, unit: str = "", points: Mapping[str, tuple[str, float]] = POINTS) -> float:
    """Return what `text` says in `unit`."""
    from plantroom_edge.sampling.kinds import to_si

    names = list(points)

    def resolve(ref: Ref) -> tuple[int, str]:
        return names.index(ref.name), points[ref.name][0]

    term = build(parse(text), resolve)
    check_result(term.kind, unit)
    values = []
    for its_unit, value in points.values():
        factor, offset = to_si(its_unit if its_unit != "furlong" else "")
        values.append(value * factor + offset)
    factor, offset = to_si(unit)
    return (term.run(values, 0.0) - offset) / factor


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1 + 2 * 3", "", 7),
        ("(1 + 2) * 3", "", 9),
        ("10 - 4 - 3", "", 3),
        ("-n + 10", "", 3),
        ("12 / 3 / 2", "", 2),
        ("p + q", "kW", 3.5),
        ("0 + p", "kW", 3),
        ("p - 0", "kW", 3),
        ("n * p", "kW", 21),
        ("p * n / 7", "kW", 3),
        ("p + q", "W", 3500),
        ("p - 500 [W]", "kW", 2.5),
        ("p * 2 [h]", "kWh", 6),
        ("e / 30 [min]", "kW", 4),
        ("p / q", "", 6),
        ("p / q", "%", 600),
        ("p * v", "kW", 0.9),
        ("1 [p.u.] - v", "%", 70),
        ("t - t2", "K", 10),
        ("t - t2", "Δ°F", 18),
        ("t + dt", "°C", 24),
        ("t + 5 [K]", "°C", 25),
        ("0.3 * t + 0.7 * t2", "°C", 13),
        ("(t + t2) / 2", "°C", 15),
        ("avg(t, t2)", "°F", 59),
        ("t2 + v * (t - t2)", "°C", 13),
        ("kelvin(t) / (t - t2)", "", 29.315),
        ("max(p, q, 0)", "kW", 3),
        ("min(t, t2)", "°C", 10),
        ("sum(p, q, p)", "kW", 6.5),
        ("abs(q - p)", "kW", 2.5),
        ("clamp(p, 0, 1 [kW])", "kW", 1),
        ("clamp(t, 5 [°C], 15 [°C])", "°C", 15),
        ("sqrt(p * p + r * r)", "kVA", 5),
        ("p / s", "pf", 0.6),
        ("n if p > 1 [kW] else 2", "", 7),
        ("n if p > 5 [kW] and t > 1 [°C] else 2", "", 2),
        ("1 if b or false else 2", "", 1),
        ("1 if not b else 2 if n == 7 else 3", "", 2),
        ("t > 290 [K]", "", 1),
        ("v >= 30 [%]", "", 1),
        ("n != 7", "", 0),
        ("n <= 7", "", 1),
        ("n < 7", "", 0),
        ("p < 0", "", 0),
        ("true", "", 1),
        ("f * 1 [h]", "L", 3600),
        ("0", "kW", 0),
        ("2.5e3 [W]", "kW", 2.5),
    ],
)
def test_expressions_mean_what_they_say(text: str, unit: str, value: float) -> None:
    """Precedence, units and functions give the value a person would get."""
    assert math.isclose(value_of(text, unit), value, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("text", "unit", "says"),
    [
        ("p + t", "kW", "`+` joins power and temperature"),
        ("p + r", "kW", "joins power and reactive power"),
        ("p + 5", "kW", "takes its unit in brackets, such as 5 [kW]"),
        ("v > 50", "", "takes its unit in brackets"),
        ("1 - v", "%", "takes its unit in brackets"),
        ("p", "kWh", "the result measures power, but its unit 'kWh' energy"),
        ("p", "", "the result measures power"),
        ("t + t2", "°C", "add up to 2 times one"),
        ("0.5 * t", "°C", "add up to 0.5 times one"),
        ("t - t2", "°C", "a difference is in K"),
        ("t", "ΔK", "needs 0"),
        ("t * v", "K", "take a difference, or kelvin(x)"),
        ("t / t2", "", "kelvin(x)"),
        ("sqrt(t)", "", "kelvin(x)"),
        ("max(t, dt)", "°C", "a temperature and a difference"),
        ("max(t, 0)", "°C", "write 0 with its unit"),
        ("kelvin(p)", "K", "takes a temperature"),
        ("p if q else p", "kW", "`if` takes a condition"),
        ("1 if 1 else 2", "", "`if` takes a condition"),
        ("p and q", "", "`and` takes a condition"),
        ("x + 1", "", "name its unit under `operands:`"),
        ("1 [furlong]", "", "no unit known"),
        ("rate(e)", "kWh", "the result measures"),
    ],
)
def test_units_that_do_not_agree_are_refused(text: str, unit: str, says: str) -> None:
    """The error says what is joined to what, and what to write."""
    with pytest.raises(BadExpression) as caught:
        value_of(text, unit)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "ends where a value belongs"),
        ("1 +", "ends where a value belongs"),
        ("1 2", "'2' is not expected there"),
        ("(1", "the end: `)` belongs there"),
        ("min(1", "`,` or `)`"),
        ("1 if n", "belongs there"),
        ("if 1", "'if' stands where a value belongs"),
        ("eval(1)", "there is no function 'eval'"),
        ("sqrt(1, 2)", "sqrt takes 1 arguments, not 2"),
        ("clamp(1)", "clamp takes 3"),
        ("a.b", "'.b' is nothing known"),
        ("10**10**10", "stands where a value belongs"),
        ("10 ^ 3", "nothing known"),
        ("1e999", "too large"),
        ("n = 1", "nothing known"),
        ("lambda: 1", "nothing known"),
        ("__import__('os')", "there is no function"),
        ("'p", "nothing known"),
        ("p[0].x", "nothing known"),
        ("1 < 2 < 3", "is not expected there"),
        ("1;2", "nothing known"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, says: str) -> None:
    """The error says where it stops making sense."""
    with pytest.raises(BadExpression) as caught:
        parse(text)
    assert says in str(caught.value)


def test_expressions_are_bounded() -> None:
    """Too long, too deep or too much is refused, at the limit it is not."""
    parse("(" * (MAX_DEPTH - 1) + "1" + ")" * (MAX_DEPTH - 1))
    parse("+".join("1" * (MAX_NODES // 2)))
    for text in (
        "(" * 1000 + "1" + ")" * 1000,
        "-" * 500 + "1",
        "+".join("1" * (MAX_NODES // 2 + 1)),
        "1" * (MAX_TEXT + 1),
        "not " * 400 + "1",
        "1 if 1 else " * 100 + "1",
    ):
        with pytest.raises(BadExpression):
            parse(text)


def test_the_points_of_an_expression_are_known() -> None:
    """Keys in quotes and short names are found wherever they stand."""
    found = list(refs(parse("a + min(\"modbus:m:p\", 'bacnet:1:x') if b > 1 else a")))
    assert [(ref.name, ref.quoted) for ref in found] == [
        ("b", False), ("a", False), ("modbus:m:p", True), ("bacnet:1:x", True), ("a", False),
    ]  # fmt: skip


_PIECES = st.sampled_from(
    ["1", "0", "1e300", "p", "t", "n", "v", "5 [kW]", "5 [K]", "(", ")", "+", "-", "*", "/", ",",
     " if ", " else ", " and ", " or ", " not ", "<", "==", "true", "[", "]", "'", '"', "10**10",
     *(f"{name}(" for name in FUNCTIONS)]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(_PIECES, max_size=60).map("".join), st.text(max_size=300)))
def test_hostile_texts_give_a_number_or_a_plain_refusal(text: str) -> None:
    """Whatever is written: a float, an undefined result, or `BadExpression`; nothing else, ever."""
    try:
        result = value_of(text, points=POINTS | dict.fromkeys(_names(text), POINTS["n"]))
    except (BadExpression, ArithmeticError, ValueError):
        return
    assert isinstance(result, float)


def _names(text: str) -> set[str]:
    return {ref.name for ref in refs(parse(text))} - set(POINTS)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.sampled_from(["1", "2.5", "n", "7"]),
        lambda inner: st.builds(
            "({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/"]), inner
        ),
        max_leaves=12,
    )
)
def test_arithmetic_agrees_with_python(text: str) -> None:
    """Plain arithmetic gives what Python gives, its refusals as well."""
    try:
        wanted = eval(text, {"n": 7.0})
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            value_of(text)
        return
    assert math.isclose(value_of(text), wanted, rel_tol=1e-9, abs_tol=1e-9)
