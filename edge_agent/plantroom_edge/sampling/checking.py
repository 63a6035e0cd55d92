"""How an expression is calculated: every step is checked before any value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from plantroom_edge.sampling.expression import BadExpression, Call, Node, Number, Ref
from plantroom_edge.sampling.kinds import NUMBER, Kind, alike, kind_of, plain, same, scaled, to_si

Run = Callable[[Sequence[float], float], float]
"""Operands in SI and seconds since 1970 → the value in SI; raises ArithmeticError or ValueError."""


@dataclass(frozen=True, slots=True)
class Term:
    """A checked part of an expression."""

    kind: Kind
    run: Run
    constant: float | None = None


Resolve = Callable[[Ref], tuple[int, str]]
"""A point → its place among the operands, and its unit."""


def build(node: Node, resolve: Resolve) -> Term:
    """Return `node` ready to run; BadExpression if its units do not agree."""
    if isinstance(node, Number):
        return _number(node)
    if isinstance(node, Ref):
        index, unit = resolve(node)
        return Term(kind_of(unit, repr(node.name)), lambda values, _at: values[index])
    parts = [build(part, resolve) for part in node.parts]
    return _BUILDERS[node.name](node, parts)


# ---------------------------------------------------------------- rules


def _number(node: Number) -> Term:
    if node.unit is None:
        kind, value = Kind(zero=node.value == 0), node.value
    else:
        kind = kind_of(node.unit, str(node.value))
        factor, offset = to_si(node.unit)
        value = node.value * factor + offset
        if kind.family == "temperature" and not offset:  # 5 [K] is a distance and a temperature
            kind = replace(kind, weight=None)
    return Term(kind, lambda _values, _at: value, value if node.unit is None else None)


def _sum(node: Call, parts: Sequence[Term]) -> Term:
    sign = -1.0 if node.name == "-" else 1.0
    kind = replace(parts[0].kind, truth=False)
    for part in parts[1:]:
        weight = (kind.weight or 0.0) + sign * (part.kind.weight or 0.0)
        both = kind.weight is None and part.kind.weight is None
        kind = replace(alike(node.name, kind, part.kind), weight=None if both else weight)
        kind = replace(kind, truth=False)
    runs = [part.run for part in parts]
    if node.name == "sum":
        return Term(kind, lambda values, at: math.fsum([run(values, at) for run in runs]))
    first, second = runs
    if sign < 0:
        return Term(kind, lambda values, at: first(values, at) - second(values, at))
    return Term(kind, lambda values, at: first(values, at) + second(values, at))


def _product(node: Call, parts: Sequence[Term]) -> Term:
    one, other = parts
    first, second = one.run, other.run
    sign = 1.0 if node.name == "*" else -1.0
    vector = tuple(a + sign * b for a, b in zip(one.kind.vector, other.kind.vector, strict=True))
    kind = replace(_factored(node.name, one, other), vector=vector, zero=False, truth=False)
    if node.name == "*":
        constant = (
            None
            if one.constant is None or other.constant is None
            else one.constant * other.constant
        )
        return Term(kind, lambda values, at: first(values, at) * second(values, at), constant)
    return Term(kind, lambda values, at: first(values, at) / second(values, at))


def _factored(name: str, one: Term, other: Term) -> Kind:
    """Return family and weight of a product: a plain number changes neither unit nor kind."""
    if other.constant is not None and other.kind.family == NUMBER:
        times = other.constant if name == "*" else 1 / other.constant if other.constant else 0.0
        return scaled(one.kind, times)
    if name == "*" and one.constant is not None and one.kind.family == NUMBER:
        return scaled(other.kind, one.constant)
    kinds = (plain(name, one.kind), plain(name, other.kind))
    if kinds[1].family == NUMBER:
        return replace(kinds[0], weight=0.0)
    if name == "*" and kinds[0].family == NUMBER:
        return replace(kinds[1], weight=0.0)
    return Kind(family="")


def _negated(_node: Call, parts: Sequence[Term]) -> Term:
    run, kind, constant = parts[0].run, parts[0].kind, parts[0].constant
    return Term(
        replace(scaled(kind, -1.0), truth=False),
        lambda values, at: -run(values, at),
        None if constant is None else -constant,
    )


def _compared(node: Call, parts: Sequence[Term]) -> Term:
    same(node.name, [part.kind for part in parts])
    first, second = (part.run for part in parts)
    compare = _COMPARISONS[node.name]
    return Term(
        Kind(truth=True),
        lambda values, at: float(compare(first(values, at), second(values, at))),
    )


def _chosen(node: Call, parts: Sequence[Term]) -> Term:
    condition = _truth("if", parts[0])
    kind = same(node.name, [part.kind for part in parts[1:]])
    yes, no = parts[1].run, parts[2].run
    return Term(kind, lambda values, at: (yes if condition(values, at) else no)(values, at))


def _truth(name: str, term: Term) -> Run:
    if term.kind.family != NUMBER or term.constant is not None:
        msg = f"`{name}` takes a condition, such as x > 5 [kW]"
        raise BadExpression(msg)
    return term.run


def _logic(node: Call, parts: Sequence[Term]) -> Term:
    runs = [_truth(node.name, part) for part in parts]
    kind = Kind(truth=True)
    if node.name == "not":
        only = runs[0]
        return Term(kind, lambda values, at: float(not only(values, at)))
    first, second = runs
    if node.name == "and":
        return Term(kind, lambda values, at: float(bool(first(values, at) and second(values, at))))
    return Term(kind, lambda values, at: float(bool(first(values, at) or second(values, at))))


def _constant(node: Call, _parts: Sequence[Term]) -> Term:
    value = float(node.name == "true")
    return Term(Kind(truth=True), lambda _values, _at: value)


def _picked(node: Call, parts: Sequence[Term]) -> Term:
    kind = replace(same(node.name, [part.kind for part in parts]), truth=False)
    runs = [part.run for part in parts]
    if node.name == "avg":
        return Term(kind, lambda values, at: math.fsum([r(values, at) for r in runs]) / len(runs))
    if node.name == "clamp":
        x, low, high = runs
        return Term(
            kind, lambda values, at: min(max(x(values, at), low(values, at)), high(values, at))
        )
    pick = min if node.name == "min" else max
    return Term(kind, lambda values, at: pick([run(values, at) for run in runs]))


def _absolute(node: Call, parts: Sequence[Term]) -> Term:
    kind, run = plain(node.name, parts[0].kind), parts[0].run
    if node.name == "abs":
        return Term(kind, lambda values, at: abs(run(values, at)))
    family = NUMBER if kind.family == NUMBER else ""
    half = Kind(tuple(one / 2 for one in kind.vector), family)
    return Term(half, lambda values, at: math.sqrt(run(values, at)))


def _kelvin(_node: Call, parts: Sequence[Term]) -> Term:
    kind = parts[0].kind
    if kind.family != "temperature" or kind.weight not in {1.0, None}:
        msg = "kelvin takes a temperature"
        raise BadExpression(msg)
    return Term(replace(kind, weight=0.0), parts[0].run)


def _hysteresis(node: Call, parts: Sequence[Term]) -> Term:
    same(node.name, [part.kind for part in parts])
    return Term(Kind(truth=True), _Switch(*(part.run for part in parts)))


def _moved(node: Call, parts: Sequence[Term]) -> Term:
    kind = replace(parts[0].kind, weight=0.0, zero=False, truth=False)
    if node.name == "delta":
        return Term(kind, _Change(parts[0].run, by_second=False))
    vector = tuple(one - (place == 2) for place, one in enumerate(kind.vector))
    return Term(Kind(vector, ""), _Change(parts[0].run, by_second=True))


class _Switch:
    """On above `high`, off below `low`, else as it was."""

    def __init__(self, x: Run, low: Run, high: Run) -> None:
        self._x, self._low, self._high = x, low, high
        self._on = False

    def __call__(self, values: Sequence[float], at: float) -> float:
        x = self._x(values, at)
        if x > self._high(values, at):
            self._on = True
        elif x < self._low(values, at):
            self._on = False
        return float(self._on)


class _Change:
    """The change since the last time this was calculated."""

    def __init__(self, x: Run, *, by_second: bool) -> None:
        self._x, self._by_second = x, by_second
        self._last: tuple[float, float] | None = None

    def __call__(self, values: Sequence[float], at: float) -> float:
        x, before = self._x(values, at), self._last
        self._last = (x, at)
        if before is None or at <= before[1]:
            msg = "there is nothing earlier to compare with"
            raise ValueError(msg)
        change = x - before[0]
        return change / (at - before[1]) if self._by_second else change


_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_BUILDERS: Final[dict[str, Callable[[Call, Sequence[Term]], Term]]] = {
    **dict.fromkeys(_COMPARISONS, _compared),
    **dict.fromkeys(("+", "-", "sum"), _sum),
    **dict.fromkeys(("*", "/"), _product),
    **dict.fromkeys(("and", "or", "not"), _logic),
    **dict.fromkeys(("min", "max", "avg", "clamp"), _picked),
    **dict.fromkeys(("true", "false"), _constant),
    **dict.fromkeys(("abs", "sqrt"), _absolute),
    **dict.fromkeys(("delta", "rate"), _moved),
    "neg": _negated,
    "if": _chosen,
    "kelvin": _kelvin,
    "hysteresis": _hysteresis,
}
