"""BACnet/IP servers over the site's points, by bacpypes3; each device on a port of its own."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from bacpypes3.app import DeviceInfo
from bacpypes3.basetypes import BinaryPV, EngineeringUnits, Segmentation, StatusFlags
from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.analog import AnalogInputObject, AnalogOutputObject, AnalogValueObject
from bacpypes3.local.binary import BinaryInputObject, BinaryOutputObject, BinaryValueObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.multistate import MultiStateValueObject
from bacpypes3.pdu import IPv4Address
from bacpypes3.primitivedata import Real, Unsigned

from .entry import Entry

Source = Callable[[], float]
"""Gives the present value of one point, in its own unit; called once per read."""

_CLASSES: dict[str, tuple[Any, Any]] = {
    "analog-input": (AnalogInputObject, Real),
    "analog-output": (AnalogOutputObject, Real),
    "analog-value": (AnalogValueObject, Real),
    "binary-input": (BinaryInputObject, BinaryPV),
    "binary-output": (BinaryOutputObject, BinaryPV),
    "binary-value": (BinaryValueObject, BinaryPV),
    "multi-state-value": (MultiStateValueObject, Unsigned),
}
_HEALTHY = StatusFlags([0, 0, 0, 0])
_PRESENT_VALUE, _STATUS_FLAGS = 85, 111
_HOST = "127.0.0.1"
_SMALL_APDU = 480


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a BACnet device says of itself."""

    instance: int
    name: str
    vendor: str
    model: str
    small: bool = False
    """A unit controller: 480-byte APDUs and no segmentation, as over MS/TP."""


class _Live:
    """Mixed into an object class: the present value comes from a source, when it is read."""

    _source: Source
    _kind: Any

    async def read_property(self, attr: int | str, index: int | None = None) -> Any:
        if attr in {_PRESENT_VALUE, "presentValue"}:
            value = self._source()
            return self._kind(value if self._kind is Real else round(value))
        if attr in {_STATUS_FLAGS, "statusFlags"}:
            return _HEALTHY
        # The class it is mixed into has the rest.
        return await super().read_property(attr, index)  # type: ignore[misc]


class _SmallLink:
    """Takes the place of bacpypes3's device cache: whoever asks, the way to it is narrow.

    The stack bounds an answer by what the asker takes; this bounds it by what the device sends.
    """

    def __init__(self) -> None:
        # Nobody in particular: the wildcard instance.
        self._info = DeviceInfo(4_194_303, IPv4Address(f"{_HOST}:0"))
        self._info.max_apdu_length_accepted = 1476
        self._info.max_npdu_length = _SMALL_APDU - 4  # less the header
        self._info.segmentation_supported = Segmentation.segmentedBoth

    async def get_device_info(self, _asker: Any) -> Any:
        return self._info


async def serve(
    facts: DeviceFacts, entries: Iterable[Entry], source_of: Callable[[Entry], Source]
) -> tuple[NormalApplication, int]:
    """Start a device with the objects of `entries` on a free port; return it and the port."""
    device = DeviceObject(
        objectIdentifier=("device", facts.instance),
        objectName=facts.name,
        vendorName=facts.vendor,
        modelName=facts.model,
        maxApduLengthAccepted=_SMALL_APDU if facts.small else 1476,
        segmentationSupported="noSegmentation" if facts.small else "segmentedBoth",
        maxSegmentsAccepted=64,
    )
    cache = _SmallLink() if facts.small else None
    app = NormalApplication(device, IPv4Address(f"{_HOST}:0"), device_info_cache=cache)
    for entry in entries:
        app.add_object(_object(entry, source_of(entry)))
    # bacpypes3 offers no public way to learn the port that the system chose.
    server = app.normal.server
    await server._local_transport_ready.wait()  # noqa: SLF001
    port: int = server.local_transport.get_extra_info("sockname")[1]
    return app, port


@cache
def _class(object_type: str) -> Any:
    base, kind = _CLASSES[object_type]
    # In bacpypes3's own module: its metaclass asks the module for the vendor.
    return types.new_class(
        f"Live{base.__name__}",
        (_Live, base),
        exec_body=lambda space: space.update(
            _kind=kind,
            _vendor_id=base._vendor_id,  # noqa: SLF001
        ),
    )


def _object(entry: Entry, source: Source) -> Any:
    kind, _, what = entry.object_type.partition("-")
    facts: dict[str, Any] = {
        "objectIdentifier": (entry.object_type, entry.instance),
        "objectName": entry.name,
        "eventState": "normal",
        "outOfService": False,
    }
    if entry.description:
        facts["description"] = entry.description
    if kind == "analog":
        facts |= {"presentValue": 0.0, "covIncrement": 0.1, "units": _units(entry.unit)}
    elif kind == "binary":
        facts["presentValue"] = "inactive"
        if entry.states:
            facts["inactiveText"], facts["activeText"] = entry.states
        if what != "value":
            facts["polarity"] = "normal"
    else:
        facts |= {
            "presentValue": 1,
            "numberOfStates": len(entry.states),
            "stateText": list(entry.states),
        }
    if what == "output":
        facts["relinquishDefault"] = facts["presentValue"]
    made = _class(entry.object_type)(**facts)
    made._source = source  # noqa: SLF001 - ours, see _Live
    return made


def _units(text: str) -> Any:
    return EngineeringUnits(text or "no-units")
