"""Both brokers, judged by what they deliver: who gets in, and whose messages reach whom."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from plantroom_cloud.broker import mosquitto as engine
from plantroom_cloud.broker.embedded import MAX_PACKET
from plantroom_cloud.gateways.pki import CLOUD, Authority, client_context
from plantroom_shared.cancelling import ended
from support.cloud_broker import BrokerProcess, open_to_others
from support.waiting import eventually

NORTH, SOUTH = "gw-north-0001", "gw-south-0002"


@contextlib.asynccontextmanager
async def heard(client: aiomqtt.Client, *filters: str) -> AsyncIterator[list[tuple[str, bytes]]]:
    """Yield what `client` hears of `filters`, whatever the broker said to the subscription."""
    for pattern in filters:
        with contextlib.suppress(aiomqtt.MqttError):
            await client.subscribe(pattern, qos=1)
    messages: list[tuple[str, bytes]] = []

    async def listen() -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            messages.append((message.topic.value, message.payload))

    task = asyncio.create_task(listen())
    try:
        yield messages
    finally:
        await ended(task)


def cloud(broker: BrokerProcess, **more: Any) -> aiomqtt.Client:
    """Return the cloud's own client."""
    context = client_context(broker.authority.files("cloud"))
    return broker.client(CLOUD, tls_context=context, **more)


async def test_messages_reach_only_those_they_are_for(broker: BrokerProcess) -> None:
    """Every topic is tried by every client: a gateway writes and reads its own subtree only."""
    tried = [
        f"{root}/{name}/{way}/{channel}"
        for root in ("sv1", "sv2")
        for name in (NORTH, SOUTH, CLOUD)
        for way, channel in (("up", "tel"), ("up", "x"), ("down", "ack"), ("down", "resume"))
    ]
    everything = ("#", "sv1/#", "sv1/+/down/#", "sv1/+/up/#", f"sv1/{NORTH}/#", "$SYS/#")
    async with (
        cloud(broker) as middle,
        broker.client(NORTH) as north,
        broker.client(SOUTH) as south,
        heard(middle, "sv1/+/up/#") as at_cloud,
        heard(north, *everything, f"sv1/{NORTH}/down/#") as at_north,
        heard(south, *everything, f"sv1/{SOUTH}/down/#") as at_south,
    ):
        for sender, client in ((NORTH, north), (SOUTH, south)):
            for topic in tried:
                await client.publish(topic, f"{sender}:{topic}".encode(), qos=1)
        await middle.publish(f"sv1/{NORTH}/down/ack", b"for north", qos=1)
        await middle.publish(f"sv1/{SOUTH}/down/ack", b"for south", qos=1)
        await eventually(lambda: len(at_cloud) >= 4 and at_north and at_south, "delivery")
    assert sorted(at_cloud) == sorted(
        (f"sv1/{name}/up/{channel}", f"{name}:sv1/{name}/up/{channel}".encode())
        for name in (NORTH, SOUTH)
        for channel in ("tel", "x")
    )
    # Twice is what overlapping subscriptions may lead to.
    assert set(at_north) == {(f"sv1/{NORTH}/down/ack", b"for north")}
    assert set(at_south) == {(f"sv1/{SOUTH}/down/ack", b"for south")}


async def test_no_certificate_no_connection(broker: BrokerProcess) -> None:
    """A client without a certificate, or with one of another authority, is refused by TLS."""
    without = ssl.create_default_context(cafile=broker.authority.folder / "ca.pem")
    foreign = Authority(broker.folder / "foreign")
    foreign.prepare()
    files = foreign.files("cloud")
    shutil.copy(broker.authority.folder / "ca.pem", foreign.folder / "ca.pem")
    for context in (without, client_context(files)):
        with pytest.raises(aiomqtt.MqttError):
            async with broker.client(NORTH, tls_context=context, timeout=0.5):
                pass


async def test_plain_text_is_refused(broker: BrokerProcess) -> None:
    """There is no way in without TLS."""
    with pytest.raises(aiomqtt.MqttError):
        async with broker.client(NORTH, tls_context=None, timeout=0.5):
            pass


async def test_server_certificate_is_for_no_client(broker: BrokerProcess) -> None:
    """Who stole the broker's key cannot be a client with it."""
    context = client_context(broker.authority.files("server"))
    with pytest.raises(aiomqtt.MqttError):
        async with broker.client("plantroom-broker", tls_context=context, timeout=0.5):
            pass


