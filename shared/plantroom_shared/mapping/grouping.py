"""Points → equipment: what each name's equipment is called, what it is, and what stands above it.

A name says where its equipment stands (`equipment.place`); whether two such names mean one machine
shows in the other names of the building: a machine has no two points of one name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from plantroom_shared.mapping.classes import canonical
from plantroom_shared.mapping.equipclass import AIR_HANDLERS, of_description, of_device, settle
from plantroom_shared.mapping.equipment import TERMINALS, Place, label_after, place, words_of
from plantroom_shared.mapping.grammar import level_separator, single_numbers, site_prefix
from plantroom_shared.mapping.lexicon import parse
from plantroom_shared.mapping.names import clean, fold
from plantroom_shared.model import Device, Point

FEEDS, PART_OF = "feeds", "part-of"
_AHU_PARTS: Final = frozenset({"Supply_Fan", "Return_Fan"})
_EDGE: Final = " ./:_-'"
_MOST, _FEW = 0.5, 0.2
_MEDIA: Final = {
    "Chilled": frozenset({"Chiller", "Chilled_Water_System"}),
    "Hot": frozenset({"Hot_Water_System"}),
}


@dataclass(slots=True)
class Row:
    """A point with what its name says."""

    point: Point
    name: str
    """Cleaned."""
    template: str
    runs: tuple[str, ...]
    description: str
    skip: int
    """Characters of the template that name the site."""
    where: Place
    equipment: str = ""
    """Key of the equipment within the site."""
    equip_class: str = ""
    parent: str = ""
    """Key of the equipment that feeds or contains it; empty where nothing tells."""
    relation: str = ""
    """``feeds`` or ``part-of``: what the parent does, or what it is."""


def group(points: Sequence[Point], devices: Mapping[str, Device]) -> list[Row]:
    """Return the points of one site with their equipment, in their order.

    Args:
        points: every point of the site; names are untrusted.
        devices: key → device; names without an equipment belong to their device.
    """
    rows, tree = _read(points)
    _weak(rows)
    _labels(rows)
    _branches(rows)
    _name(rows, devices)
    _one_spelling(rows)
    _fans_of_one_unit(rows)
    _parts_of_a_loop(rows)
    _loose(rows, devices, tree)
    settle(rows)
    _parents(rows)
    return rows


def _read(points: Sequence[Point]) -> tuple[list[Row], str]:
    by_device: dict[str, list[str]] = defaultdict(list)
    names = [clean(point.name) for point in points]
    for point, name in zip(points, names, strict=True):
        by_device[point.device].append(name)
    prefix = {device: site_prefix(own) for device, own in by_device.items()}
    folded = []
    for point, name in zip(points, names, strict=True):
        head = prefix[point.device]
        template, runs = fold(name)
        skip = len(fold(head)[0]) if head and name.startswith(head) else 0
        folded.append((template, runs, skip))
    tree = level_separator([*{template[skip:]: None for template, _, skip in folded}])
    single = single_numbers(Counter(template for template, _, _ in folded))
    rows = []
    for point, name, (template, runs, skip) in zip(points, names, folded, strict=True):
        description = fold(clean(point.description))[0] if point.description else ""
        rows.append(
            Row(point, name, template, runs, description, skip, place(template, skip, tree, single))
        )
    return rows, tree


def _weak(rows: list[Row]) -> None:
    """Choose, where no word says which of several codes is the machine, what explains most with least.

    A machine is a code below which the same points recur: of all ways to cut a name the one
    wins that needs the fewest machines and points to tell all its names.
    """
    machines: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    suffixes: dict[str, set[str]] = defaultdict(set)
    told: Counter[str] = Counter()
    open_ = [row for row in rows if row.where.rivals]
    if all(len(row.where.rivals) < 2 for row in open_):
        return
    for row in open_:
        for rival in row.where.rivals:
            head = row.template[: rival.end]
            machines[head].add(row.runs[: head.count("#")])
            suffixes[head].add(_slice(row, rival.end, len(row.template)))
            told[head] += 1
    cost = {head: (len(machines[head]) + len(suffixes[head])) / told[head] for head in told}
    for row in open_:
        row.where = min(row.where.rivals, key=lambda rival: cost[row.template[: rival.end]])


def _labels(rows: list[Row]) -> None:
    """Tell machines apart by a word where no number does: ``AHU East``, ``Chiller B``.

    A word is a label if what follows it also follows other words at the same place.
    """
    told: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    ends: dict[str, tuple[str, int]] = {}
    for row in rows:
        if row.where.kind == "system" and not row.where.whole and row.template not in ends:
            label, end = label_after(row.template, row.where.end)
            ends[row.template] = (label, end)
            if label:
                told[row.where.word][_folded(row.template[end:])].add(label)
    labels = {
        word: {label for own in rest.values() if len(own) > 1 for label in own}
        for word, rest in told.items()
    }
    for row in rows:
        label, end = ends.get(row.template, ("", 0))
        if label and row.where.kind == "system" and label in labels[row.where.word]:
            row.where = replace(row.where, end=end, kind="equipment")


def _branches(rows: list[Row]) -> None:
    """Take the whole branch as the name where its code alone names none, or would name two machines.

    ``RM12_MIX.Temp`` beside ``RM12.Temp`` is another machine; ``HX1-PID.Gain`` is the same, as
    ``HX1`` has no gain of its own.
    """
    if not any(row.where.branch for row in rows):
        return
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.where.kind != "none":
            told[_short(row)].add(_branch(row))
    alone = Counter(row.where.word for row in rows if not row.where.branch)
    longer = Counter(row.where.word for row in rows if row.where.branch)
    always = {word for word, count in longer.items() if alone[word] < _FEW * count}
    votes: dict[object, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        if row.where.branch:
            # By its words, and for this one machine: rooms are called alike, but few are split.
            for key in (_branch(row), (_short(row)[0], _branch(row))):
                votes[key][0] += 1
                votes[key][1] += len(told[_short(row)]) > 1
    for row in rows:
        if row.where.branch:
            own = votes[_short(row)[0], _branch(row)]
            if row.where.word in always or _won(own) or _won(votes[_branch(row)]):
                row.where = replace(row.where, end=row.where.branch)


def _short(row: Row) -> tuple[str, str]:
    """Return the machine without its branch, and what the name says of its point."""
    leaf = row.template[max(row.where.branch, row.where.end) :]
    return _slice(row, 0, row.where.end), leaf


def _branch(row: Row) -> str:
    return row.template[row.where.start : max(row.where.branch, row.where.end)]


def _won(vote: Sequence[int]) -> bool:
    return bool(vote[0]) and vote[1] >= _MOST * vote[0]


def _name(rows: list[Row], devices: Mapping[str, Device]) -> None:
    """Name the equipment of every row that names one: with its path where namesakes exist."""
    for row in rows:
        if row.where.kind != "none":
            row.equipment = _filled(row, row.where.start, row.where.end)
    with_path = _namesakes(rows)
    for row in rows:
        if row.where.kind != "none" and (row.where.path or row.where.word in with_path):
            row.equipment = _filled(row, 0, row.where.end)
    scoped = _same_name_elsewhere(rows)
    for row in rows:
        device = devices.get(row.point.device)
        row.equip_class = row.where.equip_class
        if device and (row.point.device, row.equipment) in scoped:
            row.equipment = f"{_title(device)}: {row.equipment}"
        if row.point.equip_class:
            row.equip_class = canonical(row.point.equip_class)
            if device:
                row.equipment = _title(device)


def _title(device: Device) -> str:
    return clean(device.name) or device.key


def _filled(row: Row, start: int, end: int) -> str:
    return _slice(row, start, end).strip(_EDGE)


def _slice(row: Row, start: int, end: int) -> str:
    """Return a stretch of the template with its numbers put back: a stretch of the name."""
    runs = row.runs
    first = row.template.count("#", 0, start) if start else 0
    last = first + row.template.count("#", start, end)
    before = sum(map(len, runs[:first])) - first
    inside = sum(map(len, runs[first:last])) - last + first
    return row.name[start + before : end + before + inside]


def _namesakes(rows: list[Row]) -> set[str]:
    """Return the words whose machines are told apart only by what stands before them.

    A machine under two paths is two if both have a point of the same name.
    """
    seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    words: dict[str, str] = {}
    for row in rows:
        if row.where.kind != "none" and row.where.start and not row.where.path:
            path = _slice(row, 0, row.where.start)
            seen[row.equipment][_folded(path)].add(_folded(row.template[row.where.end :]))
            words[row.equipment] = row.where.word
    votes: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for key, paths in seen.items():
        if len(paths) > 1:
            counts = Counter(suffix for own in paths.values() for suffix in own)
            vote = votes[words[key]]
            vote[0] += 1
            vote[1] += max(counts.values()) > 1
    return {word for word, vote in votes.items() if _won(vote)}


def _same_name_elsewhere(rows: list[Row]) -> set[tuple[str, str]]:
    """Return (device, equipment) where two devices serve the same points of a name: two machines."""
    if len({row.point.device for row in rows}) < 2:
        return set()
    seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if row.where.kind != "none":
            seen[row.equipment][row.point.device].add(row.template[row.where.end :])
    scoped: set[tuple[str, str]] = set()
    for key, by_device in seen.items():
        if len(by_device) > 1:
            suffixes = Counter(suffix for own in by_device.values() for suffix in own)
            if max(suffixes.values()) > 1:
                scoped.update((device, key) for device in by_device)
    return scoped


def _one_spelling(rows: list[Row]) -> None:
    """Give ``RM-B210`` and ``RMB210`` one key: the most common spelling."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for key, count in Counter(row.equipment for row in rows).items():
        spellings[_folded(key)][key] += count
    usual: dict[str, str] = {}
    for counts in spellings.values():
        best = min(counts, key=lambda text: (-counts[text], text))
        usual.update(dict.fromkeys(counts, best))
    for row in rows:
        row.equipment = usual[row.equipment]


