"""Points of a site → what each one means: equipment, Brick class, thing-model point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from plantroom_shared.mapping.answers import answered
from plantroom_shared.mapping.collector import no_cycles
from plantroom_shared.mapping.grouping import group
from plantroom_shared.mapping.learned import Rulebook
from plantroom_shared.mapping.meanings import MappedPoint, meanings, one_claim_each
from plantroom_shared.mapping.names import clean, fold
from plantroom_shared.mapping.rows import Row
from plantroom_shared.mapping.scorer import Scorer
from plantroom_shared.model import Device, Point

GATEWAY: Final = "agent"
"""The protocol of the gateway's own figures, with which the keys of its device and points begin."""


def map_points(
    points: Sequence[Point],
    devices: Sequence[Device] = (),
    *,
    decided: Mapping[str, str] | None = None,
    scorer: Scorer | None = None,
    rules: Rulebook | None = None,
) -> list[MappedPoint]:
    """Return what the points of one site mean, in their order.

    Pure: the same points give the same answer. The whole site is looked at together, since a
    name's grammar shows in its neighbours; the work is done per template, not per point.

    Args:
        points: every point of the site; names are untrusted.
        devices: the devices that serve them; names without an equipment belong to their device.
        decided: template key → point class, as people have said it.
        rules: what follows from that for others, and what people have written.
        scorer: learned weights other than those that ship: for training and its judgement.
    """
    with no_cycles():
        found = iter(meanings(grouped(points, devices), scorer))
        mapped = [_unmapped(point) if _is_gateway(point) else next(found) for point in points]
        return one_claim_each(answered(points, mapped, decided or {}, rules or Rulebook()))


def grouped(points: Sequence[Point], devices: Sequence[Device] = ()) -> list[Row]:
    """Return the points of the plant with their equipment, in their order."""
    known = {device.key: device for device in devices}
    return group([point for point in points if not _is_gateway(point)], known)


def _is_gateway(point: Point) -> bool:
    """Say whether a point tells of the gateway: that stands in the plant room and is none of it."""
    return point.device.partition(":")[0] == GATEWAY


def _unmapped(point: Point) -> MappedPoint:
    """Return that a point means nothing in the building, and that nobody need be asked."""
    return MappedPoint(
        point.key,
        fold(clean(point.name))[0],
        equipment=point.device,
        source="profile",
        evidence=("it tells of the gateway, not of the plant",),
    )