async def test_nobody_takes_over_another_clients_session(broker: BrokerProcess) -> None:
    """A client id of somebody else's is refused or not believed; the other stays connected."""
    async with (
        cloud(broker) as middle,
        broker.client(NORTH) as north,
        heard(north, f"sv1/{NORTH}/down/#") as at_north,
    ):
        with contextlib.suppress(aiomqtt.MqttError):
            async with broker.client(SOUTH, identifier=NORTH, timeout=0.5) as thief:
                await thief.publish(f"sv1/{NORTH}/up/tel", b"stolen", qos=1)
        await middle.publish(f"sv1/{NORTH}/down/ack", b"still here", qos=1)
        await eventually(lambda: at_north, "delivery to the rightful owner")
        assert at_north == [(f"sv1/{NORTH}/down/ack", b"still here")]


async def test_wills_obey_the_rules(broker: BrokerProcess) -> None:
    """A will in another's name is never delivered; one of one's own is."""
    async with cloud(broker) as middle, heard(middle, "sv1/+/up/#") as at_cloud:
        for topic in (f"sv1/{NORTH}/up/state", f"sv1/{SOUTH}/up/state"):
            will = aiomqtt.Will(topic, b"gone", qos=1)
            with contextlib.suppress(aiomqtt.MqttError):
                client = broker.client(SOUTH, will=will, timeout=0.5)
                async with client:
                    sock: Any = client._client.socket()
                    sock.shutdown(socket.SHUT_RDWR)
        await eventually(lambda: at_cloud, "the will")
        assert at_cloud == [(f"sv1/{SOUTH}/up/state", b"gone")]


def text(content: str) -> bytes:
    """Return `content` as it stands in a packet: its length, then itself."""
    return len(content).to_bytes(2, "big") + content.encode()


def packet(kind: int, body: bytes) -> bytes:
    """Return a packet of fewer than 128 bytes."""
    return bytes([kind, len(body)]) + body


STATE, TEL = f"sv1/{SOUTH}/up/state", f"sv1/{SOUTH}/up/tel"
SENT = [
    packet(0x32, text(TEL) + number.to_bytes(2, "big") + bytes([number])) for number in range(1, 31)
]
"""Thirty messages with QoS 1."""


async def raw_client(broker: BrokerProcess) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect SOUTH, with an empty will on its state, by hand."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", broker.port, ssl=broker.tls(SOUTH), server_hostname="127.0.0.1"
    )
    ends = b"\x04\x0e\x00\x3c" + text(SOUTH) + text(STATE) + text("")
    writer.write(packet(0x10, text("MQTT") + ends))
    assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
    return reader, writer


async def test_the_will_is_the_last_word(broker: BrokerProcess) -> None:
    """What a client had acknowledged before it died comes, and nothing of it comes after its will."""
    async with cloud(broker) as middle, heard(middle, f"sv1/{SOUTH}/up/#") as at_cloud:
        reader, writer = await raw_client(broker)
        writer.write(b"".join(SENT))
        await reader.readexactly(4 * len(SENT))
        writer.write(SENT[0])
        writer.close()
        await eventually(lambda: (STATE, b"") in at_cloud, "the will")
        async with broker.client(SOUTH) as after:
            await after.publish(STATE, b"after", qos=1)
            await eventually(lambda: (STATE, b"after") in at_cloud, "the next message")
    assert at_cloud[-2:] == [(STATE, b""), (STATE, b"after")]
    assert at_cloud[:30] == [(TEL, bytes([number])) for number in range(1, 31)]


async def test_the_old_will_comes_before_the_new_connection(broker: BrokerProcess) -> None:
    """Where a client takes its own place, the last word on its state is that it is there."""
    async with cloud(broker) as middle, heard(middle, f"sv1/{SOUTH}/up/#") as at_cloud:
        _, writer = await raw_client(broker)
        writer.write(b"".join(SENT))
        async with broker.client(SOUTH) as after:
            await after.publish(STATE, b"there", qos=1)
            await eventually(lambda: len(at_cloud) >= 2 and at_cloud[-1][0] == STATE, "both states")
            await after.publish(STATE, b"still there", qos=1)
            await eventually(lambda: (STATE, b"still there") in at_cloud, "the next message")
        writer.close()
    assert at_cloud[-3:] == [(STATE, b""), (STATE, b"there"), (STATE, b"still there")]


async def test_nothing_is_retained(broker: BrokerProcess) -> None:
    """Who subscribes later hears nothing of before: the broker keeps no message."""
    async with cloud(broker) as middle:
        with contextlib.suppress(aiomqtt.MqttError):
            async with broker.client(NORTH, timeout=0.5) as north:
                await north.publish(f"sv1/{NORTH}/up/tel", b"kept?", qos=1, retain=True)
        async with heard(middle, "sv1/+/up/#") as at_cloud, broker.client(SOUTH) as south:
            await south.publish(f"sv1/{SOUTH}/up/tel", b"now", qos=1)
            await eventually(lambda: at_cloud, "delivery")
            assert at_cloud == [(f"sv1/{SOUTH}/up/tel", b"now")]


