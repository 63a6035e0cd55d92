"""The newest value of every point, as rows for a person: the same from the agent or from a bus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plantroom_edge.crew import Register
from plantroom_edge.drivers import PollGroup
from plantroom_edge.sampler import Sampler
from plantroom_shared.model import Batch, Quality

Row = dict[str, Any]


def rows(samplers: Sequence[Sampler], register: Register, latest: Batch) -> list[Row]:
    """Return a row for every point that is polled, in the order of buses and devices.

    Args:
        samplers: of all buses.
        register: what points and devices there are.
        latest: the newest sample of each point that had one.
    """
    at = {alias: row for row, alias in enumerate(latest.points)}
    return [
        {
            **_device(sampler.name, group.group, register),
            **_point(register, alias),
            **_value(latest, at.get(alias)),
        }
        for sampler in samplers
        for device in sampler.devices.values()
        for group in device.groups
        for alias in group.aliases
    ]


def _device(bus: str, group: PollGroup, register: Register) -> Row:
    known = register.devices.get(group.device)
    name = known.name if known else group.device
    return {"bus": bus, "device": group.device, "device_name": name, "interval": group.interval}


def _point(register: Register, alias: int) -> Row:
    known = register.point(alias)
    if known is None:
        return {"point": str(alias), "name": "", "unit": "", "states": (), "class": "", "type": ""}
    key, shown = known
    return {
        "point": key,
        "name": shown.name,
        "unit": shown.unit,
        "states": shown.states,
        "class": shown.point_class,
        "type": shown.object_type,
    }


def _value(latest: Batch, row: int | None) -> Row:
    if row is None:
        return {"value": None, "ts": None, "quality": "", "reason": "not read yet"}
    quality, reason = latest.quality.get(row, (int(Quality.GOOD), ""))
    return {
        "value": latest.values[row],
        "ts": latest.times[row],
        "quality": Quality(quality).name.lower(),
        "reason": reason,
    }
