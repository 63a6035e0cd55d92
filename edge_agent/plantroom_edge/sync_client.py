"""One MQTT connection: how it is made, in which version, and how to publish on it."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import ssl
from collections.abc import Sequence
from typing import Final

import aiomqtt
from aiomqtt import ProtocolVersion
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from plantroom_edge.config import CloudConfig
from plantroom_edge.session import Session
from plantroom_shared import topics
from plantroom_shared.cancelling import ended
from plantroom_shared.wire import MAX_WIRE, State, encode

KEEPALIVE: Final = 30
"""Seconds after which a silent broker is asked whether it is still there."""

CONNACK_WITHIN: Final = 10.0
"""Seconds that the broker has to answer a connect; one that hangs up uses them up, too."""

PUBACK_WITHIN: Final = 20.0
"""Seconds within which the broker must take a message, however many are on their way."""

UNTAKEN: Final = 64
"""Messages that may wait for their PUBACK: rows have their window, a dictionary may be long."""

_OLD_FOR: Final = 10
"""Connections in MQTT 3.1.1 after which 5 is tried again."""

_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})
"""What a connect ends in where the network itself says that there is no way."""

_UNSUPPORTED: Final = frozenset({1, 132})
"""CONNACK codes for a protocol version that the broker does not speak."""


class Line:
    """One connection and what runs on it.

    Args:
        client: connected.
        session: what it carries.
        receiver: ends with the connection.
        gateway: id of this gateway.
    """

    def __init__(
        self, client: aiomqtt.Client, session: Session, receiver: asyncio.Task[None], gateway: str
    ) -> None:
        self.session = session
        self._client, self._receiver, self._gateway = client, receiver, gateway
        self._sending: set[asyncio.Task[None]] = set()
        self._taken_at = 0.0

    def check(self) -> None:
        """Raise what ended the connection, if it has ended or the broker takes nothing any more."""
        if self._receiver.done():
            self._receiver.result()
            msg = "the connection was closed"
            raise aiomqtt.MqttError(msg)
        taken = {sent for sent in self._sending if sent.done()}
        self._sending -= taken
        for sent in taken:
            sent.result()
        now = asyncio.get_running_loop().time()
        if taken or not self._sending:
            self._taken_at = now
        elif now - self._taken_at >= PUBACK_WITHIN:
            msg = f"the broker took nothing for {PUBACK_WITHIN:g} s"
            raise aiomqtt.MqttError(msg)

    async def publish(self, outgoing: Sequence[tuple[str, bytes]]) -> None:
        """Publish in this order; their PUBACKs are not waited for unless there are too many.

        On a line that is long they would cost one way there and back for each step.
        """
        self.check()
        for channel, payload in outgoing:
            topic = topics.up(self._gateway, channel)
            sending = self._client.publish(topic, payload, qos=1, timeout=math.inf)
            self._sending.add(asyncio.create_task(sending))
        await self._until_left(UNTAKEN)

    async def flush(self) -> None:
        """Return when the broker has taken everything."""
        await self._until_left(0)

    async def _until_left(self, most: int) -> None:
        """Wait until no more than `most` messages are not taken.

        A slow line may take minutes for all of them: only one that takes nothing at all is dead.
        """
        while len(self._sending) > most:
            # aiomqtt would wait for the PUBACK of a connection that is gone for ever.
            await asyncio.wait(
                {*self._sending, self._receiver},
                timeout=PUBACK_WITHIN,
                return_when=asyncio.FIRST_COMPLETED,
            )
            self.check()

    async def close(self) -> None:
        """Wait for nothing any more."""
        await ended(*self._sending, self._receiver)


def make_client(
    gateway: str, cloud: CloudConfig, tls: ssl.SSLContext, spoken: ProtocolVersion
) -> aiomqtt.Client:
    """Return a client that has yet to connect; to be entered."""
    five = spoken is ProtocolVersion.V5
    will = aiomqtt.Will(topics.up(gateway, "state"), encode(State(online=False)), qos=1)
    client = aiomqtt.Client(
        cloud.host,
        cloud.port,
        identifier=gateway,
        protocol=spoken,
        will=will,
        keepalive=KEEPALIVE,
        tls_context=tls,
        timeout=CONNACK_WITHIN,
        max_queued_incoming_messages=1000,
        clean_session=None if five else True,
        clean_start=True if five else MQTT_CLEAN_START_FIRST_ONLY,
        properties=_properties() if five else None,
    )
    client.pending_calls_threshold = UNTAKEN + 1  # until then it is none of its business
    return client


def _properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho has no types there
    properties.SessionExpiryInterval = 0
    properties.ReceiveMaximum = 20
    properties.MaximumPacketSize = MAX_WIRE + 4096
    return properties


def forget(client: aiomqtt.Client) -> None:
    """Take note of how the connection ended: asyncio would complain that nobody did."""
    ended = client._disconnected  # noqa: SLF001 -- aiomqtt has no other way to it
    if ended.done() and not ended.cancelled():
        ended.exception()


class Versions:
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


def nobody_listened(error: aiomqtt.MqttError) -> bool:
    """Say whether a connect failed before it reached any broker: refused, no way, or no such name."""
    # aiomqtt keeps the words only; what it was caught from stands behind it.
    cause = error.__context__
    return isinstance(cause, ConnectionRefusedError | socket.gaierror) or (
        isinstance(cause, OSError) and cause.errno in _NO_WAY
    )


def _code(error: aiomqtt.MqttError) -> int:
    """Return the reason code that the broker gave; 0 if it gave none."""
    if not isinstance(error, aiomqtt.MqttCodeError):
        return 0
    return error.rc.value if isinstance(error.rc, ReasonCode) else error.rc or 0
