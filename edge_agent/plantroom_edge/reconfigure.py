"""What differs between two configurations, and what the running agent has to do about it: pure.

::

    plan = compare(old, new)
    plan.refused    what cannot change while the agent runs, and what to do instead
    plan.changes    everything that changes, in words
    plan.stop       buses to stop, then plan.start: those to start; all others go on
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel

from plantroom_edge.config import AgentConfig
from plantroom_edge.drivers import BusConfig
from plantroom_edge.starts import config_hash

What = Literal["added", "removed", "changed"]

ASK_FROM: Final = 0.2
"""Part of all points whose loss is confirmed by a person first."""

_HOT: Final = frozenset({"buses", "detectors", "site"})
"""Keys of the file that the running agent takes; whatever else there is needs a new start."""

_INSTEAD: Final[Mapping[str, str]] = {
    "gateway": "it is who this gateway is: stop the agent, change id and certificate, start it",
    "data": "stop the agent, move the folder, start the agent",
    "cloud": "start the agent anew; nothing is lost, what was read waits in the buffer",
}
_ANEW: Final = "start the agent anew; what was read waits in the buffer"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs."""

    what: What
    kind: str
    """``bus``, ``device``, ``detector`` or ``setting``."""
    name: str
    """``power``, ``power/main-meter``."""
    words: str = ""
    """What of it: ``interval: 5.0 → 10.0``."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.what}" + (f": {self.words}" if self.words else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """How to come from one configuration to another."""

    before: str
    """Hash of the old configuration."""
    after: str
    changes: tuple[Change, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    """(Key, what to do instead) of what cannot change while the agent runs."""
    stop: tuple[str, ...] = ()
    """Buses to stop: removed or changed."""
    start: tuple[str, ...] = ()
    """Buses to start afterwards: added or changed."""
    unwatch: tuple[str, ...] = ()
    """Detectors to stop."""
    watch: tuple[str, ...] = ()
    """Detectors to start."""

    @property
    def unchanged(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes and not self.refused

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "before": self.before,
            "after": self.after,
            "unchanged": self.unchanged,
            "changes": [
                {"what": one.what, "kind": one.kind, "name": one.name, "words": one.words}
                for one in self.changes
            ],
            "refused": [{"key": key, "instead": instead} for key, instead in self.refused],
            "stop": list(self.stop),
            "start": list(self.start),
        }


def compare(old: AgentConfig, new: AgentConfig) -> Plan:
    """Return what lies between two configurations; the order of entries means nothing."""
    buses, new_buses = _by_name(old.buses), _by_name(new.buses)
    watchers, new_watchers = _by_name(old.detectors), _by_name(new.detectors)
    # What a detector wants to see in every poll is settled when a bus is opened.
    anew = new.sampling.gated and watchers != new_watchers
    return Plan(
        before=config_hash(old),
        after=config_hash(new),
        changes=(
            *_entries("bus", buses, new_buses, _bus_changes),
            *_entries("detector", watchers, new_watchers, _plain_change),
            *_site(old, new),
        ),
        refused=tuple(
            (key, _INSTEAD.get(key, _ANEW))
            for key in AgentConfig.model_fields
            if key not in _HOT and getattr(old, key) != getattr(new, key)
        ),
        stop=tuple(name for name, bus in buses.items() if anew or new_buses.get(name) != bus),
        start=tuple(name for name, bus in new_buses.items() if anew or buses.get(name) != bus),
        unwatch=tuple(name for name, one in watchers.items() if new_watchers.get(name) != one),
        watch=tuple(name for name, one in new_watchers.items() if watchers.get(name) != one),
    )


def removed_devices(plan: Plan) -> dict[str, set[str]]:
    """Return what is lost by `plan`: bus → names of its devices; no names: all of the bus."""
    lost: dict[str, set[str]] = {}
    for change in plan.changes:
        if change.what == "removed" and change.kind == "bus":
            lost[change.name] = set()
        elif change.what == "removed" and change.kind == "device":
            bus, _, name = change.name.partition("/")
            lost.setdefault(bus, set()).add(name)
    return lost


def devices_of(bus: BusConfig) -> dict[str, Any]:
    """Return a bus's configured devices by name, or by whatever its driver keys them with."""
    devices = getattr(bus, "devices", ())
    if isinstance(devices, Mapping):
        return {str(key): value for key, value in devices.items()}
    if not isinstance(devices, tuple):  # a driver may count its devices, and not list them
        return {}
    return {str(getattr(one, "name", at)): one for at, one in enumerate(devices)}


def _by_name(entries: tuple[Any, ...]) -> dict[str, Any]:
    return {entry.name: entry for entry in entries}


def _entries(
    kind: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    detail: Callable[[str, str, Any, Any], Iterator[Change]],
) -> Iterator[Change]:
    for name in old:
        if name not in new:
            yield Change("removed", kind, name)
    for name, entry in new.items():
        if name not in old:
            yield Change("added", kind, name, _summary(entry))
        elif old[name] != entry:
            yield from detail(kind, name, old[name], entry)


def _plain_change(kind: str, name: str, old: Any, new: Any) -> Iterator[Change]:
    yield Change("changed", kind, name, _words(old, new))


def _bus_changes(kind: str, name: str, old: BusConfig, new: BusConfig) -> Iterator[Change]:
    if type(old) is not type(new):
        yield Change("changed", kind, name, f"driver: {old.driver} → {new.driver}")
        return
    before, after = devices_of(old), devices_of(new)
    listed = ("devices",) if before or after else ()
    words = _words(old, new, listed)
    if words:
        yield Change("changed", kind, name, words)
    told = list(_entries("device", before, after, _plain_change))
    for change in told:
        yield Change(change.what, change.kind, f"{name}/{change.name}", change.words)
    if not words and not told:
        yield Change("changed", kind, name, "the order of its devices")


def _summary(entry: Any) -> str:
    """Return what a new entry is, in a few words."""
    if isinstance(entry, BusConfig):
        count = len(devices_of(entry))
        return entry.driver + (f", {count} device{'s' * (count != 1)}" if count else "")
    return str(getattr(entry, "profile", "") or getattr(entry, "detector", ""))


def _words(old: Any, new: Any, ignore: Collection[str] = ()) -> str:
    """Return which keys differ: ``interval: 5.0 → 10.0, timeout: 1.0 → 2.0``."""
    if not isinstance(old, BaseModel) or not isinstance(new, BaseModel):
        return f"{_shown(old)} → {_shown(new)}" if old != new else ""
    return ", ".join(
        f"{key}: {_shown(getattr(old, key, None))} → {_shown(getattr(new, key, None))}"
        for key in dict.fromkeys([*type(old).model_fields, *type(new).model_fields])
        if key not in ignore and getattr(old, key, None) != getattr(new, key, None)
    )


def _shown(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _site(old: AgentConfig, new: AgentConfig) -> Iterator[Change]:
    if old.site != new.site:
        yield Change("changed", "setting", "site", _words(old.site, new.site))
