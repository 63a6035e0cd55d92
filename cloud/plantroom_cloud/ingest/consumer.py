"""The consumer: MQTT in, answers out, the store between them.

::

    broker ─▶ read: decode ─▶ lanes ─▶ store: one transaction ─▶ commit ─▶ outbound ─▶ broker
       ▲                                                            │
       └──────────────── PUBACK: flow control, nothing more ◀───────┘

The broker gets its PUBACK only when a message is dealt with, so a slow database stops the broker
from sending instead of filling our memory. The lanes outlive the connection, and what is in them
when the process ends was never acknowledged: the edge sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import aiomqtt
from aiomqtt import ProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from sqlalchemy.exc import SQLAlchemyError

from plantroom_cloud import streaming
from plantroom_cloud.commands.sender import EVERY
from plantroom_cloud.config import MqttSettings
from plantroom_cloud.configuration.sender import Senders
from plantroom_cloud.gateways.pki import CLOUDS, TlsFiles, client_context
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.lane import Delivery, Lane, lane_of
from plantroom_cloud.ingest.messages import Incoming, Refused, read, sender
from plantroom_cloud.ingest.outbound import Outbound, Outgoing
from plantroom_cloud.ingest.pressure import Room, weight
from plantroom_cloud.ingest.store import Item, Store
from plantroom_cloud.kit import figures
from plantroom_cloud.kit.dependencies import Dependency
from plantroom_cloud.supervise import AWAY, Backoff
from plantroom_shared import topics, wire
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import ConfigError

log = logging.getLogger(__name__)

IN_FLIGHT = 64
"""Messages that the broker may send before the first is dealt with."""
GROUP = 32
"""Messages in one transaction, at most."""
DECODED = 96 * 1024 * 1024
"""Bytes that messages may take between being decoded and stored."""
SHARED = "$share/plantroom/"
"""Prefix of the subscription that several ingest processes share."""
_REORDER_US = 2_000_000  # that long one of several may hold a message while others go on
_TICK = 0.25
_AGAIN = 2.0
_UNREAD = 512  # beyond that a broker without flow control is not listened to
_TIMEOUT = 5.0
_DRAIN = 10.0
_UNSUPPORTED: Final = 132  # MQTT 5's reason code for a version the broker does not speak


class Ingest:
    """Takes everything gateways send through the broker of `settings` into `store`.

    Args:
        store: where to.
        settings: where the broker is.
        tls: the cloud's own certificate.
        gather: seconds that acks wait for more of their kind, at most.
        sender: finds commands and configurations to be sent; without it none are.
    """

    def __init__(
        self,
        store: Store,
        settings: MqttSettings,
        tls: TlsFiles,
        *,
        gather: float = 0.3,
        sender: Senders | None = None,
    ) -> None:
        self._sender = sender
        self._store, self._settings, self._tls = store, settings, tls
        self._outbound, self._room = Outbound(gather), Room(DECODED)
        self.lanes = [
            Lane(store, self._outbound, self._room, length=IN_FLIGHT, group=GROUP)
            for _ in range(store.writers)
        ]
        if settings.instance:
            store.reorder_us = _REORDER_US
        self._speaking = asyncio.Lock()
        self._broker = Dependency("broker", store.clock)
        self._version = ProtocolVersion.V311 if settings.version == "3.1.1" else ProtocolVersion.V5
        self.ready = asyncio.Event()
        """Set while connected and subscribed."""
        figures.watch(self, _read)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`; then finish what has been read, answer it and disconnect."""
        context = client_context(self._tls)
        storing = [
            asyncio.create_task(lane.run(stop), name=f"ingest-store-{number}")
            for number, lane in enumerate(self.lanes)
        ]
        connecting = asyncio.create_task(self._stay_connected(context, stop), name="ingest-mqtt")
        watching = asyncio.create_task(self._watch(), name="ingest-pressure")
        try:
            tasks = (*storing, connecting, watching)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            outcomes = await ended(*storing, connecting, watching)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    # ------------------------------------------------------------ connection

    async def _stay_connected(self, context: ssl.SSLContext, stop: asyncio.Event) -> None:
        backoff = Backoff("broker", most=AWAY)
        while not stop.is_set():
            try:
                async with self._client(context) as client:
                    for wanted in (topics.ALL_UP, *streaming.FILTERS):
                        prefix = SHARED if self._settings.instance else ""
                        await client.subscribe(prefix + wanted, qos=1)
                    backoff.recovered()
                    await self._serve(client, stop)
            except aiomqtt.MqttError as error:
                self._broker.failed(error)
                if not self._fall_back(error):
                    await backoff.wait(error, stop)

    def _client(self, context: ssl.SSLContext) -> aiomqtt.Client:
        properties = None
        if self._version is ProtocolVersion.V5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
            properties.ReceiveMaximum = IN_FLIGHT
        client = aiomqtt.Client(
            self._settings.host,
            self._settings.port,
            identifier=CLOUDS[
                self._settings.instance
            ],  # both brokers insist that it is the certificate's name
            protocol=self._version,
            tls_context=context,
            timeout=_TIMEOUT,
            keepalive=30,
            clean_session=None if properties else True,
            properties=properties,
            max_queued_incoming_messages=_UNREAD,
        )
        client._client.manual_ack_set(on=True)  # noqa: SLF001 - see _Delivery
        return client

    def _fall_back(self, error: aiomqtt.MqttError) -> bool:
        """Change to MQTT 3.1.1 if that is what the broker asks for; say whether we did."""
        reason = getattr(error, "rc", None)
        unsupported = getattr(reason, "value", reason) == _UNSUPPORTED
        if self._settings.version != "auto" or not unsupported:
            # The next broker at this address may be another one: begin with the better version.
            if self._settings.version == "auto":
                self._version = ProtocolVersion.V5
            return False
        if self._settings.instance:
            what = "several ingest processes need a broker that speaks MQTT 5"
            raise ConfigError(what, key="mqtt.instance", fix="use Mosquitto, or one process: 0")
        self._version = ProtocolVersion.V311
        return True

    async def _serve(self, client: aiomqtt.Client, stop: asyncio.Event) -> None:
        log.info("ingest connected", extra={"mqtt": self._version.name})
        self.ready.set()
        reading = asyncio.create_task(self._read(client), name="ingest-read")
        sending = asyncio.create_task(self._send(client), name="ingest-send")
        commanding = asyncio.create_task(self._command(client), name="ingest-commands")
        stopping = asyncio.create_task(stop.wait(), name="ingest-stop")
        try:
            done, _ = await asyncio.wait(
                (reading, sending, commanding, stopping), return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            await ended(reading)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN):
                    for lane in self.lanes:
                        await lane.queue.join()
                    await self._publish(client, self._outbound.take())
        finally:
            self.ready.clear()
            await ended(reading, sending, commanding, stopping)

    async def _read(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic, payload = str(message.topic), message.payload
            content = payload if isinstance(payload, bytes) else b""
            size = weight(content)
            await self._room.enter(size)
            item = self._understand(topic, content)
            lane = lane_of(self.lanes, item.gateway)
            await lane.put(Delivery(item, client, message.mid, message.qos, size))

    def _understand(self, topic: str, payload: bytes) -> Item:
        take = streaming.read if streaming.is_ours(topic) else read
        try:
            item = take(topic, payload)
        except Exception:  # a message that finds a bug in us must not stop all the others
            log.exception("message cannot be read", extra={"topic": topic[:100]})
            return Refused(sender(topic), "error")
        if isinstance(item, Incoming) and isinstance(item.content, wire.Hello | wire.State):
            # What it says of its clock is worth as much as we know of when it said so.
            return replace(item, received_us=self._store.clock.now_us())
        return item

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            await self._publish(client, await self._outbound.next())

    async def _command(self, client: aiomqtt.Client) -> None:
        """Send commands as they are given; the broker forgets each when it is worth nothing."""
        while self._sender is None:
            await asyncio.Event().wait()
        while True:
            try:
                async for due in self._sender.due():
                    properties = None
                    if self._version is ProtocolVersion.V5:
                        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
                        properties.MessageExpiryInterval = due.expires_in
                    await client.publish(due.topic, due.payload, qos=1, properties=properties)
            except (SQLAlchemyError, OSError, ConfigError) as error:
                log.warning(
                    "commands and configurations cannot be sent", extra={"error": str(error)}
                )
                await asyncio.sleep(_AGAIN)
            await asyncio.sleep(EVERY)

    async def _publish(self, client: aiomqtt.Client, outgoing: list[Outgoing]) -> None:
        # One at a time: who stops waits for what another has taken to be sent.
        async with self._speaking:
            for start in range(0, len(outgoing), 10):
                chunk = outgoing[start : start + 10]
                await asyncio.gather(*(self._say(client, *message) for message in chunk))

    async def _say(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        await client.publish(topic, payload, qos=streaming.qos(topic))
        figures.INGEST_ACKS.inc()

    async def _watch(self) -> None:
        """Tell gateways to go slower while storing is behind, and to go on afterwards."""
        while True:
            await asyncio.sleep(_TICK)
            if self.ready.is_set():  # the client notices a broker that says nothing any more
                self._broker.worked()
            now = asyncio.get_running_loop().time()
            if flows := [flow for lane in self.lanes for flow in lane.pressure.flows(now)]:
                self._outbound.add(Answers(flows=flows), 0)


def _read(ingest: Ingest) -> Iterable[figures.Reading]:
    text = "1 while connected to the broker; said by processes that store."
    yield "ingest_connected", text, (), float(ingest.ready.is_set())
    text = "Messages that are read and not stored."
    waiting = sum(lane.waiting.total() for lane in ingest.lanes)
    yield "ingest_waiting_messages", text, (), float(waiting)
    text = "How long the oldest message waits to be stored."
    now = time.monotonic()  # as the loop's own
    yield "ingest_lag_seconds", text, (), max(lane.pressure.behind(now) for lane in ingest.lanes)
