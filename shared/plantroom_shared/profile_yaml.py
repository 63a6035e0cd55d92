"""Profile files as YAML, read strictly, and what is wrong with one in words."""

from __future__ import annotations

from itertools import islice
from typing import Any

import yaml
from pydantic import ValidationError

from plantroom_shared.errors import ConfigError

MAX_BYTES = 1_000_000
"""No profile is larger; a file that is has been mistaken for one."""
Loc = tuple[int | str, ...]
"""Where in a file something stands: keys and indices from the top."""
_LISTS = frozenset({"registers", "objects"})


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key may stand only once and nothing is repeated by reference."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            what = "an alias (`*name`) is not allowed: write out what it stands for"
            raise yaml.composer.ComposerError(problem=what, problem_mark=self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                what = f"the key {key.value!r} stands twice: remove one"
                raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


class _Builder(_Loader):
    """Makes each item of a list as soon as it is read, so that the nodes of one exist at a time.

    The nodes of a thousand registers are twenty megabytes, which a gateway would never get back.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        node = super().compose_node(parent, index)
        if not isinstance(parent, yaml.SequenceNode):
            return node
        made = self.construct_object(node, deep=True)
        self.constructed_objects.clear()
        return yaml.ScalarNode(_MADE, made)


_MADE = "tag:plantroom,made"
_Builder.add_constructor(_MADE, lambda _loader, node: node.value)


def read_yaml(text: bytes, file: str) -> Any:
    """Return what is written in `text`; ConfigError names `file` and the place in it."""
    if len(text) > MAX_BYTES:
        what = f"is larger than {MAX_BYTES} bytes"
        raise ConfigError(what, file=file, fix="split the profile")
    try:
        return yaml.load(text, Loader=_Builder)  # noqa: S506 - _Builder is a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        what = f"is no valid YAML: {' '.join(str(error).split())[:300]}"
        raise ConfigError(what, file=file, fix="correct it there") from error


def tree(text: bytes) -> yaml.Node | None:
    """Return the nodes of a file that `read_yaml` has read: they know their lines."""
    return yaml.compose(text, Loader=_Loader)


def explain(
    error: ValidationError, data: Any, text: bytes, file: str, most: int = 100
) -> list[ConfigError]:
    """Return an error for each fault, `most` at most: file, line, key and fix.

    Args:
        error: what the model says of `data`.
        data: what `read_yaml` returned for `text`.
        text: the file, once more for its lines.
        file: its name.
        most: how many errors to return; the last one counts those left out.
    """
    root = tree(text)
    faults = _places(error, data)
    told: list[ConfigError] = []
    for place, found in islice(faults.items(), most):
        what, fix = _words(found)
        if len(told) + 1 == most < len(faults):
            what += f" (and {len(faults) - most} more)"
        where = f"{file}:{line_of(root, place)}"
        told.append(ConfigError(what, file=where, key=key_of(place, data), fix=fix))
    return told


def _places(error: ValidationError, data: Any) -> dict[Loc, list[Any]]:
    """Return the faults by where they are, as the file has it."""
    places: dict[Loc, list[Any]] = {}
    for fault in error.errors(include_url=False):
        place = _place(fault["loc"], data, missing=fault["type"] == "missing")
        whole = len(place) == len(fault["loc"])
        if fault["type"] == "too_short" and places:
            continue  # rows that are wrong do not count, and have been told
        if whole or not any(other[: len(place)] == place != other for other in places):
            places.setdefault(place, []).append(fault)
    return places


def _place(loc: Loc, data: Any, *, missing: bool) -> Loc:
    """Return `loc` without the names that pydantic gives to the kinds of value it tried."""
    place: Loc = ()
    for index, part in enumerate(loc):
        if isinstance(data, dict) and (part in data or (missing and index == len(loc) - 1)):
            place, data = (*place, part), data.get(part)
        elif isinstance(data, (list, tuple)) and isinstance(part, int):
            place, data = (*place, part), data[part]
    return place


def _words(faults: list[Any]) -> tuple[str, str]:
    """Return what is wrong at a place, and what to do."""
    first = faults[0]
    what = ", or: ".join(dict.fromkeys(one["msg"].removeprefix("Value error, ") for one in faults))
    fix = "every key is described in firmware_profiles/README.md"
    if first["type"] == "extra_forbidden":
        what = "there is no such key: correct or remove it"
    elif first["type"] == "string_type" and isinstance(first["input"], (bool, int, float)):
        fix = f"YAML reads it as {first['input']}: put quotes around it"
    return what, fix


def line_of(root: yaml.Node | None, place: Loc) -> int:
    """Return the line, from 1, of what stands at `place`, or of the nearest thing around it."""
    node, line = root, 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def key_of(place: Loc, data: Any) -> str:
    """Return the way to a key: ``registers[3] (power).type``."""
    key = ""
    for index, part in enumerate(place):
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
        if index == 1 and place[0] in _LISTS and isinstance(part, int):
            row = data[place[0]][part]
            key += f" ({row['id']})" if isinstance(row, dict) and "id" in row else ""
    return key.lstrip(".")[:200]
