"""Sparkplug B out: the sink before an independent host, and within the agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from pydantic import ValidationError

from demo.processes import free_port
from plantroom_edge import config as edge_config
from plantroom_edge.sampler import Sampler
from plantroom_edge.sinks import sinks
from plantroom_edge.sinks import sparkplug as sink_module
from plantroom_edge.sinks.sparkplug import SparkplugConfig, SparkplugSink
from plantroom_edge.supervise import Supervisor
from plantroom_shared import sparkplug
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch
from support import edge_agent
from support.cloud_broker import BrokerProcess
from support.edge_driver import Script, ScriptedBus, ScriptedDriver
from support.edge_points import DEVICES, GROUP, NODE, POINTS, batch
from support.edge_time import VirtualTime
from support.sparkplug_peer import pysparkplug
from support.waiting import eventually

# ---------------------------------------------------------------- before a real host


class Host:
    """A host application of pysparkplug: it decodes with the births it has seen."""

    def __init__(self, broker: BrokerProcess) -> None:
        files = broker.authority.files("cloud")
        self.client = pysparkplug.Client(
            client_id="plantroom-cloud",
            transport_config=pysparkplug.TLSConfig(
                ca_certs=str(files.ca), certfile=str(files.certificate), keyfile=str(files.key)
            ),
        )
        self.seen: queue.Queue[Any] = queue.Queue()
        self.values: dict[str, Any] = {}
        self.history: list[Any] = []
        self.kinds: list[str] = []
        for device in (None, "+"):
            topic = pysparkplug.Topic(
                group_id=GROUP, message_type="+", edge_node_id="+", device_id=device
            )
            self.client.subscribe(topic, pysparkplug.QoS.AT_LEAST_ONCE, self._take)
        connected = threading.Event()
        self.client.connect("127.0.0.1", port=broker.port, callback=lambda _: connected.set())
        assert connected.wait(60)

    def _take(self, _: Any, message: Any) -> None:
        kind = str(message.topic.message_type)
        for metric in getattr(message.payload, "metrics", ()):
            if metric.is_historical:
                self.history.append(metric.value)
            else:
                self.values[f"{message.topic.device_id}/{metric.name}"] = metric.value
        if kind != "NCMD":
            self.kinds.append(kind)

    def command(self, name: str) -> None:
        """Send a command to the node."""
        now = pysparkplug.get_current_timestamp()
        ask = pysparkplug.Metric(
            timestamp=now, name=name, datatype=pysparkplug.DataType.BOOLEAN, value=True
        )
        topic = pysparkplug.Topic(
            group_id=GROUP, message_type=pysparkplug.MessageType.NCMD, edge_node_id=NODE
        )
        payload = pysparkplug.NCmd(timestamp=now, metrics=(ask,))
        self.client.publish(
            pysparkplug.Message(topic, payload, pysparkplug.QoS.AT_MOST_ONCE, retain=False),
            include_dtypes=True,
        )


@pytest.fixture
def host(broker: BrokerProcess) -> Iterator[Host]:
    """A host on `broker`."""
    running = Host(broker)
    yield running
    running.client.disconnect()


def settings(broker: BrokerProcess, **more: Any) -> SparkplugConfig:
    """Return the configuration of a sink on `broker`."""
    broker.tls(NODE)
    folder = broker.folder / "clients" / NODE
    return SparkplugConfig(
        **(
            {
                "name": "scada",
                "sink": "sparkplug",
                "host": "127.0.0.1",
                "port": broker.port,
                "group": GROUP,
                "node": NODE,
                "ca": folder / "ca.pem",
                "cert": folder / "gateway.pem",
                "key": folder / "gateway.key",
            }
            | more
        )
    )


@contextlib.asynccontextmanager
async def delivering(sink: SparkplugSink) -> AsyncIterator[asyncio.Task[None]]:
    """Run `sink` until the block ends."""
    task = asyncio.create_task(sink.run())
    try:
        await eventually(lambda: sink.connected or task.done(), "the connection")
        yield task
    finally:
        await ended(task)


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pysparkplug is for paho 1


async def test_an_independent_host(broker: BrokerProcess, host: Host) -> None:
    """Births, data, a rebirth at its request, nothing else at anybody's, and a death at the end."""
    sink = SparkplugSink(settings(broker), SystemClock())
    sink.describe(POINTS, [0, 1, 2], DEVICES)
    sink.feed(batch((0, 1, 1.0), (0, 2, 2.0)))  # before there is a connection: history
    async with delivering(sink):
        await eventually(lambda: sink.status().get("births") == 1, "the birth")
        sink.feed(batch((1, 3, True), (2, 3, 9.5)))
        await eventually(lambda: host.values.get("modbus:fan/flow") == 9.5, "the data")
        assert host.values["modbus:pump/speed"] == 2.0  # by the birth
        assert host.history == [1.0, 2.0]
        assert host.values["modbus:pump/running"] is True
        births = host.kinds.count("NBIRTH")
        host.command("Node Control/Reboot")
        host.command(sparkplug.REBIRTH)
        await eventually(lambda: host.kinds.count("NBIRTH") == births + 1, "the rebirth")
        await eventually(lambda: sink.status()["commands_refused"] == 1, "the refusal")
        assert sink.status()["connected"]
        assert sink.status()["sent"] == 4
    await eventually(lambda: host.kinds[-1] == "NDEATH", "the death")
    assert not sink.connected


