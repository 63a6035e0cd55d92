"""Reading YAML so that every complaint about it can name a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from plantroom_shared.errors import ConfigError

Loc = tuple[int | str, ...]
"""Where in a document something stands: keys and indices from the top."""


@dataclass(slots=True)
class Document:
    """A YAML file: its content, and the line of each key in it."""

    file: Path
    content: dict[str, Any]
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    """By path; its parts as text, as YAML makes numbers of some keys."""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Sections whose content is not that of the file: who says it, for complaints."""
    repeated: list[Loc] = field(default_factory=list)
    """Keys that stand twice in one mapping: YAML would silently keep the last."""

    def line(self, loc: Loc) -> int:
        """Return the line of `loc`, or of the nearest thing around it that has one; 0 if none."""
        path = tuple(map(str, loc))
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def read(file: Path, text: str | None = None) -> Document:
    """Read one YAML file, or `text` as if it stood there; ConfigError says what is wrong with it."""
    try:
        text = file.read_text(encoding="utf-8") if text is None else text
    except FileNotFoundError as error:
        what = "there is no such file"
        fix = f"write one with: plantroom-edge init {file}"
        raise ConfigError(what, file=str(file), fix=fix) from error
    except (OSError, UnicodeDecodeError) as error:
        what = f"it cannot be read: {error}"
        raise ConfigError(what, file=str(file)) from error
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = _mark(error)
        what = f"it is no valid YAML: {getattr(error, 'problem', None) or error}"
        fix = "check indentation, colons and quotes there"
        raise ConfigError(what, file=f"{file}{where}", fix=fix) from error
    if not isinstance(content, dict):
        what = "it must be a mapping of keys such as `gateway:` and `buses:`"
        raise ConfigError(what, file=str(file), fix="see the output of: plantroom-edge init")
    document = Document(file, content)
    _locate(node, (), document, set())
    return document


def _mark(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _locate(
    node: yaml.Node | None, loc: tuple[str, ...], document: Document, seen: set[int]
) -> None:
    if node is None or id(node) in seen:  # an alias: its lines are those of its anchor
        return
    seen.add(id(node))
    if loc:
        document.lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*loc, str(key.value))
            if here in document.lines:
                document.repeated.append(here)
            document.lines[here] = key.start_mark.line + 1
            _locate(value, here, document, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _locate(item, (*loc, str(index)), document, seen)


def dotted(loc: Sequence[int | str]) -> str:
    """Return `loc` as a person writes it: ``buses[1].devices[0].unit``."""
    out = ""
    for part in loc:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out
