"""What the cloud wants, laid over the file of the site: pure.

The cloud may want sections of the file: which buses there are, and what is read there. What names a
file or a port of the machine, and what acts on devices, is for the site alone: it is kept from the
site's entry of the same name, and an entry that brings its own is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import orjson
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from plantroom_edge.config_explain import models_in
from plantroom_edge.detectors import detectors
from plantroom_edge.drivers import ON_SITE, drivers
from plantroom_shared.errors import ConfigError
from plantroom_shared.wire import SECTIONS

_LISTS: Final[Mapping[str, tuple[str, Any]]] = {
    "buses": ("driver", drivers),
    "detectors": ("detector", detectors),
}


def digest(content: Mapping[str, Any]) -> str:
    """Return 16 hex digits that change with what the site's file says of the sections."""
    said = {key: content.get(key) for key in SECTIONS}
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return hashlib.sha256(orjson.dumps(said, default=str, option=options)).hexdigest()[:16]


def merged(
    content: Mapping[str, Any], document: Mapping[str, Any]
) -> tuple[dict[str, Any], list[ConfigError]]:
    """Return the site's `content` with the sections of `document`, and what is the site's alone."""
    wrong: list[ConfigError] = []
    out = dict(content)
    for section, wanted in document.items():
        out[section] = wanted
        if section in _LISTS and isinstance(wanted, list):
            there = _named(content.get(section))
            out[section] = [
                _entry(section, entry, there, wrong) if isinstance(entry, dict) else entry
                for entry in wanted
            ]
    return out, wrong


def offered(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of `content` as the cloud may have them: without what is the site's alone."""
    out = {key: content[key] for key in SECTIONS if content.get(key) is not None}
    for section in _LISTS:
        if isinstance(out.get(section), list):
            out[section] = [
                _without(_model(section, entry), entry) if isinstance(entry, dict) else entry
                for entry in out[section]
            ]
    return out


def _model(section: str, entry: Mapping[str, Any]) -> type[BaseModel] | None:
    """Return what describes `entry`; None where nobody does: the check of the whole says so."""
    selector, registry = _LISTS[section]
    try:
        model: type[BaseModel] = registry.get(str(entry.get(selector))).config
    except ConfigError:
        return None
    return model


def _entry(
    section: str, entry: dict[str, Any], there: Mapping[str, Any], wrong: list[ConfigError]
) -> dict[str, Any]:
    model = _model(section, entry)
    known = there.get(str(entry.get("name")), {})
    selector = _LISTS[section][0]
    if known.get(selector) != entry.get(selector):
        known = {}
    where = f"{section}.{entry.get('name')}"
    return entry if model is None else _kept(model, entry, known, where, wrong)


def _kept(
    model: type[BaseModel],
    entry: Mapping[str, Any],
    known: Mapping[str, Any],
    where: str,
    wrong: list[ConfigError],
) -> dict[str, Any]:
    """Return `entry` with what is the site's alone taken from `known`."""
    out = dict(entry)
    for key, field in model.model_fields.items():
        if _on_site(field):
            if key in entry and entry[key] != known.get(key, _Nothing):
                fix = "leave it out: what the file on site says stays"
                wrong.append(
                    ConfigError("only the site may set this", key=f"{where}.{key}", fix=fix)
                )
            elif key in known:
                out[key] = known[key]
        elif (inner := next(models_in(field.annotation), None)) and key in entry:
            out[key] = _inner(inner, entry[key], known.get(key), f"{where}.{key}", wrong)
    return out


def _inner(
    model: type[BaseModel], wanted: Any, known: Any, where: str, wrong: list[ConfigError]
) -> Any:
    if isinstance(wanted, list):
        there = _named(known)
        return [
            _kept(model, one, there.get(_name(one), {}), f"{where}.{_name(one)}", wrong)
            if isinstance(one, dict)
            else one
            for one in wanted
        ]
    if not isinstance(wanted, dict):
        return wanted
    if model.model_fields.keys() & wanted.keys():  # one model, not a mapping of them
        return _kept(model, wanted, known if isinstance(known, dict) else {}, where, wrong)
    there = _named(known)
    return {
        key: _kept(model, one, there.get(str(key), {}), f"{where}.{key}", wrong)
        if isinstance(one, dict)
        else one
        for key, one in wanted.items()
    }


def _without(model: type[BaseModel] | None, entry: Mapping[str, Any]) -> dict[str, Any]:
    if model is None:
        return dict(entry)
    out = {}
    for key, value in entry.items():
        field = model.model_fields.get(key)
        if field is not None and _on_site(field):
            continue
        inner = next(models_in(field.annotation), None) if field else None
        out[key] = _inner_without(inner, value) if inner else value
    return out


def _inner_without(model: type[BaseModel], value: Any) -> Any:
    if isinstance(value, list):
        return [_without(model, one) if isinstance(one, dict) else one for one in value]
    if isinstance(value, dict) and not model.model_fields.keys() & value.keys():
        pairs = value.items()
        return {str(k): _without(model, v) if isinstance(v, dict) else v for k, v in pairs}
    return _without(model, value) if isinstance(value, dict) else value


def _named(entries: Any) -> dict[str, Any]:
    """Return entries by name, or by whatever a mapping or a list keys them with."""
    if isinstance(entries, dict):
        return {str(key): one for key, one in entries.items() if isinstance(one, dict)}
    if not isinstance(entries, list | tuple):
        return {}
    return {_name(one): one for one in entries if isinstance(one, dict)}


def _name(entry: Any) -> str:
    if not isinstance(entry, dict):
        return "?"
    return str(entry.get("instance", entry.get("name", "?")))


def _on_site(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    marked = isinstance(extra, dict) and ON_SITE.keys() <= extra.keys()
    return marked or Path in _plain_types(field.annotation)


def _plain_types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _plain_types(part)


class _Nothing:
    """Equals no value of a file."""
