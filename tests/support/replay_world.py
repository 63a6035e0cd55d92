"""A site full of samples and findings, and a replay of it in this process."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import insert, select

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.replay.positions import Asked, Book, NamedBook, Position, new_replay
from plantroom_cloud.replay.reader import Place, Reader
from plantroom_cloud.replay.run import Outcome, Pace, Replay
from plantroom_cloud.replay.sinks import FileSink, Sink
from plantroom_cloud.tables import Device, FindingRow, Point, SampleRow, Site
from support.cloud_site import GATEWAY, NOW, TestClock, add_home
from support.servers import as_owner

START = NOW - 3_600_000_000
END = NOW


@dataclass
class World:
    """A site with points; `rows` are (ts, point, tie) of its samples, in order."""

    database: Database
    place: Place
    points: list[int]
    rows: list[tuple[int, int, int]] = field(default_factory=list)
    clock: TestClock = field(default_factory=TestClock)

    async def put(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """Store samples: their value is their place in time."""
        new = list(rows)
        company = self.place.scope.company_id
        filled = [
            {
                "company_id": company,
                "point_id": point,
                "ts_us": ts,
                "tie": tie,
                "value": float(ts % 1_000_000),
                "text": None,
                "quality": 0,
                "reason": "",
            }
            for ts, point, tie in new
        ]
        async with as_owner(self.database).write() as session:
            await session.execute(insert(SampleRow), filled)
        self.rows = sorted({*self.rows, *new})

    async def find(self, name: str, started: int) -> None:
        """Store a finding."""
        async with as_owner(self.database).write() as session:
            values = {
                "company_id": self.place.scope.company_id,
                "site_id": self.place.site,
                "gateway_id": GATEWAY,
                "id": name,
                "detector": "pca",
                "subject": "bacnet:1",
                "points": ["bacnet:1:analog-input:0"],
                "started_us": started,
                "ended_us": None,
                "score": 2.5,
                "text": "warm",
                "evidence": {"spe": 4.5},
            }
            await session.execute(insert(FindingRow), [values])

    def asked(self, path: Path, start: int = START, end: int = END) -> Asked:
        """Return what a consumer asks for that writes to `path`."""
        return Asked(self.place.site, f"file:{path}", start, end)

    async def replay(
        self,
        sink: Sink,
        book: Book | None = None,
        position: Position | None = None,
        page: int = 1000,
        pace: Pace | None = None,
    ) -> Outcome:
        """Run a replay to its end."""
        position = position or Position(new_replay(), START, END)
        reader = Reader(self.database, self.place, page)
        run = Replay(reader, sink, book or Book(), self.clock)
        return await run.run(position, pace or Pace(None, START, self.clock))

    async def consume(self, path: Path, name: str = "reader", **more: Any) -> Outcome:
        """Run the replay of a named consumer to a file."""
        end = more.pop("end", END)
        book = NamedBook(self.database, self.place.scope, name)
        position = await book.open(self.asked(path, end=end), self.clock.now_us())
        return await self.replay(more.pop("sink", FileSink(path)), book, position, **more)


async def make_world(database: Database, points: int = 4, company: str = "acme") -> World:
    """Return a site with `points` points and nothing stored."""
    home = await add_home(database, company, "tower", GATEWAY)
    head = {"company_id": home.company_id, "site_id": home.site_id, "gateway_id": GATEWAY}
    async with as_owner(database).write() as session:
        device = {"key": "bacnet:1", "name": "AHU 1", "protocol": "bacnet"}
        await session.execute(insert(Device), [head | device])
        device_id = await session.scalar(select(Device.id))
        rows = [
            head
            | {"device_id": device_id, "name": f"AI {n}", "unit": "degC", "changed_us": NOW}
            | {"key": f"bacnet:1:analog-input:{n}"}
            for n in range(points)
        ]
        await session.execute(insert(Point), rows)
        ids = list((await session.execute(select(Point.id).order_by(Point.id))).scalars())
        slug = await session.scalar(select(Site.slug))
    assert slug is not None
    return World(database, Place(Scope(home.company_id), home.site_id, slug), ids)


def scattered(world: World, number: int, seed: int) -> list[tuple[int, int, int]]:
    """Return rows at uneven times: bursts at one moment, long silences, several of one point."""
    rng = random.Random(seed)
    moments = [START + rng.randrange(3_600_000_000) for _ in range(max(1, number // 7))]
    picked = {
        (rng.choice(moments), rng.choice(world.points), rng.randrange(2**61)) for _ in range(number)
    }
    return sorted(picked)


def objects(path: Path) -> list[dict[str, Any]]:
    """Return what a file holds, line by line."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def keys(found: Iterable[dict[str, Any]]) -> list[tuple[str, Any, Any]]:
    """Return what tells delivered objects apart."""
    return [(one["ts"], one["id"], one.get("tie")) for one in found]
