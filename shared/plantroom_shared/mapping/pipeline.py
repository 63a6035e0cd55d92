"""Points of a site → what each one means: equipment, Brick class, thing-model point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from plantroom_shared.mapping.classes import canonical, is_point_class
from plantroom_shared.mapping.classify import Verdict, classify
from plantroom_shared.mapping.evidence import MEDIA, Facts
from plantroom_shared.mapping.grouping import group
from plantroom_shared.mapping.lexicon import parse
from plantroom_shared.mapping.models import counterpart
from plantroom_shared.mapping.names import clean, fill, fold
from plantroom_shared.mapping.rows import Row
from plantroom_shared.model import Device, Point

PROFILE_CONFIDENCE: Final = 0.99
"""A device profile was written by a person who read the vendor's register list."""
_NOTE: Final = 120
GATEWAY: Final = "agent"
"""The protocol of the gateway's own figures, with which the keys of its device and points begin."""


@dataclass(frozen=True, slots=True)
class MappedPoint:
    """What one point means."""

    point: str
    """The point's key."""
    template: str
    """Its name with every number folded to ``#``."""
    equipment: str = ""
    """Key of the equipment within the site, as the name grammar gives it."""
    equip_class: str = ""
    """Brick equipment class; empty where there is no proposal."""
    point_class: str = ""
    """Brick point class, canonical; empty where there is no proposal."""
    model_id: str = ""
    """EnOS thing model; empty where it has no counterpart."""
    model_point: str = ""
    confidence: float | None = None
    """Probability that the point class is right; None where nothing is proposed."""
    source: str = "offline"
    """``profile`` or ``offline``."""
    evidence: tuple[str, ...] = ()
    parent: str = ""
    """Key of the equipment that feeds or contains its equipment; empty where nothing tells."""
    relation: str = ""
    """What the parent is to it: ``feeds`` or ``part-of``; empty without one."""
    candidates: tuple[str, ...] = ()
    """The best classes, the best first: what a person or an LLM may choose from."""


def map_points(points: Sequence[Point], devices: Sequence[Device] = ()) -> list[MappedPoint]:
    """Return what the points of one site mean, in their order.

    Pure: the same points give the same answer. The whole site is looked at together, since a
    name's grammar shows in its neighbours; the work is done per template, not per point.

    Args:
        points: every point of the site; names are untrusted.
        devices: the devices that serve them; names without an equipment belong to their device.
    """
    known = {device.key: device for device in devices}
    rows = group([point for point in points if not _is_gateway(point)], known)
    # A profile that names thing-model points names all of its device's.
    told = {row.point.device for row in rows if row.point.enos}
    mapped = iter(_resolve([_mapped(row, told) for row in rows]))
    return [_unmapped(point) if _is_gateway(point) else next(mapped) for point in points]


def _is_gateway(point: Point) -> bool:
    """Say whether a point tells of the gateway: that stands in the plant room and is none of it."""
    return point.device.partition(":")[0] == GATEWAY


def _unmapped(point: Point) -> MappedPoint:
    """Return that a point means nothing in the building, and that nobody need be asked."""
    return MappedPoint(
        point.key,
        fold(clean(point.name))[0],
        equipment=point.device,
        source="profile",
        evidence=("it tells of the gateway, not of the plant",),
    )


def _mapped(row: Row, told: set[str]) -> MappedPoint:
    point = row.point
    facts = Facts(
        row.equip_class,
        point.unit,
        point.object_type,
        tuple(point.states),
        point.writable,
        row.where.kind == "space",
    )
    before = row.template[: row.where.start]
    verdict = classify(
        row.template[row.where.cut :].lstrip(),
        _medium(before) if before and not row.equip_class else frozenset(),
        row.description,
        facts,
    )
    hinted = bool(point.point_class) and is_point_class(point.point_class)
    point_class = canonical(point.point_class) if hinted else verdict.point_class
    model_id, model_point = _thing(row, verdict, told)
    return MappedPoint(
        point=point.key,
        template=row.template,
        equipment=row.equipment,
        equip_class=row.equip_class,
        parent=row.parent,
        relation=row.relation,
        point_class=point_class,
        model_id=model_id,
        model_point=model_point,
        confidence=PROFILE_CONFIDENCE if hinted else verdict.confidence,
        source="profile" if hinted or point.enos else "offline",
        evidence=_evidence(row, verdict, hinted=hinted),
        candidates=verdict.candidates,
    )


def _evidence(row: Row, verdict: Verdict, *, hinted: bool) -> tuple[str, ...]:
    own = ("the device's profile says so",) if hinted else verdict.evidence
    return (*own, row.why[:_NOTE]) if row.why else own


@lru_cache(maxsize=4096)
def _medium(before: str) -> frozenset[str]:
    words = {word for piece in parse(before) if piece.entry for word in piece.entry.words}
    return frozenset(words & MEDIA)


def _thing(row: Row, verdict: Verdict, told: set[str]) -> tuple[str, str]:
    if row.point.enos:
        model_id, _, model_point = row.point.enos.partition("/")
        return model_id, model_point
    if row.point.equip_class and row.point.device in told:
        return "", ""
    digits = fill(row.template, row.runs, len(row.template), row.where.cut)
    return counterpart(row.equip_class, verdict.words, digits)


def _resolve(mapped: list[MappedPoint]) -> list[MappedPoint]:
    """Leave each thing-model point of an equipment to one point: profile first, then the surer."""
    best: dict[tuple[str, str, str], MappedPoint] = {}
    for item in mapped:
        if not item.model_point:
            continue
        place_ = (item.equipment, item.model_id, item.model_point)
        rival = best.get(place_)
        if rival is None or _strength(item) > _strength(rival):
            best[place_] = item
    keep = {id(item) for item in best.values()}
    return [item if not item.model_point or id(item) in keep else _without(item) for item in mapped]


def _strength(item: MappedPoint) -> tuple[bool, float]:
    return item.source == "profile", item.confidence or 0.0


def _without(item: MappedPoint) -> MappedPoint:
    return replace(item, model_id="", model_point="")
