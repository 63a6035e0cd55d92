"""Brokers with mutual TLS on free ports, and a model cloud behind them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import trustme

from demo.processes import dying_with_parent, free_port
from plantroom_edge.config import CloudConfig
from plantroom_shared import topics
from plantroom_shared.cancelling import ended
from support import edge_amqtt
from support.edge_cloud import ModelCloud
from support.servers import find_mosquitto

GATEWAY = "gw-test-0001"


@dataclass
class Certificates:
    """One authority; a broker, a gateway and a cloud that it vouches for."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        for name, identity in (
            ("broker", "127.0.0.1"),
            ("gateway", f"{GATEWAY}.invalid"),
            ("cloud", "cloud.invalid"),
        ):
            issued = self.authority.issue_cert(identity, common_name=identity.split(".inv")[0])
            chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
            (self.folder / f"{name}.pem").write_bytes(chain)
            issued.private_key_pem.write_to_path(self.folder / f"{name}.key")

    def client(self, name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context


@dataclass
class BrokerProcess:
    """A broker that can be killed and started again on the same port."""

    kind: str
    certificates: Certificates
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=dying_with_parent(),  # noqa: PLW1509 -- it only asks the kernel
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, f"{self.kind} ended"
                assert time.monotonic() < deadline, f"{self.kind} does not listen"
                time.sleep(0.02)
            else:
                return

    def _command(self) -> list[str]:
        folder = self.certificates.folder
        ca, cert, key = (folder / name for name in ("ca.pem", "broker.pem", "broker.key"))
        if self.kind == "amqtt":
            files = (str(ca), str(cert), str(key))
            return [sys.executable, edge_amqtt.__file__, str(self.port), *files]
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"cafile {ca}",
            f"certfile {cert}",
            f"keyfile {key}",
            "require_certificate true",
            "use_identity_as_username true",
            "allow_anonymous false",
            "max_queued_messages 0",
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        config = folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        return [str(find_mosquitto()), "-c", str(config)]

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def cloud_config(self, **more: object) -> CloudConfig:
        folder = self.certificates.folder
        fields: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "ca": folder / "ca.pem",
            "cert": folder / "gateway.pem",
            "key": folder / "gateway.key",
            "connects_per_minute": 6000,
        }
        return CloudConfig.model_validate(fields | more)


@contextlib.contextmanager
def running(kind: str, folder: Path) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(kind, Certificates(folder / "certs"), free_port())
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@contextlib.asynccontextmanager
async def cloud_behind(
    broker: BrokerProcess, model: ModelCloud | None = None
) -> AsyncIterator[ModelCloud]:
    """Run a model cloud on `broker` until the block ends; it comes back after a lost connection."""
    model = model or ModelCloud()
    ready = asyncio.Event()

    async def serve() -> None:
        while True:
            try:
                async with aiomqtt.Client(
                    "127.0.0.1",
                    broker.port,
                    identifier="cloud-0001",
                    tls_context=broker.certificates.client("cloud"),
                    timeout=1,
                ) as client:
                    await client.subscribe(topics.ALL_UP, qos=1)
                    ready.set()
                    await _answer(client, model)
            except aiomqtt.MqttError:
                await asyncio.sleep(0.05)

    task = asyncio.create_task(serve())
    try:
        async with asyncio.timeout(60):
            await ready.wait()
        yield model
    finally:
        await ended(task)


async def _answer(client: aiomqtt.Client, model: ModelCloud) -> None:
    async for message in client.messages:
        parsed = topics.parse(str(message.topic))
        assert parsed is not None
        assert isinstance(message.payload, bytes)
        for channel, payload in model.receive(parsed.channel, message.payload):
            await client.publish(topics.down(parsed.gateway, channel), payload, qos=1)
