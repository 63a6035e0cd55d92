"""Sparkplug B out: the agent as an edge node of any Sparkplug host.

::

    accepted samples ─▶ bounded queue ─▶ node: births, data, death ─▶ broker

While the broker is away the queue keeps what fits, the newest; it follows the next birth as history.
Commands are taken only for a rebirth: nothing is ever written to a bus.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import aiomqtt
from pydantic import Field, ValidationInfo, field_validator, model_validator

from plantroom_edge.sinks import SinkConfig, SinkSpec, sinks
from plantroom_edge.sinks.sparkplug_node import Node, Outgoing, asks_for_rebirth
from plantroom_shared import sparkplug
from plantroom_shared.cancelling import ended, heed_cancellation
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected, Unavailable
from plantroom_shared.model import Batch, Device, Point

log = logging.getLogger(__name__)

MAX_ROWS: Final = 20_000
"""Rows that wait for the broker; beyond that the oldest are dropped and counted."""
REBIRTH_EVERY: Final = 1.0
"""Seconds between two births, at least, whoever asks."""
_TIMEOUT: Final = 10.0
_GOODBYE: Final = 2.0


class SparkplugConfig(SinkConfig):
    """Where the host's broker is, and who this node is there."""

    host: str = Field(min_length=1, max_length=255)
    port: int = Field(default=8883, ge=1, le=65535)
    group: str = Field(min_length=1, max_length=sparkplug.MAX_LEVEL)
    """The Sparkplug group."""
    node: str = Field(min_length=1, max_length=sparkplug.MAX_LEVEL)
    """The node id; it is the client id as well."""
    tls: bool = True
    """False speaks in the clear: only where the network is trusted."""
    ca: Path | None = None
    """PEM file of the authority behind the broker's certificate; without it the system's."""
    cert: Path | None = None
    """PEM file of this node's certificate, where the broker asks for one."""
    key: Path | None = None
    """PEM file of the certificate's private key."""
    username: str | None = None
    password_file: Path | None = None
    """File whose first line is the password."""

    @field_validator("group", "node")
    @classmethod
    def _level(cls, value: str) -> str:
        if value != sparkplug.level(value):
            msg = "must be printable and without '/', '+' and '#'"
            raise ValueError(msg)
        return value

    @field_validator("ca", "cert", "key", "password_file")
    @classmethod
    def _readable(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None:
            return None
        path = Path((info.context or {}).get("folder", ".")) / value
        try:
            path.open("rb").close()
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror or error}"
            raise ValueError(msg) from error
        return path

    @model_validator(mode="after")
    def _whole(self) -> SparkplugConfig:
        if (self.cert is None) != (self.key is None):
            msg = "cert and key belong together: name both or neither"
            raise ValueError(msg)
        return self


