"""One UDP socket that asks BACnet devices: invoke ids, timeouts, Who-Is.

An answer counts only if it comes from the peer that was asked, with the invoke id and the service
of the request that is open there. All else is counted in `Client.ignored` and forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections import Counter
from typing import Final, cast

from plantroom_edge.drivers.bacnet.config import BacnetConfig, Bind, Target, parse_bind
from plantroom_edge.drivers.bacnet.frames import (
    IAm,
    Peer,
    Reply,
    decode,
    encode_request,
    encode_who_is,
)
from plantroom_edge.drivers.bacnet.values import Malformed
from plantroom_shared.errors import ConfigError, Unavailable

_MOST_DEVICES = 4096  # in one discovery; a network of more is a flood

_SECOND_NAME: Final = 0.05
"""Seconds to listen on when all have answered: one that goes by two names says both at once."""


class _Line:
    """What is under way with one peer."""

    __slots__ = ("answer", "invoke", "lock", "service")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.invoke = -1
        self.service = -1
        self.answer: asyncio.Future[Reply | None] | None = None


class _RollCall:
    """Who has answered a Who-Is so far."""

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self.heard: dict[tuple[Peer, int], IAm] = {}
        self.waiting = {target for target in targets if target.host}
        self.complete = asyncio.Event()
        self._broadcast = len(self.waiting) < len(targets)
        self._hosts = {target.host for target in self.waiting}

    def hear(self, said: IAm) -> bool:
        """Take an I-Am; False if nobody asked its sender, or there are too many."""
        peer = said.peer
        if len(self.heard) >= _MOST_DEVICES or not (self._broadcast or peer.host in self._hosts):
            return False
        self.heard.setdefault((peer, said.instance), said)
        self.waiting.discard(Target(peer.host, peer.port))
        if not self.waiting and not self._broadcast:
            self.complete.set()
        return True


class Client(asyncio.DatagramProtocol):
    """The BACnet/IP socket of a bus; made by `open_client`.

    Args:
        bind: where it is bound.
        timeout: seconds a peer has for an answer.
        retries: how often an unanswered request is sent again.
    """

    def __init__(self, bind: Bind, timeout: float, retries: int) -> None:
        self.ignored: Counter[str] = Counter()
        """Datagrams that counted for nothing, by why."""
        self._bind, self._timeout, self._tries = bind, timeout, 1 + retries
        self._lines: dict[Peer, _Line] = {}
        self._roll: _RollCall | None = None
        self._transports: list[asyncio.DatagramTransport] = []

    # ------------------------------------------------------------ asking

    async def ask(self, peer: Peer, service: int, body: bytes) -> Reply | None:
        """Return the answer of `peer`, or None if it gave none in time.

        Only one request is under way per peer; later ones wait for their turn.
        """
        line = self._lines.setdefault(peer, _Line())
        async with line.lock:
            line.invoke = (line.invoke + 1) & 0xFF
            line.service = service
            datagram = encode_request(peer, line.invoke, service, body)
            line.answer = asyncio.get_running_loop().create_future()
            try:
                for _ in range(self._tries):
                    self._send(datagram, (peer.host, peer.port))
                    await asyncio.wait((line.answer,), timeout=self._timeout)
                    if line.answer.done():
                        return line.answer.result()
            finally:
                line.answer = None
        return None

    def keep(self, peers: set[Peer]) -> None:
        """Forget all other peers that nothing is under way with."""
        for peer in [peer for peer, line in self._lines.items() if not line.lock.locked()]:
            if peer not in peers:
                del self._lines[peer]

    async def who_is(
        self, targets: tuple[Target, ...], limits: tuple[int, int] | None
    ) -> list[IAm]:
        """Return who answers at `targets`, in the order of their answers.

        It takes no longer than ``timeout * (1 + retries)``, and ends at once when every single
        address has answered; a broadcast is given the whole time.
        """
        roll = _RollCall(targets)
        self._roll = roll
        try:
            for _ in range(self._tries):
                for target in targets:
                    if not target.host or target in roll.waiting:
                        self._who_is(target, limits)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._timeout):
                        await roll.complete.wait()
                    await asyncio.sleep(_SECOND_NAME)
                    break
        finally:
            self._roll = None
        return list(roll.heard.values())

    def _who_is(self, target: Target, limits: tuple[int, int] | None) -> None:
        datagram = encode_who_is(limits, broadcast=not target.host)
        self._send(datagram, (target.host or self._bind.broadcast, target.port))

    def _send(self, datagram: bytes, address: tuple[str, int]) -> None:
        self._transports[0].sendto(datagram, address)

    # ------------------------------------------------------------ hearing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket, the one that sends first."""
        self._transports.append(cast("asyncio.DatagramTransport", transport))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Hand an answer to who waits for it."""
        try:
            said = decode(data, addr)
        except Malformed:
            self.ignored["unusable"] += 1
            return
        if isinstance(said, IAm):
            if self._roll is None or not self._roll.hear(said):
                self.ignored["uninvited"] += 1
            return
        line = self._lines.get(said.peer)
        if line is None or line.answer is None or line.answer.done():
            self.ignored["unasked"] += 1
        elif said.invoke != line.invoke or said.service not in (line.service, None):
            self.ignored["mismatched"] += 1
        else:
            line.answer.set_result(said)

    def error_received(self, exc: Exception) -> None:
        """Count what the network says of a datagram of ours: its sender learns by the timeout."""
        self.ignored[type(exc).__name__] += 1

    def close(self) -> None:
        """Release the sockets; who waits for an answer gets none."""
        for transport in self._transports:
            transport.abort()
        for line in self._lines.values():
            if line.answer is not None and not line.answer.done():
                line.answer.set_result(None)


async def open_client(config: BacnetConfig, kind: type[Client] = Client) -> Client:
    """Return a client, of a `kind` of its own, on the socket that `config` names.

    Raises:
        ConfigError: this process may not use the port.
        Unavailable: the address is taken, or is not this machine's now.
    """
    bind = parse_bind(config.bind)
    client = kind(bind, config.timeout, config.retries)
    loop = asyncio.get_running_loop()
    address = (bind.host, bind.port)
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: client, local_addr=address, allow_broadcast=True
        )
        if bind.listen:
            address = (bind.broadcast, transport.get_extra_info("sockname")[1])
            await loop.create_datagram_endpoint(lambda: client, local_addr=address)
    except OSError as error:
        client.close()
        raise _bind_error(address, error) from error
    return client


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
