"""A site that is written to: a driver whose devices note every write, and orders that are signed."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plantroom_edge.clock import EdgeClock
from plantroom_edge.commands.config import WritesConfig
from plantroom_edge.commands.moments import Now
from plantroom_edge.commands.service import Commands
from plantroom_edge.drivers import Inventory, Poll, PollGroup, Written
from plantroom_edge.reach import Reach
from plantroom_edge.turns import Turn
from plantroom_shared import wire
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Value
from support.waiting import eventually

GATEWAY = "gw-write-0001"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))


def public_pem(key: Ed25519PrivateKey = KEY) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form)


def body(**more: Any) -> dict[str, Any]:
    """Return an order that writes 21 to the first point, issued now."""
    now = SystemClock().now_us()
    return {
        "v": 1,
        "gateway": GATEWAY,
        "id": f"c-{secrets.token_hex(6)}",
        "kind": "write",
        "issued": now,
        "expires": now + 30_000_000,
        "nonce": secrets.token_hex(16),
        "actor": "somebody",
        "writes": [{"point": "scripted:0:p0", "value": 21.0}],
        "lease_s": 60,
    } | more


def signed(order: dict[str, Any], key: Ed25519PrivateKey = KEY, kid: str = "k1") -> bytes:
    """Return an order as it goes down, signed."""
    text = orjson.dumps(order).decode()
    signature = base64.b64encode(key.sign(wire.signed_part(text))).decode()
    return wire.encode(wire.Command(kid=kid, sig=signature, body=text))


def config(folder: Path, **more: Any) -> WritesConfig:
    """Return writes that are on for every point from 0 to 100."""
    file = folder / "k1.pem"
    file.write_bytes(public_pem())
    grant = {"point": "*", "min": 0, "max": 100, "min_interval": 0}
    given = {"enabled": True, "keys": {"k1": file}, "allow": [grant], "device_interval": 0}
    return WritesConfig.model_validate(given | {"per_minute": 6000} | more)


@dataclass
class Bus:
    """Points of a few devices in memory; each write is noted with its time."""

    protocol: str = "scripted"
    values: dict[tuple[str, int | None], Value] = field(default_factory=dict)
    writes: list[tuple[float, str, Value, int | None]] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    """Points that do not answer."""
    refuses: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    """Points whose writes are carried out, and never answered."""
    stuck: set[str] = field(default_factory=set)
    """Points that confirm writes and keep their value."""
    before_write: Callable[[], None] = lambda: None
    after_write: Callable[[], None] = lambda: None
    limits: tuple[float | None, float | None] = (None, None)
    turns: dict[str, Turn] = field(default_factory=dict)
    now: Callable[[], float] = time.monotonic
    on_held: Callable[[], None] = lambda: None
    judge: Callable[[Value], None] = lambda _: None
    """Is shown every value before it is written."""
    writable: bool | None = None

    async def discover(self) -> Inventory:
        return Inventory()

    async def read(self, group: PollGroup) -> Poll:
        return Poll(0, [self.values.get((key, None), 5.0) for key in group.points])

    async def close(self) -> None:
        return None

    def unwritable(self, point: str, value: Value) -> str:
        del point
        low, high = self.limits
        number = value if isinstance(value, int | float) else 0
        below = low is not None and number < low
        return "beyond" if below or (high is not None and number > high) else ""

    async def held(self, point: str, priority: int | None) -> tuple[Value, str]:
        await asyncio.sleep(0)
        self.on_held()
        if point in self.dead:
            return None, "timeout"
        return self.values.get((point, priority), 5.0 if priority is None else None), ""

    async def write(
        self, point: str, value: Value, priority: int | None, *, back: bool = False
    ) -> Written:
        await asyncio.sleep(0)
        if not back and (why := self.unwritable(point, value)):
            return Written(ok=False, reason=why, reached=False)
        if point in self.dead:
            return Written(ok=False, reason="timeout", reached=False)
        if point in self.refuses:
            return Written(ok=False, reason="exception-3")
        self.judge(value)
        self.before_write()
        self.writes.append((self.now(), point, value, priority))
        if point not in self.stuck:
            self.values[point, priority] = value
        self.after_write()
        if point in self.deaf:
            return Written(ok=False, reason="timeout")
        shows = self.values.get((point, priority), 5.0)
        return Written(ok=shows == value, reason="" if shows == value else "read-back", shows=shows)

    def find(self, key: str) -> Reach | None:
        """Return the way to ``scripted:DEVICE:POINT``."""
        if not key.startswith("scripted:"):
            return None
        device = key.rsplit(":", 1)[0]
        turn = self.turns.setdefault(device, Turn())
        group = PollGroup(device, 1.0, (key,))
        return Reach(device, self.protocol, self, turn, group, self.writable)

    def written(self, point: str = "scripted:0:p0") -> list[Value]:
        """Return what was written to `point`, in order."""
        return [value for _, key, value, _ in self.writes if key == point]


class Records:
    """In the place of the buffer: keeps what it is handed."""

    def __init__(self) -> None:
        self.rows: dict[str, list[wire.Record]] = {"cmd": [], "aud": []}
        self.audits: list[tuple[str, dict[str, Any]]] = []
        self.broken = False

    async def append_records(self, stream: str, records: list[wire.Record]) -> None:
        if self.broken:
            msg = "no room"
            raise Unavailable(msg)
        self.rows[stream] += records

    def audit(self, kind: str, **details: Any) -> None:
        self.audits.append((kind, details))

    def of(self, ident: str) -> list[str]:
        """Return the kinds of records of one command, in order, each event once."""
        seen: dict[int, str] = {}
        for row in self.rows["cmd"]:
            if row.doc.get("id") == ident:
                seen[row.doc["n"]] = row.kind.removeprefix("command.")
        return [seen[n] for n in sorted(seen)]


@dataclass
class Time:
    """Both clocks, moved by hand."""

    wall_us: int = 1_790_000_000_000_000
    mono_us: int = 1_000_000_000
    state: Any = "sync"
    boot: str = "boot-1"
    floor_us: int = 0

    def now_us(self) -> int:
        return self.wall_us

    def monotonic(self) -> float:
        return self.mono_us / 1e6

    def now(self) -> Now:
        return Now(self.wall_us, self.mono_us, self.state, self.boot)

    def go(self, seconds: float) -> None:
        self.wall_us += round(seconds * 1e6)
        self.mono_us += round(seconds * 1e6)


@dataclass
class Running:
    """Commands at work: real tasks, a real journal, devices in memory."""

    commands: Any
    bus: Bus
    records: Records
    folder: Path

    def send(self, **order: Any) -> str:
        """Let an order come down, and return its id."""
        given = body(**order)
        self.commands.offer(signed(given))
        return str(given["id"])

    async def ended(self, ident: str, *kinds: str) -> list[str]:
        """Return what was told of a command once the last of it is one of `kinds`."""
        wanted = kinds or ("executed", "failed", "refused", "expired", "checked")
        await eventually(
            lambda: self.records.of(ident)[-1:] and self.records.of(ident)[-1] in wanted
        )
        return self.records.of(ident)

    def reason(self, ident: str) -> str:
        """Return the reason in the last record of a command."""
        rows = [row for row in self.records.rows["cmd"] if row.doc.get("id") == ident]
        return str(rows[-1].doc.get("reason", ""))


@asynccontextmanager
async def at_work(
    folder: Path,
    bus: Bus | None = None,
    *,
    clock: Any = None,
    safe_mode: bool = False,
    records: Records | None = None,
    **more: Any,
) -> AsyncIterator[Running]:
    """Run commands on `bus` until the block ends, as if the process were killed then."""
    bus, records = bus or Bus(), records or Records()
    buffer: Any = records
    commands = Commands(
        GATEWAY,
        config(folder, **more),
        folder / "writes",
        clock=clock or EdgeClock(SystemClock(), synced=lambda: True),
        buffer=buffer,
        find=bus.find,
        safe_mode=safe_mode,
    )
    task = asyncio.create_task(commands.run())
    try:
        await eventually(lambda: commands._book is not None or task.done())
        yield Running(commands, bus, records, folder)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
