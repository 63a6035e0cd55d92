"""Who may do what on the broker: the rules, and the checks of who somebody is. Pure.

A gateway writes below ``sv1/{its id}/up`` and reads below ``sv1/{its id}/down``; a device that
streams by itself does the same below ``dev1``, and a Sparkplug node writes births, deaths and data
with its id as the node's and reads its commands. The cloud does both everywhere below these roots.
Mosquitto gets the same as an ACL file, made of the same constants: see `mosquitto.py`.
"""

from __future__ import annotations

from typing import Any, Final

from plantroom_cloud.gateways.pki import CLOUDS, RESERVED
from plantroom_shared import sparkplug
from plantroom_shared.topics import GATEWAY_ID

_SPARKPLUG: Final = sparkplug.ROOT
ROOTS: Final = ("sv1", "dev1", _SPARKPLUG)
"""First levels of the topics that there are."""
WRITES: Final = (
    "sv1/%u/up/#",
    "dev1/%u/up/#",
    *(f"{_SPARKPLUG}/+/{kind}/%u" for kind in sparkplug.NODE_TYPES),
    *(f"{_SPARKPLUG}/+/{kind}/%u/+" for kind in sparkplug.DEVICE_TYPES),
)
"""What whoever is called ``%u`` may publish on."""
READS: Final = (
    "sv1/%u/down/#",
    "dev1/%u/down/#",
    f"{_SPARKPLUG}/+/NCMD/%u",
    f"{_SPARKPLUG}/+/DCMD/%u/+",
)
"""What whoever is called ``%u`` may read."""


def identity(certificate: dict[str, Any] | None) -> str:
    """Return the common name in a peer's certificate if it may be a client's, else nothing.

    Args:
        certificate: as `ssl.SSLObject.getpeercert` gives it.
    """
    subject = (certificate or {}).get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    if len(names) != 1:
        return ""
    name = str(names[0])
    allowed = GATEWAY_ID.match(name) and (name in CLOUDS or name not in RESERVED)
    return name if allowed else ""


def may_publish(name: str, topic: str) -> bool:
    """Say whether `name` may publish on `topic`, by itself or as its will."""
    return _may(name, topic, WRITES)


def may_read(name: str, topic: str) -> bool:
    """Say whether a message on `topic`, or a filter that can only match such, is for `name`."""
    return _may(name, topic, READS)


def _may(name: str, topic: str, patterns: tuple[str, ...]) -> bool:
    levels = topic.split("/")
    if name in CLOUDS:
        return len(levels) > 1 and levels[0] in ROOTS
    return any(_covers(pattern.replace("%u", name).split("/"), levels) for pattern in patterns)


def _covers(pattern: list[str], levels: list[str]) -> bool:
    """Say whether everything that `levels`, a topic or filter, can match is within `pattern`."""
    for place, wanted in enumerate(pattern):
        if wanted == "#":
            return place < len(levels)
        if place >= len(levels) or levels[place] == "#":
            return False
        if wanted not in {"+", levels[place]}:
            return False
    return len(levels) == len(pattern)


def may_connect(name: str, client_id: str, will_topic: str | None) -> bool:
    """Say whether the holder of certificate `name` may connect like this.

    The client id must be the certificate's name: whoever could take another's would throw the
    other out. A will is published without another check, so it is checked here.
    """
    return bool(name) and client_id == name and (not will_topic or may_publish(name, will_topic))
