"""Derived points among each other: which is calculated before which, and what units say already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from plantroom_edge.sampling.checking import Term, build
from plantroom_edge.sampling.definition import DERIVED, DerivedPoint
from plantroom_edge.sampling.expression import BadExpression, Ref, parse, refs
from plantroom_edge.sampling.kinds import check_result


def operand_keys(one: DerivedPoint) -> dict[Ref, tuple[str, str]]:
    """Return the point behind each name in the expression, and the unit it is said to have.

    Raises:
        BadExpression: a short name is not explained under `operands`.
    """
    found: dict[Ref, tuple[str, str]] = {}
    for ref in refs(parse(one.expression)):
        if ref.quoted:
            found[ref] = (ref.name, "")
        elif ref.name in one.operands:
            operand = one.operands[ref.name]
            found[ref] = (operand.point, operand.unit)
        else:
            msg = (
                f"derived.{one.id}.expression: {ref.name!r} is no operand: name its point under"
                " `operands:`, or write the point's key in quotes"
            )
            raise BadExpression(msg)
    return found


def in_order(derived: Iterable[DerivedPoint]) -> list[DerivedPoint]:
    """Return derived points so that each comes after those it is calculated from.

    Raises:
        BadExpression: some are calculated from themselves, or from what does not exist.
    """
    waiting = {one.key: one for one in derived}
    known = set(waiting)
    out: list[DerivedPoint] = []
    done: set[str] = set()
    needs = {key: {k for k, _ in operand_keys(one).values()} for key, one in waiting.items()}
    for key, keys in needs.items():
        for other in keys:
            if other.startswith(f"{DERIVED}:") and other not in known:
                msg = f"{key.replace(':', '.', 1)}.expression: there is no point {other!r}"
                raise BadExpression(msg)
    while waiting:
        ready = [key for key in waiting if not (needs[key] & known) - done]
        if not ready:
            names = ", ".join(sorted(waiting))
            msg = f"derived: {names} are calculated from each other in a circle: break it"
            raise BadExpression(msg)
        for key in ready:
            out.append(waiting.pop(key))
            done.add(key)
    return out


def check_declared(one: DerivedPoint, derived: Iterable[DerivedPoint]) -> None:
    """Check the units of `one` as far as the configuration alone tells them; see `checked`."""
    units = {other.key: other.unit for other in derived}
    named = operand_keys(one)
    if all(unit or key in units for key, unit in named.values()):
        checked(one, units)


def checked(one: DerivedPoint, units: Mapping[str, str]) -> tuple[Term, list[tuple[str, str]]]:
    """Return `one` ready to run, and key and unit of its operands in order.

    Args:
        one: the derived point.
        units: of the points, by key; an operand's own unit comes before.

    Raises:
        BadExpression: units do not agree; says which derived point, and what to write.
    """
    named = operand_keys(one)
    operands = list(dict.fromkeys((key, unit or units[key]) for key, unit in named.values()))

    def resolve(ref: Ref) -> tuple[int, str]:
        key, unit = named[ref]
        entry = (key, unit or units[key])
        return operands.index(entry), entry[1]

    try:
        term = build(parse(one.expression), resolve)
        check_result(term.kind, one.unit)
    except BadExpression as error:
        msg = f"derived.{one.id}.expression: {error}"
        raise BadExpression(msg) from error
    return term, operands
