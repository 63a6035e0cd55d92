"""A SunSpec device, rendered by the Alliance's own library from the published models."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from sunspec2 import device, mdef

from plantroom_shared.model import Value
from support.modbus_image import Image

_WHOLE = {
    "int16": (-3000, 3000), "uint16": (0, 60000), "acc16": (1, 60000), "raw16": (0, 60000),
    "int32": (-2_000_000, 2_000_000), "uint32": (0, 4_000_000_000), "acc32": (1, 4_000_000_000),
    "int64": (-(1 << 50), 1 << 50), "uint64": (0, 1 << 52), "acc64": (1, 1 << 52),
    "bitfield16": (0, 0x7FFF), "bitfield32": (0, 0x7FFFFFFF), "sunssf": (-4, 2),
    "enum16": (0, 100), "enum32": (0, 100),
}  # fmt: skip
REPEATS = 2
"""How often every repeating group is there."""


def _raw(point: dict[str, Any], rng: random.Random) -> Any:
    kind = point[mdef.TYPE]
    if kind == "string":
        return "".join(rng.choices("ABCDEF0123456789-", k=min(2 * int(point["size"]), 250) - 1))
    if kind == "float32":
        (single,) = struct.unpack("<f", struct.pack("<f", rng.uniform(-1e5, 1e5)))
        return single
    if kind == "ipaddr":
        return rng.randint(1 << 24, (1 << 32) - 1)
    if kind == "ipv6addr":
        return "20010DB8:00000000:00000000:0000002A"
    if kind == "eui48":
        return ":".join(f"{rng.randrange(256):02X}" for _ in range(6))
    low, high = _WHOLE[kind]
    return rng.randint(low, high)


def _filled(group: dict[str, Any], counts: set[str], rng: random.Random) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for point in group[mdef.POINTS]:
        name = point[mdef.NAME]
        if name in counts or point[mdef.TYPE] == "count":
            data[name] = REPEATS
        elif point[mdef.TYPE] != "pad":
            data[name] = _raw(point, rng)
    for one in group.get(mdef.GROUPS, ()):
        times = one.get(mdef.COUNT)
        made = [_filled(one, counts, rng) for _ in range(REPEATS if times is not None else 1)]
        data[one[mdef.NAME]] = made if times is not None else made[0]
    return data


def _counts(group: dict[str, Any]) -> set[str]:
    own = group.get(mdef.COUNT)
    inner = (_counts(one) for one in group.get(mdef.GROUPS, ()))
    return ({own} if isinstance(own, str) else set()).union(*inner)


def model(number: int, seed: int = 0) -> device.Model:
    """Return a model with values in all its points."""
    definition = device.get_model_def(number)
    group = definition[mdef.GROUP]
    data = _filled(group, _counts(group), random.Random(seed * 100_000 + number))
    data |= {"ID": number}
    data.pop("L", None)
    made = device.Model(number, data=data)
    assert not made.error_info, made.error_info
    return made


def image(models: Sequence[device.Model], base: int = 40000) -> Image:
    """Return the registers of a device with these models."""
    data = b"SunS" + b"".join(one.get_mb() for one in models) + b"\xff\xff\0\0"
    words = struct.unpack(f">{len(data) // 2}H", data)
    return {"holding": {base + at: word for at, word in enumerate(words)}}


def shown(one: device.Model, prefix: str = "") -> dict[str, Value]:
    """Return what every point of a model shows, by its id behind the device's name."""
    values = dict(_shown(one, one, prefix or str(one.model_id)))
    return {key: value for key, value in values.items() if key.count(".") > 1 or key[-3:] != ".ID"}


def _shown(
    top: device.Model, group: Any, prefix: str, above: tuple[Any, ...] = ()
) -> Iterator[tuple[str, Value]]:
    for name, point in group.points.items():
        kind = point.pdef[mdef.TYPE]
        if kind in {"pad", "sunssf"} or (group is top and name in {"ID", "L"}):
            continue
        yield f"{prefix}.{name}", _scaled(point, kind, (group, *above))
    for name, inner in group.groups.items():
        if isinstance(inner, list):
            for index, one in enumerate(inner, 1):
                yield from _shown(top, one, f"{prefix}.{index}", (group, *above))
        else:
            yield from _shown(top, inner, f"{prefix}.{name}", (group, *above))


def _scaled(point: Any, kind: str, scopes: tuple[Any, ...]) -> Value:
    value = point.value
    if kind == "ipaddr":
        return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))
    if kind == "ipv6addr":
        return "2001:db8::2a"
    if kind.startswith("bitfield") and point.pdef.get("symbols"):
        return _bits(value, point.pdef["symbols"])
    factor = point.pdef.get(mdef.SF)
    if factor is None or isinstance(value, str):
        return value  # type: ignore[no-any-return] # what the library holds
    if not isinstance(factor, int):
        found = (scope.points[factor].value for scope in scopes if factor in scope.points)
        factor = next(found, 0)
    exact = Decimal(str(value)).scaleb(factor)
    return int(exact) if exact == exact.to_integral() else float(exact)


def _bits(value: int, symbols: list[dict[str, Any]]) -> str:
    """Return what a person calls the bits that are set."""
    texts = {
        int(one["value"]): " ".join(
            str(one.get("label") or one["name"].replace("_", " ").capitalize()).split()
        )
        for one in symbols
    }
    named = [texts.get(bit, f"bit {bit}") for bit in range(64) if value >> bit & 1]
    return ", ".join(named) or "none"
