"""Brick 1.4.4 point classes, and which of them a set of words names best."""

from __future__ import annotations

import functools
import heapq
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

KINDS: Final = ("Setpoint", "Command", "Status", "Alarm", "Sensor", "Parameter", "Limit")
_QUANTITIES: Final = frozenset(
    {
        "Temperature",
        "Humidity",
        "Pressure",
        "Flow",
        "Speed",
        "Frequency",
        "Power",
        "Energy",
        "Current",
        "Voltage",
        "CO2",
        "CO",
        "Level",
        "Position",
        "Enthalpy",
        "Dewpoint",
        "Grains",
        "Illuminance",
        "Luminance",
        "Irradiance",
        "Torque",
        "Occupancy",
        "Mode",
        "Usage",
        "Direction",
        "Angle",
        "Velocity",
        "TVOC",
        "PM10",
        "PM2.5",
        "PM1",
        "Conductivity",
        "Capacity",
        "Demand",
        "Factor",
    }
)
_COMPONENTS: Final = frozenset(
    {
        "Damper",
        "Valve",
        "Fan",
        "Pump",
        "Filter",
        "Humidifier",
        "Motor",
        "VFD",
        "Battery",
    }
)
_MEDIA: Final = frozenset(
    {
        "Air",
        "Water",
        "Gas",
        "Natural",
        "Steam",
        "Refrigerant",
    }
)
_WEAK_IN_CLASS: Final = frozenset(
    {
        "Air",
        "Water",
        "Static",
        "Electric",
        "Relative",
        "Target",
        "System",
        "Level",
    }
)
_IGNORED: Final = frozenset({"Point"})


@dataclass(frozen=True, slots=True)
class _Class:
    name: str
    words: frozenset[str]
    kind: str


@functools.cache
def _table() -> dict[str, Any]:
    data = resources.files("plantroom_shared.mapping") / "data" / "brick.json"
    table: dict[str, Any] = json.loads(data.read_text(encoding="utf-8"))
    return table


def canonical(name: str) -> str:
    """Return the one name of a class that has several (``Discharge_…`` → ``Supply_…``)."""
    aliases: dict[str, str] = _table()["aliases"]
    return aliases.get(name, name)


def is_point_class(name: str) -> bool:
    """Tell whether Brick has this point class, under this or another name."""
    return canonical(name) in _table()["points"]


def is_equip_class(name: str) -> bool:
    """Tell whether Brick has this equipment class, under this or another name."""
    return canonical(name) in _table()["equipment"]


def point_classes() -> Iterator[str]:
    """Return every live point class, by its canonical name."""
    return iter(_table()["points"])


def equip_classes() -> Iterator[str]:
    """Return every live equipment class, by its canonical name."""
    return iter(_table()["equipment"])


def parents(name: str) -> tuple[str, ...]:
    """Return the classes directly above a point class."""
    return tuple(_table()["points"].get(canonical(name), ()))


@functools.cache
def _by_kind() -> dict[str, tuple[_Class, ...]]:
    found: dict[str, list[_Class]] = {kind: [] for kind in KINDS}
    for name in point_classes():
        kind = kind_of(name)
        if kind:
            words = frozenset(name.split("_")) - _IGNORED
            found[kind].append(_Class(name, words, kind))
    return {kind: tuple(classes) for kind, classes in found.items()}


def kind_of(name: str) -> str:
    """Return Sensor, Setpoint, Command, Status, Alarm, Parameter or Limit; empty for others."""
    last = name.rsplit("_", 1)[-1]
    return "Parameter" if last == "Band" else last if last in KINDS else ""


@functools.cache
def weight(word: str) -> float:
    """Return how much a word tells."""
    if word in _QUANTITIES or word == "Fault":
        return 3.0
    if word in _COMPONENTS:
        return 2.5
    if word in _MEDIA:
        return 1.2
    return 2.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A class with its score: what the words say for it less what they say against it."""

    name: str
    score: float


@functools.lru_cache(maxsize=16384)
def rank(
    words: tuple[tuple[str, float], ...], kinds: tuple[tuple[str, float], ...], top: int = 5
) -> tuple[Ranked, ...]:
    """Return the classes that fit the words best, the best first.

    Args:
        words: (word of a Brick class name, how sure it is meant, 0..1).
        kinds: (kind, how sure, 0..1).
        top: how many to return.
    """
    sure_of = dict(words)
    against = sum(0.45 * weight(word) * sure for word, sure in words)
    found: list[tuple[float, int, str]] = []
    for kind, sure in kinds:
        for candidate in _by_kind()[kind]:
            score = _score(candidate.words, sure_of, kind) + 4.0 * sure - against
            found.append((-round(score, 4), len(candidate.name), candidate.name))
    return tuple(Ranked(name, -score) for score, _, name in heapq.nsmallest(top, found))


def _score(class_words: frozenset[str], words: Mapping[str, float], kind: str) -> float:
    """Return what the words say for a class, less what it says that they do not."""
    score = 0.0
    for word in class_words:
        sure = words.get(word, 0.0)
        if sure:
            score += 1.45 * weight(word) * sure
        elif word != kind:
            score -= 0.5 if word in _WEAK_IN_CLASS else 1.1 * weight(word)
    return score
