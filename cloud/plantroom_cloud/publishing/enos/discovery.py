"""BMS devices and points that an EnOS Edge has found, through the cloud's discovery API.

The API is asynchronous: a search answers ``true``, and its result is asked for until it is there.
An empty answer means "not ready yet", never "nothing".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_shared.errors import Unavailable

_BASE: Final = "/enos-edge/v2.4/discovery"
_PAGE: Final = 200
_LONGEST: Final = 512
PATIENCE: Final = 300.0
"""Seconds for one search; a large site takes minutes."""
POLL: Final = 5.0
"""Seconds between two questions for a result."""


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=AliasGenerator(validation_alias=to_camel)
    )

    @field_validator("*", mode="before")
    @classmethod
    def _bounded(cls, value: Any) -> Any:
        return value[:_LONGEST] if isinstance(value, str) else value


class FoundDevice(_Record):
    """A BACnet device as the Edge reports it; most of it may be missing."""

    ot_device_inst: int
    ot_device_name: str | None = None
    address: str | None = None
    vendor_name: str | None = None
    device_model: str | None = None
    description: str | None = None


class FoundPoint(_Record):
    """A BACnet object as the Edge reports it."""

    ot_device_inst: int
    object_type: str
    object_inst: int
    object_name: str | None = None
    description: str | None = None
    unit: str | None = None
    present_value: float | int | bool | str | None = Field(default=None, union_mode="left_to_right")

    @property
    def key(self) -> tuple[int, str, int]:
        """Device, object type, instance: an instance alone stands for several objects."""
        return self.ot_device_inst, self.object_type, self.object_inst


R = TypeVar("R", bound=_Record)


class Discovery:
    """Searches of one EnOS Edge.

    Args:
        gateway: the way to EnOS.
        edge: asset id of the Edge.
        patience: seconds until a search that brings nothing is given up.
        poll: seconds between two questions.
    """

    def __init__(
        self, gateway: Gateway, edge: str, *, patience: float = PATIENCE, poll: float = POLL
    ) -> None:
        self._gateway, self._edge = gateway, edge
        self._patience, self._poll = patience, poll

    async def networks(self) -> list[str]:
        """Return the networks the Edge can search."""
        reply = await self._gateway.call("GET", f"{_BASE}/getNetConfig", {"assetId": self._edge})
        data = reply.get("data")
        return [str(net)[:_LONGEST] for net in data] if isinstance(data, list) else []

    async def devices(self, net: str, protocol: str = "bacnet") -> list[FoundDevice]:
        """Search `net` and return the devices, once every page of them is there.

        Raises:
            Unavailable: EnOS is away, or the result did not come in time.
        """
        await self._search({"net": net, "type": "device", "protocol": protocol})
        async with self._in_time("devices"):
            return await self._all_devices(protocol)

    async def points(self, devices: Sequence[int], protocol: str = "bacnet") -> list[FoundPoint]:
        """Search the points of `devices` (instance numbers) and return them, each object once.

        Raises:
            Unavailable: EnOS is away, or the result did not come in time.
        """
        wanted = list(devices)
        await self._search({"type": "point", "protocol": protocol, "otDeviceInstList": wanted})
        found: dict[tuple[int, str, int], FoundPoint] = {}
        async with self._in_time("points"):
            for device in wanted:
                for point in await self._points_of(device, protocol):
                    found[point.key] = point
        return list(found.values())

    async def _search(self, body: dict[str, Any]) -> None:
        await self._post("search", {"assetId": self._edge, **body})

    async def _post(self, call: str, body: dict[str, Any]) -> Any:
        body = {"orgId": self._gateway.org_id, **body}
        return (await self._gateway.call("POST", f"{_BASE}/{call}", {}, body)).get("data")

    async def _all_devices(self, protocol: str) -> list[FoundDevice]:
        found: list[FoundDevice] = []
        page = 1
        while True:
            records, total = await self._device_page(page, protocol)
            if not records:
                await asyncio.sleep(self._poll)  # this page is not ready yet
                continue
            found += _checked(FoundDevice, records)
            if page * _PAGE >= total:
                return found
            page += 1

    async def _device_page(self, page: int, protocol: str) -> tuple[list[Any], int]:
        body = {
            "assetIds": [self._edge],
            "protocol": protocol,
            "pagination": {
                "pageNo": page,
                "pageSize": _PAGE,
                "sorters": [{"field": "deviceName", "order": "ASC"}],
            },
        }
        match await self._post("deviceResponse", body):
            case {"record": list(records), "totalRecordCount": int(total)}:
                return records, total
            case {"record": list(records)}:
                return records, len(records)
        return [], 0

    async def _points_of(self, device: int, protocol: str) -> list[FoundPoint]:
        async def ask() -> list[Any]:
            body = {"assetId": self._edge, "protocol": protocol, "otDeviceInst": device}
            match await self._post("pointResponse", body):
                case {"record": list(records)} | list(records):
                    return records
            return []

        return _checked(FoundPoint, await self._settled(ask))

    async def _settled(self, ask: Callable[[], Awaitable[list[Any]]]) -> list[Any]:
        """Return the answer that has stopped growing: no reply says how many there will be."""
        before: list[Any] = []
        while True:
            records = await ask()
            if records and len(records) == len(before):
                return records
            before = records
            await asyncio.sleep(self._poll)

    @asynccontextmanager
    async def _in_time(self, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience):
                yield
        except TimeoutError as error:
            msg = f"the Edge {self._edge} brought no {what} within {self._patience:g} s"
            raise Unavailable(msg) from error


def _checked(kind: type[R], records: list[Any]) -> list[R]:
    """Return the records that make sense; one that does not costs no other."""
    good: list[R] = []
    for record in records:
        try:
            good.append(kind.model_validate(record))
        except ValidationError:
            continue
    return good
