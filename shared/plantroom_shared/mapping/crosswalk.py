"""Brick ↔ Project Haystack: classes and tags, units and feeds. Pure; the data is ``data/haystack.yaml``.

A class is the tags of the words of its name, so no two classes share a set of tags and the way
back from a class's own tags is exact. Tags that somebody else set are read as the class most of
whose tags are there.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plantroom_shared.mapping.classes import canonical, equip_classes, point_classes
from plantroom_shared.mapping.rules import load
from plantroom_shared.units import parse_unit

POINT: Final = "point"
EQUIP: Final = "equip"
_FUNCTIONS: Final = frozenset({"sensor", "cmd", "sp"})
_ANY_POINT: Final = "Point"
_ANY_EQUIPMENT: Final = "Equipment"
_NONE: Final = "-"


@dataclass(frozen=True, slots=True)
class _Table:
    """One way to and fro: classes of points, or of equipment."""

    tags: Mapping[str, frozenset[str]]
    exact: Mapping[frozenset[str], str]
    by_tag: Mapping[str, tuple[str, ...]]


@functools.cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = load("haystack.yaml")
    return data


def _lower(word: str) -> str:
    """Return a word as a tag: ``Setpoint`` → ``setpoint``, ``PVT`` → ``pvt``."""
    return word.lower() if word.isupper() else word[:1].lower() + word[1:]


@functools.cache
def _phrases() -> tuple[tuple[tuple[str, ...], frozenset[str]], ...]:
    """Return words in a row → their tags, the longest first."""
    rows = {
        tuple(name.split()): frozenset(tags.split()) for name, tags in _data()["phrases"].items()
    }
    return tuple(sorted(rows.items(), key=lambda row: (-len(row[0]), row[0])))


def _spelled(name: str, known: Mapping[str, str]) -> frozenset[str]:
    """Return the tags of the words of a class name, as `known` or else themselves."""
    words = name.replace("-", "_").split("_")
    tags: set[str] = set()
    at = 0
    while at < len(words):
        for phrase, meant in _phrases():
            if tuple(words[at : at + len(phrase)]) == phrase:
                tags |= meant
                at += len(phrase)
                break
        else:
            tags |= set(known.get(words[at], _lower(words[at])).split())
            at += 1
    return frozenset(tags)


@functools.cache
def _points() -> _Table:
    words: Mapping[str, str] = _data()["words"]
    named = {name: _spelled(name, words) | {POINT} for name in point_classes()}
    named[_ANY_POINT] = frozenset({POINT})
    return _table(named, _data()["also"]["points"], POINT)


@functools.cache
def _equipment() -> _Table:
    given: Mapping[str, str] = _data()["equipment"]
    words = {**_data()["words"], **_data()["parts"]}
    named = {
        name: frozenset(given[name].split() if name in given else _spelled(name, words)) | {EQUIP}
        for name in equip_classes()
    }
    named[_ANY_EQUIPMENT] = frozenset({EQUIP})
    return _table(named, _data()["also"]["equipment"], EQUIP)


def _table(
    named: Mapping[str, frozenset[str]], also: Mapping[str, Sequence[str]], marker: str
) -> _Table:
    by_tag: dict[str, list[str]] = defaultdict(list)
    for name, tags in named.items():
        for tag in tags:
            by_tag[tag].append(name)
    exact = {
        frozenset(line.split()) | {marker}: name for name, lines in also.items() for line in lines
    }
    exact |= {tags: name for name, tags in named.items()}
    for tag in {tag for tags in exact for tag in tags}:
        by_tag.setdefault(tag, [])
    return _Table(named, exact, {tag: tuple(names) for tag, names in by_tag.items()})


def point_tags(name: str) -> tuple[str, ...]:
    """Return the Haystack tags of a Brick point class; ``point`` alone for none that is known."""
    tags = _points().tags.get(canonical(name), frozenset({POINT}))
    return tuple(sorted(tags))


def equip_tags(name: str) -> tuple[str, ...]:
    """Return the Haystack tags of a Brick equipment class; ``equip`` alone for none known."""
    tags = _equipment().tags.get(canonical(name), frozenset({EQUIP}))
    return tuple(sorted(tags))


def point_class_of(tags: Collection[str]) -> str:
    """Return the Brick point class that a set of Haystack tags names; empty where it is not plain.

    Args:
        tags: every marker of the point; what no class knows is no matter.
    """
    found, exact = _best(_points(), tags)
    # `point`, `sensor` ... among tags that nobody knows say too little to be called a class.
    vague = _points().tags.get(found, frozenset()) <= {POINT, *_FUNCTIONS}
    return "" if found == _ANY_POINT or (vague and not exact) else found


def equip_class_of(tags: Collection[str]) -> str:
    """Return the Brick equipment class that a set of Haystack tags names; empty where not plain."""
    found, _ = _best(_equipment(), tags)
    return "" if found == _ANY_EQUIPMENT else found


def _best(table: _Table, tags: Collection[str]) -> tuple[str, bool]:
    """Return the class with most tags of those whose tags are all there, and whether all count.

    Where two have as many, there is none.
    """
    own = frozenset(tags)
    exact = table.exact.get(frozenset(own & table.by_tag.keys()))
    if exact is not None:
        return exact, True
    fit = {name for tag in own for name in table.by_tag.get(tag, ()) if table.tags[name] <= own}
    most = max((len(table.tags[name]) for name in fit), default=0)
    best = [name for name in fit if len(table.tags[name]) == most]
    return (best[0] if len(best) == 1 else ""), False


def own_tags(tags: Iterable[str]) -> frozenset[str]:
    """Return those of `tags` that Haystack does not define: a project's own."""
    return frozenset(tags) & frozenset(_data()["own"].split())


# ---------------------------------------------------------------- what feeds what


@functools.cache
def _feeds() -> Mapping[str, str]:
    rows: Mapping[str, str] = _data()["feeds"]
    return {name: ref for ref, names in rows.items() for name in names.split()}


def feed_refs() -> tuple[str, ...]:
    """Return the references by which Haystack says what an equipment is fed by."""
    return tuple(_data()["feeds"])


def feed_ref(parent_class: str) -> str:
    """Return the reference to a feeder of this class; empty where Haystack has none for it."""
    return _feeds().get(canonical(parent_class), "")


# ---------------------------------------------------------------- units


@functools.cache
def _units() -> Mapping[str, tuple[str, str]]:
    rows: Mapping[str, str] = load("unit_names.yaml")["units"]
    return {symbol: (row.split()[0], row.split()[1]) for symbol, row in rows.items()}


def qudt_unit(text: str) -> str:
    """Return the QUDT identifier of a unit in any spelling; empty where there is none."""
    unit = parse_unit(text)
    return _units().get(unit.symbol, ("", ""))[0] if unit else ""


def haystack_unit(text: str) -> str:
    """Return the Haystack name of a unit in any spelling; empty where there is none."""
    unit = parse_unit(text)
    name = _units().get(unit.symbol, ("", ""))[1] if unit else ""
    return "" if name == _NONE else name


@functools.cache
def _from_qudt() -> Mapping[str, str]:
    return {qudt: symbol for symbol, (qudt, _) in reversed(list(_units().items()))}


def unit_of_qudt(name: str) -> str:
    """Return the symbol of a QUDT identifier; empty where it is not known."""
    return _from_qudt().get(name, "")
