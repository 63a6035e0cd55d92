"""A point with what its name says: what grouping works on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from plantroom_shared.mapping.mentions import NOWHERE, Place
from plantroom_shared.mapping.names import clean

if TYPE_CHECKING:
    from plantroom_shared.model import Device, Point

_EDGE: Final = " ./:_-'"


@dataclass(slots=True)
class Row:
    """A point with what its name says."""

    point: Point
    name: str
    """Cleaned; no ``#`` in it."""
    template: str
    runs: tuple[str, ...]
    description: str
    skip: int = 0
    """Characters of the template that name the site."""
    where: Place = NOWHERE
    equipment: str = ""
    """Key of the equipment within the site."""
    equip_class: str = ""
    parent: str = ""
    """Key of the equipment that feeds or contains it; empty where nothing tells."""
    relation: str = ""
    """``feeds`` or ``part-of``: what the parent does, or what it is."""
    why: str = ""
    """What tells of the parent, for a person who reviews it."""


def stretch(row: Row, start: int, end: int) -> str:
    """Return a stretch of the template with its numbers put back: a stretch of the name."""
    if len(row.name) == len(row.template):  # numbers of one digit take as much room as a `#`
        return row.name[start:end]
    runs = row.runs
    first = row.template.count("#", 0, start) if start else 0
    last = first + row.template.count("#", start, end)
    before = sum(map(len, runs[:first])) - first
    inside = sum(map(len, runs[first:last])) - last + first
    return row.name[start + before : end + before + inside]


def label(row: Row, start: int, end: int) -> str:
    """Return a stretch of the name as the key of equipment: without separators around it."""
    return stretch(row, start, end).strip(_EDGE)


@lru_cache(maxsize=65536)
def spelled(text: str) -> str:
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


def title(device: Device) -> str:
    """Return what a device is called."""
    return clean(device.name) or device.key
