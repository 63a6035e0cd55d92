"""Who may do what on the broker: the two rules, and the checks of who somebody is. Pure.

A gateway writes below ``sv1/{its id}/up`` and reads below ``sv1/{its id}/down``; the cloud does
both everywhere below ``sv1``. Mosquitto gets the same as an ACL file, see `mosquitto.py`.
"""

from __future__ import annotations

from typing import Any

from plantroom_cloud.gateways.pki import CLOUD, RESERVED
from plantroom_shared.topics import GATEWAY_ID


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
    allowed = GATEWAY_ID.match(name) and (name == CLOUD or name not in RESERVED)
    return name if allowed else ""


def may_publish(name: str, topic: str) -> bool:
    """Say whether `name` may publish on `topic`, by itself or as its will."""
    return topic.startswith("sv1/" if name == CLOUD else f"sv1/{name}/up/")


def may_read(name: str, topic: str) -> bool:
    """Say whether a message on `topic`, or a filter that can only match such, is for `name`."""
    return topic.startswith("sv1/" if name == CLOUD else f"sv1/{name}/down/")


def may_connect(name: str, client_id: str, will_topic: str | None) -> bool:
    """Say whether the holder of certificate `name` may connect like this.

    The client id must be the certificate's name: whoever could take another's would throw the
    other out. A will is published without another check, so it is checked here.
    """
    return bool(name) and client_id == name and (not will_topic or may_publish(name, will_topic))
