"""The embedded broker: amqtt (MQTT 3.1.1), hardened to what Mosquitto is configured for.

What amqtt does not do by itself is done here: a certificate of our authority is a must and its
common name is the client; wills obey the ACL and come after all else that the client has sent;
nobody takes over another's session; nothing is retained; packets have a size; a silent client is
dropped after its keep-alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from amqtt.adapters import (
    BufferReader,
    ReaderAdapter,
    StreamReaderAdapter,
    StreamWriterAdapter,
    WriterAdapter,
)
from amqtt.broker import Broker
from amqtt.contexts import Action, BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import AMQTTError, BrokerError, MQTTError, NoDataError, ProtocolHandlerError
from amqtt.mqtt.connack import NOT_AUTHORIZED, UNACCEPTABLE_PROTOCOL_VERSION, ConnackPacket
from amqtt.mqtt.disconnect import DisconnectPacket
from amqtt.mqtt.packet import CONNECT
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from plantroom_cloud.broker import denied
from plantroom_cloud.broker.denied import Denied
from plantroom_cloud.broker.rules import identity, may_connect, may_publish, may_read
from plantroom_cloud.gateways.pki import Authority, server_context
from plantroom_shared.errors import ConfigError
from plantroom_shared.wire import MAX_WIRE

log = logging.getLogger(__name__)

MAX_PACKET = MAX_WIRE + 8192
MAX_UNACKED = 512
"""Messages on their way to one client; beyond that they are dropped and counted, with a warning.

