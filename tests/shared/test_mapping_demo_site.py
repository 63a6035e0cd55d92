"""The mapping on the simulated site: judged against the site's own truth."""

from __future__ import annotations

import pytest

from demo.site import catalogue as site
from demo.site.entry import Entry
from plantroom_shared.mapping import MappedPoint, map_points
from plantroom_shared.model import Device, Point


def _mapped(seed: int) -> list[tuple[Entry, MappedPoint]]:
    """Map the BACnet side of the site: there, nothing but names, units and types is known."""
    entries = [entry for entry in site.catalogue(seed) if entry.device.startswith("bacnet:")]
    points = [
        Point(
            key=entry.key,
            device=entry.device,
            name=entry.name,
            description=entry.description,
            unit=entry.unit,
            object_type=entry.object_type,
            states=entry.states,
        )
        for entry in entries
    ]
    devices = [
        Device(
            key=f"bacnet:{controller.instance}",
            name=controller.name,
            protocol="bacnet",
            vendor=controller.vendor,
            model=controller.model,
        )
        for controller in site.controllers()
    ]
    return list(zip(entries, map_points(points, devices), strict=True))


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_points_with_a_counterpart_get_the_right_one(seed: int) -> None:
    """All points that EnOS has a place for are put there, whatever is left out."""
    wanted = [(entry, item) for entry, item in _mapped(seed) if entry.enos]
    assert len(wanted) > 100
    assert [e.name for e, item in wanted if f"{item.model_id}/{item.model_point}" != e.enos] == []


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_points_without_a_counterpart_get_none(seed: int) -> None:
    """Boxes, commands and counters that EnOS does not know are not published as something else."""
    wrong = [
        (e.name, item.model_point) for e, item in _mapped(seed) if not e.enos and item.model_point
    ]
    assert wrong == []


def test_equipment_is_told_apart() -> None:
    """Every machine's points come together, and no two machines are one."""
    by_machine: dict[str, set[str]] = {}
    for entry, item in _mapped(1):
        by_machine.setdefault(entry.equipment, set()).add(item.equipment)
    assert {machine: names for machine, names in by_machine.items() if len(names) != 1} == {}
    assert len({next(iter(names)) for names in by_machine.values()}) == len(by_machine)


def test_published_points_are_sure_enough() -> None:
    """What is right is not held back for want of confidence: the publisher asks for 0.5."""
    assert [e.name for e, item in _mapped(1) if e.enos and (item.confidence or 0) < 0.5] == []