class SparkplugSink:
    """Publishes what it is fed as a Sparkplug node.

    Args:
        config: where to and as whom.
        clock: for births and deaths.
    """

    def __init__(self, config: SparkplugConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._node = Node(config.group, config.node)
        self._waiting: deque[tuple[Batch, int]] = deque()
        self._rows = 0
        self._births = 0
        self._last_birth = 0.0
        self._something, self._rebirth = asyncio.Event(), asyncio.Event()
        self.connected = False
        self.counters: Counter[str] = Counter()

    # ------------------------------------------------------------ fed by the agent

    def describe(
        self, points: Sequence[Point], aliases: Sequence[int], devices: Sequence[Device]
    ) -> None:
        """Take note of points; they are told with the next data of their device."""
        self._node.describe(points, aliases, devices)

    def feed(self, batch: Batch) -> None:
        """Take accepted samples; where too many wait already, the oldest are dropped."""
        self._waiting.append((batch, self._births))
        self._rows += len(batch)
        while self._rows > MAX_ROWS and len(self._waiting) > 1:
            lost, _ = self._waiting.popleft()
            self._rows -= len(lost)
            self.counters["dropped"] += len(lost)
            self._node.note(lost)
            # What was dropped may have been a point's only word: a birth says it again.
            self._rebirth.set()
        self._something.set()

    def status(self) -> dict[str, Any]:
        """Return figures for a person."""
        return {"connected": self.connected, "waiting": self._rows, **self.counters}

    # ------------------------------------------------------------ delivering

    async def run(self) -> None:
        """Be a node until cancelled.

        Raises:
            Unavailable: the broker is away or refuses; run again.
        """
        self._node.connect()
        try:
            async with self._client() as client:
                topic = sparkplug.build(self._config.group, "NCMD", self._config.node)
                await client.subscribe(topic, qos=1)
                self.connected = True
                await self._serve(client)
        except (aiomqtt.MqttError, OSError) as error:
            msg = f"sparkplug broker {self._config.host}:{self._config.port}: {error}"
            raise Unavailable(msg) from error
        finally:
            self.connected = False

    def _client(self) -> aiomqtt.Client:
        topic, payload = self._node.death(self._clock.now_us())
        config, password = self._config, None
        if config.password_file is not None:
            password = config.password_file.read_text(encoding="utf-8").partition("\n")[0]
        return aiomqtt.Client(
            config.host,
            config.port,
            identifier=config.node,
            protocol=aiomqtt.ProtocolVersion.V311,
            username=config.username,
            password=password,
            clean_session=True,
            will=aiomqtt.Will(topic, payload, qos=1),
            tls_context=_context(config) if config.tls else None,
            timeout=_TIMEOUT,
            keepalive=30,
        )

    async def _serve(self, client: aiomqtt.Client) -> None:
        listening = asyncio.create_task(self._listen(client), name="sparkplug-commands")
        sending = asyncio.create_task(self._send(client), name="sparkplug-data")
        try:
            done, _ = await asyncio.wait((listening, sending), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await ended(listening, sending)
            # A goodbye in order keeps the broker from publishing the will: we say it ourselves.
            with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await client.publish(*self._node.death(self._clock.now_us()), qos=0)

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            try:
                command = sparkplug.decode(
                    message.payload if isinstance(message.payload, bytes) else b""
                )
            except Rejected:
                self.counters["commands_refused"] += 1
                continue
            if asks_for_rebirth(command):
                self._rebirth.set()
                self._something.set()
            else:
                self.counters["commands_refused"] += 1

    async def _send(self, client: aiomqtt.Client) -> None:
        """Publish births, then what waited as history, then what comes."""
        await self._bear(client)
        while True:
            pause = self._last_birth + REBIRTH_EVERY - asyncio.get_running_loop().time()
            if self._rebirth.is_set() and pause <= 0:
                await self._bear(client)
            elif self._waiting:
                await self._send_next(client)
            else:
                self._something.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause if self._rebirth.is_set() else None):
                        await self._something.wait()

    async def _bear(self, client: aiomqtt.Client) -> None:
        """Publish births with the newest values; whatever waits at this moment becomes history."""
        self._rebirth.clear()
        for batch, _ in self._waiting:
            self._node.note(batch)
        self._births += 1
        self._last_birth = asyncio.get_running_loop().time()
        self.counters["births"] += 1
        await _publish(client, self._node.births(self._clock.now_us()))

    async def _send_next(self, client: aiomqtt.Client) -> None:
        batch, births = self._waiting.popleft()
        self._rows -= len(batch)
        self._node.note(batch)
        historical = births < self._births
        await _publish(client, self._node.data(batch, self._clock.now_us(), historical=historical))
        self.counters["sent"] += len(batch)


async def _publish(client: aiomqtt.Client, messages: list[Outgoing]) -> None:
    for topic, payload in messages:
        await client.publish(topic, payload, qos=0)  # as the specification has it
        heed_cancellation()  # aiomqtt may have swallowed it


def _context(config: SparkplugConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.ca)
    if config.cert is not None and config.key is not None:
        context.load_cert_chain(config.cert, config.key)
    return context


def _open(config: SparkplugConfig, clock: Clock) -> SparkplugSink:
    return SparkplugSink(config, clock)


sinks.register("sparkplug")(SinkSpec(SparkplugConfig, _open))
