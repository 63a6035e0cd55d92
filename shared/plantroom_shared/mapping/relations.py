"""What belongs to what: fans to their unit, pumps to their loop, boxes to the unit that feeds them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from plantroom_shared.mapping.equipclass import AIR_HANDLERS, of_description, of_device
from plantroom_shared.mapping.equipment import words_of
from plantroom_shared.mapping.lexicon import parse
from plantroom_shared.mapping.mentions import TERMINALS, Place
from plantroom_shared.mapping.rows import Row, label, spelled, title
from plantroom_shared.model import Device

FEEDS, PART_OF = "feeds", "part-of"
_AHU_PARTS: Final = frozenset({"Supply_Fan", "Return_Fan"})
_MEDIA: Final = {
    "Chilled": frozenset({"Chiller", "Chilled_Water_System"}),
    "Hot": frozenset({"Hot_Water_System"}),
}


def own_fans(rows: list[Row]) -> None:
    """Where a controller serves a single air handler, fans that name no unit are its own."""
    units: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.where.kind == "equipment" and row.equip_class in AIR_HANDLERS:
            units[row.point.device].add(row.equipment)
    for device, own in units.items():
        _merge_beginnings(rows, device, own)
    for row in rows:
        own = units.get(row.point.device, set())
        if row.where.kind == "part" and len(own) == 1 and row.equip_class in _AHU_PARTS:
            row.equipment = next(iter(own))
            row.equip_class = "Air_Handling_Unit"


def _merge_beginnings(rows: list[Row], device: str, own: set[str]) -> None:
    """``AH-1`` beside the single ``AH1-1`` is no second unit: one code begins the other."""
    longer: dict[str, list[str]] = defaultdict(list)
    for key in own:
        parts = spelled(key).split("-")
        for count in range(1, len(parts)):
            longer["-".join(parts[:count])].append(key)
    moved = {key: of[0] for key in sorted(own) if len(of := longer.get(spelled(key), [])) == 1}
    if not moved:
        return
    own.difference_update(moved)
    for row in rows:
        if row.equipment in moved and row.point.device == device:
            row.equipment = moved[row.equipment]


def own_parts(rows: list[Row]) -> None:
    """Give a loop its parts: a bare pump below it, or a single point of the maker it stands for."""
    if not any(row.where.parent and row.where.parent[3] == "system" for row in rows):
        return
    suffixes: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        suffixes[row.equipment].add(row.template[row.where.end :])
    for row in rows:
        above = row.where.parent
        if above is None or above[3] != "system" or row.where.kind == "space":
            continue
        loop = label(row, above[0], above[1])
        same = row.equip_class == above[2] and len(suffixes[row.equipment]) < 2
        if loop in suffixes and (row.where.vague or same):
            start, end, equip_class, kind = above
            row.where = Place(start, end, equip_class, kind)
            row.equipment, row.equip_class = loop, equip_class


def place_loose(rows: list[Row], devices: Mapping[str, Device], tree: str) -> None:
    """Place names that name no equipment: at their device, the loop of their medium, their branch."""
    loops = _single_loops(rows)
    for row in rows:
        if row.where.kind != "none" or row.equipment:
            continue
        device = devices.get(row.point.device)
        if device:
            row.equipment = title(device)
            row.equip_class = of_device(device) or of_description(row.description)
            continue
        head = row.template.rpartition(tree)[0] if tree else ""
        loop = next((loops[word] for word in _medium(row.template) if word in loops), None)
        if loop and "#" not in head[row.skip :]:
            row.equipment, row.equip_class = loop
        else:
            row.equipment = label(row, 0, len(head))
            row.equip_class = row.equip_class or of_description(row.description)


def _single_loops(rows: Iterable[Row]) -> dict[str, tuple[str, str]]:
    """Return medium → the one system of it that the building has."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        if row.where.kind == "system":
            for medium, classes in _MEDIA.items():
                if row.equip_class in classes:
                    found[medium][row.equipment] = row.equip_class
    return {m: next(iter(own.items())) for m, own in found.items() if len(own) == 1}


@lru_cache(maxsize=65536)
def _medium(template: str) -> tuple[str, ...]:
    words = words_of(parse(template))
    return tuple(word for word in _MEDIA if {word, "Water"} <= words)


def set_parents(rows: list[Row]) -> None:
    """Say what feeds or contains each equipment: named before it, or the only air handler."""
    classes = {row.equipment: row.equip_class for row in rows if row.equipment}
    known = {spelled(key): key for key in classes}
    handlers = [key for key, name in classes.items() if name in AIR_HANDLERS]
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row.where.parent is not None:
            text = label(row, row.where.parent[0], row.where.parent[1])
            key = known.get(spelled(text)) or (
                text if row.where.parent[2] in AIR_HANDLERS else row.equipment
            )
            if key != row.equipment:
                told[row.equipment][key] += 1
    for row in rows:
        if row.equipment in told:
            counts = told[row.equipment]
            row.parent = min(counts, key=lambda key: (-counts[key], key))
            row.why = f"{row.parent} stands before it in {counts[row.parent]} names"
        elif len(handlers) == 1 and row.equip_class in TERMINALS:
            row.parent = handlers[0]
            row.why = f"{row.parent} is the only air handler"
        if row.parent:
            fed = row.where.kind == "space" or row.equip_class in TERMINALS
            row.relation = FEEDS if fed else PART_OF