The edge sends again what the cloud has not acked, so nothing is lost, only late.
"""
_WARN_AGAIN = 60.0  # seconds between two warnings of the same slow reader
LOOK = 1.0
"""Seconds between two looks at who is denied."""
_PATIENCE = 10.0  # seconds for a TLS handshake, and again for CONNECT
_NAME = "plantroom.name"
_SERIAL = "plantroom.serial"
_WILL = "plantroom.will"
_ENDED = "plantroom.ended"
_MQTT_3_1_1 = 4


class CertificateAuth(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is untyped
    """Lets in whoever the broker below has recognised."""

    async def authenticate(self, *, session: Session) -> bool | None:
        """Say whether the session has a name."""
        return bool(session.attributes.get(_NAME))


class TopicRules(BaseTopicPlugin):  # type: ignore[misc]  # amqtt is untyped
    """The two rules, for every publish, subscription and delivery."""

    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool | None:
        """Say whether the session may do `action` on `topic`."""
        name = session.attributes.get(_NAME, "") if session else ""
        if not name or not topic:
            return False
        return (may_publish if action is Action.PUBLISH else may_read)(name, topic)


class _BoundedReader(StreamReaderAdapter):  # type: ignore[misc]  # amqtt is untyped
    """Refuses to read more than a packet may hold, before anything of it is in memory."""

    async def read(self, n: int = -1) -> bytes:
        if n > MAX_PACKET:
            msg = f"packet of {n} bytes"
            raise ValueError(msg)  # ends the connection; amqtt would go on after an MQTTError
        data: bytes = await super().read(n)
        return data


class _Writer(StreamWriterAdapter):  # type: ignore[misc]  # amqtt is untyped
    """Can end a connection without a goodbye, for which a dead peer would have to be waited for."""

    def abort(self) -> None:
        """End the connection now."""
        self._writer.transport.abort()


class EmbeddedBroker(Broker):  # type: ignore[misc]  # amqtt is untyped
    """amqtt's broker with mutual TLS and without the ways around it."""

    def __init__(self, context: ssl.SSLContext, host: str, port: int) -> None:
        here = __name__
        super().__init__(
            BrokerConfig(
                listeners={"default": ListenerConfig(type=ListenerType.TCP, bind=f"{host}:{port}")},
                plugins={f"{here}.CertificateAuth": {}, f"{here}.TopicRules": {}},
                timeout_disconnect_delay=15,  # keep-alives are late on a busy line
            )
        )
        self._context, self._host, self._port = context, host, port
        self.dropped: Counter[str] = Counter()
        """Client → messages that it was too slow for, since the start."""
        self._warned: dict[str, float] = {}
        self._denied = Denied()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._servers["default"].instance.sockets[0].getsockname()[1])

    async def deny(self, denied: Denied, crl: Path) -> None:
        """Let nobody in, from now on, that is denied, and end the connections of those that are in.

        Args:
            denied: all of them.
            crl: revocation lists that the handshake goes by.
        """
        self._denied = denied
        self._context.load_verify_locations(crl)
        for name, (session, _) in list(self._sessions.items()):
            if self._is_denied(name, str(session.attributes.get(_SERIAL, ""))):
                session.attributes[_WILL] = session.will_flag = False
                log.warning("connection of a revoked gateway ended", extra={"client": name})
                await self._throw_out(name)

    def _is_denied(self, name: str, serial: str) -> bool:
        return name in self._denied.gateways or serial in self._denied.serials

    async def _create_server_instance(
        self, listener_name: str, *_: Any, **__: Any
    ) -> asyncio.Server:
        return await asyncio.start_server(
            partial(self.stream_connected, listener_name=listener_name),
            self._host,
            self._port,
            ssl=self._context,
            ssl_handshake_timeout=_PATIENCE,
        )

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve one connection until it ends; whatever goes wrong ends only this one."""
        try:
            await self._client_connected(listener_name, _BoundedReader(reader), _Writer(writer))
        except Exception:  # whatever amqtt stumbles over, it ends this one connection
            log.debug("connection ended", exc_info=True)
        finally:
            writer.close()

    async def _initialize_client_session(
        self, reader: ReaderAdapter, writer: WriterAdapter, *_: Any
    ) -> tuple[BrokerProtocolHandler, Session]:
        """Read CONNECT and settle who this is before any session is touched.

        amqtt would first throw out the session of that client id and ask afterwards.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                packet = await _read_connect(reader)
                if _level(packet) != _MQTT_3_1_1:
                    await _refuse(writer, UNACCEPTABLE_PROTOCOL_VERSION)
                handler, session = await BrokerProtocolHandler.init_from_connect(
                    BufferReader(packet), writer, self.plugins_manager
                )
        except (TimeoutError, ValueError, OSError, asyncio.IncompleteReadError) as error:
            raise MQTTError(str(error)) from error
        shown = session.ssl_object.getpeercert() if session.ssl_object else None
        name = identity(shown)
        allowed = may_connect(name, session.client_id or "", session.will_topic)
        if not allowed or self._is_denied(name, serial_of(shown)):
            extra = {"client": name, "client_id": str(session.client_id)[:64]}
            log.warning("connection refused", extra=extra)
            await _refuse(writer, NOT_AUTHORIZED)
        session.attributes[_NAME] = session.username = name
        session.attributes[_SERIAL] = serial_of(shown)
        session.clean_session, session.will_retain = True, False
        await self._throw_out(name)
        if session.keep_alive:
            session.keep_alive = int(session.keep_alive * 1.5) + 1
        handler.handle_read_timeout = partial(self._drop, handler)
        return handler, session

    async def _throw_out(self, name: str) -> None:
        """End what is left of the same client's last connection, its will included."""
        session, handler = self._sessions.pop(name, (None, None))
        if session is None or handler is None:
            return
        await self._del_all_subscriptions(session)
        await handler.handle_connection_closed()
        if isinstance(handler.writer, _Writer):
            handler.writer.abort()
        await handler.stop()
        if (ended := session.attributes.get(_ENDED)) is not None:
            with contextlib.suppress(TimeoutError):  # its will comes before the new one's hello
                async with asyncio.timeout(_PATIENCE):
                    await ended.wait()

    def _drop(self, handler: BrokerProtocolHandler) -> None:
        """End a connection that has been silent for longer than its keep-alive."""
        if handler.writer is not None:
            handler.reader.feed_eof()

    async def _client_message_loop(
        self, client_session: Session, handler: BrokerProtocolHandler
    ) -> None:
        """Serve until the connection ends, then pass on what was acknowledged, and the will last.

        amqtt's own sends the will first and forgets what it has not passed on by then.
        """
        ended = client_session.attributes[_ENDED] = asyncio.Event()
        try:
            await super()._client_message_loop(client_session, handler)
            waiting = client_session.delivered_message_queue
            while not waiting.empty():
                message: asyncio.Future[Any] = asyncio.Future()
                message.set_result(waiting.get_nowait())
                await self._handle_message_delivery(client_session, handler, message)
            if client_session.attributes.pop(_WILL, False):
                will = (client_session.will_topic, client_session.will_message)
                await self._broadcast_message(client_session, *will, client_session.will_qos)
        finally:
            ended.set()

    async def _handle_disconnect(
        self,
        client_session: Session,
        handler: BrokerProtocolHandler,
        disconnect_waiter: asyncio.Future[Any],
    ) -> None:
        if not isinstance(disconnect_waiter.result(), DisconnectPacket):
            client_session.attributes[_WILL] = client_session.will_flag
        client_session.will_flag = False  # it is sent later, see above
        await super()._handle_disconnect(client_session, handler, disconnect_waiter)
        current = self._sessions.get(client_session.client_id or "", (None, None))[0]
        if current is client_session:
            del self._sessions[client_session.client_id]
            await self._del_all_subscriptions(client_session)

    async def _session_monitor(self) -> None:
        """Do nothing: sessions end with their connection, see above."""

    async def retain_message(self, *_: Any, **__: Any) -> None:
        """Do nothing: whoever could leave messages behind could fill our memory with them."""

    async def _run_broadcast(self, running_tasks: Any) -> None:
        """Send the next message to whoever reads it.

        amqtt's own walks over its subscriptions while awaiting, and fails when one is added
        meanwhile.
        """
        message = await self._broadcast_queue.get()
        topic = message["topic"]
        for pattern, subscriptions in list(self._subscriptions.items()):
            if not self._matches(topic, pattern):
                continue
            for session, qos in list(subscriptions):
                name = session.attributes.get(_NAME, "")
                handler = self._get_handler(session)
                if handler is None or not may_read(name, topic):
                    continue
                if len(session.inflight_out) >= MAX_UNACKED:
                    self._drop_message(name)
                    continue
                sending = handler.mqtt_publish(topic, message["data"], qos, retain=False)
                running_tasks.append(asyncio.ensure_future(_quietly(sending)))

    def _drop_message(self, name: str) -> None:
        """Count a message that `name` does not get; warn of the first, and every so often.

        The publisher has its PUBACK already. Holding that back would let one gateway that does not
        read stop the cloud for all. Sync does not depend on it: only the cloud's own acks delete.
        """
        self.dropped[name] += 1
        now = asyncio.get_running_loop().time()
        if now - self._warned.get(name, -_WARN_AGAIN) >= _WARN_AGAIN:
            self._warned[name] = now
            dropped = self.dropped[name]
            fix = (
                "run Mosquitto, which queues: apt-get install mosquitto, then broker --engine auto"
            )
            extra = {"client": name, "dropped": dropped, "unacked": MAX_UNACKED, "fix": fix}
            log.warning("messages dropped: the client reads too slowly", extra=extra)


