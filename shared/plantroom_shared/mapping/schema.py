"""Schema mapping: does what is mapped fit the models it is mapped to? Findings as data. Pure.

Every finding names its points, says what is wrong and what to do; an ``error`` means that a value is
not published or is published wrongly, a ``warning`` that a person should look.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from plantroom_shared.errors import Rejected
from plantroom_shared.mapping.conversion import (
    NO_UNIT,
    NOTHING,
    Adjustment,
    Source,
    assumes_unit,
    conversion_of,
)
from plantroom_shared.mapping.things import NUMBERS, Catalog, ModelPoint, ThingModel, is_raw
from plantroom_shared.units import parse_unit

Kind = Literal[
    "no_model", "no_model_point", "not_raw", "mixed_models", "missing", "doubled", "type",
    "states", "unit", "no_unit", "unknown_unit",
]  # fmt: skip
KINDS: Final[tuple[Kind, ...]] = Kind.__args__  # type: ignore[attr-defined]  # what a Literal has
_ANALOG: Final = ("analog", "holding", "input", "accumulator", "integer", "large-analog")
_BINARY: Final = ("binary", "coil", "discrete")
_MULTI: Final = "multi-state"


UNKNOWN_SOURCE: Final = Source()
"""A point of which nothing but its name is known."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A point, and the model point that its mapping says it is."""

    point: str
    """The point's key or id."""
    equipment: str
    model_id: str
    model_point: str
    source: Source = UNKNOWN_SOURCE
    adjustment: Adjustment = NOTHING
    name: str = ""
    """The raw name, for a person."""


@dataclass(frozen=True, slots=True)
class SchemaFinding:
    """One thing that does not fit."""

    kind: Kind
    severity: Literal["error", "warning"]
    equipment: str
    model_id: str
    model_point: str
    points: tuple[str, ...]
    """Keys or ids."""
    text: str
    fix: str


def check(claims: Iterable[Claim], catalog: Catalog) -> list[SchemaFinding]:
    """Return what does not fit, by equipment, then model point.

    Args:
        claims: what a site's points are mapped to; those without a model are left out.
        catalog: the models that the company has.
    """
    by_equipment: defaultdict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        if claim.model_id and claim.model_point:
            by_equipment[claim.equipment].append(claim)
    found: list[SchemaFinding] = []
    for equipment in sorted(by_equipment):
        found += _check_equipment(equipment, by_equipment[equipment], catalog)
    return found


def check_claim(claim: Claim, target: ModelPoint) -> list[SchemaFinding]:
    """Return what does not fit between one point and its model point."""
    found = list(_type_findings(claim, target))
    if any(finding.severity == "error" for finding in found):
        return found  # a unit that is wrong as well would only be the same said twice
    return found + list(_unit_findings(claim, target))


# ---------------------------------------------------------------- equipment


def _check_equipment(
    equipment: str, claims: list[Claim], catalog: Catalog
) -> Iterator[SchemaFinding]:
    models = Counter(claim.model_id for claim in claims)
    if len(models) > 1:
        yield _mixed(equipment, claims, models)
    for model_id in sorted(models):
        mine = [claim for claim in claims if claim.model_id == model_id]
        model = catalog.find(model_id)
        if model is None:
            yield _no_model(equipment, model_id, mine)
            continue
        yield from _missing(equipment, model, mine)
        yield from _points(model, mine)


def _points(model: ThingModel, claims: list[Claim]) -> Iterator[SchemaFinding]:
    by_point: defaultdict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_point[claim.model_point].append(claim)
    for identifier in sorted(by_point):
        mine = sorted(by_point[identifier], key=lambda claim: claim.point)
        target = model.points.get(identifier)
        if target is None:
            yield _no_model_point(model, identifier, mine)
            continue
        if not is_raw(identifier):
            yield _not_raw(model, identifier, mine)
        if len(mine) > 1 and not model.several:
            yield _doubled(model, identifier, mine)
        for claim in mine:
            yield from check_claim(claim, target)


def _missing(equipment: str, model: ThingModel, claims: list[Claim]) -> Iterator[SchemaFinding]:
    have = {claim.model_point for claim in claims}
    wanted = [name for name, point in model.points.items() if point.required and name not in have]
    for identifier in sorted(wanted):
        yield SchemaFinding(
            "missing", "error", equipment, model.model_id, identifier, (),
            f"{equipment} has no point for {identifier}, which {model.model_id} requires",
            "map a point of the equipment to it, or say that the model does not require it",
        )  # fmt: skip


def _mixed(equipment: str, claims: list[Claim], models: Counter[str]) -> SchemaFinding:
    (main, _), *_ = sorted(models.items(), key=lambda item: (-item[1], item[0]))
    others = [claim for claim in claims if claim.model_id != main]
    named = ", ".join(f"{name} ({models[name]})" for name in sorted(models))
    return _of("mixed_models", others, replace(others[0], equipment=equipment, model_point=""),
        f"points of {equipment} are mapped to several models: {named}; a device has one",
        f"map the others to {main}, or to equipment of their own",
    )  # fmt: skip


