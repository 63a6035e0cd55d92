"""A site as the review sees it: its templates, what is open, what can be promised. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.review.repository import SAID
from plantroom_cloud.review.standing import IMPORTED, Event, Standing, of_point
from plantroom_shared.mapping import (
    PRECISIONS,
    MappedPoint,
    Promise,
    Template,
    one_claim_each,
    promise,
    read_key,
)


@dataclass(slots=True)
class Group:
    """The points of one template that are not decided about one by one."""

    id: str
    template: Template
    points: list[int] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    """Class → points mapped to it; an empty one is no proposal."""
    sources: Counter[str] = field(default_factory=Counter)
    confidences: list[float] = field(default_factory=list)
    """Of the points that have one."""
    decision: Event | None = None
    worth: float = 0.0
    """Points times uncertainty: how many are expected to be wrong."""

    @property
    def point_class(self) -> str:
        """The class of most of its points."""
        counts = self.classes
        return min(counts, key=lambda name: (-counts[name], name), default="")

    @property
    def source(self) -> str:
        """Where the class of most of its points comes from."""
        return min(self.sources, key=lambda name: (-self.sources[name], name), default="")

    @property
    def confidence(self) -> float | None:
        """Mean confidence; None where nothing is proposed."""
        own = self.confidences
        return round(sum(own) / len(own), 6) if own else None

    @property
    def sure(self) -> float | None:
        """Confidence with which all of it can be accepted at once; None where that cannot be."""
        one = len(self.classes) == 1 and self.point_class and self.points
        whole = len(self.confidences) == len(self.points)
        return min(self.confidences) if one and whole else None

    @property
    def state(self) -> str:
        """``open``, ``deferred`` or ``decided``."""
        if self.decision is None:
            return "open"
        return "deferred" if self.decision.action == "defer" else "decided"

    @property
    def position(self) -> tuple[int, int, int, str]:
        """Its place in the queue."""
        late = int(self.state == "deferred")
        alike = f"{self.template.suffix[:128]} {self.id}"
        return late, -round(self.worth * 1e6), -len(self.points), alike


class Picture:
    """What is found, said and decided at one site.

    Args:
        basis: what the mapper found, by point.
        said: point id → its mapping.
        standing: what people have decided.
    """

    def __init__(
        self, basis: Sequence[AnyRow], said: Mapping[int, AnyRow], standing: Standing
    ) -> None:
        self.basis, self.said, self.standing = basis, said, standing

    @cached_property
    def groups(self) -> dict[str, Group]:
        """Template id → template, those aside of which a device profile says all."""
        found: dict[str, Group] = {}
        decided = self.standing.decided
        for row in self.basis:
            now = self.said.get(row.point_id)
            if row.source == "profile" or now is None or now.source == IMPORTED:
                continue
            if of_point(row.point_id) in decided:
                continue
            group = found.get(row.template_id)
            if group is None:
                template = read_key(row.key) or Template(row.template)
                group = found[row.template_id] = Group(row.template_id, template)
                group.decision = decided.get(row.key)
            group.points.append(row.point_id)
            group.classes[now.point_class] += 1
            group.sources[now.source] += 1
            if now.confidence is not None and now.point_class:
                group.confidences.append(now.confidence)
        for group in found.values():
            group.worth = len(group.points) - sum(group.confidences)
        return found

    def queue(self, state: str = "open") -> list[Group]:
        """Return templates in this state, the most worthwhile first; open ones put off come last."""
        wanted = {"open": {"open", "deferred"}, "all": {"open", "deferred", "decided"}}
        states = wanted.get(state, {state})
        chosen = [group for group in self.groups.values() if group.state in states]
        return sorted(chosen, key=lambda group: group.position)

    @property
    def open(self) -> list[Group]:
        """Templates that nobody has decided about."""
        return [group for group in self.groups.values() if group.state != "decided"]

    def promises(self, precisions: Iterable[float] = PRECISIONS) -> list[Promise]:
        """Return what can be accepted unseen of what is open."""
        sure = [group.sure for group in self.open for _ in group.points]
        return [promise(sure, precision) for precision in precisions]

    def changes(self, touched: set[str], *, back: bool = False) -> list[dict[str, Any]]:
        """Return the mappings that are not what they have to be after all that stands.

        Their evidence is only what people and rules add: the mapper's own goes behind it. What a
        person has decided stays, and what was imported.

        Args:
            touched: keys of templates and ``@`` points that were decided just now, whatever
                stood there before.
            back: these decisions were taken back: what was imported since is not theirs to undo.
        """
        made: list[tuple[MappedPoint, str]] = []
        rows = [row for row in self.basis if row.point_id in self.said]
        for row in rows:
            now = self.said[row.point_id]
            spared = back and now.source == IMPORTED
            if spared or _stays(row, now, touched, self.standing):
                made.append((_as_said(row, now), now.state))
            else:
                template = read_key(row.key) or Template(row.template)
                item = _as_found(row, template)
                made.append(self.standing.laid_over(item, template, row.point_id))
        items = one_claim_each([item for item, _ in made])
        found = (
            _row(row.point_id, item, state)
            for row, item, (_, state) in zip(rows, items, made, strict=True)
        )
        return [
            new
            for row, new in zip(rows, found, strict=True)
            if differs(self.said[row.point_id], new)
            or (_is_touched(row, touched) and new["source"] != IMPORTED)
        ]


def _stays(row: AnyRow, now: AnyRow, touched: set[str], standing: Standing) -> bool:
    if _is_touched(row, touched):
        return False
    if now.source == IMPORTED:
        return True
    if standing.about(row.key, row.point_id) is not None:
        return False
    return bool(now.source == "person" or now.state == "rejected")


def _is_touched(row: AnyRow, touched: set[str]) -> bool:
    return row.key in touched or of_point(row.point_id) in touched


def _as_found(row: AnyRow, template: Template) -> MappedPoint:
    return MappedPoint(
        point=str(row.point_id),
        template=row.template,
        equipment=row.equipment,
        equip_class=row.equip_class,
        point_class=row.point_class,
        model_id=row.model_id,
        model_point=row.model_point,
        confidence=row.confidence,
        source=row.source,
        about=template.suffix,
    )


def _as_said(row: AnyRow, now: AnyRow) -> MappedPoint:
    return MappedPoint(
        point=str(row.point_id),
        template=now.template,
        equipment=now.equipment,
        equip_class=now.equip_class,
        point_class=now.point_class,
        model_id=now.model_id,
        model_point=now.model_point,
        confidence=now.confidence,
        source=now.source,
    )


def _row(point_id: int, item: MappedPoint, state: str) -> dict[str, Any]:
    said = {name: getattr(item, name) for name in SAID if name != "state"}
    return {"point_id": point_id, **said, "state": state, "evidence": list(item.evidence)}


def differs(now: AnyRow, new: Mapping[str, Any]) -> bool:
    """Tell whether a mapping says something else now."""
    return any(getattr(now, name) != new[name] for name in SAID)
