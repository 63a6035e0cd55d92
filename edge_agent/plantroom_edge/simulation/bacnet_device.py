"""BACnet/IP devices made from profiles, by bacpypes3, where that is installed."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

from plantroom_edge.drivers.bacnet import vocabulary
from plantroom_edge.simulation.motion import example
from plantroom_shared.errors import ConfigError
from plantroom_shared.model import Value
from plantroom_shared.profiles import BacnetObject, BacnetProfile
from plantroom_shared.units import parse_unit

_PRESENT_VALUE, _STATUS_FLAGS = 85, 111
_FREE: Final = range(1, 4_194_303)

Picture = Callable[[], Mapping[str, Value]]
"""Returns what each object shows now, by id."""


@asynccontextmanager
async def serving(
    profile: BacnetProfile,
    picture: Picture,
    *,
    instance: int = 1,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[int]:
    """Serve a device of this model; yields the UDP port, a free one where `port` is 0.

    Args:
        profile: the model.
        picture: asked for the value of each object when that is read.
        instance: of the device object.
        host: the address to bind.
        port: UDP port.

    Raises:
        ConfigError: bacpypes3 is not installed, or the port cannot be had.
    """
    try:
        # Imported here: a gateway needs no second BACnet stack, and most have none.
        from bacpypes3.ipv4.app import NormalApplication  # noqa: PLC0415
        from bacpypes3.local.device import DeviceObject  # noqa: PLC0415
        from bacpypes3.pdu import IPv4Address  # noqa: PLC0415
    except ImportError as error:
        what = "a BACnet device is simulated with bacpypes3, which is not installed"
        raise ConfigError(what, fix="install it: pip install 'plantroom[demo]'") from error
    match = profile.match
    device = DeviceObject(
        objectIdentifier=("device", instance),
        objectName=f"{profile.vendor} {profile.model}",
        vendorIdentifier=match.vendor_id or 0,
        vendorName=profile.vendor,
        modelName=example(match.model[0]) if match.model else profile.model,
        firmwareRevision=example(match.firmware) if match.firmware else "simulated",
        applicationSoftwareVersion=example(match.application) if match.application else "1",
        maxApduLengthAccepted=1476,
        segmentationSupported="segmentedBoth",
        maxSegmentsAccepted=64,
    )
    app = NormalApplication(device, IPv4Address(f"{host}:{port}"))
    try:
        for one, number in instances(profile).items():
            app.add_object(_object(profile.by_id[one], number, picture))
        yield await _port(app)
    finally:
        app.close()


async def _port(app: Any) -> int:
    # bacpypes3 offers no public way to learn the port that the system chose.
    server = app.normal.server
    await server._local_transport_ready.wait()  # noqa: SLF001
    port: int = server.local_transport.get_extra_info("sockname")[1]
    return port


def instances(profile: BacnetProfile) -> dict[str, int]:
    """Return the instance of each object by id: the profile's, or a free one."""
    taken = {(one.type, one.instance) for one in profile.objects}
    numbers: dict[str, int] = {}
    for one in profile.objects:
        number = one.instance
        if number is None:
            number = next(free for free in _FREE if (one.type, free) not in taken)
            taken.add((one.type, number))
        numbers[one.id] = number
    return numbers


def object_name(one: BacnetObject) -> str:
    """Return an object-name that is unique in the device and fits the profile."""
    return one.name + f" ({one.id})" if one.object_name is None else example(one.object_name)


class _Live:
    """Mixed into an object class: the present value comes from a picture, when it is read."""

    _shown: Callable[[], Any]

    async def read_property(self, attr: int | str, index: int | None = None) -> Any:
        if attr in {_PRESENT_VALUE, "presentValue"}:
            return self._shown()
        # The class it is mixed into has the rest.
        return await super().read_property(attr, index)  # type: ignore[misc]


@cache
def _class(kind: str, written: bool) -> tuple[Any, Any]:
    """Return the class of an object type, and that of its present value.

    One that may be written has a priority array and keeps its value; the others are live.
    """
    from bacpypes3 import object as bare  # noqa: PLC0415 - see `serving`
    from bacpypes3.basetypes import BinaryPV  # noqa: PLC0415
    from bacpypes3.local import analog, binary, multistate  # noqa: PLC0415
    from bacpypes3.local.cmd import Commandable  # noqa: PLC0415
    from bacpypes3.local.object import Object  # noqa: PLC0415
    from bacpypes3.primitivedata import Double, Integer, Real, Unsigned  # noqa: PLC0415

    family = kind.split("-", maxsplit=1)[0]
    name = "".join(part.title() for part in kind.split("-")) + "Object"
    module = {"analog": analog, "binary": binary, "multi": multistate}.get(family)
    base = getattr(module, name, None) if module is not None else None
    bases = [base] if base is not None else [Object, getattr(bare, name)]
    if written and not issubclass(bases[0], Commandable):
        bases.insert(0, Commandable)
    if not written:
        bases.insert(0, _Live)
    value = {
        "accumulator": Unsigned, "positive-integer-value": Unsigned,
        "integer-value": Integer, "large-analog-value": Double,
    }.get(kind, {"binary": BinaryPV, "multi": Unsigned}.get(family, Real))  # fmt: skip
    # As if in bacpypes3's own module: its metaclass asks the module for the vendor.
    space = {"_vendor_id": 999}
    return types.new_class(
        f"Live{name}", tuple(bases), exec_body=lambda body: body.update(space)
    ), value


def _object(one: BacnetObject, number: int, picture: Picture) -> Any:
    written = one.write is not None or one.type.endswith("-output")
    kind, value = _class(one.type, written)
    facts: dict[str, Any] = {
        "objectIdentifier": (one.type, number),
        "objectName": object_name(one),
        "description": one.description or one.name,
        "statusFlags": [0, 0, 0, 0],
        "eventState": "normal",
        "outOfService": False,
        "presentValue": _plain(one, picture().get(one.id)),
        **_texts(one),
    }
    if written:
        facts["relinquishDefault"] = facts["presentValue"]
    made = kind(**facts)
    if not written:
        made._shown = lambda: value(_plain(one, picture().get(one.id)))  # noqa: SLF001 - ours
    return made


def _texts(one: BacnetObject) -> dict[str, Any]:
    """Return what an object says besides its value: units, or the texts of its states."""
    if one.binary:
        said: dict[str, Any] = {} if one.type.endswith("-value") else {"polarity": "normal"}
        if one.states:
            said["inactiveText"], said["activeText"] = one.states.get(0, ""), one.states.get(1, "")
        return said
    if one.multi_state:
        count = max(one.states, default=1)
        texts = [one.states.get(state, f"State {state}") for state in range(1, count + 1)]
        return {"numberOfStates": count, "stateText": texts}
    said = {"units": bacnet_unit(one.unit)}
    if one.type == "accumulator":
        said |= {"scale": {"integerScale": 0}, "maxPresValue": 2**32 - 1}
    return said


def bacnet_unit(text: str) -> str:
    """Return the BACnet name of a unit; ``no-units`` where BACnet has none for it."""
    unit = parse_unit(text) if text else None
    if unit is None:
        return "no-units"
    names = (vocabulary.unit_name(number) for number in range(256))
    return next((name for name in names if parse_unit(name) == unit), "no-units")


def _plain(one: BacnetObject, value: Value) -> Any:
    if one.binary:
        return "active" if value else "inactive"
    if one.multi_state:
        return value or 1
    whole = one.type in {"accumulator", "integer-value", "positive-integer-value"}
    number = float(value or 0)
    return round(number) if whole else number
