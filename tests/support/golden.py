"""Golden messages of sync v1, and how a release makes them: ``python tests/support/golden.py 1.1``.

A release freezes two things for ever: the bytes of every message in every form it can have, with
what they mean (``tests/shared/golden/v1.1/NAME.bin`` and ``NAME.json``), and the codec that wrote
them (``tests/shared/golden/released/wire_1_1.py``). What is there is never written again.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import plantroom_shared
from plantroom_shared import wire
from plantroom_shared.model import Batch, Device, Finding, Point, Quality

FOLDER = Path(__file__).parents[1] / "shared" / "golden"
GATEWAY = "gw-golden-0001"
SESSION, EP, OLD_EP = "00112233445566aa", "0123456789abcdef", "fedcba9876543210"
T0 = 1_767_225_600_000_000
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BIG = 2**62


def certificate() -> str:
    """Return a certificate for `KEY`, always the same."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, GATEWAY)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(KEY.public_key()).serial_number(7)
    builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    builder = builder.not_valid_after(datetime(2026, 4, 1, tzinfo=UTC))
    return builder.sign(KEY, None).public_bytes(Encoding.PEM).decode()


def tampered(payload: bytes, **columns: Any) -> bytes:
    return wire.pack(wire.unpack(payload) | columns)


# ---------------------------------------------------------------- what is frozen


def _batch() -> Batch:
    batch = Batch()
    values: list[Any] = [
        21.5,
        -0.0,
        1e300,
        5e-324,
        2**53,
        -(2**63),
        True,
        False,
        None,
        "",
        "Ü ☃ on",
    ]
    for row, value in enumerate(values):
        batch.append(row % 4, T0 + row * 250_000 - (row % 3) * 40, value)
    batch.append(7, T0, None, Quality.BAD, "timeout")
    batch.append(8, T0 - 1, 3.5, Quality.UNCERTAIN, "stale")
    return batch


def _samples() -> bytes:
    return wire.encode_samples(EP, 1201, _batch(), clock="holdover", boot=3, mono_us=987_654_321)


def _bare() -> bytes:
    return wire.encode_samples(EP, 1, Batch([0], [T0], [1.0]))


def _no_numbers() -> bytes:
    values: list[Any] = [math.nan, math.inf, -math.inf]
    batch = Batch([0, 1, 2], [T0] * 3, values, dict.fromkeys(range(3), (2, "nan")))
    return wire.encode_samples(EP, 5, batch)


def _narrow() -> bytes:
    reals = [21.299999237060547, 0.10000000149011612, 21.3, 1e300, 5, 3.4028234663852886e38, 0.5]
    return wire.encode_samples(EP, 50, Batch([*range(7)], [T0] * 7, [*reals]))


def _full() -> bytes:
    n = wire.MAX_ROWS
    aliases = [row % 500 for row in range(n)]
    return wire.encode_samples(
        EP, BIG, Batch(aliases, [T0 + row for row in range(n)], [row / 8 for row in range(n)])
    )


