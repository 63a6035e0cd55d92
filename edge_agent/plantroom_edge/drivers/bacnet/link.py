"""What carries NPDUs: today UDP over IPv4, with or without a BBMD.

`Link` is all that the client knows of it, so that BACnet/SC can be another one.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol, cast

from plantroom_edge.drivers.bacnet import bvlc
from plantroom_edge.drivers.bacnet.bvlc import Address, Result
from plantroom_edge.drivers.bacnet.config import BacnetConfig, Bind, parse_bind, parse_target
from plantroom_edge.drivers.bacnet.foreign import Registration
from plantroom_edge.drivers.bacnet.values import Malformed
from plantroom_shared.errors import ConfigError, Unavailable

Hear = Callable[[bytes, Address, bool], None]
"""Takes an NPDU, its sender, and whether only a BBMD vouches for that."""

_MOST_A_SECOND: Final = 5000
"""Datagrams from one host that are looked at; a device that sends more costs itself only."""
_MOST_HOSTS: Final = 4096  # that are counted at once
_SOCKET_BUFFER: Final = 1 << 20
"""Octets that may wait while the process is busy: answers of others outlive a flood."""


class Link(Protocol):
    """Sends NPDUs to stations; what it receives goes to the `Hear` it was made with.

    A station of another kind of link than IP puts its own address into the host, and 0 into the port.
    """

    def send(self, npdu: bytes, to: Address) -> None:
        """Send to one station; nothing is said of what becomes of it."""
        ...

    def broadcast(self, npdu: bytes, port: int) -> None:
        """Send to all stations that can be reached without a router."""
        ...

    async def ready(self) -> None:
        """Wait until broadcasts go as far as they can, or there is no hope of it for now."""
        ...

    def trouble(self) -> str:
        """Return what keeps broadcasts from going far, for a person; empty if nothing does."""
        ...

    def close(self) -> None:
        """Release sockets."""
        ...


class IpLink(asyncio.DatagramProtocol):
    """BACnet/IP; made by `open_link`."""

    def __init__(self, bind: Bind, hear: Hear, ignored: Counter[str]) -> None:
        self.registration: Registration | None = None
        self._bind, self._hear, self._ignored = bind, hear, ignored
        self._transports: list[asyncio.DatagramTransport] = []
        self._counts: dict[str, int] = {}
        self._second = 0

    @property
    def address(self) -> Address:
        """Where our socket is bound."""
        name: Address = self._transports[0].get_extra_info("sockname")
        return name

    # ------------------------------------------------------------ sending

    def send(self, npdu: bytes, to: Address) -> None:
        """Send to one station."""
        self._put(bvlc.unicast(npdu), to)

    def broadcast(self, npdu: bytes, port: int) -> None:
        """Send to the local network, and through the BBMD to the networks it knows."""
        self._put(bvlc.broadcast(npdu), (self._bind.broadcast, port))
        if self.registration is not None:
            self._put(bvlc.distribute(npdu), self.registration.bbmd)

    def _put(self, datagram: bytes, to: Address) -> None:
        self._transports[0].sendto(datagram, to)

    # ------------------------------------------------------------ the BBMD

    def register(self, config: BacnetConfig) -> None:
        """Become a foreign device of the BBMD in `config`, if there is one."""
        if not config.bbmd:
            return
        host, port = parse_target(config.bbmd)[:2]
        self.registration = Registration((host, port), config.ttl, config.timeout, self._put)
        self._patience = config.timeout * (1 + config.retries)
        self.registration.begin()

    async def ready(self) -> None:
        """Wait for the BBMD's first word."""
        if self.registration is not None:
            await self.registration.settled(self._patience)

    def trouble(self) -> str:
        """Return what is wrong with the BBMD."""
        mine = self.registration
        if mine is None or not mine.trouble:
            return ""
        return f"BBMD {mine.bbmd[0]}:{mine.bbmd[1]}: {mine.trouble}"

    # ------------------------------------------------------------ hearing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket, the one that sends first."""
        udp = cast("asyncio.DatagramTransport", transport)
        udp.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        self._transports.append(udp)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Open the envelope, and hand on what is in it."""
        if self._is_flood(addr[0]):
            self._ignored["flood"] += 1
            return
        try:
            said = bvlc.unwrap(data, addr)
        except Malformed:
            self._ignored["unusable"] += 1
            return
        bbmd = self.registration.bbmd if self.registration else None
        if isinstance(said, Result):
            if self.registration is None or addr != bbmd:
                self._ignored["unasked"] += 1
            else:
                self.registration.hear(said)
        elif said.forwarded and bbmd not in (None, addr):
            self._ignored["false-bbmd"] += 1
        else:
            self._hear(said.npdu, said.source, said.forwarded)

    def _is_flood(self, host: str) -> bool:
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second = second
            self._counts.clear()
        count = self._counts.get(host, 0) + 1
        if count == 1 and len(self._counts) >= _MOST_HOSTS:
            return True
        self._counts[host] = count
        return count > _MOST_A_SECOND

    def error_received(self, exc: Exception) -> None:
        """Count what the network says of a datagram of ours: its sender learns by the timeout."""
        self._ignored[type(exc).__name__] += 1

    def close(self) -> None:
        """Release the sockets."""
        if self.registration is not None:
            self.registration.close()
        for transport in self._transports:
            transport.abort()


async def open_link(config: BacnetConfig, hear: Hear, ignored: Counter[str]) -> IpLink:
    """Return a link on the socket that `config` names; `ignored` counts what is dropped.

    Raises:
        ConfigError: this process may not use the port.
        Unavailable: the address is taken, or is not this machine's now.
    """
    bind = parse_bind(config.bind)
    link = IpLink(bind, hear, ignored)
    loop = asyncio.get_running_loop()
    address = (bind.host, bind.port)
    try:
        await loop.create_datagram_endpoint(lambda: link, local_addr=address, allow_broadcast=True)
        if bind.listen:
            address = (bind.broadcast, link.address[1])
            await loop.create_datagram_endpoint(lambda: link, local_addr=address)
    except OSError as error:
        link.close()
        raise _bind_error(address, error) from error
    link.register(config)
    return link


def _bind_error(address: tuple[str, int], error: OSError) -> ConfigError | Unavailable:
    where = f"{address[0]}:{address[1]}"
    if error.errno == errno.EACCES:
        what = f"no right to open the BACnet socket on {where}"
        return ConfigError(what, key="bind", fix="choose a port from 1024 on; BACnet's is 47808")
    if error.errno == errno.EADDRINUSE:
        what = (
            f"the BACnet socket {where} is taken by another program; "
            "end it, or give `bind` another port or address"
        )
    elif error.errno == errno.EADDRNOTAVAIL:
        what = (
            f"the BACnet socket cannot be bound: {where} is no address of this machine now; "
            "correct `bind`, or wait for the network card"
        )
    else:
        what = (
            f"the BACnet socket {where} cannot be opened: {error.strerror or error}; check `bind`"
        )
    return Unavailable(what, retry_after=10.0)
