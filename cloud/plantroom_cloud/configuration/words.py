"""What a document may look like, and what differs between two, in words of the field. Pure.

Whether it is right only the gateway can tell: it knows its drivers. What is checked here is what
every configuration has: sections, names that stand once, and a size that travels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from plantroom_shared.wire import MAX_CONFIGURATION, SECTIONS

What = Literal["added", "removed", "changed"]

_ROOM: Final = 8_192
"""Characters that the rest of an assignment may need."""
_DEEP: Final = 24
_SHOWN: Final = 60
_LISTS: Final[Mapping[str, tuple[str, str]]] = {
    "buses": ("bus", "driver"),
    "detectors": ("detector", "detector"),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs."""

    what: What
    kind: str
    """``setting``, ``bus``, ``device``, ``point`` or ``detector``."""
    name: str
    """``power``, ``power/main-meter``, ``power/main-meter/kWh``."""
    words: str = ""
    """``interval: 5 → 10``."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.what}" + (f": {self.words}" if self.words else "")


def digest(document: Mapping[str, Any]) -> str:
    """Return 16 hex digits that change with the document."""
    text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]


def faults(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what no gateway would take: (key, what is wrong and what to do)."""
    out = [
        (key, f"is for the site alone; a version may have: {', '.join(SECTIONS)}")
        for key in document
        if key not in SECTIONS
    ]
    if not document:
        return [("document", f"is empty; name one or more of: {', '.join(SECTIONS)}")]
    if _depth(document) > _DEEP:
        return [("document", f"is nested more than {_DEEP} deep")]
    try:
        length = len(orjson.dumps(document, option=orjson.OPT_PASSTHROUGH_DATETIME).decode())
    except TypeError as error:
        return [("document", f"has what JSON has not: {error}; put it into quotes")]
    if length > MAX_CONFIGURATION - _ROOM:
        return [("document", f"has more than {MAX_CONFIGURATION - _ROOM} characters")]
    site = document.get("site", "site")
    if not isinstance(site, str) or not site:
        out.append(("site", "must be text"))
    for section, (_, selector) in _LISTS.items():
        if section in document:
            out += _list_faults(section, selector, document[section])
    return out[:20]


def _list_faults(section: str, selector: str, entries: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(entries, list):
        yield section, f"must be a list of entries with `name` and `{selector}`"
        return
    seen: set[str] = set()
    for at, entry in enumerate(entries):
        where = f"{section}[{at}]"
        if not isinstance(entry, dict):
            yield where, f"must have `name` and `{selector}`"
            continue
        for key in ("name", selector):
            if not isinstance(entry.get(key), str) or not entry[key]:
                yield f"{where}.{key}", "is missing, or no text"
        name = str(entry.get("name"))
        if name in seen:
            yield f"{where}.name", f"another entry is called {name!r}: rename one"
        seen.add(name)


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= _DEEP:
        depth += 1
        parts = (one.values() if isinstance(one, dict) else one for one in level)
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list)]
    return depth


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return what lies between two documents; the order of entries means nothing."""
    out: list[Difference] = []
    if (before := old.get("site")) != (after := new.get("site")):
        out.append(Difference("changed", "setting", "site", f"{_show(before)} → {_show(after)}"))
    for section, (kind, selector) in _LISTS.items():
        pairs = _named(old.get(section)), _named(new.get(section))
        out += _entries(kind, "", *pairs, selector=selector)
    return out


_INNER: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "bus": (("devices", "device"),),
    "device": (("points", "point"), ("registers", "point"), ("objects", "point")),
}
"""Kind → keys whose lists are things of their own, and what each is."""


def _entries(
    kind: str, within: str, old: Mapping[str, Any], new: Mapping[str, Any], selector: str = ""
) -> Iterator[Difference]:
    for name in old:
        if name not in new:
            yield Difference("removed", kind, within + name, _count(kind, old[name]))
    for name, entry in new.items():
        if name not in old:
            words = ", ".join(
                text for text in (str(_get(entry, selector) or ""), _count(kind, entry)) if text
            )
            yield Difference("added", kind, within + name, words)
        elif old[name] != entry:
            yield from _changed(kind, within + name, old[name], entry)


def _changed(kind: str, name: str, old: Any, new: Any) -> Iterator[Difference]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        yield Difference("changed", kind, name, f"{_show(old)} → {_show(new)}")
        return
    listed = {key for key, _ in _INNER.get(kind, ()) if _is_list(old.get(key), new.get(key))}
    words = [
        f"{key}: {_show(old.get(key))} → {_show(new.get(key))}"
        for key in dict.fromkeys([*old, *new])
        if key not in listed and old.get(key) != new.get(key)
    ]
    if words:
        yield Difference("changed", kind, name, ", ".join(words)[:500])
    inner = [
        found
        for key, what in _INNER.get(kind, ())
        if key in listed
        for found in _entries(what, f"{name}/", _named(old.get(key)), _named(new.get(key)))
    ]
    yield from inner
    if not words and not inner:
        yield Difference("changed", kind, name, "the order of its entries")


def _is_list(*values: Any) -> bool:
    return all(value is None or isinstance(value, list | dict) for value in values)


def _named(entries: Any) -> dict[str, Any]:
    if isinstance(entries, dict):
        return {str(key): value for key, value in entries.items()}
    if not isinstance(entries, list):
        return {}
    return {_name(entry, at): entry for at, entry in enumerate(entries)}


def _name(entry: Any, at: int) -> str:
    for key in ("name", "instance", "id", "key"):
        if (found := _get(entry, key)) is not None:
            return str(found)
    return str(entry) if isinstance(entry, str | int) else str(at)


def _get(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, dict) else None


def _count(kind: str, entry: Any) -> str:
    if kind != "bus":
        return str(_get(entry, "profile") or "")
    count = len(_named(_get(entry, "devices")))
    return f"{count} device{'s' * (count != 1)}" if count else ""


def _show(value: Any) -> str:
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def removed(found: list[Difference]) -> dict[str, set[str]]:
    """Return what is lost: bus → names of its devices; no names: all of the bus."""
    lost: dict[str, set[str]] = {}
    for one in found:
        if one.what == "removed" and one.kind == "bus":
            lost[one.name] = set()
        elif one.what == "removed" and one.kind == "device":
            bus, _, name = one.name.partition("/")
            if lost.get(bus, {""}):
                lost.setdefault(bus, set()).add(name)
    return lost
