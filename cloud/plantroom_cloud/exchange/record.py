"""What is exchanged: a site, its equipment, its points and what they mean. Pure.

Every format holds the same record, so whatever one writes it reads back as it was. What other
tools write says less; fields that a file does not have are empty.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from plantroom_shared.errors import Rejected

MAX_FILE: Final = 128 * 1024 * 1024
"""Bytes of a file that is taken in."""
MAX_POINTS: Final = 250_000
MAX_TEXT: Final = 2000
"""Characters of one text of a foreign file; longer ones are cut."""
MAX_STATES: Final = 512
FEEDS: Final = "feeds"
PART_OF: Final = "part-of"
RELATIONS: Final = (FEEDS, PART_OF)
SOURCES: Final = ("profile", "rule", "offline", "llm", "person", "import")
STATES: Final = ("proposed", "accepted", "rejected")


@dataclass(frozen=True, slots=True)
class SiteAbout:
    """The site that a file is about."""

    slug: str = ""
    name: str = ""
    timezone: str = ""
    """IANA."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """A machine, as its points name it."""

    key: str
    """Unique in the site."""
    equip_class: str = ""
    """Brick; empty where nobody knows."""
    parent: str = ""
    """Key of the equipment that feeds or contains it; empty where nobody knows."""
    relation: str = ""
    """``feeds`` or ``part-of``: what the parent does, or it is."""


@dataclass(frozen=True, slots=True)
class PointMeaning:
    """A point with what it means."""

    gateway: str = ""
    key: str = ""
    """Unique on the gateway: both say which point it is, for ever."""
    device: str = ""
    name: str = ""
    description: str = ""
    unit: str = ""
    """As the bus says it."""
    object_type: str = ""
    states: tuple[str, ...] = ()
    writable: bool | None = None
    equipment: str = ""
    equip_class: str = ""
    """Brick, of the equipment as this point has it."""
    point_class: str = ""
    """Brick; empty where there is no proposal."""
    model_id: str = ""
    model_point: str = ""
    confidence: float | None = None
    """Probability that the point class is right, 0..1."""
    source: str = ""
    """``profile``, ``rule``, ``offline``, ``llm``, ``person``, ``import``; empty: not said."""
    state: str = ""
    """``proposed``, ``accepted``, ``rejected``; empty: not said."""

    @property
    def claimed(self) -> str:
        """The class that may be told to others: none that a person has rejected."""
        return "" if self.state == "rejected" else self.point_class


@dataclass(frozen=True, slots=True)
class Outline:
    """What a writer must know before the first point."""

    site: SiteAbout
    equipment: Mapping[str, Equipment] = field(default_factory=dict)
    """Key → equipment, every one that points name or that is a parent."""
    point_classes: frozenset[str] = frozenset()
    """Brick classes of the points."""


@dataclass(slots=True)
class Content:
    """What a file says."""

    site: SiteAbout = field(default_factory=SiteAbout)
    equipment: dict[str, Equipment] = field(default_factory=dict)
    points: list[PointMeaning] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be understood and is left out."""

    def note(self, text: str) -> None:
        """Keep a note, the first few."""
        if len(self.notes) < MAX_NOTES:
            self.notes.append(text[:300])


MAX_NOTES: Final = 200


class Writer(Protocol):
    """Writes one file in pieces: memory is that of a piece."""

    def head(self) -> str:
        """Return what stands before the points."""
        ...

    def points(self, points: Iterable[PointMeaning]) -> str:
        """Return some points; of one equipment they come one after another."""
        ...

    def tail(self) -> str:
        """Return what stands behind them."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write the record."""

    name: str
    about: str
    media_type: str
    suffix: str
    """Of file names, with its dot."""
    writer: Callable[[Outline], Writer]
    read: Callable[[bytes], Content]
    """Raises Rejected where a file is nothing of the kind."""


def outline_of(content: Content) -> Outline:
    """Return the outline of a whole record."""
    classes = frozenset(point.point_class for point in content.points)
    return Outline(content.site, content.equipment, classes)


def equipment_of(
    points: Iterable[PointMeaning],
    relations: Mapping[str, tuple[str, str]],
    silent: Mapping[str, str],
) -> dict[str, Equipment]:
    """Return every equipment there is by key, its class the one that most of its points give it.

    Args:
        points: all of the site.
        relations: key → key of the parent, and the relation.
        silent: key → class of what has no points.
    """
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for point in points:
        if point.equipment:
            votes[point.equipment][point.equip_class] += 1
    keys = {*votes, *silent, *relations, *(parent for parent, _ in relations.values())}
    return {
        key: Equipment(
            key,
            usual(votes[key]) if key in votes else silent.get(key, ""),
            *relations.get(key, ("", "")),
        )
        for key in sorted(keys)
    }


def usual(votes: Mapping[str, int]) -> str:
    """Return the class that most points give their equipment; one that says something, if any."""
    said = [(-count, name) for name, count in votes.items() if name]
    return min(said)[1] if said else ""


def write(format_: Format, content: Content) -> str:
    """Return a whole record as one file's text."""
    writer = format_.writer(outline_of(content))
    return writer.head() + writer.points(content.points) + writer.tail()


def plain(text: str) -> str:
    """Return a text that every format can hold: no NUL, no half of a character."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def cut(value: object) -> str:
    """Return a text of a foreign file: bounded; empty where it is no text."""
    return plain(value)[:MAX_TEXT] if isinstance(value, str) else ""


def confidence_of(value: object) -> float | None:
    """Return a probability; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0.0 <= number <= 1.0 else None


def one_of(value: object, known: tuple[str, ...]) -> str:
    """Return a word of a closed list; empty where it is none."""
    return value if isinstance(value, str) and value in known else ""


def states_of(value: Any) -> tuple[str, ...]:
    """Return the texts of a list; empty where it is none."""
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple(cut(item) for item in value[:MAX_STATES])


def check_size(data: bytes) -> None:
    """Refuse a file that is too large to be taken in."""
    if len(data) > MAX_FILE:
        msg = f"the file has more than {MAX_FILE // 1024 // 1024} MB; split it by equipment"
        raise Rejected(msg, reason="too_large")


def read_json(data: bytes) -> Any:
    """Return the document of a JSON file.

    Raises:
        Rejected: it is too large, or no JSON.
    """
    check_size(data)
    try:
        return orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        msg = f"no JSON: {error}"
        raise Rejected(msg, reason="format") from error
