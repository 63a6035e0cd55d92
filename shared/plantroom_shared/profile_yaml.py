"""Profile files as YAML, read strictly, and what is wrong with one in words."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import ValidationError

from plantroom_shared.errors import ConfigError

MAX_BYTES = 1_000_000
"""No profile is larger; a file that is has been mistaken for one."""


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


def read_yaml(text: bytes, file: str) -> Any:
    """Return what is written in `text`; ConfigError names `file` and the place in it."""
    if len(text) > MAX_BYTES:
        what = f"is larger than {MAX_BYTES} bytes"
        raise ConfigError(what, file=file, fix="split the profile")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        what = f"is no valid YAML: {' '.join(str(error).split())[:300]}"
        raise ConfigError(what, file=file, fix="correct it there") from error


def explain(error: ValidationError, data: Any, file: str) -> ConfigError:
    """Return the error that names the first fault: file, key and fix."""
    faults = error.errors(include_url=False)
    fault = faults[0]
    what = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        what = "there is no such key: correct or remove it"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return ConfigError(
        what + more,
        file=file,
        key=_where(fault["loc"], data),
        fix="every key is described in firmware_profiles/README.md",
    )


def _where(loc: tuple[int | str, ...], data: Any) -> str:
    """Return the way to a key: ``registers[3] (power).type``."""
    key = ""
    for place, part in enumerate(loc):
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
        if place == 1 and loc[0] == "registers" and isinstance(part, int):
            row = data["registers"][part]
            key += f" ({row['id']})" if isinstance(row, dict) and "id" in row else ""
    return key.lstrip(".")[:200]
