"""What a place has of a point's history, and what it lacks when a point comes to it. Pure.

A place is a model point of a device. Points may take turns in one, and a point may leave its place
and come back: what is there already is not sent again, and what another has sent there stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from plantroom_cloud.publishing.plan import Meaning
from plantroom_cloud.publishing.ranges import Range, merged, without


@dataclass(frozen=True, slots=True)
class Published:
    """What a point is published as, as it was noted last."""

    meaning: Meaning
    since_us: int
    until_us: int | None
    """Since when it is published no more."""


@dataclass(frozen=True, slots=True)
class Stay:
    """A point was published in a place, from the first time to the last."""

    point_id: int
    since_us: int
    until_us: int
    held_us: int
    """What the point has said before this, the place has, as far as it will ever have it."""

    def left_again(self, later: Stay) -> Stay:
        """Return both stays as one."""
        return replace(later, since_us=min(self.since_us, later.since_us))


def stays_left(
    known: Mapping[int, Published],
    meant: Mapping[int, Meaning],
    due: Mapping[int, Iterable[Range]],
    past: Mapping[Meaning, Iterable[Stay]],
    now_us: int,
) -> dict[Meaning, list[Stay]]:
    """Return place → stays there, of the places that points leave now or have left last.

    Args:
        known: point id → what it was published as last.
        meant: point id → what it is published as now.
        due: point id → what was due of it until now.
        past: place → the stays that were noted before.
        now_us: the present.
    """
    found: dict[Meaning, dict[int, Stay]] = {}
    for point, was in known.items():
        if was.until_us is None and meant.get(point) == was.meaning:
            continue
        place = found.get(was.meaning)
        if place is None:
            earlier = past.get(was.meaning, ())
            place = found[was.meaning] = {stay.point_id: stay for stay in earlier}
        until_us = now_us if was.until_us is None else was.until_us
        back = meant.get(point) == was.meaning
        # A point that comes back to the place it had last has noted what is missing there.
        held_us = 0 if back else min((lo for lo, _ in due.get(point, ())), default=until_us)
        stay = Stay(point, was.since_us, until_us, min(held_us, until_us))
        place[point] = place[point].left_again(stay) if point in place else stay
    return {meaning: list(stays.values()) for meaning, stays in found.items()}


def lacking(
    point: int, stays: Iterable[Stay], due: Iterable[Range], history: Range | None
) -> list[Range]:
    """Return what is due of a point that comes to a place.

    Args:
        point: its id.
        stays: all that were in the place, of any point.
        due: what was due of the point so far, wherever it was.
        history: from as far back as history goes to as far as samples lie ahead; None for none.
    """
    own, others = None, list[Stay]()
    for stay in stays:
        if stay.point_id == point:
            own = stay
        else:
            others.append(stay)
    if own is None:
        there = [(0, max((other.until_us for other in others), default=0))]
    else:
        meanwhile = [(max(one.since_us, own.until_us), one.until_us) for one in others]
        there = [(0, own.held_us), *meanwhile]
    return without(merged([*due, *([history] if history else ())], 0), there)