async def _read_connect(reader: ReaderAdapter) -> bytes:
    """Return the first packet whole; amqtt would lose its place in one of another version."""
    head = bytearray(await reader.read(2))
    while head[-1] & 0x80:
        if len(head) == 5:
            msg = "the length of the first packet has no end"
            raise ValueError(msg)
        head += await reader.read(1)
    length = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(head[1:]))
    body: bytes = await reader.read(length) if length else b""  # read(0) would be the whole stream
    return bytes(head) + body


def _level(packet: bytes) -> int:
    """Return the protocol level in a CONNECT packet, 0 if it is none."""
    start = packet.find(b"\x00\x04MQTT", 0, 12)
    return packet[start + 6] if packet[0] >> 4 == CONNECT and 0 < start < len(packet) - 6 else 0


async def _refuse(writer: WriterAdapter, code: int) -> None:
    """Answer CONNECT with a refusal, then raise."""
    await ConnackPacket.build(0, code).to_stream(writer)
    msg = f"connection refused with code {code}"
    raise MQTTError(msg)


async def _quietly(sending: Any) -> None:
    """Send; a client that goes away or does not acknowledge costs only its own messages."""
    try:
        await sending
    except (AMQTTError, MQTTError, NoDataError, ProtocolHandlerError, OSError) as error:
        log.debug("message not delivered", extra={"cause": str(error)})


async def watch(broker: EmbeddedBroker, authority: Authority) -> None:
    """Follow what is denied until cancelled; a file that cannot be read changes nothing."""
    files, seen = (denied.denied_file(authority), authority.crl_file), list[int]()
    while True:
        now = [file.stat().st_mtime_ns if file.exists() else 0 for file in files]
        if now != seen:
            try:
                await broker.deny(denied.read(authority), authority.crl_file)
                seen = now
            except (ConfigError, OSError) as error:
                log.error("who is denied cannot be read", extra={"cause": str(error)})  # noqa: TRY400 - said in full
        await asyncio.sleep(LOOK)


def serial_of(certificate: dict[str, Any] | None) -> str:
    """Return the serial number in a peer's certificate in hex, as `x509` gives it."""
    return str((certificate or {}).get("serialNumber", "")).lower().lstrip("0")


async def start(authority: Authority, host: str, port: int) -> EmbeddedBroker:
    """Return a serving broker.

    Raises:
        ConfigError: the address is taken or not ours.
    """
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # it warns of every client that leaves
    context = server_context(authority.files("server"), authority.crl_file)
    broker = EmbeddedBroker(context, host, port)
    await broker.deny(denied.read(authority), authority.crl_file)
    try:
        await broker.start()
    except BrokerError as error:
        what = f"the broker cannot listen on {host}:{port}: {error}"
        raise ConfigError(what, key="mqtt.port", fix="choose a free port with --port") from error
    return broker