async def test_oversized_packet_costs_only_its_sender(broker: BrokerProcess) -> None:
    """A packet over the limit is not delivered; the same client may go on with a new connection."""
    async with cloud(broker) as middle, heard(middle, "sv1/+/up/#") as at_cloud:
        with contextlib.suppress(aiomqtt.MqttError):
            async with broker.client(NORTH, timeout=0.5) as north:
                await north.publish(f"sv1/{NORTH}/up/tel", bytes(MAX_PACKET + 1), qos=1)
        async with broker.client(NORTH) as north:
            await north.publish(f"sv1/{NORTH}/up/tel", b"small", qos=1)
            await eventually(lambda: at_cloud, "delivery")
        assert at_cloud == [(f"sv1/{NORTH}/up/tel", b"small")]


async def test_garbage_on_the_line_costs_nobody(broker: BrokerProcess) -> None:
    """Bytes that are no MQTT, after a good handshake, end that connection and nothing else."""
    for garbage in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff\x7f", b"\x30\x02ab"):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", broker.port, ssl=broker.tls(SOUTH), server_hostname="127.0.0.1"
        )
        writer.write(garbage)
        writer.close()
    async with (
        cloud(broker) as middle,
        heard(middle, "sv1/+/up/#") as at_cloud,
        broker.client(NORTH) as north,
    ):
        await north.publish(f"sv1/{NORTH}/up/tel", b"fine", qos=1)
        await eventually(lambda: at_cloud, "delivery")


async def test_a_new_connection_replaces_the_old_one(broker: BrokerProcess) -> None:
    """After a half-open line the same gateway gets in again at once and hears its answers."""
    async with (
        cloud(broker) as middle,
        broker.client(NORTH),
        broker.client(NORTH) as client,
        heard(client, f"sv1/{NORTH}/down/#") as at_north,
    ):
        await middle.publish(f"sv1/{NORTH}/down/ack", b"hello again", qos=1)
        await eventually(lambda: at_north, "delivery to the new connection")


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_killed_broker_starts_again(kind: str, mosquitto: Path, tmp_path: Path) -> None:
    """It keeps nothing, so it comes back on its port right after a kill, and carries messages."""
    broker = BrokerProcess(open_to_others(tmp_path), kind)
    broker.start()
    broker.kill()
    broker.start()
    async with (
        cloud(broker) as middle,
        heard(middle, "sv1/+/up/#") as at_cloud,
        broker.client(NORTH) as north,
    ):
        await north.publish(f"sv1/{NORTH}/up/tel", b"again", qos=1)
        await eventually(lambda: at_cloud, "delivery")
    assert broker.stop() == 0


async def test_every_message_of_a_busy_minute_arrives(broker: BrokerProcess) -> None:
    """Three hundred messages of 20 kB pass without a loss."""
    async with (
        cloud(broker) as middle,
        heard(middle, "sv1/+/up/#") as at_cloud,
        broker.client(NORTH) as north,
    ):
        window = asyncio.Semaphore(8)

        async def send(number: int) -> None:
            async with window:
                payload = number.to_bytes(4, "big") + bytes(20_000)
                await north.publish(f"sv1/{NORTH}/up/tel", payload, qos=1)

        await asyncio.gather(*(send(number) for number in range(300)))
        await eventually(lambda: len(at_cloud) >= 300, "arrival of all messages")
    assert sorted(int.from_bytes(payload[:4], "big") for _, payload in at_cloud) == list(range(300))


async def test_the_broker_is_not_root(broker: BrokerProcess) -> None:
    """Mosquitto runs as its own user even where root has started it, and in place of our process."""
    assert broker.process is not None
    if broker.engine == "mosquitto" and sys.platform == "linux":
        process = Path(f"/proc/{broker.process.pid}")
        assert (process / "comm").read_text().strip() == "mosquitto"
        own = os.geteuid()
        assert process.stat().st_uid == (pwd.getpwnam(engine.USER).pw_uid if own == 0 else own)


async def test_version_5_is_spoken_by_mosquitto_only(broker: BrokerProcess) -> None:
    """The embedded broker says so at once, in a way the client can act on."""
    client = broker.client(NORTH, protocol=aiomqtt.ProtocolVersion.V5)
    if broker.engine == "mosquitto":
        async with client:
            pass
        return
    with pytest.raises(aiomqtt.MqttCodeError) as caught:
        async with client:
            pass
    assert getattr(caught.value.rc, "value", None) == 132
