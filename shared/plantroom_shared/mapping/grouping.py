"""Points → equipment: what each name's equipment is called, what it is, and what stands above it.

A name says where its equipment stands (`equipment.place`); whether two such names mean one machine
shows in the other names of the building (`boundaries`, `relations`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from plantroom_shared.mapping.boundaries import branch_out, choose, letter, namesakes, overlap
from plantroom_shared.mapping.classes import canonical
from plantroom_shared.mapping.equipclass import settle
from plantroom_shared.mapping.equipment import place
from plantroom_shared.mapping.grammar import level_separator, single_numbers, site_prefix
from plantroom_shared.mapping.names import clean, fold
from plantroom_shared.mapping.relations import own_fans, own_parts, place_loose, set_parents
from plantroom_shared.mapping.rows import Row, label, spelled, title
from plantroom_shared.model import Device, Point


def group(points: Sequence[Point], devices: Mapping[str, Device]) -> list[Row]:
    """Return the points of one site with their equipment, in their order.

    Args:
        points: every point of the site; names are untrusted.
        devices: key → device; names without an equipment belong to their device.
    """
    rows, tree = _read(points)
    choose(rows, devices)
    letter(rows)
    branch_out(rows)
    _name(rows, devices)
    _one_spelling(rows)
    own_fans(rows)
    own_parts(rows)
    place_loose(rows, devices, tree)
    settle(rows)
    set_parents(rows)
    return rows


def _read(points: Sequence[Point]) -> tuple[list[Row], str]:
    rows = list(_folded(points))
    by_device: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_device[row.point.device].append(row.name)
    prefix = {device: site_prefix(own) for device, own in by_device.items()}
    skip = {device: len(fold(head)[0]) for device, head in prefix.items()}
    for row in rows:
        if row.name.startswith(prefix[row.point.device]):
            row.skip = skip[row.point.device]
    tree = level_separator([*{row.template[row.skip :]: None for row in rows}])
    single = single_numbers(Counter(row.template for row in rows))
    distinct = {(row.template, row.skip): None for row in rows}
    # What was read last is still at hand: begin with that.
    places = {key: place(*key, tree, single) for key in reversed(distinct)}
    for row in rows:
        row.where = places[row.template, row.skip]
    return rows, tree


def _folded(points: Iterable[Point]) -> Iterator[Row]:
    """Yield the points with their templates; equal texts and numbers are kept once."""
    kept: dict[object, Any] = {}
    for point in points:
        name = clean(point.name).replace("#", " ")
        template, runs = fold(name)
        description = fold(clean(point.description))[0] if point.description else ""
        yield Row(
            point,
            name,
            kept.setdefault(template, template),
            kept.setdefault(runs, runs),
            kept.setdefault(description, description),
        )


def _name(rows: list[Row], devices: Mapping[str, Device]) -> None:
    """Name the equipment of every row that names one: with its path where namesakes exist."""
    for row in rows:
        if row.where.kind != "none":
            row.equipment = label(row, row.where.start, row.where.end)
    with_path = namesakes(rows)
    for row in rows:
        if row.where.kind != "none" and (row.where.path or row.where.word in with_path):
            row.equipment = label(row, 0, row.where.end)
    scoped = _same_name_elsewhere(rows)
    for row in rows:
        device = devices.get(row.point.device)
        row.equip_class = row.where.equip_class
        if device and (row.point.device, row.equipment) in scoped:
            row.equipment = f"{title(device)}: {row.equipment}"
        if row.point.equip_class:
            row.equip_class = canonical(row.point.equip_class)
            if device:
                row.equipment = title(device)


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
        if len(by_device) > 1 and overlap(by_device.values()):
            scoped.update((device, key) for device in by_device)
    return scoped


def _one_spelling(rows: list[Row]) -> None:
    """Give ``RM-B210`` and ``RMB210`` one key: the most common spelling."""
    spellings: dict[str, dict[str, int]] = defaultdict(dict)
    for key, count in Counter(row.equipment for row in rows).items():
        spellings[spelled(key)][key] = count
    usual: dict[str, str] = {}
    for counts in spellings.values():
        best = min(counts, key=lambda text: (-counts[text], text))
        usual.update(dict.fromkeys(counts, best))
    for row in rows:
        row.equipment = usual[row.equipment]
