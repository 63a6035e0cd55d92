"""The thin rim around `Session`: MQTT over TLS, one connection at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import aiomqtt
from aiomqtt import ProtocolVersion

from plantroom_edge.buffer import Buffer
from plantroom_edge.buffer_db import Frame
from plantroom_edge.config import CloudConfig
from plantroom_edge.credentials import Credentials
from plantroom_edge.session import Session
from plantroom_edge.session_actions import (
    Action,
    Confirm,
    HeardTime,
    Mark,
    Ordered,
    Publish,
    Refused,
    Revive,
    SendDictionary,
    SendSnapshot,
    Wanted,
)
from plantroom_edge.sync_client import (
    Line,
    Versions,
    forget,
    make_client,
    nobody_listened,
)
from plantroom_edge.sync_messages import fitting, snapshots
from plantroom_edge.sync_pace import Pacer
from plantroom_edge.timekeeper import Timekeeper
from plantroom_shared import topics
from plantroom_shared.errors import Unavailable
from plantroom_shared.tracing import trace_of
from plantroom_shared.wire import Hello, State, encode

if TYPE_CHECKING:  # a gateway that writes nothing does not carry what writes
    from plantroom_edge.commands.service import Commands
    from plantroom_edge.desired.service import Desired

log = logging.getLogger(__name__)

STATE_EVERY: Final = 5.0
"""Seconds between two accounts of the gateway."""

AUDIT_EVERY: Final = 60.0
"""Seconds between two hellos on a connection that holds: for the time, and for what the cloud has."""

EARLY_AUDIT: Final = 15.0
"""The same while nobody has told the time, or when the cloud seems to have started anew."""

_LATER: Final = 1.0
"""Seconds to wait where the buffer cannot be read now."""

_TOLD: Final = 1000
"""Refused messages that are told of one by one."""


class Sync:
    """Keeps the buffer and the cloud in step over one MQTT connection.

    Args:
        gateway: id of this gateway: client id, topic level, certificate CN.
        cloud: where to connect.
        buffer: what to send.
        keeper: of the gateway's clock.
        figures: what else the state message shall tell.
        commands: who writes to devices; None where nobody does.
        desired: who applies what the cloud wants configured; None where nobody does.
    """

    def __init__(
        self,
        gateway: str,
        cloud: CloudConfig,
        buffer: Buffer,
        *,
        keeper: Timekeeper,
        figures: Callable[[], dict[str, float]] = dict,
        commands: Commands | None = None,
        desired: Desired | None = None,
    ) -> None:
        self._gateway, self._cloud, self._buffer = gateway, cloud, buffer
        self._keeper, self._clock, self._figures = keeper, keeper.clock, figures
        self._commands, self._desired = commands, desired
        self._credentials = Credentials(gateway, cloud, keeper.clock)
        self._versions = Versions(cloud.mqtt)
        self._pacer = Pacer(cloud.connects_per_minute)
        self._session: Session | None = None
        self._stopping = self._switch = False
        self._todo: list[Action] = []
        self._refused: dict[tuple[str, str, int], str] = {}
        self.connects = 0
        self.counters: Counter[str] = Counter()
        """Of all earlier sessions; `status` adds the present one."""
        self._protocol = ""
        self._last_ack: float | None = None

    # ------------------------------------------------------------ for the agent

    async def run(self) -> None:
        """Hold one connection until it ends, or one after another to try a renewed certificate.

        Returns only after `stop`.

        Raises:
            Unavailable: there is no connection, or it broke; run again, when it says.
        """
        await self._hold()
        while not self._stopping:
            log.info("connecting again, with the renewed certificate")
            await self._hold()

    async def _hold(self) -> None:
        """Hold one connection until `stop`, or until a renewed certificate is to be tried."""
        tls = self._credentials.choose().tls
        tls.prepare()
        for spoken in self._versions.attempts():
            self._pacer.note(self._clock.monotonic())
            client = make_client(self._gateway, self._cloud, tls, spoken)
            entered = False
            try:
                async with client:
                    entered = True
                    self._versions.worked(spoken)
                    self._protocol = "5" if spoken is ProtocolVersion.V5 else "3.1.1"
                    await self._converse(client)
            except aiomqtt.MqttError as error:
                if not entered and self._versions.failed(spoken, error):
                    continue
                where = f"{self._cloud.host}:{self._cloud.port}"
                msg = f"no connection to the broker {where}: {error}"
                heard = entered or not nobody_listened(error)
                pause = self._pacer.pause(self._clock.monotonic(), heard=heard)
                raise Unavailable(msg, retry_after=pause) from error
            finally:
                forget(client)
            return

    async def stop(self, grace: float) -> None:
        """Send what is still held for up to `grace` seconds, then the last account, and end."""
        deadline = self._clock.monotonic() + grace
        while self._session and self._session.live and self._clock.monotonic() < deadline:
            with contextlib.suppress(Unavailable):
                if not any((await self._buffer.stats()).held.values()):
                    break
            await asyncio.sleep(0.02)
        self._stopping = True
        self._buffer.changed.set()

    async def renewed(self) -> None:
        """A renewed certificate waits on the disk: the next connection is made with it, and now."""
        await asyncio.to_thread(self._credentials.stage)
        self._switch = self._credentials.wants_try
        self._buffer.changed.set()

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._session is not None

    def status(self) -> dict[str, Any]:
        """Return how the connection is doing, for a person."""
        session = self._session
        now = self._clock.monotonic()
        age = None if self._last_ack is None else round(now - self._last_ack, 1)
        forks = [key for key, why in self._refused.items() if why == "fork"]
        return {
            "connected": session is not None,
            "resumed": session is not None and session.live,
            "protocol": self._protocol if session else "",
            "connects": self.connects,
            "last_ack_age": age,
            "window": session.window if session else 0,
            "window_size": session.window_size(now) if session else 0,
            "clock": self._clock.state,
            "clock_skew_us": self._clock.skew_us,
            "forks": sorted({f"{ep}/{stream}" for ep, stream, _ in forks}),
            "counters": dict(self.counters + (session.counters if session else Counter())),
        }

    # ------------------------------------------------------------ one connection

    async def _converse(self, client: aiomqtt.Client) -> None:
        await client.subscribe(f"sv1/{self._gateway}/down/#", qos=1)
        session = Session(*await self._account(secrets.token_hex(8)), now_us=self._clock.now_us)
        self._session, self._todo = session, []
        self.connects += 1
        receiver = asyncio.create_task(self._receive(client, session), name="sync receiver")
        line = Line(client, session, receiver, self._gateway)
        try:
            await self._pump(line)
        finally:
            self._session = None
            self.counters += session.counters
            await line.close()

    async def _receive(self, client: aiomqtt.Client, session: Session) -> None:
        try:
            async for message in client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                parsed = topics.parse(str(message.topic))
                channel = parsed.channel if parsed else ""
                self._todo += session.receive(channel, payload, self._clock.monotonic())
                self._buffer.changed.set()
        finally:
            self._buffer.changed.set()

    async def _pump(self, line: Line) -> None:
        """Carry out what the session asks for, until the connection ends or `stop` is called."""
        session = line.session
        await self._perform(line, session.start(self._clock.monotonic()))
        state_due = self._clock.monotonic()
        audited = state_due - EARLY_AUDIT * random.uniform(0.0, 0.9)
        while not self._stopping:
            self._buffer.changed.clear()
            line.check()
            if self._heed_renewal(session):
                return  # what is on its way comes again on the next connection
            now = self._clock.monotonic()
            if now >= state_due:
                await self._send_state(line, online=True)
                state_due = now + STATE_EVERY
            if session.live and now >= audited + self._audit_every(session):
                await self._audit(line)
                audited = now
            pause = await self._step(line)
            now = self._clock.monotonic()
            await self._wait(min(state_due - now, session.due(now) - now, pause))
        await self._send_state(line, online=False)
        await line.flush()

    def _heed_renewal(self, session: Session) -> bool:
        """Take a renewed certificate for good once the cloud has; say whether to go and try one."""
        if not session.live:
            return False
        if self._credentials.proven():
            log.info("the renewed certificate is in use; the old one is gone")
        switch, self._switch = self._switch, False
        return switch

    async def _step(self, line: Line) -> float:
        """Do all that can be done now; return the seconds after which to look again."""
        session = line.session
        actions, self._todo = self._todo, []
        try:
            await self._perform(line, actions)
            size = self._buffer.dictionary_size
            await self._perform(line, session.dictionary_grew(self._buffer.epoch, size))
            await self._perform(line, session.tick(self._clock.monotonic()))
            await self._send_rows(line)
        except Unavailable:
            # The buffer says so itself, once; what was not confirmed or sent comes again.
            self.counters["buffer_unavailable"] += 1
            return _LATER
        self._last_ack = session.last_ack or self._last_ack
        return 0.0 if self._todo else math.inf

    async def _send_rows(self, line: Line) -> None:
        session = line.session
        for want in session.wants(self._clock.monotonic()):
            frames = await self._buffer.next(want.stream, want.after, want.limit, until=want.until)
            if self._credentials.used.signer.lacks_key(frames):
                await asyncio.to_thread(self._credentials.used.signer.load)
            signed = [self._credentials.used.signer.signed(frame) for frame in frames]
            self._tell_sent(frames)
            await self._perform(line, session.offer(want, signed, self._clock.monotonic()))

    def _tell_sent(self, frames: Sequence[Frame]) -> None:
        """Say for whoever follows a message that it leaves here; the cloud says the same id."""
        if not log.isEnabledFor(logging.DEBUG):
            return
        for frame in frames:
            trace_id = trace_of(self._gateway, frame.ep, frame.stream, frame.s0)
            log.debug("rows sent", extra={"trace_id": trace_id, "rows": frame.n})

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._buffer.changed.wait()

    # ------------------------------------------------------------ actions

    async def _perform(self, line: Line, actions: Sequence[Action]) -> None:
        outgoing: list[tuple[str, bytes]] = []
        for at, action in enumerate(actions):
            try:
                outgoing += await self._prepare(line.session, action)
            except Unavailable:
                self._todo = [*actions[at:], *self._todo]
                await line.publish(outgoing)
                raise
        await line.publish(outgoing)

    async def _prepare(self, session: Session, action: Action) -> list[tuple[str, bytes]]:
        """Carry out what is ours to do; return what is to be published."""
        match action:
            case Publish(channel, payload):
                return [(channel, payload)]
            case SendDictionary(ep, a0):
                chunks, size = await self._buffer.dictionary(ep, a0)
                session.dictionary_sent(ep, size)
                return [("inv", chunk) for chunk in chunks]
            case SendSnapshot():
                batch, order = self._buffer.snapshot()
                return [("now", one) for one in snapshots(self._buffer.epoch, batch, order)]
            case Confirm(ep, stream, acked):
                await self._buffer.confirm(ep, stream, acked)
            case Revive():
                await self._revive(session, action)
            case HeardTime(cloud_us, waited):
                await self._hear(session, cloud_us, waited)
            case Ordered() | Wanted():
                self._hand_over(action)
            case Refused(ep, stream, s0, reason):
                self._tell_refused(ep, stream, s0, reason)
        return []

    def _hand_over(self, came: Ordered | Wanted) -> None:
        heeds = self._commands if isinstance(came, Ordered) else self._desired
        if heeds:
            heeds.offer(came.payload)

    async def _revive(self, session: Session, lost: Revive) -> None:
        revived = await self._buffer.revive(lost.ep, lost.stream, lost.ranges)
        if revived:
            session.rewind()
            self.counters["rows_revived"] += revived
            log.warning(
                "the cloud has lost rows that it had confirmed; they are sent again",
                extra={"epoch": lost.ep, "stream": lost.stream, "rows": revived},
            )

    async def _hear(self, session: Session, cloud_us: int, waited: float) -> None:
        was_unset = self._clock.state == "unset"
        await self._keeper.hear(cloud_us, waited)
        if was_unset:
            session.rewind()  # rows that waited for the time can be had now

    def _tell_refused(self, ep: str, stream: str, s0: int, reason: str) -> None:
        if (key := (ep, stream, s0)) in self._refused or len(self._refused) >= _TOLD:
            return
        self._refused[key] = reason
        log.error(
            "the cloud will not take a message; it is kept and offered again on the next connection",
            extra={"epoch": ep, "stream": stream, "s0": s0, "reason": reason},
        )

    # ------------------------------------------------------------ accounts

    async def _account(self, session: str) -> tuple[Hello, Mark]:
        """Return what the gateway holds, and up to where that goes in the current epoch."""
        stats = await self._buffer.stats()
        mark = self._buffer.mark("tel")
        holdings = await self._buffer.holdings()
        hello = fitting(
            holdings,
            lambda epochs: Hello(
                session=session,
                agent=version("plantroom"),
                boot=self._buffer.boot,
                clock=self._clock.state,
                epochs=epochs,
                used_bytes=stats.used_bytes,
                limit_bytes=stats.limit_bytes,
                certificate=self._credentials.used.signer.certificate,
                takes=[
                    *(self._commands.takes if self._commands else ()),
                    *(self._desired.takes if self._desired else ()),
                ],
            ),
        )
        return hello, mark

    def _audit_every(self, session: Session) -> float:
        early = session.doubtful or self._clock.state == "unset"
        return EARLY_AUDIT if early else AUDIT_EVERY

    async def _audit(self, line: Line) -> None:
        try:
            account = await self._account(line.session.name)
        except Unavailable:
            self.counters["buffer_unavailable"] += 1
            return
        await self._perform(line, line.session.audit(*account, self._clock.monotonic()))

    async def _send_state(self, line: Line, *, online: bool) -> None:
        try:
            held = await self._buffer.holdings()
            oldest = (await self._buffer.stats()).oldest_us
        except Unavailable:
            self.counters["buffer_unavailable"] += 1
            return
        state = fitting(
            held,
            lambda epochs: State(
                online=online,
                at=self._clock.now_us(),
                clock=self._clock.state,
                oldest_us=oldest,
                epochs=epochs,
                counters=self._figures() | self._keeper.figures(),
            ),
        )
        await line.publish([("state", encode(state))])
