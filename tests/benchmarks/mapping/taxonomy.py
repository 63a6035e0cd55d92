"""The yardstick's classes: canonical names, ancestors, and the 50 coarse classes that are scored.

It is a table of its own, not the mapper's: what is judged has no part in the yardstick.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

OTHER = "Other"
UNKNOWN = "?"
"""The coarse class of a name that Brick does not have."""
_FILE = Path(__file__).with_name("brick_classes.csv")


@dataclass(frozen=True, slots=True)
class BrickClass:
    """A row of the table."""

    canonical: str
    coarse: str
    parents: tuple[str, ...]


@functools.cache
def table() -> dict[str, BrickClass]:
    """Return every class of Brick 1.4.4, points and others, by each of its names."""
    with _FILE.open(encoding="utf-8", newline="") as file:
        return {
            row["class"]: BrickClass(
                row["canonical"] or row["class"],
                row["coarse"] if row["top50"] else OTHER,
                tuple(row["parents"].split()),
            )
            for row in csv.DictReader(file)
        }


def canonical(name: str) -> str:
    """Return the one name of a class; a name that is none stays."""
    found = table().get(name)
    return found.canonical if found else name


def coarse(name: str, unknown: str = OTHER) -> str:
    """Return which of the 50 coarse classes a class belongs to, else ``Other``.

    Args:
        name: a class.
        unknown: what to return for a name that is no class.
    """
    found = table().get(name)
    return found.coarse if found else unknown


@functools.cache
def ancestors(name: str) -> frozenset[str]:
    """Return all classes above a class."""
    above: set[str] = set()
    todo = [name]
    while todo:
        found = table().get(todo.pop())
        for parent in found.parents if found else ():
            if parent not in above and parent in table():
                above.add(parent)
                todo.append(parent)
    return frozenset(above)


@functools.cache
def class_words() -> frozenset[str]:
    """Return the words that names of point and equipment classes are made of, in lower case."""
    return frozenset(
        word
        for name in table()
        if ancestors(name) & {"Point", "Equipment"}
        for word in name.lower().split("_")
    )
