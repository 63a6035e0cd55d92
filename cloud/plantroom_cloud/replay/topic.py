"""A topic of any MQTT broker as the end of a replay: one message per object, QoS 1, in order.

A page counts when the broker has acknowledged all of it. What was on its way when a connection or
this process died is sent again: the same bytes with the same ``replay`` and ``n``, so that a
receiver that remembers the last ``n`` takes each object once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiomqtt
from aiomqtt import ProtocolVersion

from plantroom_cloud.replay.positions import Position
from plantroom_cloud.supervise import Backoff
from plantroom_shared.errors import ConfigError

PASSWORD: Final = "PLANTROOM_REPLAY_PASSWORD"  # noqa: S105 - a variable's name
_WINDOW: Final = 64
_UNSUPPORTED: Final = 132
_REFUSED: Final = 0x80
_LATER: Final = 0x97  # quota exceeded
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is and how it is spoken to."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    client_id: str | None = None
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What may be needed to be let in."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    client_id: str = ""
    username: str = ""


def read_broker(
    url: str, credentials: Credentials, environment: Mapping[str, str] | None = None
) -> Broker:
    """Return the broker of ``mqtt://host[:port]`` or ``mqtts://host[:port]``.

    The password comes from the variable `PASSWORD`: a command line can be read by every process.

    Raises:
        ConfigError: it is no such URL, or a certificate cannot be read.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        parts, port = urlsplit(""), 0
    if not port or not parts.hostname or parts.username or parts.path.strip("/"):
        what = f"{url.rpartition('@')[2][:100]!r} is no broker's address"
        fix = f"write mqtt://host:1883 or mqtts://host:8883; a password belongs into {PASSWORD}"
        raise ConfigError(what, key="--broker", fix=fix)
    password = (os.environ if environment is None else environment).get(PASSWORD)
    return Broker(
        parts.hostname,
        port,
        _context(credentials) if parts.scheme == "mqtts" else None,
        credentials.client_id or None,
        credentials.username or None,
        password,
    )


def _context(credentials: Credentials) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=credentials.ca)
        if credentials.certificate is not None:
            context.load_cert_chain(credentials.certificate, credentials.key)
    except OSError as error:  # ssl.SSLError is one
        what = f"a certificate or key cannot be used: {error}"
        fix = "name PEM files that belong together, the key without a password"
        raise ConfigError(what, key="--ca, --certificate, --key", fix=fix) from error
    return context


def check_topic(topic: str) -> None:
    """Raise ConfigError unless messages may be published on `topic`."""
    bad = not topic or len(topic.encode()) > 1000 or set(topic) & set("+#\x00") or topic[0] == "$"
    if bad:
        what = f"{topic[:80]!r} is no topic to publish on"
        raise ConfigError(what, key="--to-topic", fix="name one without '+', '#' and a leading '$'")


class _Refused(Exception):
    """The broker acknowledged a message by refusing it."""


class TopicSink:
    """Publishes each line on one topic and waits for the broker's PUBACK."""

    def __init__(self, broker: Broker, topic: str, *, window: int = _WINDOW) -> None:
        self._broker, self._topic, self._window = broker, topic, window
        self._version = ProtocolVersion.V5
        self._client: aiomqtt.Client | None = None
        self._backoff = Backoff("replay's broker", most=10.0)
        self._refusal = 0

    @property
    def name(self) -> str:
        """What the position remembers of it."""
        return f"mqtt:{self._broker.host}:{self._broker.port}/{self._topic}"

    async def open(self, position: Position) -> int:
        """Do nothing: the connection is made with the first page."""
        del position
        return 0

    async def deliver(self, lines: bytes) -> int:
        """Publish every line; however often the connection breaks, until all are acknowledged."""
        payloads = lines.splitlines()
        while True:
            try:
                await self._publish(await self._connected(), payloads)
            except aiomqtt.MqttError as error:
                await self.close()
                if not self._fall_back(error):
                    await self._backoff.wait(error)
            except _Refused as error:
                what = f"the broker refuses messages on {self._topic!r} (reason {error})"
                fix = "let this client write there, or name another topic"
                raise ConfigError(what, key="--to-topic", fix=fix) from error
            else:
                self._backoff.recovered()
                return 0

    async def _connected(self) -> aiomqtt.Client:
        if self._client is None:
            broker = self._broker
            client = aiomqtt.Client(
                broker.host,
                broker.port,
                identifier=broker.client_id,
                username=broker.username,
                password=broker.password,
                protocol=self._version,
                tls_context=broker.tls,
                max_inflight_messages=self._window,
                timeout=10.0,
            )
            self._hear_refusals(client)
            await client.__aenter__()
            self._client = client
        return self._client

    def _hear_refusals(self, client: aiomqtt.Client) -> None:
        """Note reason codes of PUBACKs, which aiomqtt takes for success whatever they say."""
        inner: Any = client._client  # noqa: SLF001 - aiomqtt has no call for it
        told = inner.on_publish

        def hear(paho: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
            code = getattr(reason, "value", 0)
            self._refusal = code if code >= _REFUSED else self._refusal
            told(paho, data, mid, reason, properties)

        inner.on_publish = hear

    async def _publish(self, client: aiomqtt.Client, payloads: list[bytes]) -> None:
        for start in range(0, len(payloads), self._window):
            chunk = payloads[start : start + self._window]
            self._refusal = 0
            await asyncio.gather(*(client.publish(self._topic, line, qos=1) for line in chunk))
            if self._refusal == _LATER:
                msg = "the broker has no room at the moment"
                raise aiomqtt.MqttError(msg)
            if self._refusal:
                raise _Refused(self._refusal)

    def _fall_back(self, error: aiomqtt.MqttError) -> bool:
        """Change to MQTT 3.1.1 if that is what the broker asks for; say whether we did."""
        reason = getattr(error, "rc", None)
        unsupported = getattr(reason, "value", reason) == _UNSUPPORTED
        if not unsupported or self._version is ProtocolVersion.V311:
            return False
        self._version = ProtocolVersion.V311
        return True

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(aiomqtt.MqttError):  # it was gone before us
                await client.__aexit__(None, None, None)
