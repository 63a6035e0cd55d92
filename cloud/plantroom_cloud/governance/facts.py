"""From rows to the facts that rules are about. Pure.

Facts are made as they are asked for: a site may have a hundred thousand points.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import available_timezones

from plantroom_cloud.governance.checking import Subject
from plantroom_cloud.governance.configurations import Document, configuration_facts
from plantroom_cloud.governance.expressions import Value, fact
from plantroom_cloud.governance.patterns import like
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import DAY, HOUR, SECOND
from plantroom_shared.mapping.classes import is_equip_class, is_point_class
from plantroom_shared.mapping.overrides import Overrides
from plantroom_shared.mapping.shapes import may_be_point_of
from plantroom_shared.mapping.targets import brick_point
from plantroom_shared.mapping.things import Catalog, is_raw
from plantroom_shared.units import parse_unit

_NONE: Final = frozenset({"", "no-units", "no_units", "nounits", "dimensionless", "none", "-"})
"""What devices say where there is no unit."""
_KIN: Final = (
    frozenset({"temperature", "temperature_difference"}),
    frozenset({"ratio", "concentration", "humidity_ratio"}),
)
"""What is told apart by who reads it, and not by the unit."""
_MOST_NAMES: Final = 20


@dataclass(frozen=True, slots=True)
class Told:
    """What a person has said of a site for the rules."""

    location: str = ""
    naming: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteRows:
    """Rows of one site as they are at one moment, see `reading.SiteReader`."""

    site: AnyRow
    told: Told
    gateways: Sequence[AnyRow]
    devices: Sequence[AnyRow]
    points: Sequence[AnyRow]
    """With their mapping and newest sample."""
    models: Catalog
    overrides: Overrides
    documents: Sequence[Document]
    now_us: int
    _counts: dict[str, Counter[Any]] = field(default_factory=dict)

    def count(self, rows: str, *columns: str) -> Counter[Any]:
        """Return how many of `rows` there are by the values of some columns."""
        key = f"{rows}.{','.join(columns)}"
        if key not in self._counts:
            found = getattr(self, rows)
            self._counts[key] = Counter(tuple(getattr(r, c) for c in columns) for r in found)
        return self._counts[key]


def subjects(rows: SiteRows, kinds: Iterable[str]) -> dict[str, Iterator[Subject]]:
    """Return what rules look at, by kind."""
    make = {
        "site": _site,
        "gateway": _gateways,
        "device": _devices,
        "point": _points,
        "mapping": _mappings,
        "equipment": _equipment,
        "configuration": _configurations,
    }
    return {kind: make[kind](rows) for kind in kinds}


def _subject(kind: str, key: str, facts: Mapping[str, Any]) -> Subject:
    return Subject(
        kind, f"{kind}/{key}"[:200], {name: fact(value) for name, value in facts.items()}
    )


def _age(rows: SiteRows, then_us: int | None, unit: int) -> float | None:
    return None if then_us is None else round(max(0, rows.now_us - then_us) / unit, 2)


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _site(rows: SiteRows) -> Iterator[Subject]:
    site = rows.site
    yield _subject(
        "site",
        str(site.id),
        {
            "site": site.slug,
            "name": site.name,
            "timezone": site.timezone,
            "timezone_known": site.timezone in _zones(),
            "location": rows.told.location,
            "naming": rows.told.naming,
            "gateways": len(rows.gateways),
            "devices": len(rows.devices),
            "points": len(rows.points),
            "mapped": sum(bool(row.point_class) for row in rows.points),
            "accepted": rows.count("points", "state")[("accepted",)],
            "age_days": _age(rows, site.created_us, DAY),
        },
    )


def _gateways(rows: SiteRows) -> Iterator[Subject]:
    devices, points = rows.count("devices", "gateway_id"), rows.count("points", "gateway_id")
    for row in rows.gateways:
        heard = row.created_us if row.seen_us is None else row.seen_us
        skew = None if row.clock_skew_us is None else row.clock_skew_us / SECOND
        yield _subject(
            "gateway",
            row.id,
            {
                "site": rows.site.slug,
                "gateway": row.id,
                "name": row.name,
                "seen": row.seen_us is not None,
                "online": row.online,
                "silent_h": 0.0 if row.online else _age(rows, heard, HOUR),
                "devices": devices[(row.id,)],
                "points": points[(row.id,)],
                "agent_version": row.agent_version,
                "clock_state": row.clock_state,
                "clock_skew_s": skew,
                "backlog_h": _age(rows, row.oldest_us, HOUR),
                "writes": row.writes,
            },
        )


def _devices(rows: SiteRows) -> Iterator[Subject]:
    points, names = rows.count("points", "device_id"), rows.count("devices", "name")
    repeated: defaultdict[int, list[str]] = defaultdict(list)
    for (device, name), count in rows.count("points", "device_id", "name").items():
        if count > 1 and name:
            repeated[device].append(name)
    for row in rows.devices:
        yield _subject(
            "device",
            str(row.id),
            {
                "site": rows.site.slug,
                "gateway": row.gateway_id,
                "key": row.key,
                "name": row.name,
                "protocol": row.protocol,
                "address": row.address,
                "vendor": row.vendor,
                "model": row.model,
                "description": row.description,
                "points": points[(row.id,)],
                "same_name": names[(row.name,)],
                "repeated_names": sorted(repeated[row.id])[:_MOST_NAMES],
            },
        )


# ---------------------------------------------------------------- points and what they mean


@functools.lru_cache(maxsize=4096)
def dimension(unit: str) -> str:
    """Return what a unit measures; empty where it is none we know."""
    found = parse_unit(unit) if unit.strip().lower() not in _NONE else None
    return found.dimension if found else ""


@functools.lru_cache(maxsize=4096)
def class_dimension(point_class: str) -> str:
    """Return what a Brick point class measures; empty where that is open."""
    return dimension(brick_point(point_class).unit) if point_class else ""


def fits(one: str, other: str) -> bool | None:
    """Say whether two dimensions can be meant as the same; None where either is open."""
    if not one or not other:
        return None
    return one == other or any({one, other} <= kin for kin in _KIN)


def _unit(text: str) -> str:
    return "" if text.strip().lower() in _NONE else text


def _points(rows: SiteRows) -> Iterator[Subject]:
    devices = {row.id: row for row in rows.devices}
    writes = {row.id: row.writes for row in rows.gateways}
    names = rows.count("points", "device_id", "name")
    for row in rows.points:
        device, unit = devices.get(row.device_id), _unit(row.unit)
        measured, wanted = dimension(unit), class_dimension(row.point_class or "")
        yield _subject(
            "point",
            str(row.id),
            {
                "site": rows.site.slug,
                "gateway": row.gateway_id,
                "device": device.key if device else "",
                "device_name": device.name if device else "",
                "key": row.key,
                "name": row.name,
                "description": row.description,
                "unit": unit,
                "unit_known": bool(measured) if unit else None,
                "unit_dimension": measured,
                "object_type": row.object_type,
                "states": row.states or (),
                "writable": row.writable,
                "commandable": bool(row.writable and writes.get(row.gateway_id)),
                "point_class": row.point_class or "",
                "class_dimension": wanted,
                "unit_fits": fits(measured, wanted),
                "equipment": row.equipment or "",
                "equip_class": row.equip_class or "",
                "state": row.state or "",
                "source": row.source or "",
                "confidence": row.confidence,
                "name_fits": _fits_any(row.name, rows.told.naming),
                "same_name": names[(row.device_id, row.name)],
                "age_days": _age(rows, row.changed_us, DAY),
                "silent_h": _age(rows, row.ts_us, HOUR),
            },
        )


def _fits_any(name: str, patterns: Sequence[str]) -> bool | None:
    return any(like(name, pattern) for pattern in patterns) if patterns else None


@dataclass(frozen=True, slots=True)
class _Target:
    """What a mapped point is sent on as, overrides applied."""

    row: AnyRow
    model_id: str
    model_point: str
    unit: str
    """That its values are really in."""


def _targets(rows: SiteRows) -> Iterator[_Target]:
    for row in rows.points:
        if not row.state:
            continue
        meant = rows.overrides.apply(
            row.id, rows.site.id, row.equipment, row.model_id, row.model_point
        )
        unit = meant.adjustment.unit or _unit(row.unit)
        yield _Target(row, meant.model_id, meant.model_point, unit)


def _mappings(rows: SiteRows) -> Iterator[Subject]:
    targets = list(_targets(rows))
    equipment = {one.row.equipment for one in targets}
    taken = Counter(
        (one.row.equipment, one.model_id, one.model_point)
        for one in targets
        if one.row.state == "accepted" and one.model_point
    )
    for one in targets:
        row = one.row
        model = rows.models.find(one.model_id) if one.model_id else None
        point = model.points.get(one.model_point) if model else None
        yield _subject(
            "mapping",
            str(row.id),
            {
                "site": rows.site.slug,
                "point": row.key,
                "name": row.name,
                "equipment": row.equipment,
                "equip_class": row.equip_class,
                "equip_class_known": is_equip_class(row.equip_class) if row.equip_class else None,
                "point_class": row.point_class,
                "point_class_known": is_point_class(row.point_class) if row.point_class else None,
                "class_fits_equipment": _class_fits(row.point_class, row.equip_class),
                "parent": row.parent,
                "parent_known": row.parent in equipment if row.parent else None,
                "model_id": one.model_id,
                "model_known": model is not None if one.model_id else None,
                "model_point": one.model_point,
                "model_point_known": point is not None if model and one.model_point else None,
                "model_unit": point.unit if point else "",
                "unit": one.unit,
                "model_unit_fits": fits(
                    dimension(one.unit), dimension(point.unit if point else "")
                ),
                "same_target": _taken(taken, one),
                "several": bool(model and model.several),
                "confidence": row.confidence,
                "source": row.source,
                "state": row.state,
                "age_days": _age(rows, row.mapped_us, DAY),
            },
        )


def _taken(taken: Counter[tuple[str, str, str]], one: _Target) -> int:
    accepted = one.row.state == "accepted"
    return taken[one.row.equipment, one.model_id, one.model_point] if accepted else 0


@functools.lru_cache(maxsize=4096)
def _class_fits(point_class: str, equip_class: str) -> bool | None:
    if not (point_class and equip_class):
        return None
    if not (is_point_class(point_class) and is_equip_class(equip_class)):
        return None
    return may_be_point_of(point_class, equip_class)


def _equipment(rows: SiteRows) -> Iterator[Subject]:
    parts: defaultdict[str, list[_Target]] = defaultdict(list)
    for one in _targets(rows):
        if one.row.equipment and one.row.state != "rejected":
            parts[one.row.equipment].append(one)
    for key in sorted(parts):
        yield _piece(rows, key, parts[key])


def _piece(rows: SiteRows, key: str, parts: Sequence[_Target]) -> Subject:
    classes = Counter(one.row.equip_class for one in parts if one.row.equip_class)
    models = Counter(one.model_id for one in parts if one.model_id)
    parents = Counter(one.row.parent for one in parts if one.row.parent)
    model_id = _most(models)
    model = rows.models.find(model_id) if model_id else None
    required = (
        [p.name for p in model.points.values() if p.required and is_raw(p.name)] if model else []
    )
    mapped = {one.model_point for one in parts if one.model_id == model_id}
    return _subject(
        "equipment",
        key,
        {
            "site": rows.site.slug,
            "equipment": key,
            "equip_class": _most(classes),
            "classes": len(classes),
            "points": len(parts),
            "model_id": model_id,
            "missing": sorted(set(required) - mapped)[:_MOST_NAMES],
            "required": len(required),
            "parent": _most(parents),
        },
    )


def _most(counts: Counter[str]) -> str:
    """Return what there is most of; of several the first by name."""
    return min(counts, key=lambda name: (-counts[name], name)) if counts else ""


def _configurations(rows: SiteRows) -> Iterator[Subject]:
    points = rows.count("points", "gateway_id")
    for document in rows.documents:
        facts: Mapping[str, Value] = configuration_facts(document, points[(document.gateway,)])
        yield _subject("configuration", document.gateway, {"site": rows.site.slug, **facts})
