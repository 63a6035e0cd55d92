"""Topics of Sparkplug B: ``spBv1.0/{group}/{type}/{node}[/{device}]``. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

ROOT: Final = "spBv1.0"
NODE_TYPES: Final = ("NBIRTH", "NDEATH", "NDATA")
DEVICE_TYPES: Final = ("DBIRTH", "DDEATH", "DDATA")
MAX_LEVEL: Final = 128
"""Characters of a group's, node's or device's name."""


class Topic(NamedTuple):
    """A parsed topic of a node."""

    group: str
    kind: str
    """``NBIRTH``, ``NDEATH``, ``NDATA``, ``DBIRTH``, ``DDEATH`` or ``DDATA``."""
    node: str
    device: str
    """Empty for what the node says of itself."""


def parse(topic: str) -> Topic | None:
    """Return the parts of a topic that a node publishes on, or None if it is no such topic."""
    root, *levels = topic.split("/")
    if (
        root != ROOT
        or len(levels) not in {3, 4}
        or not all(0 < len(x) <= MAX_LEVEL for x in levels)
    ):
        return None
    if levels[1] not in (NODE_TYPES if len(levels) == 3 else DEVICE_TYPES):
        return None
    return Topic(levels[0], levels[1], levels[2], levels[3] if len(levels) == 4 else "")


def build(group: str, kind: str, node: str, device: str = "") -> str:
    """Return the topic of a message."""
    return "/".join((ROOT, group, kind, node, *((device,) if device else ())))


def level(name: str) -> str:
    """Return `name` as one level of a topic: what means something there becomes ``_``."""
    cleaned = "".join("_" if char in "/+#\x00" or not char.isprintable() else char for char in name)
    return cleaned[:MAX_LEVEL] or "_"
