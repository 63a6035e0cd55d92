"""Which protocol a topic belongs to: the ingest asks here before its own messages. Pure."""

from __future__ import annotations

from typing import Final

from plantroom_cloud.ingest.messages import Refused
from plantroom_cloud.streaming import messages
from plantroom_cloud.streaming import sparkplug as nodes
from plantroom_cloud.streaming.messages import ROOT, DeviceData, DeviceState, Unreadable
from plantroom_cloud.streaming.sparkplug import NodeMessage
from plantroom_shared import sparkplug
from plantroom_shared.topics import GATEWAY_ID

FILTERS: Final = (
    f"{ROOT}/+/up/#",
    *(f"{sparkplug.ROOT}/+/{kind}/+" for kind in sparkplug.NODE_TYPES),
    *(f"{sparkplug.ROOT}/+/{kind}/+/+" for kind in sparkplug.DEVICE_TYPES),
)
"""What the ingest subscribes to for streaming devices; not the commands that it sends itself."""

Streamed = DeviceData | DeviceState | NodeMessage | Unreadable
"""A message of a streaming device."""
_CHANNELS: Final = ("data", "state")


def qos(topic: str) -> int:
    """Return with which quality of service the cloud sends: Sparkplug has commands at most once."""
    return 0 if topic.startswith(f"{sparkplug.ROOT}/") else 1


def is_ours(topic: str) -> bool:
    """Say whether `topic` is one of a streaming device."""
    return topic.startswith((f"{ROOT}/", f"{sparkplug.ROOT}/"))


def read(topic: str, payload: bytes) -> Streamed | Refused:
    """Return the message on a topic that `is_ours`; never raises on anything a device can send."""
    if topic.startswith(f"{ROOT}/"):
        parts = topic.split("/")
        if len(parts) > 1 and GATEWAY_ID.match(parts[1]):
            if parts[2:3] == ["up"] and len(parts) == 4 and parts[3] in _CHANNELS:
                return messages.read(parts[1], parts[3], payload)
            return Refused(parts[1], "topic")
        return Refused("", "topic")
    parsed = sparkplug.parse(topic)
    if parsed is None or not GATEWAY_ID.match(parsed.node):
        return Refused("", "topic")
    return nodes.read(parsed, payload)
