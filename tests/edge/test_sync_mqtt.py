"""The rim: real brokers, real TLS, connections that break."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import aiomqtt
import pytest
from aiomqtt import ProtocolVersion

from plantroom_edge import session as session_module
from plantroom_edge import sync as sync_module
from plantroom_edge import sync_client as client_module
from plantroom_edge.buffer import Buffer
from plantroom_edge.sync import Sync
from plantroom_edge.sync_client import Versions
from plantroom_edge.sync_messages import fitting
from plantroom_edge.sync_pace import AWAY
from plantroom_edge.sync_tls import tls_context
from plantroom_shared import topics
from plantroom_shared.errors import ConfigError, Unavailable
from plantroom_shared.wire import Hello, Holding, State, encode
from support.edge_broker import GATEWAY, BrokerProcess, Certificates, cloud_behind, running
from support.edge_cloud import ModelCloud
from support.edge_rows import METER, counting, finding, points
from support.edge_sync import gateway, syncing, values
from support.waiting import eventually


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerProcess]:
    with running(request.param, tmp_path) as process:
        yield process


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare amqtt hangs up on MQTT 5 without a word: do not wait ten seconds for nothing."""
    monkeypatch.setattr(client_module, "CONNACK_WITHIN", 1.0)
    monkeypatch.setattr(sync_module, "STATE_EVERY", 0.3)
    monkeypatch.setattr(session_module, "HELLO_AGAIN", (0.3,))


@pytest.fixture
def mosquitto_broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with running("mosquitto", tmp_path) as process:
        yield process


