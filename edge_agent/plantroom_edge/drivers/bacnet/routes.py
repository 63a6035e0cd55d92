"""Which router leads to which network: asked when one no longer does. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from plantroom_edge.drivers.bacnet.bvlc import Address
from plantroom_edge.drivers.bacnet.frames import Peer, RouterSays

ASK_AGAIN: Final = 60.0
"""Seconds between two broadcasts about one network: a dead station behind a router is no news."""
_MOST_ROUTERS: Final = 4  # to one network that are remembered


@dataclass(slots=True)
class _Network:
    asked: float
    routers: list[Address] = field(default_factory=list)


class Routes:
    """The routers that have been asked for, and have answered."""

    def __init__(self) -> None:
        self._networks: dict[int, _Network] = {}

    def via(self, peer: Peer) -> Address:
        """Return where a datagram for `peer` goes."""
        stated = (peer.host, peer.port)
        known = self._networks.get(peer.net)
        if known is None or not known.routers or stated in known.routers:
            return stated
        return known.routers[0]

    def to(self, net: int) -> Address | None:
        """Return a router that leads to network `net`, if one is known."""
        known = self._networks.get(net)
        return known.routers[0] if known and known.routers else None

    def seek(self, net: int, now: float) -> bool:
        """Say whether to ask now who leads to `net`, and if so, forget who did."""
        known = self._networks.get(net)
        if known is not None and now - known.asked < ASK_AGAIN:
            return False
        self._networks[net] = _Network(now)
        return True

    def hear(self, said: RouterSays) -> bool:
        """Take what a router says; False if nobody asked for any of these networks."""
        wanted = [net for net in said.networks if net in self._networks]
        for net in wanted:
            routers = self._networks[net].routers
            if not said.reachable:
                if said.router in routers:
                    routers.remove(said.router)
            elif said.router not in routers and len(routers) < _MOST_ROUTERS:
                routers.append(said.router)
        return bool(wanted)
