"""Putting devices into a configuration: which bus they belong to, their names, what is there already.

Pure: text in, text out. Nothing here knows a protocol; a driver's own models say what its keys mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from pydantic_core import PydanticUndefined

from plantroom_edge.config_edit import Merge, append
from plantroom_edge.config_explain import models_in
from plantroom_edge.drivers import BusConfig, drivers

_NOT_IDENTITY: Final = frozenset({"name", "profile", "interval", "profile_dir"})
"""Keys of a device that do not say which device it is."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A device to be added."""

    bus: Mapping[str, Any]
    """Keys of the bus that reaches it, without ``name``."""
    entry: Any = None
    """What the bus's ``devices`` must have for it; nothing where the bus finds its devices itself."""
    label: str = ""
    """For a person."""


@dataclass(slots=True)
class Added:
    """What has become of a file."""

    text: str
    added: list[str] = field(default_factory=list)
    """What is new, a line each, for a person."""
    there: list[str] = field(default_factory=list)
    """What had been there before."""


def add(text: str, wishes: Sequence[Wish]) -> Added:
    """Return the text with every device in it that it does not have yet.

    Raises:
        ConfigError: a driver is not there, or the file cannot be added to.
    """
    out = Added(text)
    for wish in wishes:
        _add(out, wish)
    return out


def _add(out: Added, wish: Wish) -> None:
    content = yaml.safe_load(out.text) or {}
    buses = [bus for bus in content.get("buses") or [] if isinstance(bus, dict)]
    model = drivers.get(str(wish.bus.get("driver"))).config
    at = next((i for i, bus in enumerate(buses) if _same_bus(bus, wish.bus, model)), None)
    entry = _named(wish.entry, buses)
    if at is None:
        name = _free(bus_name(wish.bus, model), {str(bus.get("name")) for bus in buses})
        new: dict[str, Any] = {"name": name, **wish.bus}
        if entry:
            new["devices"] = [entry]
        out.text = append(out.text, ("buses",), new)
        out.added.append(f"{name}: {_shown(wish, entry)}")
        return
    before, name = out.text, str(buses[at].get("name", at))
    for key, missing in _missing(buses[at], wish.bus, model):
        out.text = append(out.text, ("buses", at, key), missing)
    known = _known(buses[at], wish.entry, model) if entry else ""
    if entry and not known:
        piece = entry if not isinstance(buses[at].get("devices"), dict) else _keyed(entry)
        out.text = append(out.text, ("buses", at, "devices"), piece)
    if out.text != before:
        out.added.append(f"{name}: {_shown(wish, entry)}")
    else:
        out.there.append(f"{name}: {_shown(wish, wish.entry)}{f' as {known}' if known else ''}")


def _shown(wish: Wish, entry: Any) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return str(name or wish.label or "bus")


# ---------------------------------------------------------------- which bus


def _same_bus(bus: Mapping[str, Any], wish: Mapping[str, Any], model: type[BusConfig]) -> bool:
    """Say whether `bus` reaches what `wish` does.

    Lists may differ, they are added to; switches, and the card where the wish names none, are the
    user's.
    """
    keys = {key for key, value in wish.items() if not isinstance(value, list | tuple | bool)}
    keys |= {"port"} & set(bus)
    return all(_value(bus, key, model) == _value(wish, key, model) for key in keys)


def _missing(
    bus: Mapping[str, Any], wish: Mapping[str, Any], model: type[BusConfig]
) -> Iterator[tuple[str, Any]]:
    for key, values in wish.items():
        if isinstance(values, list | tuple):
            there = _value(bus, key, model) or ()
            # The list that is written replaces the default: that has to go on, too.
            wanted = values if key in bus else [*there, *values]
            if not set(values) <= set(there):
                known = set(there) if key in bus else set()
                yield from ((key, one) for one in dict.fromkeys(wanted) if one not in known)


def _value(bus: Mapping[str, Any], key: str, model: type[Any]) -> Any:
    if key in bus:
        return bus[key]
    known = model.model_fields.get(key)
    default = known.default if known else None
    return None if default is PydanticUndefined else default


def bus_name(bus: Mapping[str, Any], model: type[BusConfig]) -> str:
    """Return a name for a new bus: its driver, and where it leads."""
    parts = [str(bus["driver"])]
    where = next((bus[key] for key in ("host", "serial", "bind") if bus.get(key)), "")
    if isinstance(where, str) and where:
        path = where.startswith("/")
        parts.append(where.rsplit("/", 1)[-1] if path else re.split("[/:]", where)[0])
    port = bus.get("port")
    if port is not None and port != _value({}, "port", model):
        parts.append(str(port))
    return _slug("-".join(parts))


# ---------------------------------------------------------------- which device


def _keyed(entry: Mapping[str, Any]) -> Merge:
    """Return a list's entry as one of a mapping: its first value is the key."""
    (_, key), *rest = entry.items()
    return Merge({key: dict(rest)})


def _known(bus: Mapping[str, Any], entry: Any, model: type[BusConfig]) -> str:
    """Return the name under which the device of `entry` is there already; empty if it is not."""
    devices = bus.get("devices")
    if isinstance(devices, dict):
        key = next(iter(_keyed(entry)))
        return str(key) if key in devices else ""
    known = model.model_fields.get("devices")
    inner = next(models_in(known.annotation), None) if known else None
    for one in devices or []:
        if isinstance(one, dict) and inner and _same_device(one, entry, inner):
            return str(one.get("name", "?"))
    return ""


def _same_device(one: Mapping[str, Any], entry: Mapping[str, Any], inner: type[Any]) -> bool:
    keys = [key for key in entry if key not in _NOT_IDENTITY]
    if not keys:
        return one.get("name") == entry.get("name")
    return all(_value(one, key, inner) == entry[key] for key in keys)


def _named(entry: Any, buses: Sequence[Mapping[str, Any]]) -> Any:
    """Return `entry` with a name that no other device of the file has."""
    if not isinstance(entry, dict) or "name" not in entry:
        return entry
    taken = {
        str(device.get("name"))
        for bus in buses
        if isinstance(bus.get("devices"), list)
        for device in bus["devices"]
        if isinstance(device, dict)
    }
    return {**entry, "name": _free(_slug(str(entry["name"])), taken)}


def _free(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name[:60]}-{count}"
    return candidate


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:64] or "device"