async def test_what_was_accepted_arrives_and_leaves_the_buffer(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """Rows, findings and the dictionary reach the cloud once; then the buffer is empty."""
    async with (
        cloud_behind(broker) as model,
        gateway(tmp_path, broker.cloud_config()) as unit,
    ):
        for i in range(30):
            await unit.buffer.append(counting(i * 10, 10))
        await unit.buffer.append_findings([finding("f")])
        await unit.drained()
        assert values(model, unit.buffer.epoch) == [float(i) for i in range(300)]
        assert model.points[unit.buffer.epoch] == points(1)
        assert model.devices == {METER.key: METER}
        assert not model.gaps
        status = unit.sync.status()
        assert status["connected"]
        assert status["resumed"]
        assert status["protocol"] == {"mosquitto": "5", "amqtt": "3.1.1"}[broker.kind]
        assert status["window"] == 0
        assert status["last_ack_age"] < 20
        await eventually(lambda: model.states)
        assert model.states[0].online
        assert model.states[0].counters == {"accepted": 1.0}


async def test_new_points_are_announced_at_once(
    mosquitto_broker: BrokerProcess, tmp_path: Path
) -> None:
    """The cloud learns of new points before there is a single sample of them."""
    async with (
        cloud_behind(mosquitto_broker) as model,
        gateway(tmp_path, mosquitto_broker.cloud_config()) as unit,
    ):
        await eventually(lambda: model.points.get(unit.buffer.epoch) == points(1))
        await unit.buffer.add_points(points(3), [])
        await eventually(lambda: model.points[unit.buffer.epoch] == points(3))


async def test_an_orderly_stop_sends_what_is_left_and_says_goodbye(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """Stop drains the buffer, sends a last account that says offline, and the run ends."""
    async with cloud_behind(broker) as model:
        buffer = await Buffer.open(tmp_path / "buffer.db", commit_s=0.001)
        await buffer.add_points(points(1), [])
        sync = syncing(broker.cloud_config(), buffer)
        task = asyncio.create_task(sync.run())
        await eventually(lambda: sync.connected)
        for i in range(50):
            await buffer.append(counting(i * 100, 100))
        await sync.stop(grace=15.0)
        async with asyncio.timeout(60):
            await task
        await eventually(lambda: model.states and not model.states[-1].online)
        (last,) = [h for h in model.states[-1].epochs if h.ep == buffer.epoch]
        assert last.accepted["tel"] == 5000
        assert not last.held
        assert len(values(model, buffer.epoch)) == 5000
        await buffer.close()


async def test_a_killed_broker_costs_nothing(broker: BrokerProcess, tmp_path: Path) -> None:
    """While the broker is away rows are buffered; when it is back they all arrive, once."""
    async with (
        cloud_behind(broker) as model,
        gateway(tmp_path, broker.cloud_config()) as unit,
    ):
        serial = 0
        for _ in range(3):
            await eventually(lambda: unit.sync.status()["resumed"])
            for _ in range(5):
                await unit.buffer.append(counting(serial, 20))
                serial += 20
            broker.kill()
            await eventually(lambda: not unit.sync.connected)
            await unit.buffer.append(counting(serial, 20))
            serial += 20
            broker.start()
        await unit.drained()
        assert values(model, unit.buffer.epoch) == [float(i) for i in range(serial)]
        assert unit.sync.connects >= 4


async def test_nothing_is_deleted_while_the_cloud_is_silent(
    mosquitto_broker: BrokerProcess, tmp_path: Path
) -> None:
    """The broker's own acknowledgements delete nothing; the hello is repeated until answered."""
    async with gateway(tmp_path, mosquitto_broker.cloud_config()) as unit:
        await unit.buffer.append(counting(0, 50))
        await eventually(lambda: unit.sync.connected)
        await asyncio.sleep(0.2)
        assert await unit.held() == 50
        assert not unit.sync.status()["resumed"]
        async with cloud_behind(mosquitto_broker) as model:
            await unit.drained()
            assert len(values(model, unit.buffer.epoch)) == 50


async def test_rubbish_from_the_broker_is_survived(
    mosquitto_broker: BrokerProcess, tmp_path: Path
) -> None:
    """Malformed, oversized and absurd messages are counted and cost nothing."""
    async with (
        cloud_behind(mosquitto_broker) as model,
        gateway(tmp_path, mosquitto_broker.cloud_config()) as unit,
    ):
        await eventually(lambda: unit.sync.status()["resumed"])
        async with aiomqtt.Client(
            "127.0.0.1",
            mosquitto_broker.port,
            tls_context=mosquitto_broker.certificates.client("cloud"),
        ) as evil:
            for payload in (b"", b"\x1f\x8b", b"{}" * 61_000, b"\xff" * 1000):
                for channel in ("ack", "resume", "what"):
                    await evil.publish(topics.down(GATEWAY, channel), payload, qos=1)
        await eventually(lambda: unit.sync.status()["counters"].get("down_channel") == 4)
        assert unit.sync.status()["counters"]["down_malformed"] >= 6
        await unit.buffer.append(counting(0, 10))
        await unit.drained()
        assert len(values(model, unit.buffer.epoch)) == 10


async def test_a_refused_message_is_kept_and_told_once(
    mosquitto_broker: BrokerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the cloud will not take stays in the buffer and is offered again in the next session."""
    model = ModelCloud()
    model.refuse = "schema"
    async with (
        cloud_behind(mosquitto_broker, model),
        gateway(tmp_path, mosquitto_broker.cloud_config()) as unit,
    ):
        await unit.buffer.append(counting(0, 10))
        refused = "nack_schema"
        await eventually(lambda: unit.sync.status()["counters"].get(refused))
        assert await unit.held() == 10
        mosquitto_broker.kill()
        await eventually(lambda: not unit.sync.connected)
        mosquitto_broker.start()
        await eventually(lambda: unit.sync.status()["counters"].get(refused) == 2)
        model.refuse = ""
        mosquitto_broker.kill()
        await eventually(lambda: not unit.sync.connected)
        mosquitto_broker.start()
        await unit.drained()
    said = [r for r in caplog.records if "will not take" in r.getMessage()]
    assert len(said) == 1
    assert said[0].__dict__["reason"] == "schema"


async def test_trouble_with_the_disk_does_not_end_the_connection(
    mosquitto_broker: BrokerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A buffer that cannot be read or written for a moment is asked again; nothing is forgotten."""
    monkeypatch.setattr(sync_module, "_LATER", 0.02)
    async with (
        cloud_behind(mosquitto_broker) as model,
        gateway(tmp_path, mosquitto_broker.cloud_config()) as unit,
    ):
        await eventually(lambda: unit.sync.status()["resumed"])
        failures = {"next": 2, "confirm": 2, "dictionary": 1, "holdings": 1}
        for name in failures:
            monkeypatch.setattr(unit.buffer, name, failing(unit.buffer, name, failures))
        await unit.buffer.add_points(points(2), [])
        await unit.buffer.append(counting(0, 10))
        await unit.drained()
        await eventually(lambda: failures == dict.fromkeys(failures, 0))
        assert len(values(model, unit.buffer.epoch)) == 10
        await eventually(lambda: model.points[unit.buffer.epoch] == points(2))
        assert unit.sync.connects == 1


def failing(buffer: Buffer, name: str, left: dict[str, int]) -> Callable[..., object]:
    real = getattr(buffer, name)

    async def call(*args: object, **more: object) -> object:
        if left[name]:
            left[name] -= 1
            msg = "disk I/O error"
            raise Unavailable(msg)
        return await real(*args, **more)

    return call


async def pause_after_failing(sync: Sync) -> float:
    """Return how long the agent is told to wait after a connect that fails."""
    with pytest.raises(Unavailable) as failed:
        await sync.run()
    assert failed.value.retry_after is not None
    return failed.value.retry_after


async def test_a_broker_nobody_vouches_for_gets_nothing(
    mosquitto_broker: BrokerProcess, tmp_path: Path
) -> None:
    """A broker whose certificate another authority signed is refused before a byte of data."""
    other = Certificates(tmp_path / "other")
    cloud = mosquitto_broker.cloud_config(ca=other.folder / "ca.pem", connects_per_minute=12)
    buffer = await Buffer.open(tmp_path / "buffer.db")
    sync = syncing(cloud, buffer)
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await sync.run()
    # It is there, and every try costs it a handshake: these are the connects of a minute.
    assert max([await pause_after_failing(sync) for _ in range(6)]) > AWAY[-1]
    cloud = mosquitto_broker.cloud_config(host="localhost")  # not the name it was issued for
    sync = syncing(cloud, buffer)
    with pytest.raises(Unavailable, match=r"mismatch|doesn't match|not valid for"):
        await sync.run()
    await buffer.close()


async def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    """A broker that is not there is said with its address."""
    broker = BrokerProcess("amqtt", Certificates(tmp_path / "certs"), 1)
    buffer = await Buffer.open(tmp_path / "buffer.db")
    sync = syncing(broker.cloud_config(connects_per_minute=12), buffer)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1:.*refused"):
        await sync.run()
    assert sync.status()["connected"] is False
    assert max([await pause_after_failing(sync) for _ in range(12)]) <= AWAY[-1]
    await sync.stop(grace=1.0)
    await buffer.close()


def test_files_that_are_no_certificates_are_configuration_errors(tmp_path: Path) -> None:
    """A wrong PEM file is named with its key before anything starts."""
    good = BrokerProcess("amqtt", Certificates(tmp_path / "certs"), 1)
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"cloud\.ca: .*rubbish"):
        tls_context(good.cloud_config(ca=rubbish))
    with pytest.raises(ConfigError, match=r"cloud\.cert: .*rubbish"):
        tls_context(good.cloud_config(key=rubbish))


def test_auto_tries_five_first_and_learns() -> None:
    """A broker that refuses MQTT 5 is spoken to in 3.1.1, and asked again for 5 now and then."""
    v5, v311 = ProtocolVersion.V5, ProtocolVersion.V311
    for refusal in (
        aiomqtt.exceptions.MqttConnectError(132),
        aiomqtt.MqttError("Operation timed out"),
    ):
        versions = Versions("auto")
        assert versions.attempts() == [v5, v311]
        assert versions.failed(v5, refusal)
        versions.worked(v311)
        assert [versions.attempts() for _ in range(10)] == [[v311]] * 10
        assert versions.attempts() == [v5, v311]


def test_auto_goes_back_to_five_and_told_versions_are_kept() -> None:
    """A broker that no longer takes 3.1.1 is asked for 5; an absent network changes nothing."""
    v5, v311 = ProtocolVersion.V5, ProtocolVersion.V311
    versions = Versions("auto")
    versions.worked(v311)
    assert not versions.failed(v311, aiomqtt.MqttError("[Errno 111] Connection refused"))
    assert versions.attempts() == [v311]
    assert not versions.failed(v311, aiomqtt.exceptions.MqttConnectError(1))
    assert versions.attempts() == [v5, v311]
    versions.worked(v5)
    assert not versions.failed(v5, aiomqtt.MqttError("[Errno 111] Connection refused"))
    assert versions.attempts() == [v5, v311]
    assert Versions("5").attempts() == [v5]
    assert Versions("3.1.1").attempts() == [v311]
    assert not Versions("5").failed(v5, aiomqtt.exceptions.MqttConnectError(132))


def test_accounts_too_long_for_a_message_are_shortened() -> None:
    """With more epochs than fit, the oldest and the newest are named and the message goes out."""
    spans = [(i * 7 + i % 5, i * 7 + i % 5) for i in range(1, 1000)]
    epochs = [Holding(ep=f"{i:016x}", held={"tel": spans}) for i in range(100)]
    state = fitting(epochs, lambda some: State(online=True, epochs=some))
    encode(state)
    assert state.epochs[-1] == epochs[-1]
    assert state.epochs[0] == epochs[0]
    monster = Holding(
        ep="f" * 16, held={"tel": [(i * i * 7919, i * i * 7919 + i % 97) for i in range(1, 60_000)]}
    )
    hello = fitting([monster], lambda some: Hello(session="1" * 16, agent="t", epochs=some))
    assert hello.epochs == []


async def test_a_stop_in_the_middle_of_nothing_is_quick(tmp_path: Path) -> None:
    """A sync that never connected has nothing to send and nothing to wait for."""
    logging.getLogger("mqtt").setLevel(logging.CRITICAL)
    broker = BrokerProcess("amqtt", Certificates(tmp_path / "certs"), 1)
    async with gateway(tmp_path, broker.cloud_config()) as unit:
        await unit.buffer.append(counting(0, 5))
        async with asyncio.timeout(60):
            await unit.sync.stop(grace=60.0)
        assert await unit.held() == 5
