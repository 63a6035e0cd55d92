"""BMS devices and points that an EnOS Edge has found, through the cloud's discovery API.

The API is asynchronous: a search answers ``true``, and its result is asked for until it is there.
An empty answer means "not ready yet", never "nothing".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_cloud.publishing.enos.errors import Denied, KeysRefused
from plantroom_cloud.publishing.enos.found import FoundDevice, FoundPoint, checked
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_shared.errors import Rejected, Unavailable

_BASE: Final = "/enos-edge/v2.4/discovery"
_PAGE: Final = 200
_PROTOCOL: Final = "bacnet"
MAX_NETWORKS: Final = 16
"""Of one Edge that are searched."""
MAX_NET: Final = 200
"""Characters of a network's name."""
MAX_DEVICES: Final = 10_000
"""Of one network: more is no building."""
MAX_POINTS: Final = 200_000
"""Of one search."""
PATIENCE: Final = 300.0
"""Seconds without any news until a search is given up; a large site takes minutes."""
POLL: Final = 5.0
"""Seconds between two questions for a result."""

News = Callable[[int, int], Awaitable[None]]
"""Takes how many devices are read whole and how many points there are, while a search goes on."""


async def _unheard(_devices: int, _points: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class PointsFound:
    """What a search for points has brought."""

    points: list[FoundPoint]
    """Each object once, by device, object type and instance."""
    silent: tuple[int, ...] = ()
    """Devices whose points did not come, or not all of them."""


@dataclass(slots=True)
class _Reading:
    """What is there of one device by now."""

    records: int = 0
    bad: int = 0
    points: list[FoundPoint] = field(default_factory=list)


class Discovery:
    """Searches of one EnOS Edge.

    Args:
        gateway: the way to EnOS.
        edge: asset id of the Edge.
        patience: seconds without any news until a search is given up.
        poll: seconds between two questions.
    """

    def __init__(
        self, gateway: Gateway, edge: str, *, patience: float = PATIENCE, poll: float = POLL
    ) -> None:
        self._gateway, self._edge = gateway, edge
        self._patience, self._poll = patience, poll
        self._trouble = ""
        """What the last question met that brought nothing."""
        self.bad = 0
        """Records that made no sense, of all searches so far."""

    async def networks(self) -> list[str]:
        """Return the networks the Edge can search.

        Raises:
            Unavailable: EnOS is away.
            Rejected: EnOS knows no such Edge.
        """
        reply = await self._gateway.call("GET", f"{_BASE}/getNetConfig", {"assetId": self._edge})
        data = reply.get("data")
        listed = data if isinstance(data, list) else []
        return [net for net in listed if isinstance(net, str) and 0 < len(net) <= MAX_NET][
            :MAX_NETWORKS
        ]

    async def devices(self, net: str) -> list[FoundDevice]:
        """Search `net` and return the devices, each once, when every page of them is there.

        Raises:
            Unavailable: EnOS is away, or the result did not come in time, or only a part of it.
            Rejected: EnOS knows no such network, or it has more than `MAX_DEVICES`.
        """
        pages: list[list[Any]] = []
        total = 0
        try:
            async with self._in_time() as news:
                await self._search({"net": net, "type": "device", "protocol": _PROTOCOL})
                while True:
                    whole = len(pages) * _PAGE >= total > 0
                    number = len(pages) if whole else len(pages) + 1
                    records, now = await self._page(number)
                    if records and now != total:
                        # There are more by now, and they may stand on any page.
                        pages, total = [], now
                        news()
                        if number > 1:
                            continue
                    elif records and whole:
                        return self._devices_of(pages)
                    if not records or len(records) < min(_PAGE, total - (number - 1) * _PAGE):
                        await asyncio.sleep(self._poll)  # this page is not ready yet
                        continue
                    pages.append(records)
                    news()
                    if len(pages) * _PAGE >= total:
                        await asyncio.sleep(self._poll)  # whole, if by then no more have come
        except TimeoutError as error:
            got = sum(map(len, pages))
            what = f"only {got} of {total} devices" if got else "no devices"
            msg = self._late(f"{what} of {net}")
            raise Unavailable(msg) from error

    async def points(
        self, devices: Sequence[int], news: News = _unheard, most: int = MAX_POINTS
    ) -> PointsFound:
        """Search the points of `devices` (instance numbers) and return them.

        Args:
            devices: whose points.
            news: is told how far it has come.
            most: points at most.

        Raises:
            Unavailable: EnOS is away, or no point at all came in time.
            Rejected: EnOS refuses the search, or brings more points than `most`.
        """
        wanted = list(dict.fromkeys(devices))
        body = {"type": "point", "protocol": _PROTOCOL, "otDeviceInstList": wanted}
        read = {device: _Reading() for device in wanted}
        left = wanted
        try:
            async with self._in_time() as heard:
                await self._search(body)
                while True:
                    left = await self._round(left, read, heard)
                    count = sum(len(one.points) for one in read.values())
                    if count > most:
                        msg = f"the Edge {self._edge} has more than {most} points"
                        raise Rejected(msg, reason="too_many")
                    await news(len(wanted) - len(left), count)
                    if not left:
                        break
                    await asyncio.sleep(self._poll)
        except TimeoutError as error:
            if not any(one.points for one in read.values()):
                msg = self._late("no points")
                raise Unavailable(msg) from error
        self.bad += sum(one.bad for one in read.values())
        found = {point.key: point for one in read.values() for point in one.points}
        return PointsFound([found[key] for key in sorted(found)], tuple(sorted(left)))

    # ------------------------------------------------------------ questions

    async def _search(self, body: dict[str, Any]) -> None:
        """Begin a search, as soon as the Edge does."""
        self._trouble = "it did not begin to search"
        while True:
            if await self._result("search", {"assetId": self._edge, **body}) not in (False, None):
                break
            await asyncio.sleep(self._poll)
        self._trouble = ""

    async def _post(self, call: str, body: dict[str, Any]) -> Any:
        body = {"orgId": self._gateway.org_id, **body}
        return (await self._gateway.call("POST", f"{_BASE}/{call}", {}, body)).get("data")

    async def _result(self, call: str, body: dict[str, Any]) -> Any:
        """Return what there is of a result; None where EnOS is away for a moment.

        Raises:
            Unavailable: only where the keys are refused: that does not pass by itself.
            Rejected: EnOS will never answer this.
        """
        try:
            return await self._post(call, body)
        except (Denied, KeysRefused):
            raise
        except Unavailable as error:
            self._trouble = str(error)
            return None

    async def _page(self, number: int) -> tuple[list[Any], int]:
        """Return a page of devices, and how many there are on all pages."""
        pagination = {
            "pageNo": number,
            "pageSize": _PAGE,
            "sorters": [{"field": "deviceName", "order": "ASC"}],
        }
        body = {"assetIds": [self._edge], "protocol": _PROTOCOL, "pagination": pagination}
        match await self._result("deviceResponse", body):
            case {"record": list(records), "totalRecordCount": int(said)}:
                records = records[:_PAGE]
            case {"record": list(records)}:
                records, said = records[:_PAGE], 0
            case _:
                return [], 0
        total = max(said, (number - 1) * _PAGE + len(records))
        if total > MAX_DEVICES:
            msg = f"the Edge {self._edge} has more than {MAX_DEVICES} devices"
            raise Rejected(msg, reason="too_many")
        return records, total

    async def _round(
        self, devices: Sequence[int], read: dict[int, _Reading], heard: Callable[[], None]
    ) -> list[int]:
        """Ask each device once, and return those of which there is more to come."""
        left: list[int] = []
        for at, device in enumerate(devices):
            before, now = read[device].records, await self._points_of(device)
            if now is None:
                # EnOS is away: the others need not be asked now, and this one is asked last.
                return [*left, *devices[at + 1 :], device]
            if now.records > before:
                read[device] = now
                heard()
            if not now.records or now.records != before:
                left.append(device)
        return left

    async def _points_of(self, device: int) -> _Reading | None:
        """Return what there is of a device; None where EnOS does not say."""
        body = {"assetId": self._edge, "protocol": _PROTOCOL, "otDeviceInst": device}
        try:
            data = await self._result("pointResponse", body)
        except Rejected as error:
            self._trouble = str(error)  # it costs this device only
            return _Reading()
        match data:
            case {"record": list(records)} | list(records):
                points, bad = checked(FoundPoint, records)
                own = [point for point in points if point.ot_device_inst == device]
                return _Reading(len(records), bad + len(points) - len(own), own)
            case None:
                return None
        return _Reading()

    def _devices_of(self, pages: Sequence[list[Any]]) -> list[FoundDevice]:
        records = [record for page in pages for record in page]
        found, bad = checked(FoundDevice, records)
        self.bad += bad
        if not found:
            msg = f"the Edge {self._edge} brought {bad} devices, none of which makes sense"
            raise Unavailable(msg)
        once = {device.ot_device_inst: device for device in found}
        return [once[instance] for instance in sorted(once)]

    # ------------------------------------------------------------ time

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[Callable[[], None]]:
        """Raise TimeoutError where there is no news for as long as we have patience."""
        async with asyncio.timeout(self._patience) as limit:

            def news() -> None:
                limit.reschedule(asyncio.get_running_loop().time() + self._patience)

            yield news

    def _late(self, what: str) -> str:
        why = f"; {self._trouble}" if self._trouble else ""
        return f"the Edge {self._edge} brought {what} within {self._patience:g} s{why}"
