"""A company with a site and gateways in a database, and messages as those gateways send them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from plantroom_cloud.db import Database
from plantroom_cloud.ingest.messages import Incoming, Refused, read
from plantroom_cloud.tables import Company, Gateway, Site
from plantroom_shared import topics, wire
from plantroom_shared.model import Batch, Device, Finding, Point, Quality, Value
from support.servers import as_owner

GATEWAY = "gw-north-0001"
EPOCH = "00000000000000aa"
NOW = 1_767_225_600_000_000
"""2026-01-01 00:00 UTC, the test clock's start."""


@dataclass(slots=True)
class TestClock:
    """A clock that stands still until told otherwise."""

    __test__ = False

    now: int = NOW

    def now_us(self) -> int:
        """Return microseconds since 1970."""
        return self.now

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return self.now / 1e6


@dataclass(frozen=True, slots=True)
class Home:
    """Where a gateway belongs."""

    company_id: int
    site_id: int


async def add_home(
    database: Database, company: str = "acme", site: str = "tower", *gateways: str
) -> Home:
    """Add a company, a site and its gateways (`GATEWAY` where none is named)."""
    async with as_owner(database).write() as session:
        owner = Company(slug=company, name=company, created_us=NOW)
        session.add(owner)
        await session.flush()
        place = Site(company_id=owner.id, slug=site, name=site, timezone="UTC", created_us=NOW)
        session.add(place)
        await session.flush()
        session.add_all(
            Gateway(
                id=gateway,
                company_id=owner.id,
                site_id=place.id,
                name=gateway,
                created_us=NOW,
                report={},
            )
            for gateway in gateways or (GATEWAY,)
        )
        return Home(owner.id, place.id)


def point(number: int, **more: Any) -> Point:
    """Return the `number`-th point of one device."""
    key = f"bacnet:1:analog-input:{number}"
    return Point(**({"key": key, "device": "bacnet:1", "name": f"AI {number}"} | more))


def dictionary(
    size: int, *, a0: int = 0, epoch: str = EPOCH, first: int | None = None
) -> wire.Dictionary:
    """Return a dictionary message with `size` points from alias `a0` on."""
    start = a0 if first is None else first
    return wire.Dictionary(
        ep=epoch,
        a0=a0,
        points=[point(number) for number in range(start, start + size)],
        devices=[Device(key="bacnet:1", name="AHU 1", protocol="bacnet")],
    )


def batch(
    s0: int, n: int, *, points: int = 1, at: int = NOW - 3_600_000_000, values: Sequence[Value] = ()
) -> Batch:
    """Return rows whose values are their order numbers, one millisecond apart."""
    rows = Batch()
    for row in range(n):
        seq = s0 + row
        value = values[row] if row < len(values) else float(seq)
        rows.append(seq % points, at + seq * 1000, value, Quality.GOOD)
    return rows


def samples(s0: int, n: int, *, epoch: str = EPOCH, **more: Any) -> bytes:
    """Return a ``tel`` message of `n` rows from `s0` on."""
    return wire.encode_samples(epoch, s0, batch(s0, n, **more))


def tampered(payload: bytes, **columns: Any) -> bytes:
    """Return the message with some of its fields replaced."""
    return wire.pack(wire.unpack(payload) | columns)


def finding(name: str, *, ended: int | None = None, **more: Any) -> Finding:
    """Return a finding that began an hour ago."""
    return Finding(
        **(
            {
                "id": name,
                "detector": "pca",
                "subject": "bacnet:1",
                "points": ("bacnet:1:analog-input:0",),
                "started": NOW - 3_600_000_000,
                "ended": ended,
                "score": 2.5,
                "text": "The supply air is warmer than it ever was.",
                "evidence": {"spe": 4.5},
            }
            | more
        )
    )


def findings(s0: int, found: Iterable[Finding], *, epoch: str = EPOCH) -> bytes:
    """Return an ``evt`` message."""
    rows = list(found)
    return wire.encode(wire.Findings(ep=epoch, st="evt", s0=s0, n=len(rows), ev=rows))


def incoming(channel: str, payload: bytes, gateway: str = GATEWAY) -> Incoming | Refused:
    """Return what the ingest makes of `payload` on `channel`."""
    return read(topics.up(gateway, channel), payload)


def tel(s0: int, n: int, *, gateway: str = GATEWAY, **more: Any) -> Incoming | Refused:
    """Return a ``tel`` message as the store takes it."""
    return incoming("tel", samples(s0, n, **more), gateway)


def inv(message: wire.Dictionary, gateway: str = GATEWAY) -> Incoming | Refused:
    """Return a dictionary as the store takes it."""
    return incoming("inv", wire.encode(message), gateway)
