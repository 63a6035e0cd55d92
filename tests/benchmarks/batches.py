"""``bench batches``: point lists that are uploaded, and points mapped while the LLM never answers.

Uploads are an open-loop load on two API processes over PostgreSQL (fsync on), as in ``bench api``:
every one is a job of a hundred points, and is on the disk when its 202 comes. The mapping runs in
this process, by the service's own mapper on another PostgreSQL: points come to ten sites, and the
time of each runs from the moment it was due until the round that stored its mapping has ended. One
round follows the other; the service waits a second between two. The LLM's endpoint takes connections
and says nothing.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import insert, select

from benchmarks import api
from benchmarks.figures import Figure
from plantroom_cloud.config_llm import LlmSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity.setup import add_company, add_key, add_site
from plantroom_cloud.mapping.jobs import POLL, Mapper
from plantroom_cloud.mapping.llm import Asker
from plantroom_cloud.tables import Device, Gateway, Mapping, Point
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import SystemClock
from support.servers import TEMPLATE, start_postgres, sync_commits

UPLOADS, MAPPED = 50.0, 100.0
"""Per second."""
ROWS, SITES, COMPANIES = 100, 10, 10
_TIMEOUT = 1.0
"""Seconds for one call of the LLM: they only set how long it takes to know that it is away."""


def measure(seconds: float) -> dict[str, Figure]:
    """Return the figures; each load is held for a third of `seconds`, twenty at most."""
    length = max(5.0, min(20.0, seconds / 3))
    return {**_uploads(length), **asyncio.run(_mapping(length))}


def _times(name: str, took: list[float]) -> dict[str, Figure]:
    took = sorted(took)
    at = {"p50": took[len(took) // 2], "p99": took[int(len(took) * 0.99)], "longest": took[-1]}
    return {f"{name}: {part}": Figure(1000 * value, "ms") for part, value in at.items()}


# ---------------------------------------------------------------- uploads


def _uploads(seconds: float) -> dict[str, Figure]:
    with api.served(_seed_keys) as (ports, _, requests):
        (texts,) = requests.values()
        api.load(ports, texts, 5, 2.0, wanted="202")
        told, _ = api.load(ports, texts, UPLOADS, seconds, wanted="202")
    if told["wrong"]:
        msg = f"answers other than 202: {told['wrong']}"
        raise RuntimeError(msg)
    name = f"uploads of {ROWS} points, {UPLOADS:g}/s"
    return {f"{name}: answered": Figure(len(told["took"]), "uploads")} | _times(name, told["took"])


async def _seed_keys(url: str) -> dict[str, list[str]]:
    database, clock, texts = Database(url), SystemClock(), []
    try:
        for number in range(COMPANIES):
            async with database.write(None) as session:
                scope = Scope(await add_company(session, clock, f"company-{number}"))
                key = await add_key(session, clock, scope, "bench", scopes=("engineer",))
            texts.append(_upload(key.plain, number))
    finally:
        await database.close()
    return {"uploads": texts}


def _upload(key: str, number: int) -> str:
    rows = [f"AHU{n // 10}.SaTemp{n % 10},Tower {number},degC" for n in range(ROWS)]
    body = "\n".join(["point_name,building,units", *rows])
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Type: text/csv\r\nContent-Length: {len(body)}\r\n\r\n{body}"


# ---------------------------------------------------------------- mapping


@contextmanager
def _black_hole() -> Iterator[int]:
    """Yield a port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        yield int(listener.getsockname()[1])


async def _mapping(seconds: float) -> dict[str, Figure]:
    with (
        start_postgres() as postgres,
        postgres.database(template=TEMPLATE) as url,
        _black_hole() as port,
    ):
        sync_commits(postgres)
        base = f"http://127.0.0.1:{port}/v1"
        settings = LlmSettings(base_url=base, model="m", timeout=_TIMEOUT)
        database, clock = Database(url), SystemClock()
        asker = Asker(database, settings, clock)
        try:
            places = await _seed_sites(database, clock)
            run = _Mapping(database, asker, clock, places)
            known = await run.until_known()
            took = await run.load(seconds)
            await run.check()
        finally:
            await asker.close()
            await database.close()
    name = f"mapping with the LLM away, {MAPPED:g}/s"
    away = {"the LLM never answers: known after": Figure(known, "s")}
    return away | {f"{name}: mapped": Figure(len(took), "points")} | _times(name, took)


