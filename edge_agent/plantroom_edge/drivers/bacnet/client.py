"""Asks BACnet devices over a link: invoke ids, timeouts, segments, Who-Is.

An answer counts only if it comes from the peer that was asked, with the invoke id and the service
of the request that is open there. All else is counted in `Client.ignored` and forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Final

from plantroom_edge.drivers.bacnet import frames
from plantroom_edge.drivers.bacnet.bvlc import Address
from plantroom_edge.drivers.bacnet.config import ALL_NETWORKS, PORT, BacnetConfig, Target
from plantroom_edge.drivers.bacnet.frames import IAm, Notification, Part, Peer, Reply, RouterSays
from plantroom_edge.drivers.bacnet.link import Link, open_link
from plantroom_edge.drivers.bacnet.routes import Routes
from plantroom_edge.drivers.bacnet.segments import Assembly, Overflow, Receipt
from plantroom_edge.drivers.bacnet.traffic import Traffic
from plantroom_edge.drivers.bacnet.values import Malformed
from plantroom_edge.drivers.bacnet.vocabulary import SUBSCRIBE_COV, WRITE_PROPERTY

_MOST_DEVICES = 4096  # in one discovery; a network of more is a flood

_SECOND_NAME: Final = 0.05
"""Seconds to listen on when all have answered: one that goes by two names says both at once."""

_SEGMENTS_TIME: Final = 10.0
"""Timeouts within which an answer in segments must be complete."""

_WITHOUT_BODY: Final = frozenset({SUBSCRIBE_COV, WRITE_PROPERTY})
"""The services whose acknowledgement says nothing more."""

# Refusals that make the next request smaller, as a device's own aborts do.
UNINVITED_SEGMENTS: Final = "abort-segmented-reply"
TOO_LONG: Final = "abort-answer-too-long"
INCOMPLETE: Final = "abort-answer-incomplete"


class _Line:
    """What is under way with one peer."""

    __slots__ = (
        "answer", "assembly", "invoke", "lock", "receipt", "segments", "service", "traffic", "via",
    )  # fmt: skip

    def __init__(self, via: Address) -> None:
        self.lock = asyncio.Lock()
        self.via = via
        self.invoke = -1
        self.service = -1
        self.segments = False
        self.answer: asyncio.Future[Reply | None] | None = None
        self.assembly: Assembly | None = None
        self.receipt: Receipt | None = None
        """What ended the last answer in segments: it may have got lost."""
        self.traffic = Traffic()

    @property
    def waits(self) -> bool:
        return self.answer is not None and not self.answer.done()

    def expects(self, said: Reply) -> bool:
        """Say whether `said` answers the open request."""
        if said.invoke != self.invoke or said.service not in (self.service, None):
            return False
        return bool(said.refusal) or said.simple == (self.service in _WITHOUT_BODY)

    def end(self, reply: Reply | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(reply)


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


class Client:
    """The BACnet client of a bus; made by `open_client`.

    Args:
        timeout: seconds a peer has for an answer.
        retries: how often an unanswered request is sent again.
    """

    link: Link

    def __init__(self, timeout: float, retries: int) -> None:
        self.ignored: Counter[str] = Counter()
        """Datagrams that counted for nothing, by why."""
        self.on_notice: Callable[[Notification], bool] = lambda _: False
        """Is shown the COV notifications of peers; says whether it wants them."""
        self._timeout, self._tries = timeout, 1 + retries
        self._lines: dict[tuple[object, object], _Line] = {}
        self._roll: _RollCall | None = None
        self._routes = Routes()
        self._closed = False

    # ------------------------------------------------------------ asking

    async def ask(
        self, peer: Peer, service: int, body: bytes, *, segments: bool = False
    ) -> Reply | None:
        """Return the answer of `peer`, or None if it gave none in time.

        Only one request is under way per peer; later ones wait for their turn. The request must
        fit one datagram; with `segments`, the answer need not.
        """
        line = self._line(peer)
        async with line.lock:
            line.invoke = (line.invoke + 1) & 0xFF
            line.service, line.segments = service, segments
            line.via = self._routes.via(peer)
            npdu = frames.encode_request(peer, line.invoke, service, body, segments=segments)
            line.answer = asyncio.get_running_loop().create_future()
            try:
                reply = await self._answer(line, npdu)
                if reply is None and line.assembly is not None:
                    self._abort(peer, line)
                    reply = Reply(peer, line.invoke, service, refusal=INCOMPLETE)
            finally:
                line.answer = line.assembly = None
        if reply is None and peer.net:
            self._seek(peer.net, peer.port)
        return reply

    async def _answer(self, line: _Line, npdu: bytes) -> Reply | None:
        assert line.answer is not None  # noqa: S101 - `ask` has just made it
        traffic, clock = line.traffic, asyncio.get_running_loop().time
        traffic.requests += 1
        for attempt in range(self._tries):
            began = clock()
            traffic.repeats += attempt > 0
            traffic.sent += len(npdu)
            line.assembly = None
            if self._closed:
                break
            self.link.send(npdu, line.via)
            await asyncio.wait((line.answer,), timeout=self._timeout)
            limit = began + self._timeout * _SEGMENTS_TIME
            parts = 0
            while not line.answer.done() and (known := _progress(line)) > parts and clock() < limit:
                parts = known  # it is talking: what it says is waited for
                await asyncio.wait((line.answer,), timeout=self._timeout)
            if line.answer.done():
                reply = line.answer.result()
                traffic.failures += reply is None or bool(reply.refusal)
                if reply is not None:
                    traffic.answered(clock() - began)
                return reply
        traffic.failures += 1
        return None

    def tell(self, peer: Peer, service: int, body: bytes) -> None:
        """Send an unconfirmed request; nobody learns whether it arrives."""
        self.link.send(frames.encode_unconfirmed(peer, service, body), self._routes.via(peer))

    def _line(self, peer: Peer) -> _Line:
        line = self._lines.get(peer.station)
        if line is None:
            line = self._lines[peer.station] = _Line((peer.host, peer.port))
        return line

    def traffic(self, peer: Peer) -> Traffic:
        """Return what was sent to and heard of `peer`."""
        return self._line(peer).traffic

    def keep(self, peers: set[Peer]) -> None:
        """Forget all other peers that nothing is under way with."""
        kept = {peer.station for peer in peers}
        for station in [key for key, line in self._lines.items() if not line.lock.locked()]:
            if station not in kept:
                del self._lines[station]

    # ------------------------------------------------------------ who is there

    async def who_is(
        self, targets: tuple[Target, ...], limits: tuple[int, int] | None
    ) -> list[IAm]:
        """Return who answers at `targets`, in the order of their answers.

        It takes no longer than ``timeout * (1 + retries)``, and ends at once when every single
        address has answered; a broadcast is given the whole time. A BBMD has as long before.
        """
        await self.link.ready()
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
        if self._closed:
            return
        if target.host:
            self.link.send(frames.encode_who_is(limits), (target.host, target.port))
            return
        npdu = frames.encode_who_is(limits, target.net)
        single = 0 < target.net < ALL_NETWORKS
        router = self._routes.to(target.net) if single else None
        if router is not None:
            self.link.send(npdu, router)
            return
        if single:
            self._seek(target.net, target.port)
        self.link.broadcast(npdu, target.port)  # routers take it to where it belongs

    def _seek(self, net: int, port: int = PORT) -> None:
        """Ask who leads to `net`; the answer counts for the next request."""
        if self._routes.seek(net, asyncio.get_running_loop().time()) and not self._closed:
            self.link.broadcast(frames.encode_who_is_router(net), port)

    # ------------------------------------------------------------ hearing

    def hear(self, npdu: bytes, source: Address, forwarded: bool) -> None:
        """Hand an answer to who waits for it."""
        try:
            said = frames.decode(npdu, source)
        except Malformed:
            self.ignored["unusable"] += 1
            return
        if isinstance(said, IAm):
            self._hear_hello(said)
        elif forwarded:  # only announcements are broadcast, so only they come through a BBMD
            self.ignored["forwarded"] += 1
        elif isinstance(said, RouterSays):
            self._hear_router(said)
        else:
            line = self._lines.get(said.peer.station)
            if line is None or source != line.via:
                self.ignored["unasked"] += 1
                return
            line.traffic.received += len(npdu)
            if isinstance(said, Notification):
                self._hear_notice(line, said)
            elif isinstance(said, Part):
                self._hear_part(line, said)
            else:
                self._hear_reply(line, said)

    def _hear_hello(self, said: IAm) -> None:
        if self._roll is None or not self._roll.hear(said):
            self.ignored["uninvited"] += 1

    def _hear_router(self, said: RouterSays) -> None:
        wanted = self._routes.hear(said)
        for (net, _), line in self._lines.items():
            # To be told that there is no way is an answer of its own: nothing else will come.
            if not said.reachable and net in said.networks and line.via == said.router:
                wanted |= line.waits
                line.end(None)
        if not wanted:
            self.ignored["uninvited"] += 1

    def _hear_reply(self, line: _Line, said: Reply) -> None:
        if not line.waits:
            self.ignored["unasked"] += 1
        elif line.expects(said):
            line.end(said)
        else:
            self.ignored["mismatched"] += 1

    def _hear_part(self, line: _Line, said: Part) -> None:
        peer, number = said.peer, said.segment.number
        if said.invoke != line.invoke or said.service != line.service:
            self.ignored["mismatched"] += 1
        elif not line.waits:
            if line.receipt is not None and line.receipt.number == number:
                self.link.send(frames.encode_receipt(peer, said.invoke, line.receipt), line.via)
            self.ignored["unasked"] += 1
        elif not line.segments:
            line.end(Reply(peer, said.invoke, None, refusal=UNINVITED_SEGMENTS))
        elif line.assembly is None and number:
            self.ignored["mismatched"] += 1
        else:
            self._take_part(line, said)

    def _take_part(self, line: _Line, said: Part) -> None:
        assembly = line.assembly = line.assembly or Assembly()
        try:
            receipt = assembly.take(said.segment)
        except Overflow:
            self.ignored["overlong"] += 1
            self._abort(said.peer, line)
            line.end(Reply(said.peer, said.invoke, said.service, refusal=TOO_LONG))
            return
        if receipt is not None:
            self.link.send(frames.encode_receipt(said.peer, said.invoke, receipt), line.via)
        if assembly.complete:
            line.receipt = receipt
            line.traffic.segmented += 1
            line.end(Reply(said.peer, said.invoke, said.service, assembly.body))

    def _abort(self, peer: Peer, line: _Line) -> None:
        """Tell a device that nobody takes the rest of its answer."""
        if not self._closed:
            self.link.send(frames.encode_abort(peer, line.invoke), line.via)

    def _hear_notice(self, line: _Line, said: Notification) -> None:
        line.traffic.notices += 1
        if not self.on_notice(said):
            self.ignored["strange-notice"] += 1
        elif said.invoke is not None:
            self.link.send(frames.encode_thanks(said.peer, said.invoke), line.via)

    def close(self) -> None:
        """Release the sockets; who waits for an answer gets none."""
        self._closed = True
        self.link.close()
        for line in self._lines.values():
            line.end(None)


def _progress(line: _Line) -> int:
    """Return how much of an answer in segments there is."""
    return len(line.assembly.parts) if line.assembly else 0


async def open_client(config: BacnetConfig, kind: type[Client] = Client) -> Client:
    """Return a client, of a `kind` of its own, on the socket that `config` names.

    Raises:
        ConfigError: this process may not use the port.
        Unavailable: the address is taken, or is not this machine's now.
    """
    client = kind(config.timeout, config.retries)
    client.link = await open_link(config, client.hear, client.ignored)
    return client
