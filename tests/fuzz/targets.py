"""Fuzz targets: every decoder of something that others send, and what it may answer with.

A target takes bytes and must return: the exceptions its decoder documents are caught here, any other one
is a finding.
"""

from __future__ import annotations

import base64
import gzip
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plantroom_cloud.ingest.messages import read as read_up
from plantroom_cloud.streaming import sparkplug as nodes
from plantroom_cloud.streaming.route import read as read_streamed
from plantroom_edge.commands.config import WritesConfig
from plantroom_edge.commands.keys import Keyring
from plantroom_edge.commands.moments import Now, open_window
from plantroom_edge.commands.plan import plan
from plantroom_edge.drivers.bacnet import bvlc, frames, notices, services
from plantroom_edge.drivers.modbus import pdu
from plantroom_edge.drivers.modbus.frames import Frames, TcpFrames, Unfit, Wrong
from plantroom_edge.drivers.modbus.rtu import RtuFrames
from plantroom_shared import topics, wire
from plantroom_shared.errors import ConfigError, Rejected
from plantroom_shared.model import Batch, Device, Finding, Point, Quality
from plantroom_shared.profiles import Register, parse_profile
from plantroom_shared.sparkplug import payload as sparkplug

EPOCH: Final = "00000000000000aa"
T0: Final = 1_767_225_600_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder, and messages to start from."""

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def _zipped(data: bytes) -> bytes:
    """Return `data` as it is where it looks like gzip, else gzipped: so the JSON inside is reached."""
    return data if data[:2] == b"\x1f\x8b" else gzip.compress(data, 1)


def _plain(*payloads: bytes) -> tuple[bytes, ...]:
    """Return messages inflated, and one as it is."""
    return (*(gzip.decompress(each) for each in payloads), payloads[0])


def _tolerant(function: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def run(data: bytes) -> None:
        with suppress(Rejected):
            function(_zipped(data))

    return run


# ---------------------------------------------------------------- messages to start from


def _batch() -> Batch:
    batch = Batch()
    for row, value in enumerate((1.5, None, "on", True, 2**60, -0.0)):
        quality = Quality.GOOD if row % 3 else Quality.UNCERTAIN
        batch.append(row % 4, T0 + row, value, quality, "" if row % 3 else "fault")
    return batch


def _finding(name: str) -> Finding:
    return Finding(
        id=name, detector="pca", subject="bacnet:1", points=("bacnet:1:ai:0",), started=T0,
        score=2.5, text="warm", evidence={"spe": [1, {"a": 2}]},
    )  # fmt: skip


SAMPLES: Final = wire.encode_samples(EPOCH, 1, _batch(), boot=3, mono_us=7)
FINDINGS: Final = wire.encode(
    wire.Findings(ep=EPOCH, st="evt", s0=1, n=2, ev=[_finding("a"), _finding("b")])
)
RECORDS: Final = wire.encode(
    wire.Records(ep=EPOCH, st="aud", s0=1, n=1, rc=[wire.Record(at=T0, kind="agent.start")])
)
GAP: Final = wire.encode(wire.Gap(ep=EPOCH, st="tel", s0=7, n=4, gap="quota", sig="AAAA"))
HOLDING: Final = wire.Holding(ep=EPOCH, accepted={"tel": 9}, held={"tel": [(2, 5), (7, 9)]})
HELLO: Final = wire.encode(wire.Hello(session=EPOCH, agent="1", epochs=[HOLDING]))
STATE: Final = wire.encode(wire.State(online=True, at=T0, epochs=[HOLDING], counters={"a": 1.0}))
DICTIONARY: Final = wire.encode(
    wire.Dictionary(
        ep=EPOCH,
        a0=0,
        points=[Point(key="bacnet:1:ai:0", device="bacnet:1", name="AI 0")],
        devices=[Device(key="bacnet:1", name="AHU", protocol="bacnet")],
    )
)
ACK: Final = wire.encode(wire.Ack(ep=EPOCH, st="tel", ranges=[(1, 9)]))
NACK: Final = wire.encode(wire.Nack(ep=EPOCH, st="tel", nack="need_dict", s0=1, have=2))
RESUME: Final = wire.encode(
    wire.Resume(session=EPOCH, epochs=[wire.Known(ep=EPOCH, ranges={"tel": [(1, 4)]})], time=T0)
)
FLOW: Final = wire.encode(wire.Flow(pause_ms=5, window=3))
SNAPSHOT: Final = wire.encode_snapshot(EPOCH, _batch(), [1, 2, 3, 4, 5, 6])

ORDER: Final = (
    b'{"v":1,"gateway":"gw-north-0001","id":"c-1","kind":"write","issued":1767225600000000,'
    b'"expires":1767225630000000,"nonce":"00000000000000000000000000000000","actor":"key:1",'
    b'"writes":[{"point":"bacnet:1:ao:0","value":21.5,"priority":13,"expect":{"value":null}},'
    b'{"point":"modbus:m:on","value":true}],"lease_s":60.5}'
)
RELEASE: Final = (
    b'{"v":1,"gateway":"gw-north-0001","id":"c-2","kind":"release","issued":1767225600000000,'
    b'"expires":1767225630000000,"nonce":"00000000000000000000000000000001","actor":"key:1",'
    b'"release":"c-1"}'
)
KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEYRING: Final = Keyring("gw-north-0001", {})
KEYRING._keys["k1"] = KEY.public_key()
WRITES: Final = WritesConfig.model_validate({"allow": [{"point": "*", "min": 0, "max": 99}]})
COMMAND: Final = wire.encode(wire.Command(kid="k1", sig="AAAA", body=ORDER.decode()))

PROFILE: Final = b"""profile: 1
vendor: Acme
model: M1
source: made up
registers:
  - {id: v, name: Voltage, space: input, address: 0, type: float32, order: CDAB, unit: V}
  - {id: t, name: Temp, space: holding, address: 9, type: int16, scale: 0.1}
