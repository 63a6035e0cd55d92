"""``bench api``: an open-loop load on two API processes over PostgreSQL (fsync on).

Every request has a key, is counted against the rate limits, finds its company and reads the
database: the latest values of ten points, or a history of a hundred samples. The generator is a
process of its own on the same machine, and takes its share of the processors; what it and each part
take is told. The rate is raised until requests are late, and each step starts with nothing waiting.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import insert

from benchmarks.figures import Figure, cpu_seconds
from demo.processes import Child, python
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity.setup import add_company, add_key, add_site
from plantroom_cloud.tables import Device, Gateway, Latest, Point, SampleRow
from plantroom_shared.clock import SystemClock
from support.servers import TEMPLATE, start_postgres, sync_commits

HERE = Path(__file__).resolve().parent
WORKERS = 2
COMPANIES, POINTS, SAMPLES = 20, 40, 100
CONNECTIONS = 64
RATES = (50, 100, 200, 300, 400, 600, 800, 1000, 1500)
"""Requests per second that are tried, one after the other."""
LATE = 0.1
"""Seconds: what the slowest of a hundred requests may take."""
_LIMIT = {"rate": 100_000, "burst": 1_000_000}


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one rate."""

    rate: float
    done: float
    """Answers per second."""
    p50: float
    p99: float
    cpu: dict[str, float]
    """Part → processors it took."""

    @property
    def good(self) -> bool:
        """Whether requests were answered in time."""
        return self.p99 < LATE and self.done > 0.95 * self.rate


def measure(seconds: float) -> dict[str, Figure]:
    """Return the figures; each rate is held for a sixth of `seconds`, ten at most."""
    length = max(2.0, min(10.0, seconds / 6))
    figures: dict[str, Figure] = {}
    with served(_seed) as (ports, pids, requests):
        for name, texts in requests.items():
            load(ports, texts, 50, 2.0)  # connections, plans and caches are warm afterwards
            steps = list(_steps(ports, pids, texts, length))
            best = max((step.done for step in steps if step.good), default=0.0)
            figures[f"{name}: most with p99 < 100 ms"] = Figure(best, "requests/s")
            for step in steps:
                at = f"{name}: {step.rate:g}/s"
                figures[f"{at}, p50"] = Figure(1000 * step.p50, "ms")
                figures[f"{at}, p99"] = Figure(1000 * step.p99, "ms")
            last = next((step for step in reversed(steps) if step.good), steps[0])
            for part, share in last.cpu.items():
                figures[f"{name}: {last.rate:g}/s, CPU of {part}"] = Figure(share, "processors")
    return figures


