"""Fault 20 and the store under disorder: shuffled and doubled delivery into two stores, poison rows.

No processes here: messages go straight into the store, so that many more orders can be tried.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from demo.site.ledger import ledger_value
from plantroom_cloud.db import Database
from plantroom_cloud.ingest.store import Item, Store
from plantroom_shared import topics, wire
from plantroom_shared.model import Batch, Quality
from support import servers
from support.cloud_site import NOW, TestClock, add_home, dictionary, incoming, point
from support.fault_case import Setting, case
from support.fault_report import Figure
from support.servers import as_owner

POINTS = 8
ROWS = 25
HOUR = 3_600_000_000
CHANNELS = tuple(each for each in ("tel", "fill") if each in topics.UP_CHANNELS)

Row = tuple[str, int, float]
"""Point key, time, value."""


@dataclass
class World:
    """Gateways whose messages are known, and what they hold."""

    gateways: list[str]
    messages: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Gateway, channel, payload."""
    rows: dict[str, list[Row]] = field(default_factory=dict)
    accepted: dict[tuple[str, str], int] = field(default_factory=dict)
    """Gateway and epoch → rows."""


def make_world(dice: random.Random, *, gateways: int, messages: int) -> World:
    """Return gateways with two epochs each and `messages` messages of samples in every one."""
    world = World([f"gw-ledger-{number:04d}" for number in range(gateways)])
    for gateway in world.gateways:
        serial, rows = 0, world.rows.setdefault(gateway, [])
        for _ in range(2):
            epoch = dice.randbytes(8).hex()
            text = wire.encode(dictionary(POINTS, epoch=epoch))
            world.messages.append((gateway, "inv", text))
            for number in range(messages):
                batch = Batch()
                for _ in range(ROWS):
                    index, at = serial % POINTS, NOW - HOUR + serial * 1000
                    value = float(ledger_value(index, serial // POINTS))
                    batch.append(index, at, value, Quality.GOOD)
                    rows.append((point(index).key, at, value))
                    serial += 1
                payload = wire.encode_samples(epoch, 1 + number * ROWS, batch)
                channel = dice.choice(CHANNELS)
                world.messages.append((gateway, channel, payload))
            world.accepted[gateway, epoch] = messages * ROWS
    return world


def states(world: World) -> list[Item]:
    """Return what the gateways say in the end of what they accepted."""
    out: list[Item] = []
    for gateway in world.gateways:
        epochs = [
            wire.Holding(ep=ep, accepted={"tel": n})
            for (owner, ep), n in world.accepted.items()
            if owner == gateway
        ]
        out.append(incoming("state", wire.encode(wire.State(online=True, epochs=epochs)), gateway))
    return out


async def deliver(stores: Sequence[Store], world: World, dice: random.Random) -> int:
    """Deliver every message one to three times in any order, until each is acked; return how often.

    Each store takes what comes in groups, at the same time as the others. A message that needs a
    dictionary first is nacked and comes again, as from a gateway.
    """
    waiting = [each for each in world.messages for _ in range(dice.choice((1, 1, 2, 3)))]
    deliveries = 0
    while waiting:
        dice.shuffle(waiting)
        deliveries += len(waiting)
        shares: list[list[Any]] = [[] for _ in stores]
        for each in waiting:
            dice.choice(shares).append(each)
        missed = await asyncio.gather(
            *(_take(store, share, dice) for store, share in zip(stores, shares, strict=True))
        )
        waiting = [each for share in missed for each in share]
    return deliveries


async def _take(
    store: Store, share: list[tuple[str, str, bytes]], dice: random.Random
) -> list[tuple[str, str, bytes]]:
    """Store `share` in groups; return what was not stored and must come again."""
    again = []
    while share:
        group = [share.pop() for _ in range(min(len(share), dice.randint(1, 12)))]
        answers = await store.store([incoming(ch, data, gw) for gw, ch, data in group])
        asked = {(gateway, nack.ep, nack.s0) for gateway, nack in answers.nacks}
        for gateway, channel, data in group:
            head = wire.unpack(data)
            if (gateway, head["ep"], head.get("s0", head.get("a0"))) in asked:
                again.append((gateway, channel, data))
    return again


async def stored_rows(database: Database) -> dict[str, list[Row]]:
    """Return what the database holds, by gateway: key, time, value."""
    sql = (
        "SELECT point.gateway_id, point.key, sample.ts_us, sample.value FROM sample "
        "JOIN point ON point.id = sample.point_id"
    )
    out: dict[str, list[Row]] = {}
    async with as_owner(database).read() as session:
        for gateway, key, at, value in await session.execute(sa.text(sql)):
            out.setdefault(gateway, []).append((key, at, value))
    return out


def differences(world: World, stored: dict[str, list[Row]]) -> tuple[int, int]:
    """Return how many rows of the ledger are missing, and how many are there that should not be."""
    missing = extra = 0
    for gateway in world.gateways:
        want, have = sorted(world.rows[gateway]), sorted(stored.get(gateway, []))
        missing += len(want) - _common(want, have)
        extra += len(have) - _common(want, have)
    return missing, extra


def _common(left: list[Row], right: list[Row]) -> int:
    """Return how many rows two sorted lists share, each counted as often as in both."""
    i = j = common = 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            i, j, common = i + 1, j + 1, common + 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return common


@contextmanager
def databases(setting: Setting) -> Any:
    """Yield the URL of a migrated SQLite and of a migrated PostgreSQL database."""
    with ExitStack() as ending:
        postgres = ending.enter_context(servers.start_postgres())
        template = servers.make_sqlite_template(setting.folder)
        url = ending.enter_context(postgres.database(template=servers.TEMPLATE))
        yield {"sqlite": f"sqlite+aiosqlite:///{template}", "postgresql": url}


@case("shuffled", faults="9", pr=20, full=200)
def shuffled(setting: Setting) -> Sequence[Figure]:
    """Two stores share shuffled, doubled messages; the store equals the ledger row for row."""
    figures = []
    with databases(setting) as urls:
        for kind, url in urls.items():
            figures += asyncio.run(_shuffle(setting, f"two stores, shuffled, {kind}", url))
    return figures


async def _shuffle(setting: Setting, name: str, url: str) -> list[Figure]:
    dice = setting.dice(name)
    async with servers.opened(url) as first, servers.opened(url) as second:
        world = make_world(dice, gateways=3, messages=setting.count)
        await add_home(first, "acme", "tower", *world.gateways)
        clock = TestClock()
        stores = [Store(first, clock), Store(second, clock)]
        deliveries = await deliver(stores, world, dice)
        missing, extra = differences(world, await stored_rows(first))
    seed = setting.seed
    return [
        Figure(
            name, "deliveries", deliveries, deliveries, len(world.messages), least=True, seed=seed
        ),
        Figure(
            name,
            "rows of the ledger missing",
            sum(map(len, world.rows.values())),
            missing,
            seed=seed,
        ),
        Figure(name, "rows that are not the ledger's, or twice", deliveries, extra, seed=seed),
    ]


# ---------------------------------------------------------------- poison

Poison = Callable[[dict[str, Any], int], Any]

_HUGE = 10**15


def _set(column: str, value: Any) -> Poison:
    def spoil(message: dict[str, Any], row: int) -> None:
        message[column][row] = value

    return spoil


def _time_of_one(message: dict[str, Any], row: int) -> None:
    """Move one row out of all time, the rows behind it staying where they are."""
    message["dt"][row] += _HUGE
    if row + 1 < len(message["dt"]):
        message["dt"][row + 1] -= _HUGE


def _quality_of_one(message: dict[str, Any], row: int) -> None:
    message["q"][str(row)] = {"code": 1}


_VALUES: tuple[Any, ...] = ([], {}, [1], {"a": 1}, "x" * 5000, [[[[]]]])
_ALIASES: tuple[Any, ...] = (-1, "0", None, 1.5, 2**40, 2**64, True, [0])

POISONS: tuple[Poison, ...] = (
    *(_set("x", value) for value in _VALUES),
    *(_set("p", value) for value in _ALIASES),
    _time_of_one,
    _quality_of_one,
)


@case("poison", faults="20", pr=150, full=1_000)
def poison(setting: Setting) -> Sequence[Figure]:
    """One row of each batch of a thousand is poison: 999 are stored, the one is quarantined."""
    figures = []
    with databases(setting) as urls:
        for kind, url in urls.items():
            figures += asyncio.run(_poison(setting, f"20 poison row, {kind}", url))
    return figures


async def _poison(setting: Setting, name: str, url: str) -> list[Figure]:
    dice, gateway, epoch, size = setting.dice(name), "gw-poison-0001", "ab" * 8, 1000
    slowest, unanswered = 0.0, 0
    async with servers.opened(url) as database:
        await add_home(database, "acme", "tower", gateway)
        store = Store(database, TestClock())
        await store.store([incoming("inv", wire.encode(dictionary(4, epoch=epoch)), gateway)])
        for number in range(setting.count):
            s0 = 1 + number * size
            payload = _poisoned(epoch, s0, size, dice, number)
            began = time.monotonic()
            answers = await store.store([incoming("tel", payload, gateway)])
            slowest = max(slowest, time.monotonic() - began)
            spans = answers.acks.get((gateway, epoch, "tel"), [])
            unanswered += not any(lo <= s0 and s0 + size - 1 <= hi for lo, hi in spans)
        async with as_owner(database).read() as session:
            stored = (await session.execute(sa.text("SELECT count(*) FROM sample"))).scalar_one()
            held = await session.execute(sa.text("SELECT coalesce(sum(n), 0) FROM quarantine"))
            quarantined = int(held.scalar_one())
    runs, seed = setting.count, setting.seed
    return [
        Figure(
            name, "good rows not stored", runs * (size - 1), runs * (size - 1) - stored, seed=seed
        ),
        Figure(name, "poison rows not in quarantine", runs, runs - quarantined, seed=seed),
        Figure(name, "poison rows stored", runs, max(0, stored - runs * (size - 1)), seed=seed),
        Figure(name, "batches not acknowledged", runs, unanswered, seed=seed),
        Figure(name, "stream blocked, at most", runs, slowest, 1.0, unit="s", timing=True),
    ]


def _poisoned(epoch: str, s0: int, size: int, dice: random.Random, number: int) -> bytes:
    batch = Batch()
    for row in range(size):
        at = NOW - HOUR + (s0 + row) * 10
        batch.append(row % 4, at, float(s0 + row), Quality.GOOD)
    message = wire.unpack(wire.encode_samples(epoch, s0, batch))
    message["p"] = list(batch.points)  # alias by alias, not in runs: one of them can be spoilt
    POISONS[number % len(POISONS)](message, dice.randrange(size))
    return gzip.compress(json.dumps(message).encode(), 1)
