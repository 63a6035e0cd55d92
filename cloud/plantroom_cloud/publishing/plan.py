"""Which point is published as what: one company's mapping, conflicts resolved. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plantroom_shared.mapping.conversion import NOTHING, Adjustment, Source
from plantroom_shared.mapping.things import ModelPoint

MIN_CONFIDENCE = 0.5
"""Below it a proposal is not published until somebody accepts it."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a point is published as: where another one is, its history is published anew."""

    site_id: int
    equipment: str
    model_id: str
    model_point: str

    def columns(self) -> dict[str, Any]:
        """Return the meaning as columns of a row."""
        return {name: getattr(self, name) for name in Meaning.__slots__}


Place = tuple[int, str]
"""Site id and equipment."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A point and the thing-model point it is published as."""

    point_id: int
    site_id: int
    site_slug: str
    timezone: str
    """Of the site, IANA."""
    equipment: str
    model_id: str
    model_point: str
    unit: str = ""
    """Of the point, as the bus says it."""
    states: tuple[str, ...] = ()
    object_type: str = ""
    site_name: str = ""
    parent: str = ""
    """Equipment that feeds or contains this one; empty where that is not known."""

    adjustment: Adjustment = NOTHING
    """What the company's overrides say of the values."""
    target: ModelPoint | None = None
    """What `model_point` takes, by the company's own models; None leaves it to the built-in ones."""

    @property
    def source(self) -> Source:
        """What values are converted from."""
        return Source(self.unit, self.states, self.object_type)

    @property
    def place(self) -> Place:
        """The equipment, with its site."""
        return self.site_id, self.equipment

    @property
    def meaning(self) -> Meaning:
        """What it is published as."""
        return Meaning(self.site_id, self.equipment, self.model_id, self.model_point)


@dataclass(frozen=True, slots=True)
class MappingRow:
    """A mapping as the mapper left it, with what it is about."""

    mapped: Mapped
    confidence: float | None
    source: str
    state: str

    @property
    def publishable(self) -> bool:
        """Whether the mapping names a thing-model point surely enough."""
        if not self.mapped.model_id or not self.mapped.model_point or self.state == "rejected":
            return False
        sure = self.state == "accepted" or self.source in ("profile", "person")
        return sure or (self.confidence or 0.0) >= MIN_CONFIDENCE

    @property
    def _rank(self) -> tuple[bool, float, bool, int]:
        # A profile or a person gives no probability: they know.
        sure = self.source in ("profile", "person") and self.confidence is None
        confidence = 1.0 if sure else self.confidence or 0.0
        accepted = self.state == "accepted"
        return self.source == "person", confidence, accepted, -self.mapped.point_id

    def beats(self, other: MappingRow) -> bool:
        """Say which of two points that claim the same thing-model point is published."""
        return self._rank > other._rank


@dataclass(frozen=True, slots=True)
class Plan:
    """What is published, point by point."""

    looked_at: frozenset[int] = frozenset()
    """Points the mapper has looked at, whatever it found."""
    published: dict[int, Mapped] = field(default_factory=dict)
    """Point id → what it is published as."""
    conflicts: frozenset[int] = frozenset()
    """Points that lost theirs to a surer one."""
    renamed: dict[Place, Place] = field(default_factory=dict)
    """Equipment → the one it was until now, whose device is its own until a plan is applied."""


def make_plan(rows: Iterable[MappingRow], last_point: int | None = None) -> Plan:
    """Return the plan of one company's mappings; of two points that claim the same, the surer.

    Args:
        rows: the mappings.
        last_point: id of the last point that the licence has room for; None: it has for all.
    """
    looked_at: set[int] = set()
    claims: dict[tuple[int, str, str, str], MappingRow] = {}
    claimants: set[int] = set()
    for row in rows:
        looked_at.add(row.mapped.point_id)
        beyond = last_point is not None and row.mapped.point_id > last_point
        if beyond or not row.publishable:
            continue
        mapped = row.mapped
        claimants.add(mapped.point_id)
        key = (mapped.site_id, mapped.equipment, mapped.model_id, mapped.model_point)
        rival = claims.get(key)
        if rival is None or row.beats(rival):
            claims[key] = row
    published = {row.mapped.point_id: row.mapped for row in claims.values()}
    return Plan(frozenset(looked_at), published, frozenset(claimants - published.keys()))


def renames(published: Mapping[int, Mapped], before: Mapping[int, Meaning]) -> dict[Place, Place]:
    """Return equipment that is only called otherwise, → what it was called.

    It is where all points of the old one that are still published are now points of the new one,
    each the same thing-model point, and the new one is not known yet.

    Args:
        published: point id → what it is to be published as.
        before: point id → what it was published as last.
    """
    now = {mapped.place for mapped in published.values()}
    known = {(meaning.site_id, meaning.equipment) for meaning in before.values()}
    moved: dict[Place, Counter[Place]] = {}
    broken: set[Place] = set()
    for point, was in before.items():
        mapped, place = published.get(point), (was.site_id, was.equipment)
        if mapped is None or place in now:
            continue
        same = (mapped.model_id, mapped.model_point) == (was.model_id, was.model_point)
        if not same or mapped.site_id != was.site_id or mapped.place in known:
            broken.add(place)
        moved.setdefault(place, Counter())[mapped.place] += 1
    found = {
        next(iter(targets)): place
        for place, targets in moved.items()
        if len(targets) == 1 and place not in broken
    }
    # Two that became one are no renaming of either.
    claims = Counter(next(iter(targets)) for targets in moved.values() if len(targets) == 1)
    return {new: old for new, old in found.items() if new[1] and claims[new] == 1}
