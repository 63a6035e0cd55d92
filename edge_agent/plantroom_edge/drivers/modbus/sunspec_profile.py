"""From the models that a SunSpec device has to a profile of it, in memory; pure.

The id of a point is ``<model>.<point>``; in a group that is there several times
``<model>.<index>.<point>``, in one that has a name of its own ``<model>.<group>.<point>``. The second
model of one number is ``<model>-2``. None of it depends on an address.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from plantroom_edge.drivers.modbus.sunspec import MARKER, Block, Explored
from plantroom_edge.drivers.modbus.sunspec_hints import equip_class, hint
from plantroom_edge.drivers.modbus.sunspec_models import GroupDef, PointDef, model
from plantroom_shared.profiles import Profile, Register

MAX_REGISTERS: Final = 4000
"""As many as a profile may have."""
SLOW: Final = 60.0
"""Seconds between two reads of what hardly changes: texts, ratings, settings."""

_TYPES: Final = {
    "count": "uint16", "raw16": "uint16", "acc16": "uint16", "acc32": "uint32", "acc64": "uint64",
    "enum16": "uint16", "enum32": "uint32", "sunssf": "int16",
    "bitfield16": "bitfield16", "bitfield32": "bitfield32", "bitfield64": "bitfield64",
    "int16": "int16", "int32": "int32", "int64": "int64",
    "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
    "float32": "float32", "float64": "float64",
    "string": "string", "ipaddr": "ipaddr", "ipv6addr": "ipv6addr", "eui48": "eui48",
}  # fmt: skip
_SENTINELS: Final = {
    "int16": (0x8000,), "int32": (0x80000000,), "int64": (1 << 63,), "sunssf": (0x8000,),
    "uint16": (0xFFFF,), "uint32": (0xFFFFFFFF,), "uint64": ((1 << 64) - 1,),
    "count": (0xFFFF,), "raw16": (), "enum16": (0xFFFF,), "enum32": (0xFFFFFFFF,),
    "bitfield16": (0xFFFF, 0x8000), "bitfield32": (0xFFFFFFFF, 0x80000000),
    "bitfield64": ((1 << 64) - 1, 1 << 63),
}  # fmt: skip
"""Not implemented. An accumulator says so with 0, which a new one shows as well: it stays 0."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the next point goes, and what it is called."""

    ids: str
    """What stands before the name of a point: ``803.2.``."""
    words: str = ""
    """What stands before its label: ``String 2``."""
    factors: tuple[dict[str, str], ...] = ()
    """Ids of the scale factors in reach, the nearest group first."""


class _Layout:
    """The points of one model of a device, in order."""

    def __init__(self, block: Block, definition: GroupDef) -> None:
        self.rows: list[dict[str, Any]] = []
        self.short = False
        """The model is shorter than its definition."""
        self.lies: list[str] = []
        self._block, self._counts = block, dict(block.counts)
        self._at, self._end = block.start, block.end
        self._definition = definition

    def place(self, prefix: str) -> None:
        """Place every point that lies within the model."""
        self._group(self._definition, _Place(f"{prefix}."))

    def _group(self, group: GroupDef, where: _Place) -> None:
        own = {point.name: where.ids + point.name for point in group.points if _scales(point)}
        where = replace(where, factors=(own, *where.factors))
        for point in group.points:
            if self._at + point.size > self._end:
                # Model 1 without its pad is an older form of it.
                self.short = self.short or point.kind != "pad"
                return
            if group is self._definition and point.name in {"ID", "L"}:
                self.rows.append(self._header(point, where))
            elif (row := _row(point, self._at, where, self._block.number)) is not None:
                self.rows.append(row)
            self._at += point.size
        repeated = sum(one.count is not None for one in group.groups)
        for one in group.groups:
            self._groups(one, where, named=one.count is None or repeated > 1)

    def _groups(self, group: GroupDef, where: _Place, *, named: bool) -> None:
        name = f"{where.ids}{group.name}." if named else where.ids
        if group.count is None:
            self._group(group, replace(where, ids=name, words=f"{where.words}{_called(group)} "))
            return
        for index in range(1, self._times(group) + 1):
            words = f"{where.words}{_called(group)} {index} "
            self._group(group, replace(where, ids=f"{name}{index}.", words=words))

    def _times(self, group: GroupDef) -> int:
        """Return how often a group is there: as its count says, if so many fit."""
        size = self._size(group)
        fits = (self._end - self._at) // size if size else 0
        given = self._given(group)
        if given is None:
            # Without a count the rest of the model is full of them; a group within has none.
            return fits if group in self._definition.groups else 0
        if given > fits:
            self.lies.append(f"{group.count} is {given}, but there is room for {fits}")
        return min(given, fits)

    def _given(self, group: GroupDef) -> int | None:
        """Return how often a group says it is there; None where it does not say."""
        if isinstance(group.count, str):
            given = self._counts.get(group.count, 0xFFFF)
            return given if given != 0xFFFF else None
        return group.count or None

    def _size(self, group: GroupDef) -> int:
        size = group.fixed
        for one in group.groups:
            times = 1 if one.count is None else self._given(one) or 0
            size += times * self._size(one)
        return size

    def _header(self, point: PointDef, where: _Place) -> dict[str, Any]:
        held = self._block.number if point.name == "ID" else self._block.length
        name = f"{point.label} of model {self._block.number}"
        given = {"id": where.ids + point.name, "name": name, "address": self._at}
        return given | {"expect": held, "hidden": True}


