"""A broker process and gateways that speak to it, as the cloud's tests need them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import yaml

from demo.processes import dying_with_parent, free_port
from plantroom_cloud.gateways.pki import Authority, TlsFiles, client_context, write_private
from plantroom_shared import topics, wire
from plantroom_shared.cancelling import ended
from support.waiting import DEADLINE, eventually, wait_until


@dataclass
class BrokerProcess:
    """``plantroom-cloud broker`` as its own process, with its own authority."""

    folder: Path
    engine: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        """The settings file of this cloud."""
        return self.folder / "cloud.yaml"

    @property
    def authority(self) -> Authority:
        """Its certificate authority."""
        return Authority(self.folder / "data" / "pki")

    def command(self, *arguments: str) -> list[str]:
        """Return a plantroom-cloud command line with this cloud's settings."""
        head = [sys.executable, "-m", "plantroom_cloud", "--config", str(self.config)]
        return [*head, *arguments]

    def write_config(self, **more: Any) -> None:
        """Write the settings."""
        settings = {
            "data": str(self.folder / "data"),
            "api_port": 0,
            "mqtt": {"host": "127.0.0.1", "port": self.port},
        }
        self.config.write_text(yaml.safe_dump(settings | more))

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        ready = self.folder / "broker.ready"
        ready.unlink(missing_ok=True)
        if not self.config.exists():
            self.write_config()
        self.process = subprocess.Popen(
            self.command("broker", "--engine", self.engine, "--ready-file", str(ready)),
            preexec_fn=dying_with_parent(),  # noqa: PLW1509 -- it only asks the kernel
        )
        wait_until(lambda: ready.exists() or self._ended(), "the broker's start")
        assert ready.exists(), "the broker ended"

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE)

    def stop(self) -> int:
        """End it in order and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(DEADLINE)

    def tls(self, name: str) -> ssl.SSLContext:
        """Return the TLS context of gateway `name`, its certificate made here."""
        folder = self.folder / "clients" / name
        files = TlsFiles(folder / "ca.pem", folder / "gateway.pem", folder / "gateway.key")
        if not folder.exists():
            folder.mkdir(parents=True)
            issued = self.authority.issue_gateway(name)
            write_private(files.ca, self.authority.ca_pem)
            write_private(files.certificate, issued.certificate)
            write_private(files.key, issued.key)
        return client_context(files)

    def client(self, name: str, **more: Any) -> aiomqtt.Client:
        """Return an MQTT client with the certificate of `name`."""
        version = (
            aiomqtt.ProtocolVersion.V311
            if self.engine == "embedded"
            else (aiomqtt.ProtocolVersion.V5)
        )
        options: dict[str, Any] = {
            "identifier": name,
            "protocol": version,
            "timeout": 5,
        }
        if "tls_context" not in more:
            options["tls_context"] = self.tls(name)
        return aiomqtt.Client("127.0.0.1", self.port, **(options | more))


class Link:
    """A connected gateway that remembers what the cloud has answered."""

    def __init__(self, client: aiomqtt.Client, name: str) -> None:
        self.client, self.name = client, name
        self.acked: dict[tuple[str, str], list[tuple[int, int]]] = {}
        """Epoch and stream → the last ranges acknowledged."""
        self.nacks: list[wire.Nack] = []
        self.resumes: list[wire.Resume] = []
        self.flows: list[wire.Flow] = []
        self.acks = 0

    async def send(self, channel: str, payload: bytes, **more: Any) -> None:
        """Publish `payload`."""
        await self.client.publish(topics.up(self.name, channel), payload, qos=1, **more)

    async def listen(self) -> None:
        """Take answers until cancelled."""
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            if message.topic.value.endswith("/resume"):
                self.resumes.append(wire.decode(wire.Resume, message.payload))
                continue
            if message.topic.value.endswith("/flow"):
                self.flows.append(wire.decode(wire.Flow, message.payload))
                continue
            reply = wire.decode_reply(message.payload)
            if isinstance(reply, wire.Nack):
                self.nacks.append(reply)
            else:
                self.acks += 1
                self.acked[reply.ep, reply.st] = list(reply.ranges)

    async def until_acked(self, epoch: str, stream: str, *ranges: tuple[int, int]) -> None:
        """Return when exactly `ranges` are acknowledged."""
        await eventually(
            lambda: self.acked.get((epoch, stream)) == list(ranges), f"ack of {ranges}"
        )


@contextlib.asynccontextmanager
async def linked(broker: BrokerProcess, name: str, **more: Any) -> AsyncIterator[Link]:
    """Yield a connected and listening gateway."""
    async with broker.client(name, **more) as client:
        await client.subscribe(f"sv1/{name}/down/#", qos=1)
        link = Link(client, name)
        listening = asyncio.create_task(link.listen())
        try:
            yield link
        finally:
            await ended(listening)


@contextlib.contextmanager
def reachable_folder() -> Iterator[Path]:
    """Yield a folder that Mosquitto's own user can reach as long as it lasts.

    Every start of pytest closes the folder of all temporary folders, and with it those of runs that
    are under way: too late for a Mosquitto that has read its files, not for one that reads them again.
    """
    folder = Path(tempfile.mkdtemp(prefix="plantroom-broker-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_to_others(folder: Path) -> Path:
    """Let Mosquitto's own user reach `folder`, where root runs the tests, and return it."""
    if os.geteuid() == 0:
        for path in (folder, *folder.parents):
            if not path.stat().st_mode & 0o001:
                path.chmod(path.stat().st_mode | 0o011)
    return folder