@lru_cache(maxsize=65536)
def _folded(text: str) -> str:
    """Return letters and numbers only; two numbers side by side stay two."""
    out: list[str] = []
    gap = False
    for ch in text.casefold():
        if ch.isalnum() or ch == "#":
            out += ("-", ch) if gap and out and out[-1].isdigit() and ch.isdigit() else (ch,)
            gap = False
        else:
            gap = True
    return "".join(out) or text


def _fans_of_one_unit(rows: list[Row]) -> None:
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
        parts = _folded(key).split("-")
        for count in range(1, len(parts)):
            longer["-".join(parts[:count])].append(key)
    moved = {key: of[0] for key in sorted(own) if len(of := longer.get(_folded(key), [])) == 1}
    if not moved:
        return
    own.difference_update(moved)
    for row in rows:
        if row.equipment in moved and row.point.device == device:
            row.equipment = moved[row.equipment]


def _parts_of_a_loop(rows: list[Row]) -> None:
    """Give a loop its parts: a bare pump below it, or what has a single point of its own there."""
    if not any(row.where.parent and row.where.parent[3] == "system" for row in rows):
        return
    suffixes: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        suffixes[row.equipment].add(row.template[row.where.end :])
    for row in rows:
        above = row.where.parent
        if above is None or above[3] != "system" or row.where.kind == "space":
            continue
        loop = _filled(row, above[0], above[1])
        if loop in suffixes and (row.where.vague or len(suffixes[row.equipment]) < 2):
            start, end, equip_class, kind = above
            row.where = Place(start, end, equip_class, kind)
            row.equipment, row.equip_class = loop, equip_class