def _bad_rows() -> bytes:
    batch = Batch([0, 1, 2, 3, 4], [T0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    return tampered(
        wire.encode_samples(EP, 9, batch),
        p=[0, "one", [2, 1], 3, -4],
        x=[1.0, 2.0, {"no": 1}, "x" * 5000, 5.0],
        q={"0": [7, "what"], "9": [2, "nowhere"]},
    )


def _lost_delta() -> bytes:
    batch = Batch([0] * 3, [T0] * 3, [1.0] * 3)
    return tampered(wire.encode_samples(EP, 30, batch), dt=[0, "x", 5])


def _old_times() -> bytes:
    return wire.encode_samples(EP, 40, Batch([0, 1], [5_000_000, T0], [1.0, 2.0]), clock="unset")


def _finding(**more: Any) -> Finding:
    fields: dict[str, Any] = {
        "id": "f-1",
        "detector": "pca",
        "subject": "bacnet:1001",
        "started": T0,
        "score": 1.5,
        "text": "The supply air is warmer than it ever was.",
    }
    return Finding(**fields | more)


def _findings() -> bytes:
    rows = [
        _finding(),
        _finding(ended=T0 + 60_000_000, points=("a", "b"), evidence={"spe": 4.5, "deep": [{}]}),
    ]
    return wire.encode(wire.Findings(ep=EP, st="evt", s0=3, n=2, ev=rows))


def _records(stream: str, *kinds: str) -> bytes:
    rows = [
        wire.Record(at=T0 + row, kind=kind, doc={"row": row, "text": "ä"} if row else {})
        for row, kind in enumerate(kinds)
    ]
    document = {"ep": EP, "st": stream, "s0": 1, "n": len(rows), "rc": rows}
    return wire.encode(wire.Records.model_validate(document))


def _gap(signed: bool, **more: Any) -> bytes:
    fields = {"ep": OLD_EP, "st": "tel", "s0": 77, "n": 2**31, "gap": "quota"} | more
    gap = wire.Gap.model_validate(fields)
    if signed:
        sig = base64.b64encode(KEY.sign(gap.signed_part(GATEWAY))).decode()
        gap = gap.model_copy(update={"sig": sig})
    return wire.encode(gap)


def _hello(epochs: int) -> bytes:
    held = [
        wire.Holding(
            ep=f"{number:016x}",
            accepted={"cmd": 1, "evt": 2, "aud": number, "tel": 9000 + number},
            held={"tel": [(1, 100), (201, 9000 + number)], "evt": [], "aud": [(1, number)]},
        )
        for number in range(1, epochs)
    ]
    return wire.encode(
        wire.Hello(
            session=SESSION,
            agent="1.0.0",
            boot=12,
            clock="holdover",
            at=T0,
            epochs=[*held, wire.Holding(ep=EP, accepted={"tel": 5}, held={"tel": [(2, 5)]})],
            used_bytes=123_456_789,
            limit_bytes=BIG,
            certificate=certificate(),
            takes=["cmd"],
        )
    )


def _dictionary() -> bytes:
    points = [
        Point(key="bacnet:1001:analog-input:3", device="bacnet:1001", name="AI 3"),
        Point(
            key="modbus:meter:p",
            device="modbus:meter",
            name="Wirkleistung Σ",
            description="total",
            unit="kW",
            object_type="holding",
            states=("off", "on"),
            writable=False,
            equip_class="Electrical_Meter",
            point_class="Active_Power_Sensor",
            enos="Meter/P",
        ),
    ]
    devices = [
        Device(key="bacnet:1001", name="AHU 1", protocol="bacnet"),
        Device(
            key="modbus:meter",
            name="M",
            protocol="modbus",
            address="10.0.0.7:502/1",
            vendor="V",
            model="X",
            description="main",
        ),
    ]
    return wire.encode(wire.Dictionary(ep=EP, a0=4, points=points, devices=devices))


def _resume() -> bytes:
    return wire.encode(
        wire.Resume(
            session=SESSION,
            time=T0,
            hello_at=T0 - 5,
            takes=["now", "cmd", "aud", "fill"],
            epochs=[
                wire.Known(ep=EP, ranges={"tel": [(1, 9000), (12001, 12400)]}, dictionary=772),
                wire.Known(ep=OLD_EP),
            ],
        )
    )


def _snapshot() -> bytes:
    return wire.encode_snapshot(EP, _batch(), [*range(500, 513)])


def _state() -> bytes:
    holding = wire.Holding(ep=EP, accepted={"tel": 9}, held={"tel": [(4, 9)]})
    return wire.encode(
        wire.State(
            online=True,
            at=T0,
            clock="unset",
            oldest_us=T0 - 1,
            epochs=[holding],
            counters={"polls": 5.0, "clock_skew_us": -1.5},
        )
    )


def _command() -> bytes:
    order = {
        "v": 1,
        "gateway": GATEWAY,
        "id": "c-1",
        "kind": "write",
        "issued": T0,
        "expires": T0 + 30_000_000,
        "nonce": "00" * 16,
        "actor": "key:ä",
        "writes": [
            {"point": "bacnet:1001:analog-value:3", "value": 21.5, "priority": 13},
            {"point": "modbus:meter:p", "value": True, "expect": {"value": None}},
        ],
        "lease_s": 900,
    }
    body = json.dumps(order, ensure_ascii=False)
    sig = base64.b64encode(KEY.sign(wire.signed_part(body))).decode()
    return wire.encode(wire.Command(kid="k-1", sig=sig, body=body))


def _configuration() -> bytes:
    assignment = {
        "v": 1,
        "gateway": GATEWAY,
        "id": "a-1",
        "serial": 7,
        "version": 3,
        "issued": T0,
        "expires": T0 + 300_000_000,
        "actor": "key:ä",
        "why": "slower",
        "force": True,
        "document": {"site": "tower", "buses": [{"name": "b", "driver": "modbus"}]},
    }
    body = json.dumps(assignment, ensure_ascii=False)
    sig = base64.b64encode(KEY.sign(wire.signed_configuration(body))).decode()
    return wire.encode(wire.Configuration(kid="k-1", sig=sig, body=body))


CASES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "hello": ("Hello", lambda: _hello(1)),
    "hello-many-epochs": ("Hello", lambda: _hello(64)),
    "hello-bare": ("Hello", lambda: wire.encode(wire.Hello(session=SESSION, agent="", epochs=[]))),
    "resume": ("Resume", _resume),
    "resume-bare": ("Resume", lambda: wire.encode(wire.Resume(session=SESSION, time=0, epochs=[]))),
    "dictionary": ("Dictionary", _dictionary),
    "state": ("State", _state),
    "state-will": ("State", lambda: wire.encode(wire.State(online=False))),
    "flow": ("Flow", lambda: wire.encode(wire.Flow(pause_ms=600_000, window=1))),
    "flow-bare": ("Flow", lambda: wire.encode(wire.Flow())),
    "command": ("Command", _command),
    "configuration": ("Configuration", _configuration),
    "ack": (
        "reply",
        lambda: wire.encode(wire.Ack(ep=EP, st="tel", ranges=[(1, 9000), (9002, BIG)])),
    ),
    "ack-dictionary": ("reply", lambda: wire.encode(wire.Ack(ep=EP, st="inv", ranges=[(1, 772)]))),
    "ack-audit": ("reply", lambda: wire.encode(wire.Ack(ep=EP, st="aud", ranges=[(1, 1)]))),
    "nack-need-dict": (
        "reply",
        lambda: wire.encode(wire.Nack(ep=EP, st="tel", nack="need_dict", s0=7, have=3)),
    ),
    "nack-fork": ("reply", lambda: wire.encode(wire.Nack(ep=EP, st="cmd", nack="fork", s0=1))),
    "nack-schema": ("reply", lambda: wire.encode(wire.Nack(ep=EP, st="inv", nack="schema"))),
    "samples": ("rows", _samples),
    "samples-one": ("rows", _bare),
    "samples-no-numbers": ("rows", _no_numbers),
    "samples-32-bit": ("rows", _narrow),
    "samples-full": ("rows", _full),
    "samples-bad-rows": ("rows", _bad_rows),
    "samples-lost-delta": ("rows", _lost_delta),
    "samples-old-times": ("rows", _old_times),
    "findings": ("rows", _findings),
    "records-audit": ("rows", lambda: _records("aud", "agent.start", "buffer.full")),
    "records-command": ("rows", lambda: _records("cmd", "command.done")),
    "gap": ("rows", lambda: _gap(signed=False, n=1)),
    "gap-signed": ("rows", lambda: _gap(signed=True, from_us=T0, to_us=T0 + 1)),
    "gap-events": ("rows", lambda: _gap(signed=True, st="evt", gap="damaged")),
    "snapshot": ("snapshot", _snapshot),
}
"""Name → how to read it (a message of the codec, ``reply``, ``rows`` or ``snapshot``), the bytes."""


# ---------------------------------------------------------------- what it means


def meaning(kind: str, payload: bytes, codec: ModuleType = wire) -> Any:
    """Return what `codec` makes of `payload` as plain JSON."""
    match kind:
        case "reply":
            message = codec.decode_reply(payload)
            return {type(message).__name__: message.model_dump(mode="json")}
        case "rows":
            rows = codec.decode_rows(payload)
            if not hasattr(rows, "batch"):
                return {type(rows).__name__: rows.model_dump(mode="json")}
            return {"Samples": _columns(rows)}
        case "snapshot":
            rows, order = codec.decode_snapshot(payload)
            return {"Snapshot": _columns(rows) | {"order": order}}
        case _:
            return codec.decode(getattr(codec, kind), payload).model_dump(mode="json")


def _columns(rows: Any) -> dict[str, Any]:
    batch = rows.batch
    head = {key: getattr(rows, key) for key in ("ep", "s0", "n", "dv", "clock", "boot", "mono_us")}
    return {
        **head,
        "points": batch.points,
        "times": batch.times,
        "values": [[type(value).__name__, value] for value in batch.values],
        "quality": {str(row): [int(code), why] for row, (code, why) in batch.quality.items()},
        "bad_rows": {str(row): why for row, why in rows.bad_rows.items()},
    }


# ---------------------------------------------------------------- releases


def versions() -> list[str]:
    """Return the released versions, oldest first."""
    names = [path.name.removeprefix("v") for path in FOLDER.glob("v*")]
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")])


def files(version: str) -> list[Path]:
    """Return the golden messages of `version`."""
    return sorted((FOLDER / f"v{version}").glob("*.bin"))


def codec_of(version: str) -> ModuleType:
    """Return the codec as it was in `version`."""
    name = f"wire_{version.replace('.', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, FOLDER / "released" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def release(version: str, folder: Path = FOLDER) -> None:
    """Freeze today's contract as `version`; FileExistsError if there is one already."""
    place = folder / f"v{version}"
    frozen = folder / "released" / f"wire_{version.replace('.', '_')}.py"
    if place.exists() or frozen.exists():
        msg = f"{version} is released: choose a new version, a released one never changes"
        raise FileExistsError(msg)
    place.mkdir(parents=True)
    frozen.parent.mkdir(exist_ok=True)
    for name, (kind, make) in CASES.items():
        payload = make()
        (place / f"{name}.bin").write_bytes(payload)
        document = {"kind": kind, "meaning": meaning(kind, payload)}
        text = json.dumps(document, ensure_ascii=False)
        (place / f"{name}.json").write_text(text + "\n")
    frozen.write_text(_frozen(version))


def _frozen(version: str) -> str:
    """Return today's codec as one module that stands by itself."""
    root = Path(plantroom_shared.__file__).parent
    parts = (
        "model.py",
        "wire/packing.py",
        "wire/messages.py",
        "wire/columns.py",
        "wire/samples.py",
        "wire/commands.py",
        "wire/configuration.py",
    )
    imports: set[str] = set()
    bodies = []
    for part in parts:
        text = (root / part).read_text()
        head = re.compile(
            r"^(?:from \S+ import (?:\([^)]*\)|[^\n(]+)|import [^\n]+)\n", re.MULTILINE
        )
        imports |= {
            found
            for found in head.findall(text)
            if not re.match(r"from (?:plantroom_shared\.(?:model|wire)|__future__)", found)
        }
        bodies.append(f"# {part}\n{head.sub('', text)}")
    title = f'"""The codec of sync v1 as released in {version}: frozen, never to be edited."""\n\n'
    start = f"{title}# ruff: noqa: F811, I001 -- put together from several files\nfrom __future__ import annotations\n\n"
    return start + "".join(sorted(imports)) + "\n\n" + "\n\n".join(bodies)


if __name__ == "__main__":
    release(sys.argv[1])
    done = FOLDER / "released" / f"wire_{sys.argv[1].replace('.', '_')}.py"
    subprocess.run([Path(sys.executable).parent / "ruff", "format", "-q", str(done)], check=False)
