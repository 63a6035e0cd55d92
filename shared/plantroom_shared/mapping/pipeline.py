"""Points of a site → what each one means: equipment, Brick class, thing-model point."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from plantroom_shared.mapping.answers import answered
from plantroom_shared.mapping.classes import canonical, is_point_class
from plantroom_shared.mapping.classify import Verdict, classify
from plantroom_shared.mapping.equipment import PARTS, Place, place, shared_prefix
from plantroom_shared.mapping.evidence import MEDIA, Facts
from plantroom_shared.mapping.learned import Rulebook
from plantroom_shared.mapping.lexicon import parse
from plantroom_shared.mapping.models import counterpart
from plantroom_shared.mapping.names import clean, fill, fold
from plantroom_shared.model import Device, Point

PROFILE_CONFIDENCE: Final = 0.99
"""A device profile was written by a person who read the vendor's register list."""
AIR_HANDLERS: Final = frozenset(
    {
        "Air_Handling_Unit",
        "Rooftop_Unit",
        "Makeup_Air_Unit",
        "Dedicated_Outdoor_Air_System_Unit",
        "Dual_Duct_Air_Handling_Unit",
    }
)
GATEWAY: Final = "agent"
"""The protocol of the gateway's own figures, with which the keys of its device and points begin."""
_AHU_PARTS: Final = frozenset({"Supply_Fan", "Return_Fan"})
_TERMINAL: Final = "Variable_Air_Volume_Box"


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
    candidates: tuple[str, ...] = ()
    """The best classes, the best first: what a person or an LLM may choose from."""
    about: str = ""
    """The part of the template that is about the point; empty where all of it is."""


@dataclass(slots=True)
class _Row:
    point: Point
    template: str
    runs: tuple[str, ...]
    description: str
    where: Place
    equipment: str = ""
    equip_class: str = ""


def map_points(
    points: Sequence[Point],
    devices: Sequence[Device] = (),
    *,
    decided: Mapping[str, str] | None = None,
    rules: Rulebook | None = None,
) -> list[MappedPoint]:
    """Return what the points of one site mean, in their order.

    Pure: the same points give the same answer. The whole site is looked at together, since a
    name's grammar shows in its neighbours; the work is done per template, not per point.

    Args:
        points: every point of the site; names are untrusted.
        devices: the devices that serve them; names without an equipment belong to their device.
        decided: template key → point class, as people have said it.
        rules: what follows from that for others, and what people have written.
    """
    known = {device.key: device for device in devices}
    rows = _rows([point for point in points if not _is_gateway(point)])
    _equipment(rows, known)
    _one_spelling(rows)
    _fans_of_one_unit(rows)
    _classes_of_groups(rows)
    # A profile that names thing-model points names all of its device's.
    told = {row.point.device for row in rows if row.point.enos}
    own = iter([_mapped(row, told) for row in rows])
    mapped = [_unmapped(point) if _is_gateway(point) else next(own) for point in points]
    return one_claim_each(answered(points, mapped, decided or {}, rules or Rulebook()))


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


def _rows(points: Sequence[Point]) -> list[_Row]:
    by_device: dict[str, list[str]] = defaultdict(list)
    names = [clean(point.name) for point in points]
    for point, name in zip(points, names, strict=True):
        by_device[point.device].append(name)
    prefix: dict[str, str] = {}
    for device, own in by_device.items():
        length = shared_prefix(own)
        counts = Counter(name[:length] for name in own)
        prefix[device] = counts.most_common(1)[0][0] if length else ""
    rows = []
    for point, name in zip(points, names, strict=True):
        template, runs = fold(name)
        head = prefix[point.device]
        skip = len(fold(head)[0]) if head and name.startswith(head) else 0
        description = fold(clean(point.description))[0] if point.description else ""
        rows.append(_Row(point, template, runs, description, place(template, skip)))
    return rows


def _equipment(rows: list[_Row], devices: Mapping[str, Device]) -> None:
    """Name the equipment of every row: by its own name, or the device it is served by."""
    scoped = _same_name_elsewhere(rows)
    device_class = {key: _device_class(device) for key, device in devices.items()}
    for row in rows:
        device = devices.get(row.point.device)
        if row.point.equip_class and device:
            row.equipment = clean(device.name) or device.key
            row.equip_class = canonical(row.point.equip_class)
        elif row.where.kind == "none":
            row.equipment = clean(device.name) if device else _parent(row)
            row.equip_class = device_class.get(row.point.device, "") or _described(row.description)
        else:
            row.equipment = _key(row)
            row.equip_class = row.where.equip_class
            if (row.point.device, row.equipment) in scoped and device:
                row.equipment = f"{clean(device.name) or device.key}: {row.equipment}"
        if row.point.equip_class:
            row.equip_class = canonical(row.point.equip_class)


def _key(row: _Row) -> str:
    start = 0 if row.where.path else row.where.start
    return fill(row.template, row.runs, row.where.end, start).strip(" ./:_-'")