def _scales(point: PointDef) -> bool:
    return point.kind == "sunssf"


def _called(group: GroupDef) -> str:
    """Return what a group is for a person: ``lithium_ion_string_module`` is a ``Module``."""
    word = re.split(r"[_\- ]", group.name)[-1]
    return "Block" if word == "repeating" else word[:1].upper() + word[1:]


def _row(point: PointDef, at: int, where: _Place, number: int) -> dict[str, Any] | None:
    kind = _TYPES.get(point.kind)
    if kind is None:
        return None
    row: dict[str, Any] = {
        "id": where.ids + point.name,
        "name": _name(point, where)[:200],
        "description": _description(point)[:500],
        "address": at,
        "type": kind,
        "unit": point.unit,
        "sentinel": _SENTINELS.get(point.kind, ()),
    }
    if point.kind == "string":
        row["length"] = min(point.size, 125)  # what one request can bring
    if _scales(point):
        return row | {"hidden": True}
    return row | _scaling(point, where) | _meaning(point) | _hints(point, number)


def _name(point: PointDef, where: _Place) -> str:
    group = where.words.split()
    label = point.label
    # "String 2 String State of Charge" says it twice.
    if group and label.startswith(f"{group[0]} "):
        label = label.removeprefix(f"{group[0]} ")
    return f"{where.words}{label}"


def _description(point: PointDef) -> str:
    text = point.description
    if point.reference.startswith("%") and point.reference != "%":
        text = f"{text} ({point.reference})".strip()
    return text


def _scaling(point: PointDef, where: _Place) -> dict[str, Any]:
    if isinstance(point.sf, int):
        return {"scale": 10.0**point.sf}
    factor = next((own[point.sf] for own in where.factors if point.sf in own), None)
    return {"sf": factor} if factor is not None else {}


def _meaning(point: PointDef) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if point.kind.startswith(("enum", "bitfield")):
        row["states"] = dict(point.symbols)
    if point.kind.startswith("acc"):
        row["counter"] = True
    if point.static or point.writable or point.kind == "string":
        row["interval"] = SLOW
    if point.writable and (write := _write(point)) is not None:
        row["write"] = write
    return row


def _write(point: PointDef) -> dict[str, Any] | None:
    """Return the limits that the model itself gives; None: it gives none, so it is not written."""
    if point.kind.startswith("enum") and point.symbols:
        return {}
    signed = point.kind.startswith("int")
    if point.unit == "%":
        return {"min": -100 if signed else 0, "max": 100}
    if point.reference in {"cos()", "PF"}:
        return {"min": -1 if signed else 0, "max": 1}
    return None


def _hints(point: PointDef, number: int) -> dict[str, Any]:
    point_class, enos = hint(number, point.name)
    return {"point_class": point_class, "enos": enos}


def profile_of(found: Explored) -> tuple[Profile, tuple[str, ...]]:
    """Return the profile of a device, and what of it is not read and why.

    Raises:
        ValueError: nothing of it can be read.
    """
    rows: list[dict[str, Any]] = [_marker(found.base)]
    notes = list(found.notes)
    for block, prefix in _prefixes(found.blocks):
        placed = _rows_of(block, prefix, notes)
        if len(rows) + len(placed) > MAX_REGISTERS:
            notes.append(f"model {prefix} is left out: more than {MAX_REGISTERS} values")
            continue
        rows += placed
    if not any(not row.get("hidden") for row in rows):
        msg = "none of its models is known"
        raise ValueError(msg)
    return _profile(found, rows), tuple(notes)


def _marker(base: int) -> dict[str, Any]:
    row = {"id": "SunS", "name": "SunS", "address": base, "type": "uint32"}
    return row | {"expect": MARKER, "hidden": True}


def _prefixes(blocks: Sequence[Block]) -> Iterator[tuple[Block, str]]:
    seen: Counter[int] = Counter()
    for block in blocks:
        seen[block.number] += 1
        nth = seen[block.number]
        yield block, f"{block.number}-{nth}" if nth > 1 else str(block.number)


def _rows_of(block: Block, prefix: str, notes: list[str]) -> list[dict[str, Any]]:
    definition = model(block.number)
    if definition is None:
        notes.append(f"model {block.number} at {block.start} is the vendor's own: not read")
        return []
    layout = _Layout(block, definition)
    layout.place(prefix)
    if layout.short:
        what = f"model {prefix} is only {block.length} registers long"
        notes.append(f"{what}: what would be behind that is not read")
    notes += [f"model {prefix}: {lie}" for lie in layout.lies]
    return layout.rows


def _profile(found: Explored, rows: list[dict[str, Any]]) -> Profile:
    numbers = [block.number for block in found.blocks]
    models = ", ".join(map(str, dict.fromkeys(numbers)))
    known = Register.model_fields
    return Profile.model_validate(
        {
            "profile": 1,
            "vendor": found.common.manufacturer or "SunSpec",
            "model": found.common.model or f"models {models}"[:200],
            "description": f"SunSpec device at {found.base} with the models {models}."[:2000],
            "source": "The model definitions that the SunSpec Alliance publishes.",
            "equip_class": equip_class(numbers),
            "registers": [{key: row[key] for key in row if key in known} for row in rows],
        }
    )
