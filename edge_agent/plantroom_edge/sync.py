"""The thin rim around `Session`: MQTT over TLS, one connection at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, TypeVar

import aiomqtt
from aiomqtt import ProtocolVersion
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from plantroom_edge.buffer import Buffer
from plantroom_edge.config import CloudConfig
from plantroom_edge.session import Action, Confirm, Publish, Refused, SendDictionary, Session
from plantroom_shared import topics
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError, Rejected, Unavailable
from plantroom_shared.wire import MAX_WIRE, Hello, Holding, State, Stream, encode

log = logging.getLogger(__name__)

M = TypeVar("M", Hello, State)

STATE_EVERY: Final = 5.0
"""Seconds between two accounts of the gateway."""

KEEPALIVE: Final = 30
"""Seconds after which a silent broker is asked whether it is still there."""

CONNACK_WITHIN: Final = 10.0
"""Seconds that the broker has to answer a connect; one that hangs up uses them up, too."""

PUBACK_WITHIN: Final = 10.0
"""Seconds that the broker has to take a message."""

_OLD_FOR: Final = 10
"""Connections in MQTT 3.1.1 after which 5 is tried again."""

_UNSUPPORTED: Final = frozenset({1, 132})
"""CONNACK codes for a protocol version that the broker does not speak."""

_LATER: Final = 1.0
"""Seconds to wait where the buffer cannot be read now."""


def tls_context(cloud: CloudConfig) -> ssl.SSLContext:
    """Return the TLS settings for the connection; ConfigError if a file is not what it should be."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(cloud.ca))
    except (ssl.SSLError, OSError) as error:
        what = f"{cloud.ca} holds no usable CA certificate: {error}"
        raise ConfigError(what, key="cloud.ca", fix="give the PEM file of the authority") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cloud.cert, cloud.key, password="")
    except (ssl.SSLError, OSError) as error:
        what = f"{cloud.cert} and {cloud.key} are no certificate and its key: {error}"
        fix = "give the PEM files this gateway was issued, the key unencrypted"
        raise ConfigError(what, key="cloud.cert", fix=fix) from error
    return context


@dataclass(frozen=True, slots=True)
class _Line:
    """One connection and what runs on it."""

    client: aiomqtt.Client
    session: Session
    receiver: asyncio.Task[None]
    """Ends with the connection."""
    gateway: str

    def check(self) -> None:
        """Raise what ended the connection, if it has ended."""
        if self.receiver.done():
            self.receiver.result()

    async def publish(self, outgoing: Sequence[tuple[str, bytes]]) -> None:
        """Publish in this order; all are on their way before the first PUBACK is awaited."""
        if not outgoing:
            return
        sending = asyncio.gather(
            *(
                self.client.publish(topics.up(self.gateway, channel), payload, qos=1)
                for channel, payload in outgoing
            )
        )
        ends: set[asyncio.Future[Any]] = {sending, self.receiver}
        try:
            # aiomqtt would wait for the PUBACK of a connection that is gone until its time is over.
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                self.check()
            await sending
        finally:
            sending.cancel()


