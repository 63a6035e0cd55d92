"""What taking a file in would change, worked out before anything is: pure.

A decision of the file is a point with a class, an equipment or a thing-model point that is not
marked as a mere proposal. What a person decided here stands unless it is said that the file wins.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from plantroom_cloud.exchange.record import Content, Equipment, PointMeaning
from plantroom_cloud.review.standing import ACCEPT_FROM, IMPORTED
from plantroom_shared.mapping import canonical, is_equip_class, is_point_class

PERSON: Final = "person"
OFFLINE: Final = "offline"
SURE: Final = 0.99
"""Confidence of what somebody wrote down and gave none for; a profile's is the same."""
MAX_SHOWN: Final = 100
"""Rows that a plan names of each kind; the counts count all."""
_MODEL: Final = re.compile(r"[A-Za-z0-9_.:/-]{0,128}")


@dataclass(frozen=True, slots=True)
class Present:
    """A point of the site with its mapping as it is."""

    id: int
    meaning: PointMeaning
    """`source` is empty where it has no mapping yet."""
    relation: Equipment = field(default_factory=lambda: Equipment(""))


@dataclass(frozen=True, slots=True)
class Change:
    """One point's mapping, before and after."""

    id: int
    before: PointMeaning
    after: PointMeaning
    parent: str = ""
    relation: str = ""