async def test_what_does_not_fit_is_dropped_and_told_by_a_birth(
    broker: BrokerProcess, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest stay; a point whose only word was dropped is known by the birth."""
    monkeypatch.setattr(sink_module, "MAX_ROWS", 3)
    sink = SparkplugSink(settings(broker), SystemClock())
    sink.describe(POINTS, [0, 1, 2], DEVICES)
    sink.feed(batch((2, 1, 7.0)))
    for n in range(5):
        sink.feed(batch((0, n, float(n))))
    assert sink.status() == {"connected": False, "waiting": 3, "dropped": 3}
    async with delivering(sink):
        await eventually(lambda: host.history == [2.0, 3.0, 4.0], "what was left")
    assert (host.values["modbus:fan/flow"], host.values["modbus:pump/speed"]) == (7.0, 4.0)


async def test_drops_while_connected_bring_a_birth(
    broker: BrokerProcess, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon, and not at every one of them."""
    monkeypatch.setattr(sink_module, "MAX_ROWS", 1)
    monkeypatch.setattr(sink_module, "REBIRTH_EVERY", 0.05)
    sink = SparkplugSink(settings(broker), SystemClock())
    sink.describe(POINTS, [0, 1, 2], DEVICES)
    async with delivering(sink):
        await eventually(lambda: sink.status().get("births") == 1, "the birth")
        sink.feed(batch((2, 1, 7.0)))
        sink.feed(batch((0, 2, 8.0)))
        await eventually(lambda: host.values.get("modbus:fan/flow") == 7.0, "the dropped value")
        await eventually(lambda: host.values.get("modbus:pump/speed") == 8.0, "the other")


async def test_a_broken_command_is_counted(broker: BrokerProcess) -> None:
    """Rubbish does not end the sink."""
    sink = SparkplugSink(settings(broker), SystemClock())
    async with (
        delivering(sink) as task,
        broker.client("plantroom-cloud", tls_context=_cloud(broker)) as cloud,
    ):
        await cloud.publish(sparkplug.build(GROUP, "NCMD", NODE), b"\xff", qos=1)
        await eventually(lambda: sink.status().get("commands_refused") == 1, "the refusal")
        assert not task.done()


def _cloud(broker: BrokerProcess) -> Any:
    from plantroom_cloud.gateways.pki import client_context

    return client_context(broker.authority.files("cloud"))


async def test_a_line_that_breaks(
    broker: BrokerProcess, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker speaks the node's will; the next connection is born under the next number."""
    lines: list[aiomqtt.Client] = []

    def client(*arguments: Any, **options: Any) -> aiomqtt.Client:
        lines.append(aiomqtt.Client(*arguments, **options))
        return lines[-1]

    sink = SparkplugSink(settings(broker), SystemClock())
    with monkeypatch.context() as patch:
        patch.setattr(sink_module, "aiomqtt", _Aiomqtt(client))
        async with delivering(sink) as task:
            await eventually(lambda: "NBIRTH" in host.kinds, "the birth")
            sock = lines[0]._client.socket()
            assert isinstance(sock, socket.socket)
            sock.shutdown(socket.SHUT_RDWR)
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
                await asyncio.wait_for(task, 60)
    await eventually(lambda: host.kinds[-1] == "NDEATH", "the will")
    assert host.values[f"None/{sparkplug.BD_SEQ}"] == 1
    async with delivering(sink):
        await eventually(lambda: host.values[f"None/{sparkplug.BD_SEQ}"] == 2, "the next birth")


class _Aiomqtt:
    """The module with another way to make clients."""

    def __init__(self, client: Any) -> None:
        self.Client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(aiomqtt, name)


async def test_a_broker_that_is_away(tmp_path: Path) -> None:
    """It is said so; the supervisor tries again, and what is fed meanwhile waits."""
    config = SparkplugConfig(
        name="s", sink="sparkplug", host="127.0.0.1", port=free_port(), group=GROUP, node=NODE
    )
    (tmp_path / "password").write_text("secret\nmore")
    plain = config.model_copy(
        update={"tls": False, "username": "u", "password_file": tmp_path / "password"}
    )
    for settings_ in (config, plain):
        sink = SparkplugSink(settings_, SystemClock())
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            await sink.run()
        sink.feed(batch((0, 1, 1.0)))
        assert sink.status() == {"connected": False, "waiting": 1}


# ---------------------------------------------------------------- in the agent


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"group": "a/b"}, "without"),
        ({"node": "a+b"}, "without"),
        ({"cert": None}, "belong together"),
        ({"ca": Path("nowhere.pem")}, "cannot be read"),
        ({"port": 0}, "greater than"),
        ({"colour": "red"}, "extra"),
    ],
)
def test_settings_that_cannot_be(broker: BrokerProcess, change: dict[str, Any], said: str) -> None:
    """Each is named."""
    good = settings(broker).model_dump()
    with pytest.raises(ValidationError, match=said):
        SparkplugConfig.model_validate(good | change)