class Sync:
    """Keeps the buffer and the cloud in step over one MQTT connection.

    Args:
        gateway: id of this gateway: client id, topic level, certificate CN.
        cloud: where to connect.
        buffer: what to send.
        clock: wall and monotonic time.
        figures: what else the state message shall tell.
    """

    def __init__(
        self,
        gateway: str,
        cloud: CloudConfig,
        buffer: Buffer,
        *,
        clock: Clock,
        figures: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self._gateway, self._cloud, self._buffer = gateway, cloud, buffer
        self._clock, self._figures = clock, figures
        self._tls = tls_context(cloud)
        self._versions = _Versions(cloud.mqtt)
        self._session: Session | None = None
        self._stopping = False
        self._todo: list[Action] = []
        self._told: set[tuple[str, str, int]] = set()
        self.connects = 0
        self.counters: Counter[str] = Counter()
        """Of all earlier sessions; `status` adds the present one."""
        self._protocol = ""
        self._last_ack: float | None = None

    # ------------------------------------------------------------ for the agent

    async def run(self) -> None:
        """Hold one connection until it ends; returns only after `stop`.

        Raises:
            Unavailable: there is no connection, or it broke; run again.
        """
        for spoken in self._versions.attempts():
            client = self._client(spoken)
            try:
                async with client:
                    self._versions.worked(spoken)
                    client.timeout = PUBACK_WITHIN
                    self._protocol = "5" if spoken is ProtocolVersion.V5 else "3.1.1"
                    await self._converse(client)
            except aiomqtt.MqttError as error:
                if self._versions.failed(spoken, error):
                    continue
                where = f"{self._cloud.host}:{self._cloud.port}"
                msg = f"no connection to the broker {where}: {error}"
                raise Unavailable(msg) from error
            finally:
                _forget(client)
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

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._session is not None

    def status(self) -> dict[str, Any]:
        """Return how the connection is doing, for a person."""
        session = self._session
        now = self._clock.monotonic()
        age = None if self._last_ack is None else round(now - self._last_ack, 1)
        return {
            "connected": session is not None,
            "resumed": session is not None and session.live,
            "protocol": self._protocol if session else "",
            "connects": self.connects,
            "last_ack_age": age,
            "window": session.window if session else 0,
            "counters": dict(self.counters + (session.counters if session else Counter())),
        }

    # ------------------------------------------------------------ one connection

    def _client(self, spoken: ProtocolVersion) -> aiomqtt.Client:
        five = spoken is ProtocolVersion.V5
        will = aiomqtt.Will(topics.up(self._gateway, "state"), encode(State(online=False)), qos=1)
        return aiomqtt.Client(
            self._cloud.host,
            self._cloud.port,
            identifier=self._gateway,
            protocol=spoken,
            will=will,
            keepalive=KEEPALIVE,
            tls_context=self._tls,
            timeout=CONNACK_WITHIN,
            max_queued_incoming_messages=1000,
            clean_session=None if five else True,
            clean_start=True if five else MQTT_CLEAN_START_FIRST_ONLY,
            properties=_properties() if five else None,
        )

    async def _converse(self, client: aiomqtt.Client) -> None:
        await client.subscribe(f"sv1/{self._gateway}/down/#", qos=1)
        session = Session(await self._hello())
        self._session, self._todo = session, []
        self.connects += 1
        receiver = asyncio.create_task(self._receive(client, session), name="sync receiver")
        line = _Line(client, session, receiver, self._gateway)
        try:
            await self._pump(line)
        finally:
            self._session = None
            self.counters += session.counters
            receiver.cancel()
            await asyncio.gather(receiver, return_exceptions=True)

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

    async def _pump(self, line: _Line) -> None:
        """Carry out what the session asks for, until the connection ends or `stop` is called."""
        session = line.session
        await self._perform(line, session.start(self._clock.monotonic()))
        state_due = self._clock.monotonic()
        while not self._stopping:
            self._buffer.changed.clear()
            line.check()
            now = self._clock.monotonic()
            if now >= state_due:
                await self._send_state(line, online=True)
                state_due = now + STATE_EVERY
            pause = await self._step(line)
            wait = min(state_due, session.due()) - self._clock.monotonic()
            await self._wait(min(wait, pause))
        await self._send_state(line, online=False)

    async def _step(self, line: _Line) -> float:
        """Do all that can be done now; return the seconds after which to look again."""
        session = line.session
        actions, self._todo = self._todo, []
        actions += session.tick(self._clock.monotonic())
        size = self._buffer.dictionary_size
        actions += session.dictionary_grew(self._buffer.epoch, size)
        try:
            await self._perform(line, actions)
            streams: tuple[Stream, Stream] = ("evt", "tel")
            for stream in streams:
                if want := session.want(stream):
                    frames = await self._buffer.next(want.stream, want.after, want.limit)
                    offered = session.offer(frames, self._clock.monotonic())
                    await self._perform(line, offered)
        except Unavailable:
            # The buffer says so itself, once; what was not confirmed or sent comes again.
            self.counters["buffer_unavailable"] += 1
            return _LATER
        self._last_ack = session.last_ack or self._last_ack
        return math.inf

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._buffer.changed.wait()

    # ------------------------------------------------------------ actions

    async def _perform(self, line: _Line, actions: Sequence[Action]) -> None:
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
            case Confirm(ep, stream, acked):
                await self._buffer.confirm(ep, stream, acked)
            case Refused(ep, stream, s0, reason):
                self._tell_refused(ep, stream, s0, reason)
        return []

    def _tell_refused(self, ep: str, stream: Stream, s0: int, reason: str) -> None:
        if (key := (ep, stream, s0)) in self._told or len(self._told) >= 1000:
            return
        self._told.add(key)
        log.error(
            "the cloud will not take a message; it is kept and offered again on the next connection",
            extra={"epoch": ep, "stream": stream, "s0": s0, "reason": reason},
        )

    async def _hello(self) -> Hello:
        stats = await self._buffer.stats()
        return _fitting(
            await self._buffer.holdings(),
            lambda epochs: Hello(
                session=secrets.token_hex(8),
                agent=version("plantroom"),
                boot=self._buffer.boot,
                epochs=epochs,
                used_bytes=stats.used_bytes,
                limit_bytes=stats.limit_bytes,
            ),
        )

    async def _send_state(self, line: _Line, *, online: bool) -> None:
        try:
            held = await self._buffer.holdings()
        except Unavailable:
            self.counters["buffer_unavailable"] += 1
            return
        state = _fitting(
            held,
            lambda epochs: State(
                online=online, at=self._clock.now_us(), epochs=epochs, counters=self._figures()
            ),
        )
        await line.publish([("state", encode(state))])


def _forget(client: aiomqtt.Client) -> None:
    """Take note of how the connection ended: asyncio would complain that nobody did."""
    ended = client._disconnected  # noqa: SLF001 -- aiomqtt has no other way to it
    if ended.done() and not ended.cancelled():
        ended.exception()


def _fitting(epochs: list[Holding], build: Callable[[list[Holding]], M]) -> M:
    """Build a message with as many epochs as fit: the newest one and the oldest."""
    while True:
        message = build(epochs)
        try:
            encode(message)
        except Rejected:
            if len(epochs) <= 1:
                return build([])
            epochs = [*epochs[: (len(epochs) - 1) // 2], epochs[-1]]
        else:
            return message


def _properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho has no types there
    properties.SessionExpiryInterval = 0
    properties.ReceiveMaximum = 20
    properties.MaximumPacketSize = MAX_WIRE + 4096
    return properties


class _Versions:
    """Which version of MQTT to speak: 5 where the broker does, unless told otherwise."""

    def __init__(self, setting: str) -> None:
        self._auto = setting == "auto"
        self._fixed = ProtocolVersion.V311 if setting == "3.1.1" else ProtocolVersion.V5
        self._old_for = 0

    def attempts(self) -> list[ProtocolVersion]:
        """Return the versions to try on one connection, best first."""
        if not self._auto:
            return [self._fixed]
        if self._old_for:
            self._old_for -= 1
            return [ProtocolVersion.V311]
        return [ProtocolVersion.V5, ProtocolVersion.V311]

    def worked(self, spoken: ProtocolVersion) -> None:
        """A connection came about: do not ask a broker that is old for 5 every time."""
        if spoken is ProtocolVersion.V311 and not self._old_for:
            self._old_for = _OLD_FOR

    def failed(self, spoken: ProtocolVersion, error: aiomqtt.MqttError) -> bool:
        """Return whether it is worth trying the next version at once."""
        # Some brokers refuse a version they do not know by name, others just hang up.
        refused = _code(error) in _UNSUPPORTED or str(error) == "Operation timed out"
        if refused and spoken is ProtocolVersion.V311:
            self._old_for = 0
        return refused and self._auto and spoken is ProtocolVersion.V5


def _code(error: aiomqtt.MqttError) -> int:
    """Return the reason code that the broker gave; 0 if it gave none."""
    if not isinstance(error, aiomqtt.MqttCodeError):
        return 0
    return error.rc.value if isinstance(error.rc, ReasonCode) else error.rc or 0