def _steps(
    ports: Sequence[int], pids: dict[str, list[int]], texts: list[str], seconds: float
) -> Iterator[Step]:
    for rate in RATES:
        before, started = _cpu(pids), time.monotonic()
        told, generator = load(ports, texts, rate, seconds)
        lasted = time.monotonic() - started
        cpu = {part: (spent - before[part]) / lasted for part, spent in _cpu(pids).items()}
        took = sorted(told["took"])
        if told["wrong"]:
            msg = f"answers other than 200: {told['wrong']}"
            raise RuntimeError(msg)
        step = Step(
            rate,
            len(took) / told["seconds"],
            took[len(took) // 2],
            took[int(len(took) * 0.99)],
            cpu | {"the generator": generator / lasted},
        )
        yield step
        if not step.good and step.p99 > 5 * LATE:
            return


def load(
    ports: Sequence[int], texts: list[str], rate: float, seconds: float, *, wanted: str = "200"
) -> tuple[dict[str, Any], float]:
    """Return what the generator says, and the CPU seconds it took."""
    plan: dict[str, Any] = {
        "ports": list(ports),
        "requests": texts,
        "rate": rate,
        "seconds": seconds,
    }
    plan |= {"connections": CONNECTIONS, "wanted": wanted}
    before = os.times()
    done = subprocess.run(
        python(str(HERE / "api_load.py")),
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=True,
    )
    after = os.times()
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    told: dict[str, Any] = json.loads(done.stdout)
    return told, spent


def _cpu(pids: dict[str, list[int]]) -> dict[str, float]:
    return {
        part: sum(cpu_seconds(pid) for pid in found) for part, found in _with_backends(pids).items()
    }


def _with_backends(pids: dict[str, list[int]]) -> dict[str, list[int]]:
    """Add the processes that PostgreSQL has for its connections."""
    (postgres,) = pids["PostgreSQL"]
    children = Path(f"/proc/{postgres}/task/{postgres}/children").read_text().split()
    return pids | {"PostgreSQL": [postgres, *map(int, children)]}


@contextmanager
def served(
    seed: Callable[[str], Awaitable[dict[str, list[str]]]],
) -> Iterator[tuple[list[int], dict[str, list[int]], dict[str, list[str]]]]:
    """Yield the ports of the workers, the processes, and the requests to send, by kind.

    Args:
        seed: fills the database at an address and returns the requests.
    """
    with (
        start_postgres() as postgres,
        postgres.database(template=TEMPLATE) as url,
        tempfile.TemporaryDirectory(prefix="plantroom-bench-") as name,
    ):
        sync_commits(postgres)
        requests = asyncio.run(_seeded(seed, url))
        folder, children = Path(name), []
        try:
            children += [_worker(folder, number, url) for number in range(WORKERS)]
            ports = [_port(child, folder, n) for n, child in enumerate(children)]
            pids = {"the API": [child.pid for child in children], "PostgreSQL": [postgres.pid]}
            yield ports, pids, requests
        finally:
            for child in children:
                child.stop()


async def _seeded(
    seed: Callable[[str], Awaitable[dict[str, list[str]]]], url: str
) -> dict[str, list[str]]:
    return await seed(url)


def _worker(folder: Path, number: int, url: str) -> Child:
    config, ready = folder / f"api-{number}.yaml", folder / f"api-{number}.json"
    limits = {"per_key": _LIMIT, "per_company": _LIMIT, "per_address": _LIMIT}
    settings = {"data": str(folder), "database": url, "api_port": 0, "api": limits}
    config.touch(mode=0o600)
    config.write_text(yaml.safe_dump(settings))
    command = ("-m", "plantroom_cloud", "--config", str(config), "api", "--ready-file", str(ready))
    return Child(f"api-{number}", python(*command), folder, ready=ready).start()


def _port(child: Child, folder: Path, number: int) -> int:
    child.wait_ready()
    told = json.loads((folder / f"api-{number}.json").read_text())
    return int(told["api"].rsplit(":", 1)[1])


# ---------------------------------------------------------------- what is asked for


async def _seed(url: str) -> dict[str, list[str]]:
    database, clock = Database(url), SystemClock()
    requests: dict[str, list[str]] = {"latest of 10 points": [], "history of 100 samples": []}
    try:
        for number in range(COMPANIES):
            async with database.write(None) as session:
                scope = Scope(await add_company(session, clock, f"company-{number}"))
                key = await add_key(session, clock, scope, "bench")
                site = await add_site(session, clock, scope, "tower")
                points = await _points(session, scope, site, f"gw-bench-{number:04}")
            for _ in range(20):
                ten = "&".join(f"point={point}" for point in random.sample(points, 10))
                requests["latest of 10 points"].append(_request(f"/v1/latest?{ten}", key.plain))
            requests["history of 100 samples"] += [
                _request(f"/v1/points/{point}/samples?limit=100", key.plain) for point in points
            ]
    finally:
        await database.close()
    return requests


async def _points(session: Any, scope: Scope, site: int, gateway: str) -> list[int]:
    """Put a gateway with points, each with its samples of the last hours; return their ids."""
    own = {"company_id": scope.company_id}
    here = own | {"site_id": site}
    now = int(time.time() * 1e6)
    wired = here | {"gateway_id": gateway}
    await session.execute(insert(Gateway).values(id=gateway, name="b", created_us=now, **here))
    about = {"key": "bacnet:1", "name": "Chiller", "protocol": "bacnet"}
    device = insert(Device).values(**about, **wired).returning(Device.id)
    told = {"device_id": (await session.execute(device)).scalar_one(), "changed_us": now}
    names = [{"key": f"bacnet:1:analog-input:{n}", "name": f"CH1.Temp{n}"} for n in range(POINTS)]
    rows = [told | name | {"unit": "degrees-celsius"} | wired for name in names]
    made = await session.execute(insert(Point).returning(Point.id), rows)
    points = list(made.scalars())
    samples = [
        {"point_id": point, "ts_us": now - n * 60_000_000, "tie": n, "value": 20.0 + n / 7}
        | {"quality": 0, "reason": "", **own}
        for point in points
        for n in range(SAMPLES + 20)
    ]
    await session.execute(insert(SampleRow), samples)
    await session.execute(insert(Latest), [row for row in samples if row["tie"] == 0])
    return points


def _request(path: str, key: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {key}\r\n\r\n"