def _one_spelling(rows: list[_Row]) -> None:
    """Give ``RM-B210`` and ``RMB210`` one key: the most common spelling."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        spellings[_folded(row.equipment)][row.equipment] += 1
    usual = {
        key: min(counts, key=lambda text: (-counts[text], text))
        for key, counts in spellings.items()
    }
    for row in rows:
        row.equipment = usual[_folded(row.equipment)]


@lru_cache(maxsize=65536)
def _folded(text: str) -> str:
    return "".join(ch for ch in text.casefold() if ch.isalnum()) or text


def _fans_of_one_unit(rows: list[_Row]) -> None:
    """Where a controller serves a single air handler, fans that name no unit are its own."""
    units: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.where.kind == "equipment" and row.equip_class in AIR_HANDLERS:
            units[row.point.device].add(row.equipment)
    for row in rows:
        own = units.get(row.point.device, set())
        if row.where.kind == "part" and len(own) == 1 and row.equip_class in _AHU_PARTS:
            row.equipment = next(iter(own))
            row.equip_class = "Air_Handling_Unit"


def _parent(row: _Row) -> str:
    head, slash, _ = row.template.rpartition("/")
    return fill(row.template, row.runs, len(head)) if slash else ""


def _same_name_elsewhere(rows: list[_Row]) -> set[tuple[str, str]]:
    """Return (device, equipment) where two devices serve the same points of a name: two machines."""
    seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if row.where.kind != "none":
            seen[_key(row)][row.point.device].add(row.template[row.where.end :])
    scoped: set[tuple[str, str]] = set()
    for key, by_device in seen.items():
        suffixes = Counter(suffix for own in by_device.values() for suffix in own)
        if len(by_device) > 1 and any(count > 1 for count in suffixes.values()):
            scoped.update((device, key) for device in by_device)
    return scoped


def _device_class(device: Device) -> str:
    for text in (device.name, device.model, device.description):
        for piece in reversed(parse(fold(clean(text))[0])):
            if piece.entry is not None and piece.entry.equip:
                return piece.entry.equip
    return ""


@lru_cache(maxsize=4096)
def _described(description: str) -> str:
    """Return the equipment class that a description names, parts of equipment aside."""
    for piece in parse(description) if description else ():
        if piece.entry is not None and piece.entry.equip and piece.entry.equip not in PARTS:
            return "" if piece.entry.words else piece.entry.equip
    return ""


def _classes_of_groups(rows: list[_Row]) -> None:
    """Say what serves a space or an unknown word, from the points it has."""
    words: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if not row.equip_class and row.equipment:
            for piece in (
                *parse(row.template),
                *(parse(row.description) if row.description else ()),
            ):
                if piece.entry is not None and piece.start >= 0:
                    words[row.equipment].update(piece.entry.words)
    found = {group: _terminal(own) for group, own in words.items()}
    spaces = {row.equipment for row in rows if row.where.kind == "space" and row.equipment in found}
    votes = Counter(found[group] for group in spaces)
    usual = votes.most_common(1)[0][0] if votes else ""
    for row in rows:
        if not row.equip_class and row.equipment in found:
            row.equip_class = found[row.equipment] or (usual if row.where.kind == "space" else "")


def _terminal(words: Iterable[str]) -> str:
    own = set(words)
    if "Fan" in own and "Valve" in own and "Damper" not in own:
        return "Fan_Coil_Unit"
    if "Damper" in own and own & {"Zone", "Flow", "Temperature"}:
        return _TERMINAL
    if own >= {"Air", "Flow"} and own & {"Zone", "Reheat"}:
        return _TERMINAL
    return ""


def _mapped(row: _Row, told: set[str]) -> MappedPoint:
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
        point_class=point_class,
        model_id=model_id,
        model_point=model_point,
        confidence=PROFILE_CONFIDENCE if hinted else verdict.confidence,
        source="profile" if hinted or point.enos else "offline",
        evidence=("the device's profile says so",) if hinted else verdict.evidence,
        candidates=verdict.candidates,
        about=row.template[row.where.cut :].strip(" ./:_-'"),
    )


@lru_cache(maxsize=4096)
def _medium(before: str) -> frozenset[str]:
    words = {word for piece in parse(before) if piece.entry for word in piece.entry.words}
    return frozenset(words & MEDIA)


def _thing(row: _Row, verdict: Verdict, told: set[str]) -> tuple[str, str]:
    if row.point.enos:
        model_id, _, model_point = row.point.enos.partition("/")
        return model_id, model_point
    if row.point.equip_class and row.point.device in told:
        return "", ""
    digits = fill(row.template, row.runs, len(row.template), row.where.cut)
    return counterpart(row.equip_class, verdict.words, digits)


def one_claim_each(mapped: list[MappedPoint]) -> list[MappedPoint]:
    """Leave each thing-model point of an equipment to one point: a person's and a profile's first."""
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


def _strength(item: MappedPoint) -> tuple[bool, bool, float]:
    return item.source == "person", item.source == "profile", item.confidence or 0.0


def _without(item: MappedPoint) -> MappedPoint:
    return replace(item, model_id="", model_point="")