def _no_model(equipment: str, model_id: str, claims: list[Claim]) -> SchemaFinding:
    first = replace(claims[0], equipment=equipment, model_point="")
    text = f"{len(claims)} points are mapped to {model_id}, and there is no such model"
    return _of("no_model", claims, first, text, "import the model, or map to another one")


def _no_model_point(model: ThingModel, identifier: str, claims: list[Claim]) -> SchemaFinding:
    text = f"{model.model_id} has no point {identifier}"
    return _of("no_model_point", claims, claims[0], text, "map to one that it has")


def _not_raw(model: ThingModel, identifier: str, claims: list[Claim]) -> SchemaFinding:
    text = f"{identifier} of {model.model_id} is the platform's own: nothing is published to it"
    return _of("not_raw", claims, claims[0], text, "map to the raw point beside it")


def _doubled(model: ThingModel, identifier: str, claims: list[Claim]) -> SchemaFinding:
    names = ", ".join(claim.name or claim.point for claim in claims[:3])
    return _of("doubled", claims, claims[0],
        f"{len(claims)} points claim {identifier} of one {model.model_id}: {names}",
        "keep the one that is it; the surest of them is published, the others are not",
    )  # fmt: skip


def _of(kind: Kind, claims: Iterable[Claim], about: Claim, text: str, fix: str) -> SchemaFinding:
    """Return an error in what `claims` say."""
    points = tuple(claim.point for claim in claims)
    where = (about.equipment, about.model_id, about.model_point)
    return SchemaFinding(kind, "error", *where, points, text, fix)


# ---------------------------------------------------------------- one point


def _type_findings(claim: Claim, target: ModelPoint) -> Iterator[SchemaFinding]:
    source = claim.source
    quantity = _is_quantity(source, claim.adjustment)
    what = f"{claim.name or claim.point} ({_described(source)})"
    wants = f"{target.identifier} is {target.data_type}"
    try:
        conversion_of(source, target, claim.adjustment)
    except Rejected as error:
        if error.reason == "type":
            fix = "map the point to a number, a state or a text"
            yield _of("type", [claim], claim, str(error), fix)
            return
    if target.is_state and quantity and not claim.adjustment.states:
        text = f"{what} is a quantity, and {wants}: its values are no states"
        fix = "map to a point that takes a number, or say which value is which state"
        yield _of("type", [claim], claim, text, fix)
    elif target.data_type in NUMBERS and target.unit and _is_states(source):
        text = f"{what} is a state, and {wants} in {target.unit}: 0, 1, 2 would pass for a quantity"
        yield _of("type", [claim], claim, text, "map to a status or command of the model")
    elif target.choices and target.data_type == "ENUM":
        yield from _state_findings(claim, target, what)


def _state_findings(claim: Claim, target: ModelPoint, what: str) -> Iterator[SchemaFinding]:
    """Tell of states that no choice of the enumeration stands for."""
    source = claim.source
    conversion = conversion_of(source, target, claim.adjustment)
    first = 1 if source.object_type.startswith(_MULTI) else 0
    lost: list[str] = []
    for number, state in enumerate(source.states, first):
        try:
            conversion(number)
        except Rejected:
            lost.append(f"{number} {state!r}")
    if lost:
        named = ", ".join(lost[:5])
        text = f"{what} has states that {target.identifier} does not know: {named}"
        fix = "say with an override which value of the model each state is"
        yield _of("states", [claim], claim, text, fix)


def _unit_findings(claim: Claim, target: ModelPoint) -> Iterator[SchemaFinding]:
    source, what = claim.source, claim.name or claim.point
    unit = claim.adjustment.unit or source.unit
    if assumes_unit(source, target, claim.adjustment):
        text = f"{what} names no unit: its values are taken to be in {target.unit}"
        fix = "say with an override which unit it is in"
        yield replace(_of("no_unit", [claim], claim, text, fix), severity="warning")
        return
    try:
        conversion_of(source, target, claim.adjustment)
    except Rejected as error:
        fix = "say with an override which unit it is in, or map to a point that measures the same"
        kind: Kind = "unit" if parse_unit(unit) and parse_unit(target.unit) else "unknown_unit"
        yield _of(kind, [claim], claim, f"{what}: {error}", fix)


def _is_states(source: Source) -> bool:
    """Say whether the bus says that the point holds states."""
    kind = source.object_type.casefold()
    return kind.startswith((*_BINARY, _MULTI)) and source.unit in NO_UNIT


def _is_quantity(source: Source, adjustment: Adjustment) -> bool:
    """Say whether the bus says that the point holds a quantity: analog, in a unit, no states."""
    unit = adjustment.unit or source.unit
    kind = source.object_type.casefold()
    return unit not in NO_UNIT and not source.states and (not kind or kind.startswith(_ANALOG))


def _described(source: Source) -> str:
    states = "/".join(source.states[:3])
    return ", ".join(filter(None, (source.object_type, source.unit, states))) or "nothing known"
