"""Streaming devices on real brokers: who may say what, acks, and an independent Sparkplug node."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from plantroom_cloud.broker.mosquitto import acl
from plantroom_cloud.broker.rules import may_connect, may_publish, may_read
from plantroom_cloud.config import MqttSettings
from plantroom_cloud.db import Database
from plantroom_cloud.gateways.pki import CLOUD
from plantroom_cloud.ingest.consumer import Ingest
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.streaming import qos
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import SystemClock
from support.cloud_broker import BrokerProcess
from support.cloud_site import add_home
from support.sparkplug_peer import pysparkplug
from support.streaming import GROUP, METER, NODE, Shelf, add_streaming
from support.waiting import eventually

OTHER = "dev-meter-0002"


@pytest.fixture
async def shelf(sqlite_database: Database) -> Shelf:
    """A site with two JSON devices and a Sparkplug node."""
    home = await add_home(sqlite_database)
    await add_streaming(sqlite_database, home)
    await add_streaming(sqlite_database, home, OTHER)
    await add_streaming(sqlite_database, home, NODE, group=GROUP)
    return Shelf(sqlite_database, Store(sqlite_database, SystemClock()))


@contextlib.asynccontextmanager
async def at_work(broker: BrokerProcess, store: Store) -> AsyncIterator[None]:
    """Run an ingest on `broker`."""
    settings = MqttSettings(host="127.0.0.1", port=broker.port)
    stop = asyncio.Event()
    ingest = Ingest(store, settings, broker.authority.files("cloud"), gather=0.02)
    task = asyncio.create_task(ingest.run(stop))
    try:
        async with asyncio.timeout(60):
            await ingest.ready.wait()
        yield
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await task


# ---------------------------------------------------------------- plain JSON


async def test_a_device_writes_and_reads_only_its_own(broker: BrokerProcess, shelf: Shelf) -> None:
    """What it says in another's name never arrives, and it hears nothing of another."""
    row = {"point": "a", "value": 1.0}
    heard: list[str] = []
    async with at_work(broker, shelf.store), broker.client(METER) as meter:
        async with broker.client(OTHER) as other:
            for wanted in ("#", f"dev1/{OTHER}/down/#", f"spBv1.0/+/NCMD/{NODE}", "dev1/+/up/#"):
                with contextlib.suppress(Exception):  # the embedded broker refuses at once
                    await meter.subscribe(wanted, qos=1)
            for topic in (
                f"dev1/{OTHER}/up/data",
                f"dev1/{METER}/down/ack",
                f"spBv1.0/{GROUP}/NDATA/{NODE}",
                f"spBv1.0/{GROUP}/NCMD/{METER}",
            ):
                with contextlib.suppress(Exception):  # Mosquitto tells an MQTT 5 client so
                    await meter.publish(topic, orjson.dumps(row), qos=0)
            await other.subscribe(f"dev1/{OTHER}/down/#", qos=1)
            await other.publish(
                f"dev1/{OTHER}/up/data", orjson.dumps({"seq": 1, "samples": [row]}), qos=1
            )
            answer = await asyncio.wait_for(anext(aiter(other.messages)), 60)
            heard += [answer.topic.value]
        await meter.subscribe(f"dev1/{METER}/down/#", qos=1)
        await meter.publish(
            f"dev1/{METER}/up/data", orjson.dumps({"seq": 1, "samples": [row]}), qos=1
        )
        answer = await asyncio.wait_for(anext(aiter(meter.messages)), 60)
    assert heard == [f"dev1/{OTHER}/down/ack"]
    assert answer.topic.value == f"dev1/{METER}/down/ack"
    assert len(await shelf.samples()) == 2
    assert await shelf.refused() == []


async def test_nothing_is_lost_while_the_ingest_is_away(
    broker: BrokerProcess, shelf: Shelf
) -> None:
    """A device that sends until it is acknowledged has every message stored, once."""
    acked: set[int] = set()

    async with broker.client(METER) as meter:
        await meter.subscribe(f"dev1/{METER}/down/#", qos=1)

        async def listen() -> None:
            async for message in meter.messages:
                assert isinstance(message.payload, bytes)
                acked.add(orjson.loads(message.payload)["seq"])

        async def send() -> None:
            for seq in set(range(1, 21)) - acked:
                document = {"seq": seq, "samples": [{"point": "a", "value": float(seq)}]}
                await meter.publish(f"dev1/{METER}/up/data", orjson.dumps(document), qos=1)

        listening = asyncio.create_task(listen())
        await send()  # nobody is there
        async with at_work(broker, shelf.store):
            await send()
            await eventually(lambda: len(acked) > 0, "a first ack")
        again = Store(shelf.database, SystemClock())  # another process
        async with at_work(broker, again):
            await send()
            await send()
            await eventually(lambda: len(acked) == 20, "all acks")
        await ended(listening)
    stored = [row.value for row in await shelf.samples()]
    assert len(stored) == 20
    assert set(stored) == {float(n) for n in range(1, 21)}


# ---------------------------------------------------------------- Sparkplug


