"""An assignment as it travels to a gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from plantroom_cloud import audit
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import InvalidRequest
from plantroom_cloud.kit.repository import AnyRow
from plantroom_shared import wire
from plantroom_shared.errors import Rejected

VALID_US: Final = 240_000_000
"""Microseconds for which one copy of an assignment counts; it is sent again with a new time."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants something, and why."""

    who: Principal | str
    why: str = ""
    force: bool = False

    @property
    def actor(self) -> str:
        """Who, for histories and for the gateway's audit."""
        who = self.who
        name = f"{who.kind}:{who.name}" if isinstance(who, Principal) else audit.display_name(who)
        return name[:200]


def body(gateway: str, ident: str, serial: int, version: AnyRow, *, wish: Wish, now: int) -> str:
    """Return an assignment of `version` (its number and its document) as JSON, as of now."""
    return orjson.dumps(
        {
            "v": 1,
            "gateway": gateway,
            "id": ident,
            "serial": serial,
            "version": version.number,
            "issued": now,
            "expires": now + VALID_US,
            "actor": wish.actor,
            "why": wish.why[:500],
            "force": wish.force,
            "document": version.document,
        }
    ).decode()


def check_travels(text: str) -> None:
    """InvalidRequest unless a gateway can be sent this assignment in a message."""
    try:
        wire.read_assignment(text)
        wire.encode(wire.Configuration(kid="k", sig="x" * 88, body=text))
    except (Rejected, ValueError) as error:
        msg = f"this is no configuration that a gateway takes: {error}"[:500]
        raise InvalidRequest(msg) from error
