"""A topic as the end of a replay: acknowledged, refused, cut off and connected again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
import pytest
from paho.mqtt.reasoncodes import ReasonCode

from plantroom_cloud.broker.embedded import MAX_UNACKED
from plantroom_cloud.db import Database
from plantroom_cloud.gateways.pki import client_context
from plantroom_cloud.replay import topic
from plantroom_cloud.replay.positions import Position, new_replay
from plantroom_cloud.replay.topic import Broker, Credentials, TopicSink, check_topic, read_broker
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import ConfigError
from support.cloud_broker import BrokerProcess, open_to_others
from support.replay_world import END, START, World, make_world
from support.waiting import eventually

CLIENT = "gw-replay-0001"
TOPIC = f"sv1/{CLIENT}/up/replay"


@pytest.fixture(params=["mosquitto", "embedded"])
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrokerProcess]:
    """A running broker of each kind."""
    if request.param == "mosquitto":
        request.getfixturevalue("mosquitto")
    running = BrokerProcess(
        open_to_others(tmp_path_factory.mktemp(f"topic-{request.param}")), request.param
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    """A site with 300 samples."""
    made = await make_world(sqlite_database, points=3)
    await made.put((START + n, made.points[n % 3], n) for n in range(300))
    return made


def sink_to(broker: BrokerProcess, where: str = TOPIC) -> TopicSink:
    """Return a sink with a certificate of that broker's authority."""
    tls = broker.tls(CLIENT)
    return TopicSink(Broker("127.0.0.1", broker.port, tls, CLIENT), where, window=16)


@contextlib.asynccontextmanager
async def heard(broker: BrokerProcess) -> AsyncIterator[list[int]]:
    """Yield the numbers of what arrives."""
    numbers: list[int] = []
    context = client_context(broker.authority.files("cloud"))
    async with broker.client("plantroom-cloud", tls_context=context) as client:
        await client.subscribe(TOPIC, qos=1)

        async def listen() -> None:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                numbers.append(orjson.loads(message.payload)["n"])

        listening = asyncio.create_task(listen())
        try:
            yield numbers
        finally:
            await ended(listening)


async def test_every_object_once_in_order(broker: BrokerProcess, world: World) -> None:
    """On a connection that holds nothing comes twice; both versions of MQTT.

    No more than the embedded broker keeps for a slow reader: beyond that it drops by design.
    """
    few = Position(new_replay(), START, START + MAX_UNACKED // 2)
    async with heard(broker) as numbers:
        outcome = await world.replay(sink_to(broker), position=few, page=7)
        await eventually(lambda: len(numbers) >= few.count, "the last object")
    assert numbers == list(range(1, MAX_UNACKED // 2 + 1))
    assert outcome.delivered == MAX_UNACKED // 2


async def test_broker_that_dies_is_waited_for(broker: BrokerProcess, world: World) -> None:
    """The page that was not acknowledged goes out again on the next connection."""
    sink = sink_to(broker)
    async with heard(broker) as numbers:
        await sink.deliver(b'{"n":1}\n')
        await eventually(lambda: numbers == [1], "the first object")
    broker.kill()
    sending = asyncio.create_task(sink.deliver(b'{"n":2}\n{"n":3}\n'))
    # It has tried and failed at least once before there is a broker again.
    await eventually(lambda: sink._backoff.failures > 0, "a failure")
    assert not sending.done()
    broker.start()
    assert await sending == 0
    await sink.close()


async def test_refusal_is_no_delivery(
    mosquitto: Path, world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A PUBACK that says no (MQTT 5) ends the replay with nothing confirmed."""
    del mosquitto
    running = BrokerProcess(open_to_others(tmp_path_factory.mktemp("topic-refused")), "mosquitto")
    running.start()
    position = Position(new_replay(), START, END)
    with pytest.raises(ConfigError, match="refuses messages on 'sv1/gw-other-0001/up/tel'"):
        await world.replay(sink_to(running, "sv1/gw-other-0001/up/tel"), position=position)
    assert position.count == 0
    running.stop()


async def test_broker_without_room_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quota exceeded passes by itself: the page goes out again."""
    answers = [0x97, 0]
    sent: list[Any] = []

    class Full:
        """A client whose broker answers in turn."""

        def __init__(self, *_: Any, **__: Any) -> None:
            self._client = self
            self.on_publish: Any = lambda *_: None

        async def __aenter__(self) -> None:
            """Connect."""

        async def __aexit__(self, *_: object) -> None:
            """Lose the connection."""
            msg = "gone"
            raise aiomqtt.MqttError(msg)

        async def publish(self, _: str, line: bytes, qos: int) -> None:
            """Answer."""
            sent.append((line, qos))
            code = ReasonCode(4, identifier=answers.pop(0))
            self.on_publish(None, None, 1, code, None)

    monkeypatch.setattr(aiomqtt, "Client", Full)
    sink = TopicSink(Broker("h", 1), "t")
    await sink.deliver(b"one\n")
    await sink.close()
    assert sent == [(b"one", 1)] * 2


def test_addresses(tmp_path: Path) -> None:
    """Defaults of ports, password from the environment, TLS only where it is asked for."""
    plain = read_broker("mqtt://h", Credentials(username="u"), {topic.PASSWORD: "p"})
    assert plain == Broker("h", 1883, None, None, "u", "p")
    secure = read_broker("mqtts://h:99", Credentials(client_id="c"), {})
    assert (secure.port, secure.client_id, secure.password) == (99, "c", None)
    assert secure.tls is not None
    (tmp_path / "not.pem").write_text("no")
    for wrong in (
        Credentials(ca=tmp_path / "not.pem"),
        Credentials(certificate=tmp_path / "not.pem", key=tmp_path / "not.pem"),
    ):
        with pytest.raises(ConfigError, match="PEM"):
            read_broker("mqtts://h", wrong, {})
    for wrong_url in ("", "h", "http://h", "mqtt://", "mqtt://h/path", "mqtt://[h", "mqtt://h:0x1"):
        with pytest.raises(ConfigError, match="mqtt://host:1883"):
            read_broker(wrong_url, Credentials(), {})


def test_topics() -> None:
    """No wildcard, no system topic, nothing that MQTT cannot carry."""
    check_topic("plantroom/tower/replay")
    for wrong in ("", "a/+", "#", "$SYS/x", "a\x00", "x" * 1001):
        with pytest.raises(ConfigError, match="--to-topic"):
            check_topic(wrong)
