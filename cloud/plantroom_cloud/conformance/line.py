"""The rim of the kit: a broker, certificates, the client's process, and the kit's own connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiomqtt
import yaml
from aiomqtt import ProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from plantroom_cloud.broker.run import choose, listens
from plantroom_cloud.gateways.pki import CLOUD, Authority, TlsFiles, client_context, write_private
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import ConfigError, Unavailable

log = logging.getLogger(__name__)

Receive = Callable[[str, bytes, int | None, bool], Awaitable[None]]
"""Takes channel, payload, QoS (None where the broker does not tell) and the retain flag."""

_START: Final = 60.0
_GRACE: Final = 15.0
_AGAIN: Final = 0.1


@dataclass(frozen=True, slots=True)
class Address:
    """A broker, and who we are to it."""

    host: str
    port: int
    tls: TlsFiles
    version: ProtocolVersion


class OwnBroker:
    """A broker of our own in `folder`: certificates made here, the same command as in service.

    Args:
        folder: everything goes here.
        gateway: whose connection material to write.
        engine: auto, mosquitto or embedded.
    """

    def __init__(self, folder: Path, gateway: str, engine: str = "auto") -> None:
        embedded = choose(engine) is None
        self._folder, self._engine = folder, "embedded" if embedded else "mosquitto"
        self.authority = Authority(folder / "broker" / "pki")
        self.authority.prepare()
        port = _free_port()
        version = ProtocolVersion.V311 if embedded else ProtocolVersion.V5
        self.cloud = Address("127.0.0.1", port, self.authority.files("cloud"), version)
        self.client = Address("127.0.0.1", port, self._issue(gateway), version)
        self._process: subprocess.Popen[bytes] | None = None

    def _issue(self, gateway: str) -> TlsFiles:
        issued = self.authority.issue_gateway(gateway)
        names = ("ca.pem", "client.pem", "client.key")
        files = TlsFiles(*(self._folder / name for name in names))
        contents = (self.authority.ca_pem, issued.certificate, issued.key)
        for path, content in zip((files.ca, files.certificate, files.key), contents, strict=True):
            write_private(path, content)
        return files

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        config = self._folder / "broker" / "broker.yaml"
        mqtt = {"host": self.cloud.host, "port": self.cloud.port}
        config.write_text(yaml.safe_dump({"data": str(config.parent), "mqtt": mqtt}))
        head = (sys.executable, "-m", "plantroom_cloud", "--config", str(config), "broker")
        options = ("--engine", self._engine, "--parent", str(os.getpid()))
        self._process = _start((*head, *options), self._folder / "broker.log")
        context = client_context(self.cloud.tls)
        end = time.monotonic() + _START
        while self._process.poll() is None and time.monotonic() < end:
            if await asyncio.to_thread(listens, context, self.cloud.host, self.cloud.port):
                return
            await asyncio.sleep(_AGAIN)
        msg = f"the broker did not start; see {self._folder / 'broker.log'}"
        raise Unavailable(msg)

    async def restart(self) -> None:
        """Kill it and start it again on the same port."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        await self.start()

    async def stop(self) -> None:
        """End it."""
        await _end(self._process)


@dataclass(slots=True)
class ClientProcess:
    """The client under test, where the kit starts it.

    Args:
        command: a command line; ``{folder}`` in it becomes the folder with the material.
        folder: its log goes here, too.
    """

    command: str
    folder: Path
    where: dict[str, str]
    """Host, port and gateway: they may stand in the command, too."""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; ConfigError where that is not possible."""
        filled = {"folder": str(self.folder), **self.where}
        words = shlex.split(self.command)
        for name, text in filled.items():
            words = [word.replace(f"{{{name}}}", text) for word in words]
        try:
            self._process = _start(words, self.folder / "client.log")
        except (OSError, IndexError) as error:
            what = f"the client cannot be started: {error}"
            fix = "give a command that runs in this folder"
            raise ConfigError(what, key="--exec", fix=fix) from error

    async def kill(self) -> None:
        """End it as a power cut would and start it again."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self.start()

    async def stop(self) -> None:
        """Ask it to end; kill it if it does not."""
        await _end(self._process)


def _start(command: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    with output.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out)  # noqa: S603 -- ours or the operator's