def test_the_file_names_sinks(tmp_path: Path) -> None:
    """Paths are taken from the folder of the file; an unknown sink is an error of it."""
    (tmp_path / "ca.pem").write_text("")
    text = """
gateway: gw-tower-0001
site: tower
sinks:
  - {name: scada, sink: sparkplug, host: h, group: Tower, node: n, ca: ca.pem}
"""
    (tmp_path / "edge.yaml").write_text(text)
    (entry,) = edge_config.load(tmp_path / "edge.yaml").sinks
    assert isinstance(entry, SparkplugConfig)
    assert entry.ca == tmp_path / "ca.pem"
    opened = sinks.get("sparkplug").open(entry, SystemClock())
    assert opened.status() == {"connected": False, "waiting": 0}
    (tmp_path / "edge.yaml").write_text(text.replace("sink: sparkplug", "sink: carrier-pigeon"))
    with pytest.raises(edge_config.ConfigErrors, match="carrier-pigeon"):
        edge_config.load(tmp_path / "edge.yaml")


class Listener:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.described: list[int] = []
        self.fed: list[Batch] = []

    def describe(self, points: Any, aliases: Any, devices: Any) -> None:
        self.described += aliases

    def feed(self, batch: Batch) -> None:
        self.fed.append(batch)


class Disk:
    """Stands in for the buffer: accepts when told to."""

    def __init__(self) -> None:
        self.offered: list[tuple[Batch, asyncio.Future[None]]] = []

    async def add_points(self, points: Any, _: Any) -> list[int]:
        return list(range(len(points)))

    def offer(self, batch: Batch) -> asyncio.Future[None]:
        promise = asyncio.get_running_loop().create_future()
        self.offered.append((batch, promise))
        return promise


async def test_sinks_hear_only_of_what_is_on_the_disk() -> None:
    """Not before the buffer has it, and never of what it refuses."""
    time, disk, listener = VirtualTime(), Disk(), Listener()
    config = ScriptedBus.model_validate({"name": "bus", "driver": "scripted", "interval": 1.0})
    sampler = Sampler(
        "bus",
        lambda: ScriptedDriver(config, time, Script()),
        disk,  # type: ignore[arg-type] # stands in
        sinks=[listener],  # type: ignore[list-item] # only `describe` and `feed` are called
        supervisor=Supervisor(sleep=time.sleep),
        clock=time,
        sleep=time.sleep,
    )
    task = asyncio.create_task(sampler.run())
    await time.advance(0.0)
    await time.advance(3.0)
    assert listener.described
    assert len(disk.offered) >= 3
    assert listener.fed == []
    (kept, promise), (_, refused), (_, dropped) = disk.offered[:3]
    promise.set_result(None)
    refused.set_exception(Unavailable("full"))
    dropped.cancel()
    await time.advance(0.0)
    assert listener.fed == [kept]
    assert sampler.counters["refused"] > 0
    await ended(task)


async def test_the_agent_speaks_sparkplug(
    broker: BrokerProcess, host: Host, tmp_path: Path
) -> None:
    """A whole agent on a scripted bus: what it accepts reaches the host; a stop is a death."""
    file = edge_agent.write_config(tmp_path, devices=1, interval=0.1)
    sink = settings(broker)
    lines = [f"    {key}: {json.dumps(str(getattr(sink, key)))}" for key in ("ca", "cert", "key")]
    text = f"""
sinks:
  - name: scada
    sink: sparkplug
    host: 127.0.0.1
    port: {broker.port}
    group: {GROUP}
    node: {NODE}
"""
    file.write_text(file.read_text() + text + "\n".join(lines) + "\n")
    child = edge_agent.start(file)
    try:
        await eventually(lambda: host.kinds.count("DDATA") >= 3, "the data")
        said = tmp_path / "data" / "status.json"
        await eventually(
            lambda: json.loads(said.read_bytes())["sinks"]["scada"]["connected"], "the status"
        )
        child.send_signal(signal.SIGTERM)
        await eventually(lambda: host.kinds[-1] == "NDEATH", "the death")
        assert await asyncio.to_thread(child.wait, 20) == 0
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate(timeout=60)
