"""Writing what was claimed into the agent's configuration, every other line left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from plantroom_edge import files
from plantroom_edge.claiming.files import Folder, write
from plantroom_edge.cli_starter import CLOUD, STARTER
from plantroom_edge.config import load
from plantroom_edge.config_edit import Merge, append
from plantroom_shared.errors import ConfigError


def settle(config: Path, folder: Folder, told: dict[str, Any]) -> None:
    """Write the gateway's id, site and cloud into the configuration, which is made if missing.

    Args:
        config: the agent's file.
        folder: of the identity.
        told: ``gateway``, ``site``, ``host``, ``port``, ``provision`` and, where it is not the
            operating system that says whom to trust, ``provision_ca``.

    Raises:
        ConfigError: the file cannot be written, or not be changed line by line.
    """
    cloud = {"host": told["host"], "port": told["port"]}
    cloud |= {"ca": str(folder.ca), "cert": str(folder.cert), "key": str(folder.key)}
    cloud |= {key: told[key] for key in ("provision", "provision_ca") if told.get(key)}
    new = not config.exists()
    if new:
        named = {"gateway": told["gateway"], "site": told["site"]}
        text = STARTER.format(name=config.name, cloud=CLOUD, **named)
    else:
        text = _read(config)
    before = text
    text = _set(text, ("gateway",), told["gateway"])
    text = _set(text, ("site",), told["site"])
    for key, value in cloud.items():
        text = _set(text, ("cloud", key), value)
    load(config, text)  # an agent that runs must be able to read it
    if new:
        write(config, text.encode(), 0o644)
    elif text != before:
        files.replace(config, text)


def _read(config: Path) -> str:
    try:
        return config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = f"it cannot be read: {error}"
        raise ConfigError(what, file=str(config), fix="make it a readable UTF-8 file") from error


def _set(text: str, path: tuple[str, ...], value: str | int) -> str:
    """Return `text` with `value` at `path`: in place of what is there, or added."""
    node: Any = yaml.compose(text, yaml.SafeLoader)
    for key in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((found for name, found in pairs if name.value == key), None)
    if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
        return append(text, path[:-1], Merge({path[-1]: value}))
    shown = yaml.safe_dump(value, width=10_000).removesuffix("\n").removesuffix("\n...")
    out = text[: node.start_mark.index] + shown + text[node.end_mark.index :]
    if not _says(out, _meant(yaml.safe_load(text), path, value)):
        what = "the file is written in a way that cannot be changed line by line"
        raise ConfigError(what, key=".".join(path), fix=f"write `{path[-1]}: {shown}` by hand")
    return out


def _says(text: str, meant: Any) -> bool:
    try:
        return bool(yaml.safe_load(text) == meant)
    except yaml.YAMLError:
        return False


def _meant(content: Any, path: tuple[str, ...], value: str | int) -> Any:
    head, *rest = path
    return {**content, head: _meant(content[head], tuple(rest), value) if rest else value}
