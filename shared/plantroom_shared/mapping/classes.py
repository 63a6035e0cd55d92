"""Brick 1.4.4 point classes, and which of them a set of words names best."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, Final, NamedTuple

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
_WORD: Final = 4
"""Letters that a word has; shorter ones are abbreviations."""
_IGNORED: Final = frozenset({"Point"})


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


@functools.cache
def class_words() -> Mapping[str, str]:
    """Return the longer words of the names of point classes, by their spelling in lower case."""
    return {
        word.lower(): word
        for name in point_classes()
        for word in name.split("_")
        if len(word) >= _WORD
    }


def equip_classes() -> Iterator[str]:
    """Return every live equipment class, by its canonical name."""
    return iter(_table()["equipment"])


def parents(name: str) -> tuple[str, ...]:
    """Return the classes directly above a point class."""
    return tuple(_table()["points"].get(canonical(name), ()))


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


class Ranked(NamedTuple):
    """A class with its score: what the words say for it less what they say against it."""

    name: str
    score: float


class _Index(NamedTuple):
    """The classes of one kind, by the words of their names; scores in 1/10,000."""

    names: tuple[str, ...]
    """The shorter first: of equal scores the shorter name wins."""
    bare: tuple[int, ...]
    """What a class scores of which no word is said."""
    holders: Mapping[str, tuple[int, ...]]
    """Word → positions of the classes that have it."""
    few: tuple[int, ...]
    """The best of which no word is said: they fill up short lists."""


_ONE: Final = 10_000
_FOR, _AGAINST, _KIND = 1.45, 0.45, 4.0
_FILL: Final = 12
_FAR: Final = 5 * _ONE
"""So far behind the best, a class is rarely among the first dozen: a shorter list to sort."""
_PLACES: Final = 4096
"""More than there are classes."""


@functools.cache
def _of_kind() -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for name in point_classes():
        found.setdefault(kind_of(name), []).append(name)
    return found


@functools.cache
def _index(kind: str) -> _Index:
    names = sorted(_of_kind().get(kind, ()), key=lambda name: (len(name), name))
    words = [frozenset(name.split("_")) - _IGNORED for name in names]
    holders: dict[str, list[int]] = {}
    for position, own in enumerate(words):
        for word in sorted(own):
            holders.setdefault(word, []).append(position)
    bare = tuple(-sum(_missing(word, kind) for word in own) for own in words)
    few = sorted(range(len(names)), key=lambda at: (-bare[at], at))[:_FILL]
    return _Index(
        tuple(names), bare, {word: tuple(own) for word, own in holders.items()}, tuple(few)
    )


@functools.cache
def _missing(word: str, kind: str) -> int:
    """Return what a class loses that says a word which the point does not."""
    if word == kind:
        return 0
    return round(_ONE * (0.5 if word in _WEAK_IN_CLASS else 1.1 * weight(word)))


@functools.lru_cache(maxsize=1024)
def rank(
    words: tuple[tuple[str, float], ...], kinds: tuple[tuple[str, float], ...], top: int = 5
) -> tuple[Ranked, ...]:
    """Return the classes that fit the words best, the best first.

    Args:
        words: (word of a Brick class name, how sure it is meant, 0..1).
        kinds: (kind, how sure, 0..1).
        top: how many to return, at most 12 of them without a word in common.
    """
    against = sum(round(_AGAINST * amount) for _, amount in _said(words))
    found: list[tuple[int, int, str]] = []
    for kind, sure in kinds:
        offset = round(_ONE * _KIND * sure) - against
        found += [(lost - offset, length, name) for lost, length, name in _best(words, kind, top)]
    found.sort()
    return tuple([Ranked(name, -lost / _ONE) for lost, _, name in found[:top]])


def _said(words: Iterable[tuple[str, float]]) -> list[tuple[str, int]]:
    # Whole numbers: sums do not depend on their order, and equal scores are equal.
    return [(word, round(_ONE * weight(word) * sure)) for word, sure in words]


@functools.lru_cache(maxsize=1024)
def _best(
    words: tuple[tuple[str, float], ...], kind: str, top: int
) -> tuple[tuple[int, int, str], ...]:
    """Return the best classes of a kind: what each loses, and by what equal ones are ordered."""
    index = _index(kind)
    scores = _scores(index, _said(words), kind)
    # One number per class orders them: by score, the shorter name first among equals.
    least = max(scores.values()) - _FAR
    order = [score * _PLACES - at for at, score in scores.items() if score >= least]
    if len(order) < top:
        order = [score * _PLACES - at for at, score in scores.items()]
    order.sort(reverse=True)
    best = [-number % _PLACES for number in order[:top]]
    return tuple([(-scores[at], len(index.names[at]), index.names[at]) for at in best])


def _scores(index: _Index, said: Sequence[tuple[str, int]], kind: str) -> dict[int, int]:
    """Return position → score of the classes of a kind that share a word, and of a few more."""
    bare, holders = index.bare, index.holders
    scores = {position: bare[position] for position in index.few}
    for word, amount in said:
        own = holders.get(word)
        if own is None:
            continue
        gain = round(_FOR * amount) + _missing(word, kind)
        for position in own:
            if position in scores:
                scores[position] += gain
            else:
                scores[position] = bare[position] + gain
    return scores
