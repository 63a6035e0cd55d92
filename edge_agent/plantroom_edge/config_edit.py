"""Adding to a YAML file without touching a line that is there: comments, order and quotes stay.

The place is found with the marks of the parser, the lines are put in as text, and the result is
read again: what it means must be exactly what the file meant before and the addition. A file that
is written in a way that allows no such thing is refused, never guessed at.
"""

from __future__ import annotations

from typing import Any

import yaml

from plantroom_shared.errors import ConfigError

Path = tuple[str | int, ...]
"""Keys and indices from the top: ``("buses", 1, "devices")``."""


class Merge(dict[Any, Any]):
    """Keys to be merged into the mapping at a path, instead of one entry more of a list."""


def append(text: str, path: Path, entry: Any) -> str:
    """Return `text` with `entry` at the end of what stands at `path`.

    Args:
        text: a YAML document.
        path: of a list, or of a mapping if `entry` is one that is to be merged into it. It may be
            missing or empty; what is around it is there.
        entry: plain values.

    Raises:
        ConfigError: it cannot be done without rewriting the file.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    out = ""
    try:
        expected = _merged(yaml.safe_load(text), path, entry)
        out = _insert(text.replace("\r\n", "\n"), path, entry)
        right = yaml.safe_load(out) == expected
    except (yaml.YAMLError, LookupError, TypeError, ValueError):
        right = False
    if not right:
        where = ".".join(map(str, path))
        what = "the file is written in a way that cannot be added to line by line"
        shown = yaml.safe_dump(entry, default_flow_style=True, width=10_000, sort_keys=False)
        raise ConfigError(what, key=where, fix=f"add this by hand: {shown.strip()}")
    return out.replace("\n", newline)


def _merged(content: Any, path: Path, entry: Any) -> Any:
    """Return what the file is to mean afterwards."""
    if not path and isinstance(entry, Merge):
        return {**(content or {}), **entry}
    if not path:
        return [*(content or []), entry]
    head, rest = path[0], path[1:]
    if isinstance(content, list) and isinstance(head, int):
        return [*content[:head], _merged(content[head], rest, entry), *content[head + 1 :]]
    return {**content, head: _merged(content.get(head), rest, entry)}


def _insert(text: str, path: Path, entry: Any) -> str:
    text = text if text.endswith("\n") or not text else text + "\n"
    parent = _find(yaml.compose(text, yaml.SafeLoader), path[:-1])
    key = str(path[-1])
    if not isinstance(parent, yaml.MappingNode):
        raise TypeError(key)
    for name, value in parent.value:
        if name.value == key:
            return _extend(text, parent, name, value, entry)
    block = _block(entry, 2)
    indent = parent.start_mark.column
    if parent.flow_style:
        return _put(text, _last(parent), f", {key}: {_flow_list(entry)}")
    return _put(text, _line_after(text, parent), _indented(f"{key}:\n{block}", indent))


def _extend(
    text: str, parent: yaml.MappingNode, name: yaml.Node, value: yaml.Node, entry: Any
) -> str:
    """Put `entry` behind the last thing in `value`, which stands under the key `name`."""
    column = name.start_mark.column
    if isinstance(value, yaml.ScalarNode):  # the key alone, or `null`
        if value.value not in ("", "null", "~"):
            raise TypeError(name.value)
        start, end = value.start_mark.index, value.end_mark.index
        text = text[:start] + text[end:]
        at = text.index("\n", name.end_mark.index) + 1
        return _put(text, at, _indented(_block(entry, 2), column))
    if not isinstance(value, yaml.CollectionNode):
        raise TypeError(name.value)
    if not value.value:  # [] or {}
        start, end = value.start_mark.index, value.end_mark.index
        if parent.flow_style:
            return text[:start] + _flow_list(entry) + text[end:]
        text = text[:start].rstrip(" ") + text[end:]
        at = text.index("\n", name.end_mark.index) + 1
        return _put(text, at, _indented(_block(entry, 2), column))
    if value.flow_style:
        inner = _flow_list(entry)[1:-1]
        return _put(text, _last(value), f", {inner}")
    return _put(
        text, _line_after(text, value), _indented(_block(entry, 0), value.start_mark.column)
    )


def _find(node: yaml.Node | None, path: Path) -> yaml.Node | None:
    for part in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == str(part)), None)
    return node


def _last(node: yaml.CollectionNode) -> int:
    """Return the place behind the last entry of a flow collection."""
    entry = node.value[-1]
    end: int = (entry[1] if isinstance(entry, tuple) else entry).end_mark.index
    return end


def _line_after(text: str, node: yaml.Node) -> int:
    """Return where the line after the last content of a block collection begins.

    The mark of its own end is no use: it stands behind the comments that follow.
    """
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        entry = node.value[-1]
        node = entry[1] if isinstance(entry, tuple) else entry
    at: int = node.end_mark.index
    if node.end_mark.column == 0 and isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return at
    return text.index("\n", at) + 1


def _put(text: str, at: int, piece: str) -> str:
    return text[:at] + piece + text[at:]


def _block(entry: Any, indent: int) -> str:
    """Return an entry as lines: a dash and its keys; what is nested comes in braces."""
    if isinstance(entry, Merge):
        lines = [f"{key}: {_flow(value)}" for key, value in entry.items()]
    elif isinstance(entry, dict) and any(isinstance(one, list | dict) for one in entry.values()):
        lines = []
        for key, value in entry.items():
            lines += _key_lines(str(key), value)
        lines = [("- " if at == 0 else "  ") + line for at, line in enumerate(lines)]
    else:
        lines = [f"- {_flow(entry)}"]
    return _indented("\n".join(lines) + "\n", indent)


def _key_lines(key: str, value: Any) -> list[str]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [f"{key}:", *(f"  - {_flow(one)}" for one in value)]
    if isinstance(value, dict) and value:
        return [f"{key}:", *(f"  {_flow(one)}: {_flow(inner)}" for one, inner in value.items())]
    return [f"{key}: {_flow(value)}"]


def _indented(block: str, indent: int) -> str:
    return "".join(" " * indent + line for line in block.splitlines(keepends=True))


def _flow_list(entry: Any) -> str:
    return _flow(dict(entry)) if isinstance(entry, Merge) else f"[{_flow(entry)}]"


def _flow(value: Any) -> str:
    """Return a value on one line."""
    shown = yaml.safe_dump(
        value, default_flow_style=True, width=1 << 30, sort_keys=False, allow_unicode=True
    )
    return str(shown).removesuffix("\n").removesuffix("\n...")
