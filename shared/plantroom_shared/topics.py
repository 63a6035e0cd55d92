"""The topic grammar of sync v1: ``sv1/{gateway}/{up|down}/{channel}``.

The tenant is not on the wire: the cloud knows whose gateway a certificate is, so a gateway can
never claim another company.
"""

from __future__ import annotations

import re
from typing import NamedTuple

GATEWAY_ID = re.compile(r"[a-z0-9][a-z0-9-]{6,38}[a-z0-9]\Z")
"""The one charset of gateway ids: certificate CN, client id, topic level."""

UP_CHANNELS = ("hello", "now", "cmd", "evt", "aud", "tel", "fill", "inv", "state")
DOWN_CHANNELS = ("resume", "ack", "flow", "cmd", "cfg")

ALL_UP = "sv1/+/up/#"
"""What the ingest subscribes to."""


class Topic(NamedTuple):
    """A parsed topic."""

    gateway: str
    direction: str
    channel: str


def up(gateway: str, channel: str) -> str:
    """Return the topic on which `gateway` sends `channel`."""
    return f"sv1/{gateway}/up/{channel}"


def down(gateway: str, channel: str) -> str:
    """Return the topic on which the cloud answers `gateway` on `channel`."""
    return f"sv1/{gateway}/down/{channel}"


def parse(topic: str) -> Topic | None:
    """Return the parts of `topic`, or None if it is none of ours."""
    parts = topic.split("/")
    if len(parts) != 4 or parts[0] != "sv1" or not GATEWAY_ID.match(parts[1]):
        return None
    channels = {"up": UP_CHANNELS, "down": DOWN_CHANNELS}.get(parts[2], ())
    return Topic(*parts[1:]) if parts[3] in channels else None