class Peer:
    """A node of pysparkplug, with a device, on its own connection."""

    def __init__(self, broker: BrokerProcess) -> None:
        broker.tls(NODE)
        folder = broker.folder / "clients" / NODE
        client = pysparkplug.Client(
            client_id=NODE,
            transport_config=pysparkplug.TLSConfig(
                ca_certs=str(folder / "ca.pem"),
                certfile=str(folder / "gateway.pem"),
                keyfile=str(folder / "gateway.key"),
            ),
            client_options=pysparkplug.ClientOptions(reconnect_on_failure=False),
        )
        self.commands: list[Any] = []
        self.commanded = threading.Event()
        self.node = pysparkplug.EdgeNode(
            GROUP, NODE, [self.metric("power", 1.5)], client, self._take
        )
        self.node.register(pysparkplug.Device("pump", [self.metric("speed", 7, "INT16")]))
        self.node.connect("127.0.0.1", port=broker.port)

    def _take(self, node: Any, message: Any) -> None:
        del node
        self.commands += message.payload.metrics
        self.commanded.set()

    @staticmethod
    def metric(name: str, value: Any, kind: str = "DOUBLE", **more: Any) -> pysparkplug.Metric:
        """Return a metric of now."""
        now = pysparkplug.get_current_timestamp()
        return pysparkplug.Metric(
            timestamp=now, name=name, datatype=pysparkplug.DataType[kind], value=value, **more
        )

    def cut(self) -> None:
        """End the connection without a goodbye."""
        paho = self.node._client._client
        sock = paho.socket()
        assert isinstance(sock, socket.socket)
        sock.shutdown(socket.SHUT_RDWR)
        paho.loop_stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pysparkplug is made for paho 1
async def test_an_independent_node(broker: BrokerProcess, shelf: Shelf) -> None:
    """Pysparkplug's births, data, loss, rebirth request and death, all the way."""

    async def values() -> dict[str, Any]:
        return await shelf.latest()

    async with at_work(broker, shelf.store):
        peer = Peer(broker)

        async def born() -> bool:
            return await values() == {"sparkplug:/power": 1.5, "sparkplug:pump/speed": 7.0}

        await eventually(born, "the births")
        assert (await shelf.device(NODE)).online
        peer.node.update([peer.metric("power", 2.5)])
        peer.node.update_device("pump", [peer.metric("speed", -8, "INT16")])

        async def updated() -> bool:
            return await values() == {"sparkplug:/power": 2.5, "sparkplug:pump/speed": -8.0}

        await eventually(updated, "the data")
        assert not peer.commanded.is_set()
        assert next(iter([peer.node._seq])) > 0  # a message that never comes
        peer.node.update([peer.metric("power", 3.5)])
        assert await asyncio.to_thread(peer.commanded.wait, 60)
        (command,) = peer.commands
        assert (command.name, command.value) == ("Node Control/Rebirth", True)
        peer.cut()

        async def offline() -> bool:
            return not (await shelf.device(NODE)).online

        await eventually(offline, "the death")
    assert await values() == {"sparkplug:/power": 3.5, "sparkplug:pump/speed": -8.0}
    assert len(await shelf.samples()) == 5
    assert await shelf.refused() == []


# ---------------------------------------------------------------- the rules themselves


def test_rules_of_devices() -> None:
    """A device has its own subtree; a node its births, deaths and data, and its commands to read."""
    assert may_publish(METER, f"dev1/{METER}/up/data")
    assert may_read(METER, f"dev1/{METER}/down/ack")
    assert may_read(METER, f"dev1/{METER}/down/#")
    for kind in ("NBIRTH", "NDEATH", "NDATA"):
        assert may_publish(NODE, f"spBv1.0/any group/{kind}/{NODE}")
        assert not may_publish(NODE, f"spBv1.0/any group/{kind}/{METER}")
        assert not may_publish(NODE, f"spBv1.0/any group/{kind}/{NODE}/device")
    for kind in ("DBIRTH", "DDEATH", "DDATA"):
        assert may_publish(NODE, f"spBv1.0/g/{kind}/{NODE}/device")
        assert not may_publish(NODE, f"spBv1.0/g/{kind}/{METER}/device")
        assert not may_publish(NODE, f"spBv1.0/g/{kind}/{NODE}")
    assert may_read(NODE, f"spBv1.0/g/NCMD/{NODE}")
    assert may_read(NODE, f"spBv1.0/g/DCMD/{NODE}/+")
    for topic in (
        f"spBv1.0/g/NCMD/{METER}",
        f"spBv1.0/+/+/{NODE}",
        "spBv1.0/#",
        "spBv1.0/g/NCMD/+",
        f"spBv1.0/#/NCMD/{NODE}",
        f"spBv1.0/g/DCMD/{NODE}/#",
        f"spBv1.0/g/DCMD/{NODE}",
        "dev1/+/down/ack",
        f"dev1/{METER}/down",
    ):
        assert not may_read(NODE, topic)
        assert not may_publish(NODE, topic)
    assert may_read(CLOUD, "spBv1.0/+/NBIRTH/+")
    assert may_publish(CLOUD, f"spBv1.0/g/NCMD/{NODE}")
    assert may_connect(NODE, NODE, f"spBv1.0/g/NDEATH/{NODE}")
    assert not may_connect(NODE, NODE, f"spBv1.0/g/NDEATH/{METER}")


def test_mosquitto_gets_the_same_rules() -> None:
    """The ACL file is made of what the embedded broker asks."""
    lines = acl(()).splitlines()
    for line in (
        "pattern write sv1/%u/up/#",
        "pattern read sv1/%u/down/#",
        "pattern write dev1/%u/up/#",
        "pattern write spBv1.0/+/NBIRTH/%u",
        "pattern write spBv1.0/+/DDATA/%u/+",
        "pattern read spBv1.0/+/NCMD/%u",
        "topic readwrite dev1/#",
        "topic readwrite spBv1.0/#",
    ):
        assert line in lines


def test_commands_go_at_most_once() -> None:
    """As Sparkplug has it; acks go at least once."""
    assert qos(f"spBv1.0/g/NCMD/{NODE}") == 0
    assert qos(f"dev1/{METER}/down/ack") == 1


def test_the_document_is_there() -> None:
    """The table of what is accepted names every kind of message."""
    text = (Path(__file__).parents[2] / "docs" / "devices.md").read_text()
    for kind in ("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH", "down/ack"):
        assert kind in text