Place = tuple[Scope, int, str, int]
"""Company, site, gateway, device."""


class _Mapping:
    """Points that come to sites, and the service's mapper, round after round."""

    def __init__(
        self, database: Database, asker: Asker, clock: SystemClock, places: list[Place]
    ) -> None:
        self._db, self._asker, self._clock, self._places = database, asker, clock, places
        self._mapper = Mapper(database, asker, clock)
        self._added: list[int] = []

    async def until_known(self) -> float:
        """Map until the endpoint is left alone; return the seconds that took."""
        began = time.monotonic()
        while not self._asker.endpoint.breaker.open:
            await self._add(0)
            await self._mapper.round()
        return time.monotonic() - began

    async def _ask(self) -> None:
        while True:
            await self._mapper.ask_open()
            await asyncio.sleep(POLL)

    async def load(self, seconds: float) -> list[float]:
        """Let points come by the clock alone; return how long each took from its due moment."""
        due: dict[int, float] = {}
        took: list[float] = []
        asking = asyncio.create_task(self._ask())
        coming = asyncio.create_task(self._come(seconds, due))
        while due or not coming.done():
            here = dict(due)  # those that a round finds for sure
            await self._mapper.map_new()
            now = time.perf_counter()
            for point, moment in here.items():
                took.append(now - moment)
                del due[point]
        await coming
        await ended(asking)
        return took

    async def _come(self, seconds: float, due: dict[int, float]) -> None:
        start, chosen = time.perf_counter() + 0.1, random.Random(1)
        for number in range(round(MAPPED * seconds)):
            moment = start + number / MAPPED
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            due[await self._add(chosen.randrange(SITES))] = moment

    async def _add(self, at: int) -> int:
        scope, site, gateway, device = self._places[at]
        number = len(self._added)
        async with self._db.write(scope) as session:
            row = {"key": f"odd:{number}", "name": f"Qxzw{number} Vkj", "device_id": device}
            row |= {"company_id": scope.company_id, "site_id": site, "gateway_id": gateway}
            added = insert(Point).values(**row, changed_us=self._clock.now_us())
            self._added.append((await session.execute(added.returning(Point.id))).scalar_one())
        return self._added[-1]

    async def check(self) -> None:
        """Every point that came is mapped, and none by the LLM."""
        found: dict[int, str] = {}
        for scope in {place[0] for place in self._places}:
            async with self._db.read(scope) as session:
                rows = await session.execute(select(Mapping.point_id, Mapping.source))
                found |= {int(row[0]): str(row[1]) for row in rows}
        assert all(found.get(point) in {"offline", "fallback"} for point in self._added)


async def _seed_sites(database: Database, clock: SystemClock) -> list[Place]:
    places: list[Place] = []
    for number in range(COMPANIES):
        async with database.write(None) as session:
            scope = Scope(await add_company(session, clock, f"company-{number}"))
            for site in range(SITES // COMPANIES):
                site_id = await add_site(session, clock, scope, f"tower-{site}")
                places.append(await _seed_points(session, scope, site_id, f"gw-{number}-{site}"))
    return places


async def _seed_points(session: Any, scope: Scope, site: int, gateway: str) -> Place:
    here = {"company_id": scope.company_id, "site_id": site}
    now = int(time.time() * 1e6)
    name = f"{gateway:-<12}"
    await session.execute(insert(Gateway).values(id=name, name="b", created_us=now, **here))
    wired = here | {"gateway_id": name}
    about = {"key": "bacnet:1", "name": "AHU 1", "protocol": "bacnet"}
    made = await session.execute(insert(Device).values(**about, **wired).returning(Device.id))
    device = int(made.scalar_one())
    words = ("SaTemp", "RaTemp", "SaFanCmd", "ClgVlvPos", "SaStatPress")
    rows = [
        {"key": f"p:{n}", "name": f"AHU{n}.{word}", "device_id": device, "changed_us": now} | wired
        for n in range(4)
        for word in words
    ]
    for index, row in enumerate(rows):
        row["key"] = f"p:{index}"
    await session.execute(insert(Point), rows)
    return scope, site, name, device
