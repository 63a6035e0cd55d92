"""The consumer: MQTT in, answers out, the store between them.

::

    broker ─▶ read: decode ─▶ queue ─▶ store: one transaction ─▶ commit ─▶ outbound ─▶ broker
       ▲                                                            │
       └──────────────── PUBACK: flow control, nothing more ◀───────┘

The broker gets its PUBACK only when a message is dealt with, so a slow database stops the broker
from sending instead of filling our memory. The queue outlives the connection, and what is in it
when the process ends was never acknowledged: the edge sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from dataclasses import dataclass
from typing import Final

import aiomqtt
from aiomqtt import ProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from plantroom_cloud.config import MqttSettings
from plantroom_cloud.gateways.pki import CLOUD, TlsFiles, client_context
from plantroom_cloud.ingest.batch import Answers
from plantroom_cloud.ingest.messages import Refused, read, sender
from plantroom_cloud.ingest.outbound import Outbound, Outgoing
from plantroom_cloud.ingest.store import Item, Store
from plantroom_cloud.supervise import Backoff, cancelled
from plantroom_shared import topics
from plantroom_shared.errors import Unavailable

log = logging.getLogger(__name__)

IN_FLIGHT = 64
"""Messages that the broker may send before the first is dealt with."""
GROUP = 32
"""Messages in one transaction, at most."""
_UNREAD = 512  # beyond that a broker without flow control is not listened to
_TIMEOUT = 5.0
_DRAIN = 10.0
_UNSUPPORTED: Final = 132  # MQTT 5's reason code for a version the broker does not speak


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A message with the way to say that it is dealt with."""

    item: Item
    client: aiomqtt.Client
    mid: int
    qos: int

    def done(self) -> None:
        """Tell the broker; on a connection that is gone this does nothing."""
        # aiomqtt has no call for it: acknowledging late is what makes a slow database slow the
        # broker down.
        self.client._client.ack(self.mid, self.qos)  # noqa: SLF001


class Ingest:
    """Takes everything gateways send through the broker of `settings` into `store`.

    Args:
        store: where to.
        settings: where the broker is.
        tls: the cloud's own certificate.
        gather: seconds that acks wait for more of their kind, at most.
    """

    def __init__(
        self, store: Store, settings: MqttSettings, tls: TlsFiles, *, gather: float = 0.3
    ) -> None:
        self._store, self._settings, self._tls = store, settings, tls
        self._queue: asyncio.Queue[_Delivery] = asyncio.Queue(IN_FLIGHT)
        self._outbound = Outbound(gather)
        self._database = Backoff("database", most=5.0)
        self._version = ProtocolVersion.V311 if settings.version == "3.1.1" else ProtocolVersion.V5
        self.ready = asyncio.Event()
        """Set while connected and subscribed."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`; then finish what has been read, answer it and disconnect."""
        context = client_context(self._tls)
        storing = asyncio.create_task(self._store_forever(stop), name="ingest-store")
        connecting = asyncio.create_task(self._stay_connected(context, stop), name="ingest-mqtt")
        try:
            await asyncio.wait((storing, connecting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            outcomes = await cancelled(storing, connecting)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    # ------------------------------------------------------------ connection

    async def _stay_connected(self, context: ssl.SSLContext, stop: asyncio.Event) -> None:
        backoff = Backoff("broker", most=5.0)
        while not stop.is_set():
            try:
                async with self._client(context) as client:
                    await client.subscribe(topics.ALL_UP, qos=1)
                    backoff.recovered()
                    await self._serve(client, stop)
            except aiomqtt.MqttError as error:
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
            identifier=CLOUD,  # both brokers insist that it is the certificate's name
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
        self._version = ProtocolVersion.V311
        return True

    async def _serve(self, client: aiomqtt.Client, stop: asyncio.Event) -> None:
        log.info("ingest connected", extra={"mqtt": self._version.name})
        self.ready.set()
        reading = asyncio.create_task(self._read(client), name="ingest-read")
        sending = asyncio.create_task(self._send(client), name="ingest-send")
        stopping = asyncio.create_task(stop.wait(), name="ingest-stop")
        try:
            done, _ = await asyncio.wait(
                (reading, sending, stopping), return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            await cancelled(reading)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN):
                    await self._queue.join()
                    await self._publish(client, self._outbound.take())
        finally:
            self.ready.clear()
            await cancelled(reading, sending, stopping)

    async def _read(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic, payload = str(message.topic), message.payload
            try:
                item = read(topic, payload if isinstance(payload, bytes) else b"")
            except Exception:  # a message that finds a bug in us must not stop all the others
                log.exception("message cannot be read", extra={"topic": topic[:100]})
                item = Refused(sender(topic), "error")
            await self._queue.put(_Delivery(item, client, message.mid, message.qos))

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            await self._publish(client, await self._outbound.next())

    async def _publish(self, client: aiomqtt.Client, outgoing: list[Outgoing]) -> None:
        for start in range(0, len(outgoing), 10):
            chunk = outgoing[start : start + 10]
            await asyncio.gather(*(client.publish(*message, qos=1) for message in chunk))

    # ------------------------------------------------------------ storing

    async def _store_forever(self, stop: asyncio.Event) -> None:
        while True:
            group = [await self._queue.get()]
            while len(group) < GROUP and not self._queue.empty():
                group.append(self._queue.get_nowait())
            answers = await self._store_group([delivery.item for delivery in group], stop)
            if answers is not None:
                self._outbound.add(answers, len(group))
                for delivery in group:
                    delivery.done()
            for _ in group:
                self._queue.task_done()

    async def _store_group(self, items: list[Item], stop: asyncio.Event) -> Answers | None:
        """Store `items`, however long the database is away; None where we are told to end."""
        while True:
            try:
                answers = await self._store.store(items)
            except Unavailable as error:
                if stop.is_set():
                    return None
                await self._database.wait(error, stop)
            else:
                self._database.recovered()
                return answers