"""

REGISTERS: Final = tuple(
    Register.model_validate({"id": "r", "name": "R", "space": "holding", "address": 0, **more})
    for more in (
        {"type": "uint16", "scale": 0.1},
        {"type": "int32", "order": "CDAB"},
        {"type": "float32", "order": "DCBA"},
        {"type": "float64", "order": "ABCD"},
        {"type": "uint64", "order": "BADC"},
        {"type": "string", "length": 4},
    )
)

BACNET_ANSWER: Final = bytes.fromhex("0c000000011e29554e44428200004f296f4e8204004f1f")
BACNET_SINGLE: Final = bytes.fromhex("0c0000000119553e44428200003f")
BACNET_NOTICE: Final = bytes.fromhex(
    "0a504c1c020000032c00800001393c4e09552e44428200002f096f2e8204002f4f"
)
BACNET_FRAMES: Final = (
    bytes.fromhex("810a000d01003c010002 0c0c00".replace(" ", "")),
    bytes.fromhex("810a0009018001 0007".replace(" ", "")),
    bytes.fromhex("810a0017010030010c0c0000000119553e44428200003f"),
    bytes.fromhex(
        "810b001901200001060102030405060010 00c4020004d2220400910021 0f".replace(" ", "")
    ),
    bytes.fromhex("8104000a7f000001bac00100100000"),
    bytes.fromhex("810a000901005001"),
)


# ---------------------------------------------------------------- the targets


def _up(channel: str) -> Callable[[bytes], object]:
    topic = topics.up("gw-north-0001", channel)
    return lambda data: read_up(topic, _zipped(data))


def _topic(data: bytes) -> object:
    """Topics come from the broker as text: any text may be one."""
    text = data.decode("utf-8", "surrogateescape")
    topics.parse(text)
    return read_up(text, SAMPLES)


def _frames(data: bytes) -> object:
    with suppress(Rejected):
        said = bvlc.unwrap(data, ("192.0.2.7", 47808))
        return said if isinstance(said, bvlc.Result) else frames.decode(said.npdu, said.source)
    return None


def _services(data: bytes) -> object:
    for function in (services.decode_multiple, services.decode_single, notices.decode_notice):
        with suppress(Rejected):
            function(data)
    return None


def _registers(data: bytes) -> object:
    words = list(struct.unpack(f">{len(data) // 2}H", data[: len(data) // 2 * 2]))
    for register in REGISTERS:
        if len(words) >= register.words:
            register.decode(words[: register.words])
    stacks: tuple[Frames, ...] = (TcpFrames(), RtuFrames())
    for stack in stacks:
        stack.ask(1, pdu.read("holding", 0, 1))
        with suppress(Unfit, Wrong):
            stack.take(data)
            stack.give_up()
    return None


def _command(data: bytes) -> object:
    """What comes down is signed by nobody we know, or else by the key and then read."""
    command = wire.decode(wire.Command, data)
    with suppress(Rejected):
        KEYRING.open(command)
    signature = base64.b64encode(KEY.sign(wire.signed_part(command.body))).decode()
    return KEYRING.open(command.model_copy(update={"sig": signature}))


def _order(data: bytes) -> object:
    """Whoever holds a key, or the spool, may put anything into an order."""
    with suppress(Rejected):
        order = wire.read_order(data.decode("utf-8", "surrogateescape"))
        open_window(order.issued, order.expires, Now(T0, 0), longest_us=10**8, floor_us=0)
        return plan(order, WRITES, lambda _: None)
    return None


def _profile(data: bytes) -> object:
    with suppress(ConfigError):
        return parse_profile(data, "fuzz.yaml")
    return None


def _sparkplug(data: bytes) -> object:
    with suppress(Rejected):
        return sparkplug.decode(data)
    return None


def _streamed(topic: str) -> Callable[[bytes], object]:
    return lambda data: read_streamed(topic, data)


def _payload(*metrics: sparkplug.Metric) -> bytes:
    return sparkplug.encode(sparkplug.Payload(timestamp=T0 // 1000, seq=1, metrics=list(metrics)))


def _node(data: bytes) -> object:
    message = read_streamed("spBv1.0/site/DBIRTH/gw-north-0001/meter", data)
    if isinstance(message, nodes.NodeMessage):
        nodes.understand(message, None, T0)
    return message


METRICS: Final = _payload(
    sparkplug.Metric(
        name="Temp",
        alias=1,
        timestamp=T0 // 1000,
        datatype=10,
        value=("double", struct.pack("<d", 21.5)),
    ),
    sparkplug.Metric(name="Mode", datatype=12, value=("string", b"auto"), is_historical=True),
    sparkplug.Metric(alias=3, datatype=4, is_null=True, properties={"Quality": ("int", 192)}),
)
DEVICE_JSON: Final = (
    (
        b'{"samples":[{"point":"t","value":21.5,"ts":1767225600000,"unit":"C","quality":"bad",'
        b'"reason":"open"},{"point":"s","value":"on"}],"seq":3,"session":"a"}'
    ),
    b'[{"point":"t","value":null,"ts":"2026-01-31T12:00:00.250Z"}]',
    b'{"point":"t","value":true}',
)

TARGETS: Final[dict[str, Target]] = {
    "wire-rows": Target(_tolerant(wire.decode_rows), _plain(SAMPLES, FINDINGS, RECORDS, GAP)),
    "wire-snapshot": Target(_tolerant(wire.decode_snapshot), _plain(SNAPSHOT)),
    "wire-reply": Target(_tolerant(wire.decode_reply), _plain(ACK, NACK)),
    "wire-resume": Target(_tolerant(lambda d: wire.decode(wire.Resume, d)), _plain(RESUME)),
    "wire-flow": Target(_tolerant(lambda d: wire.decode(wire.Flow, d)), _plain(FLOW)),
    "ingest-tel": Target(_up("tel"), _plain(SAMPLES, GAP)),
    "ingest-evt": Target(_up("evt"), _plain(FINDINGS, GAP)),
    "ingest-hello": Target(_up("hello"), _plain(HELLO)),
    "ingest-state": Target(_up("state"), _plain(STATE)),
    "ingest-inv": Target(_up("inv"), _plain(DICTIONARY)),
    "ingest-topic": Target(_topic, (b"sv1/gw-north-0001/up/tel", b"sv1/gw-north-0001/down/ack")),
    "bacnet-frames": Target(_frames, BACNET_FRAMES),
    "bacnet-services": Target(_services, (BACNET_ANSWER, BACNET_SINGLE, BACNET_NOTICE)),
    "modbus-registers": Target(
        _registers,
        (
            b"\x42\xf6\xe9\x79" * 4,
            b"\x7f\xc0\0\0\xff\xff" * 4,
            b"\0\1\0\0\0\5\1\3\2\0\5",
            b"\1\3\2\0\5\x78\x47",
        ),
    ),
    "profile": Target(_profile, (PROFILE,)),
    "command": Target(_tolerant(_command), (*_plain(COMMAND), ORDER)),
    "order": Target(_order, (ORDER, RELEASE, b"[1]", b"{}")),
    "sparkplug": Target(_sparkplug, (METRICS,)),
    "sparkplug-node": Target(_node, (METRICS,)),
    "device-json": Target(_streamed("dev1/gw-north-0001/up/data"), DEVICE_JSON),
}