def _loose(rows: list[Row], devices: Mapping[str, Device], tree: str) -> None:
    """Place names that name no equipment: at their device, the loop of their medium, their branch."""
    loops = _single_loops(rows)
    for row in rows:
        if row.where.kind != "none" or row.equipment:
            continue
        device = devices.get(row.point.device)
        if device:
            row.equipment = _title(device)
            row.equip_class = of_device(device) or of_description(row.description)
            continue
        head = row.template.rpartition(tree)[0] if tree else ""
        loop = next((loops[word] for word in _medium(row.template) if word in loops), None)
        if loop and "#" not in head[row.skip :]:
            row.equipment, row.equip_class = loop
        else:
            row.equipment = _filled(row, 0, len(head))
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


def _parents(rows: list[Row]) -> None:
    """Say what feeds or contains each equipment: named before it, or the only air handler."""
    classes = {row.equipment: row.equip_class for row in rows if row.equipment}
    known = {_folded(key): key for key in classes}
    handlers = [key for key, name in classes.items() if name in AIR_HANDLERS]
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row.where.parent is not None:
            text = _filled(row, row.where.parent[0], row.where.parent[1])
            key = known.get(_folded(text)) or (
                text if row.where.parent[2] in AIR_HANDLERS else row.equipment
            )
            if key != row.equipment:
                told[row.equipment][key] += 1
    for row in rows:
        if row.equipment in told:
            counts = told[row.equipment]
            row.parent = min(counts, key=lambda key: (-counts[key], key))
        elif len(handlers) == 1 and row.equip_class in TERMINALS:
            row.parent = handlers[0]
        if row.parent:
            fed = row.where.kind == "space" or row.equip_class in TERMINALS
            row.relation = FEEDS if fed else PART_OF
