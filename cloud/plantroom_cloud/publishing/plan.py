"""Which point is published as what: one company's mapping, conflicts resolved. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from plantroom_shared.mapping.conversion import NOTHING, Adjustment, Source
from plantroom_shared.mapping.things import ModelPoint

MIN_CONFIDENCE = 0.5
"""Below it a proposal is not published until somebody accepts it."""


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
    adjustment: Adjustment = NOTHING
    """What the company's overrides say of the values."""
    target: ModelPoint | None = None
    """What `model_point` takes, by the company's own models; None leaves it to the built-in ones."""

    @property
    def source(self) -> Source:
        """What values are converted from."""
        return Source(self.unit, self.states, self.object_type)


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


def make_plan(rows: Iterable[MappingRow]) -> Plan:
    """Return the plan of one company's mappings; of two points that claim the same, the surer."""
    looked_at: set[int] = set()
    claims: dict[tuple[int, str, str, str], MappingRow] = {}
    claimants: set[int] = set()
    for row in rows:
        looked_at.add(row.mapped.point_id)
        if not row.publishable:
            continue
        mapped = row.mapped
        claimants.add(mapped.point_id)
        key = (mapped.site_id, mapped.equipment, mapped.model_id, mapped.model_point)
        rival = claims.get(key)
        if rival is None or row.beats(rival):
            claims[key] = row
    published = {row.mapped.point_id: row.mapped for row in claims.values()}
    return Plan(frozenset(looked_at), published, frozenset(claimants - published.keys()))