async def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.to_thread(process.wait, _GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass(slots=True)
class MqttLine:
    """The kit's way to one side: as the cloud, or as a gateway.

    Args:
        gateway: whose topics.
        address: the broker, and who we are.
        ours: the direction that we write, ``down`` as the cloud and ``up`` as a gateway.
        gateway_address: the gateway's own material, by which its connection can be ended.
        broker: where it is our own.
        client: where we have started it.
    """

    gateway: str
    address: Address
    ours: str = "down"
    gateway_address: Address | None = None
    broker: OwnBroker | None = None
    client: ClientProcess | None = None
    _mqtt: aiomqtt.Client | None = None
    _up: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def open(self, receive: Receive, *, within: float = _START) -> AsyncIterator[None]:
        """Stay connected and hand every message to `receive` until the block ends.

        Args:
            receive: what to do with a message.
            within: seconds for the first connection.

        Raises:
            Unavailable: there is no first connection.
        """
        task = asyncio.create_task(self._stay(receive))
        up = asyncio.create_task(self._up.wait())
        try:
            await asyncio.wait({task, up}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            if not self._up.is_set():
                msg = f"no connection to the broker {self.address.host}:{self.address.port}"
                raise Unavailable(msg)
            yield
        finally:
            await ended(task, up)

    async def _stay(self, receive: Receive) -> None:
        while True:
            try:
                async with _client(self._name, self.address) as mqtt:
                    await self._subscribe(mqtt)
                    self._mqtt = mqtt
                    self._up.set()
                    await self._take(mqtt, receive)
            except aiomqtt.MqttError as error:
                self._up.clear()
                log.debug("connection lost", extra={"cause": str(error)})
                await asyncio.sleep(_AGAIN)

    @property
    def _name(self) -> str:
        return CLOUD if self.ours == "down" else self.gateway

    async def _subscribe(self, mqtt: aiomqtt.Client) -> None:
        theirs = "up" if self.ours == "down" else "down"
        topic = f"sv1/{self.gateway}/{theirs}/#"
        if self.address.version is ProtocolVersion.V5:
            # QoS 2 and the flags as published: else the broker would hide what was sent.
            options = SubscribeOptions(qos=2, retainAsPublished=True)
            await mqtt.subscribe(topic, options=options)
        else:
            await mqtt.subscribe(topic, qos=1)

    async def _take(self, mqtt: aiomqtt.Client, receive: Receive) -> None:
        tells = self.address.version is ProtocolVersion.V5
        async for message in mqtt.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            channel = str(message.topic).split("/", 3)[3]
            await receive(channel, payload, message.qos if tells else None, bool(message.retain))

    async def send(self, channel: str, payload: bytes) -> None:
        """Publish; where the connection has gone meanwhile, that is as if it were lost on the way."""
        await self._up.wait()
        if (mqtt := self._mqtt) is None:
            return
        with contextlib.suppress(aiomqtt.MqttError):
            await mqtt.publish(f"sv1/{self.gateway}/{self.ours}/{channel}", payload, qos=1)

    async def kick(self) -> bool:
        """End the gateway's connection by taking its place for a moment."""
        if self.gateway_address is None:
            return False
        try:
            async with _client(self.gateway, self.gateway_address):
                pass
        except aiomqtt.MqttError as error:
            msg = f"the gateway's connection cannot be ended with its certificate: {error}"
            raise Unavailable(msg) from error
        return True

    async def restart_broker(self) -> bool:
        """Restart the broker where it is ours."""
        if self.broker is None:
            return False
        self._up.clear()
        await self.broker.restart()
        return True

    async def kill_client(self) -> bool:
        """Kill the client where we have started it, and start it again."""
        if self.client is None:
            return False
        await self.client.kill()
        return True

    async def stop_client(self) -> bool:
        """Ask the client to end where we have started it."""
        if self.client is None:
            return False
        await self.client.stop()
        return True


def _client(name: str, address: Address) -> aiomqtt.Client:
    context: ssl.SSLContext = client_context(address.tls)
    options: dict[str, Any] = {"identifier": name, "protocol": address.version, "timeout": 10.0}
    return aiomqtt.Client(address.host, address.port, tls_context=context, **options)