@dataclass(slots=True)
class ImportPlan:
    """What would be done; `digest` is that of exactly this."""

    changes: list[Change] = field(default_factory=list)
    same: int = 0
    """Points that mean already what the file says."""
    proposals: int = 0
    """Points of which the file decides nothing: left to the mapper."""
    kept: list[str] = field(default_factory=list)
    """Points that a person has decided otherwise."""
    unknown: list[str] = field(default_factory=list)
    """Points of the file that the site does not have, or that could be several."""
    refused: list[str] = field(default_factory=list)
    """Points whose meaning is none: a class that Brick does not have ..."""
    counts: Counter[str] = field(default_factory=Counter)
    untouched: int = 0
    """Points of the site that the file does not have."""
    notes: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Name exactly these changes."""
        rows = [[c.id, *_texts(c.after), c.parent, c.relation] for c in self.changes]
        return hashlib.sha256(orjson.dumps(rows)).hexdigest()[:32]

    def put(self, what: str, text: str) -> None:
        """Count a point that is left alone, and name it while there is room."""
        self.counts[what] += 1
        named: list[str] = getattr(self, what)
        if len(named) < MAX_SHOWN:
            named.append(text[:300])


def make_plan(
    content: Content, present: Sequence[Present], *, overwrite: bool = False
) -> ImportPlan:
    """Return what taking `content` in would change.

    Args:
        content: what the file says.
        present: every point of the site.
        overwrite: the file wins against what a person decided here.
    """
    plan = ImportPlan(notes=list(content.notes))
    finder = _Finder(present)
    met: set[int] = set()
    for point in content.points:
        row, why = finder.find(point)
        if row is None:
            plan.put("unknown", f"{_called(point)}: {why}")
        elif row.id in met:
            plan.put("refused", f"{_called(point)}: stands in the file more than once")
        else:
            met.add(row.id)
            _decide(plan, row, point, content.equipment, overwrite=overwrite)
    plan.untouched = len(present) - len(met)
    return plan


def _decide(
    plan: ImportPlan,
    row: Present,
    point: PointMeaning,
    equipment: Mapping[str, Equipment],
    *,
    overwrite: bool,
) -> None:
    fault = _fault(point)
    if fault:
        plan.put("refused", f"{_called(point)}: {fault}")
        return
    if _undecided(point):
        plan.proposals += 1
        return
    parent = equipment.get(point.equipment, Equipment(""))
    after = _after(row.meaning, point)
    before_relation = (row.relation.parent, row.relation.relation)
    relation = (parent.parent, parent.relation) if parent.parent else before_relation
    if _same(row.meaning, after) and relation == before_relation:
        plan.same += 1
    elif row.meaning.source == PERSON and not overwrite:
        plan.put("kept", f"{_called(row.meaning)}: a person says {_shown(row.meaning)}")
    else:
        plan.changes.append(Change(row.id, row.meaning, after, *relation))


def _after(before: PointMeaning, said: PointMeaning) -> PointMeaning:
    """Return the decided meaning; where the file says nothing of a field, what was there stands."""
    stands = before.point_class if before.state == "accepted" else ""
    named = canonical(said.point_class) if said.point_class else stands
    rejected = said.state == "rejected"
    model = (said.model_id, said.model_point) if said.model_id else None
    return replace(
        before,
        equipment=said.equipment or before.equipment,
        equip_class=canonical(said.equip_class) if said.equip_class else before.equip_class,
        point_class=named,
        model_id=model[0] if model else before.model_id,
        model_point=model[1] if model else before.model_point,
        confidence=(said.confidence if said.confidence is not None else SURE) if named else None,
        # What is rejected is not decided: the mapper may find something better.
        source=OFFLINE if rejected else PERSON if said.source == PERSON else IMPORTED,
        state="rejected" if rejected else "accepted",
    )


def _same(before: PointMeaning, after: PointMeaning) -> bool:
    """Tell whether a mapping means that already, and is decided."""
    return (
        _meaning(before) == _meaning(after)
        and before.state == after.state
        and (before.source != "" and before.state != "proposed")
    )


def _meaning(point: PointMeaning) -> tuple[str, ...]:
    named = (point.equipment, point.equip_class, point.point_class)
    return (*named, point.model_id, point.model_point)


def _texts(point: PointMeaning) -> list[Any]:
    return [*_meaning(point), point.confidence, point.source, point.state]


def _undecided(point: PointMeaning) -> bool:
    """Tell whether the file only proposes something, or says nothing of what the point is.

    A list without states and with confidence, as `plantroom-cloud map` writes it, is a mapper's.
    """
    unsure = point.confidence is not None and point.confidence < ACCEPT_FROM
    proposed = point.state == "proposed" or (not point.state and unsure)
    return proposed or not (point.point_class or point.model_point)


def _fault(point: PointMeaning) -> str:
    """Return what is wrong with a meaning; empty where nothing is."""
    if point.point_class and not is_point_class(point.point_class):
        return f"Brick has no point class {point.point_class[:80]}"
    if point.equip_class and not is_equip_class(point.equip_class):
        return f"Brick has no equipment class {point.equip_class[:80]}"
    if not _MODEL.fullmatch(point.model_id) or not _MODEL.fullmatch(point.model_point):
        return "the thing model's name has characters that none has, or is too long"
    return ""


def _called(point: PointMeaning) -> str:
    return point.name or point.key


def _shown(point: PointMeaning) -> str:
    return " ".join(filter(None, _meaning(point))) or "nothing"


class _Finder:
    """Says which point of the site a point of a file is."""

    def __init__(self, present: Iterable[Present]) -> None:
        self._full: dict[tuple[str, str], Present] = {}
        self._keys: dict[str, list[Present]] = defaultdict(list)
        self._names: dict[str, list[Present]] = defaultdict(list)
        for row in present:
            self._full[row.meaning.gateway, row.meaning.key] = row
            self._keys[row.meaning.key].append(row)
            self._names[row.meaning.name].append(row)

    def find(self, point: PointMeaning) -> tuple[Present | None, str]:
        """Return the point, by gateway and key, by key alone, by name; or why there is none."""
        exact = self._full.get((point.gateway, point.key))
        if exact is not None:
            return exact, ""
        for found in (
            self._keys.get(point.key, []) if point.key else [],
            self._names.get(point.name, []) if point.name else [],
        ):
            if len(found) == 1:
                return found[0], ""
            if found:
                return None, f"{len(found)} points of the site are called so"
        return None, "the site has no such point"
