"""Points of a building that an EnOS Edge finds: asked for through the company's own EnOS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from plantroom_cloud.config import CloudSettings, EnosTarget
from plantroom_cloud.pipeline.uploads import MAX_POINTS
from plantroom_cloud.publishing.enos.discovery import MAX_NETWORKS, Discovery
from plantroom_cloud.publishing.enos.errors import Denied, KeysRefused
from plantroom_cloud.publishing.enos.found import FoundDevice, FoundPoint
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.publishers import publishers
from plantroom_shared.clock import Clock
from plantroom_shared.errors import PlantroomError, Rejected, Unavailable
from plantroom_shared.model import Device, Point

_AT_ONCE: Final = 200
"""Devices of one search for points."""
_NAMED: Final = 10
"""Devices without points that a reason names; the others are counted."""
_NO_VALUE: Final = frozenset(
    {
        "access-credential", "access-rights", "access-user", "alert-enrollment", "audit-log",
        "calendar", "command", "device", "event-enrollment", "event-log", "file", "global-group",
        "group", "network-port", "notification-class", "notification-forwarder", "program",
        "schedule", "structured-view", "trend-log", "trend-log-multiple",
    }
)  # fmt: skip
"""Objects of BACnet that hold nothing to be measured or set."""

NOTHING_FOUND: Final[Mapping[str, int]] = {"devices": 0, "devices_read": 0, "points": 0}
Told = Callable[[Mapping[str, int]], Awaitable[None]]
"""Takes the figures of a search while it goes on."""


@dataclass(slots=True)
class Searched:
    """What a search has brought."""

    points: list[Point] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    """What is missing of it, for a person; empty where nothing is."""


def targets_of(settings: CloudSettings) -> Mapping[str, EnosTarget]:
    """Return company's slug → its EnOS, as publishing has it: none serves two companies.

    Raises:
        ConfigError: the settings name a company, or an organisation of EnOS, twice.
    """
    return publishers.get("enos").targets(settings)


async def search(
    target: EnosTarget, clock: Clock, edge: str, nets: Sequence[str], told: Told
) -> Searched:
    """Let an Edge search its networks, and return every device and point it finds.

    Done again, it asks again: a search changes nothing on either side.

    Args:
        target: EnOS of the company whose Edge it is; it knows no Edge of another organisation.
        clock: for signatures.
        edge: asset id of the Edge.
        nets: the networks to search; all that it has where empty.
        told: is given figures whenever there are new ones.

    Raises:
        Unavailable: trying again later is right.
        Rejected: a person must put something right first.
    """
    gateway = Gateway(target, clock)
    asked = Discovery(gateway, edge, patience=target.edge_patience, poll=target.edge_poll)
    try:
        async with asyncio.timeout(target.edge_limit):
            return await _Search(asked, edge, told).run(nets)
    except TimeoutError:
        msg = f"the Edge {edge} was not done within {target.edge_limit:g} s; search fewer networks"
        raise Rejected(msg, reason="too_long") from None
    except (Denied, KeysRefused):
        # Its own words may hold the very credential that it refuses.
        msg = "EnOS refuses our keys; check app_key, app_secret and the app's rights to the Edge"
        raise Rejected(msg, reason="keys") from None
    except Rejected as error:
        raise Rejected(gateway.without_keys(str(error)), reason=error.reason) from None
    except Unavailable as error:
        raise Unavailable(gateway.without_keys(str(error))) from None
    finally:
        await gateway.close()


class _Search:
    """One search of one Edge."""

    def __init__(self, asked: Discovery, edge: str, told: Told) -> None:
        self._asked, self._edge, self._told = asked, edge, told
        self._missing: list[str] = []
        self._silent: list[int] = []

    async def run(self, nets: Sequence[str]) -> Searched:
        nets = nets or await self._asked.networks()
        if not nets:
            msg = f"the Edge {self._edge} has no network to search; set one up in EnOS"
            raise Rejected(msg, reason="no_network")
        devices = await self._devices(nets[:MAX_NETWORKS])
        points = await self._points(sorted(devices))
        taken = [point for point in points if point.object_type not in _NO_VALUE]
        figures = {
            "devices": len(devices),
            "devices_read": len(devices) - len(self._silent),
            "points": len(taken),
            "no_value": len(points) - len(taken),
            "unreadable": self._asked.bad,
        }
        return await asyncio.to_thread(  # seconds for a large site
            lambda: Searched(
                [point_of(point) for point in taken],
                [device_of(devices[instance]) for instance in sorted(devices)],
                figures,
                self._reason(len(devices)),
            )
        )

    async def _devices(self, nets: Sequence[str]) -> dict[int, FoundDevice]:
        """Return the devices of all networks; one that brings none costs no other."""
        found: dict[int, FoundDevice] = {}
        failed: PlantroomError = Unavailable(f"the Edge {self._edge} has no network")
        for net in nets:
            try:
                for device in await self._asked.devices(net):
                    found.setdefault(device.ot_device_inst, device)
            except (Denied, KeysRefused):
                raise
            except (Unavailable, Rejected) as error:
                self._missing.append(str(error))
                failed = error
            await self._told({**NOTHING_FOUND, "devices": len(found)})
        if not found:
            raise failed
        return found

    async def _points(self, devices: Sequence[int]) -> list[FoundPoint]:
        found: list[FoundPoint] = []
        whole = 0

        async def news(read: int, points: int) -> None:
            figures = {"devices_read": whole + read, "points": len(found) + points}
            await self._told({"devices": len(devices), **figures})

        failed: Unavailable | None = None
        for start in range(0, len(devices), _AT_ONCE):
            part = devices[start : start + _AT_ONCE]
            try:
                brought = await self._asked.points(part, news, MAX_POINTS - len(found))
            except (Denied, KeysRefused):
                raise
            except Unavailable as error:
                failed = error
                self._silent += part
                continue
            found += brought.points
            self._silent += brought.silent
            whole += len(part) - len(brought.silent)
        if not found and failed is not None:
            raise failed
        return found

    def _reason(self, devices: int) -> str:
        said = list(self._missing)
        if self._silent:
            names = ", ".join(map(str, self._silent[:_NAMED]))
            more = f" and {len(self._silent) - _NAMED} more" if len(self._silent) > _NAMED else ""
            whose = f"{len(self._silent)} of {devices} devices did not bring all their points"
            said.append(f"{whose}: {names}{more}")
        if self._asked.bad:
            said.append(f"{self._asked.bad} records made no sense and were left out")
        return "; ".join(said)


def device_of(device: FoundDevice) -> Device:
    """Return a device as our own agents name it."""
    return Device(
        key=f"bacnet:{device.ot_device_inst}",
        name=device.ot_device_name or "",
        protocol="bacnet",
        address=device.address or "",
        vendor=device.vendor_name or "",
        model=device.device_model or "",
        description=device.description or "",
    )


def point_of(point: FoundPoint) -> Point:
    """Return a point as our own agents name it; its key says which object of which device it is."""
    device, kind, instance = point.key
    named = (point.object_name, point.description, f"{kind} {instance}")
    return Point(
        key=f"bacnet:{device}:{kind}:{instance}",
        device=f"bacnet:{device}",
        name=next(text for text in named if text and text.strip()),
        description=point.description or "",
        unit=point.unit or "",
        object_type=kind,
    )
