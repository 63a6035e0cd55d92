"""``bench ingest``: from the edge's buffer to the committed store, beside the floors of the run.

Four agents hold a backlog each; broker (TLS, client certificates), ingest and PostgreSQL (fsync
on) are processes of the same machine, as are the agents. The clock runs from the first committed
row to the last, and covers what an agent does with a backlog: read, publish, take acks, delete.
The floors have the machine to themselves.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml
from sqlalchemy.engine import make_url

from benchmarks import ingest_floors
from benchmarks.figures import Figure, cpu_seconds, rss_mb
from benchmarks.ingest_edge import BATCH, batch
from demo.processes import Child, python
from demo.stack import COMPANY, SITE, Stack
from plantroom_cloud.config import load_settings
from plantroom_cloud.db import open_database
from plantroom_cloud.gateways.pki import CLOUD, Authority, TlsFiles, client_context
from plantroom_cloud.gateways.provision import add_gateway, find_site
from plantroom_shared.clock import SystemClock
from plantroom_shared.wire import encode_samples
from support.servers import Postgres, as_owner, start_postgres, sync_commits

HERE = Path(__file__).resolve().parent
GATEWAYS = 4
RATE = 100_000
"""Samples per second that the run is made long enough for: starting up must not count."""
FLOOR_ROWS = 512_000
_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class _Run:
    rate: float
    cpu: dict[str, float]
    """Process → CPU seconds per 1,000 samples."""
    ingest_mb: float
    append_rate: float


def measure(seconds: float) -> dict[str, Figure]:
    """Return the figures of a run of about so many seconds."""
    rows = int(seconds * RATE / GATEWAYS) // BATCH * BATCH
    start_us = int(time.time() * 1e6) - 2 * _DAY
    with _stack() as (stack, postgres):
        run = _path(stack, postgres, rows, start_us)
        slow_mb = _slow(stack, postgres, rows, start_us, seconds)
        floors = _floors(stack, postgres, start_us)
        raw_mqtt = _raw_mqtt(stack, start_us)
    figures = {
        "edge buffer to committed store": Figure(
            run.rate, "samples/s", floors["COPY, rows from Python"]
        ),
        **{f"floor: {name}": Figure(rate, "rows/s") for name, rate in floors.items()},
        "floor: raw MQTT, the same messages": Figure(raw_mqtt, "samples/s"),
        "buffer append": Figure(run.append_rate, "samples/s", floors["SQLite executemany"]),
        "ingest: peak memory": Figure(run.ingest_mb, "MB resident"),
        "ingest: the same, database at a tenth": Figure(slow_mb, "MB resident"),
    }
    return figures | {
        f"CPU: {name}": Figure(spent, "CPU-s per 1,000 samples") for name, spent in run.cpu.items()
    }


@contextmanager
def _stack() -> Iterator[tuple[Stack, Postgres]]:
    """Yield a cloud over a PostgreSQL that syncs what it commits."""
    with start_postgres() as postgres, postgres.database() as url:
        sync_commits(postgres)
        # Not only its owner may pass: Mosquitto gives up root where it starts as that.
        with tempfile.TemporaryDirectory(prefix="plantroom-bench-") as name:
            folder = Path(name)
            folder.chmod(0o711)
            stack = Stack(folder, database=url, engine="mosquitto")
            try:
                stack.write_cloud_config()
                stack.provision(companies=(COMPANY,))
                yield stack, postgres
            finally:
                stack.stop()


def _path(stack: Stack, postgres: Postgres, rows: int, start_us: int) -> _Run:
    """Fill the buffers, start everything and time the rows as they are committed."""
    seconds = sum(_fill(stack, number, rows, start_us) for number in range(GATEWAYS))
    stack.start_broker()
    stack.child("ingest", *stack.cloud("ingest"))
    for number in range(GATEWAYS):
        _start_agent(stack, number)
    watched = {name: child.pid for name, child in stack.children.items()}
    total = rows * GATEWAYS
    with psycopg.connect(**_where(stack, postgres), autocommit=True) as connection:  # type: ignore[arg-type]
        first, last, peak, cpu = _watch(connection, total, watched)
        stored = connection.execute("SELECT count(*) FROM sample").fetchone()
    if stored is None or stored[0] != total:
        msg = f"{stored} rows are stored, {total} were appended"
        raise RuntimeError(msg)
    rows = last[1] - first[1]
    return _Run(rows / (last[0] - first[0]), _per_1000(cpu, rows), peak, total / seconds)


def _slow(stack: Stack, postgres: Postgres, rows: int, start_us: int, seconds: float) -> float:
    """Return the ingest's peak memory (MB) while PostgreSQL may work a tenth of the time."""
    for number in range(GATEWAYS, 2 * GATEWAYS):
        _fill(stack, number, rows, start_us)
        _start_agent(stack, number)
    ingest, peak, end = stack.children["ingest"].pid, 0.0, time.monotonic() + seconds
    with psycopg.connect(**_where(stack, postgres), autocommit=True) as connection:  # type: ignore[arg-type]
        while time.monotonic() < end:
            query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            query += " AND pid <> pg_backend_pid()"
            pids = [pid for (pid,) in connection.execute(query).fetchall()]
            _signal(pids, signal.SIGSTOP)
            try:
                time.sleep(0.09)
            finally:
                _signal(pids, signal.SIGCONT)
            time.sleep(0.01)
            peak = max(peak, rss_mb(ingest))
    return peak


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _start_agent(stack: Stack, number: int) -> None:
    folder = stack.folder / f"edge-{number}"
    command = python("-m", "plantroom_edge", "run", str(folder / "agent.yaml"))
    name = f"agent-{number}"
    stack.children[name] = Child(name, command, folder).start()


def _cpu(watched: dict[str, int]) -> dict[str, float]:
    """Return CPU seconds so far, of the agents together."""
    spent: dict[str, float] = {}
    for name, pid in watched.items():
        part = name.partition("-")[0]
        spent[part] = spent.get(part, 0.0) + cpu_seconds(pid)
    return spent


def _per_1000(spent: dict[str, float], rows: int) -> dict[str, float]:
    return {name: 1000 * seconds / rows for name, seconds in spent.items()}


_Moment = tuple[float, int]
"""Time, and rows stored by then."""


def _watch(
    connection: Any, expected: int, watched: dict[str, int]
) -> tuple[_Moment, _Moment, float, dict[str, float]]:
    """Return the first and the last commit, the ingest's peak memory, and CPU seconds between."""
    query = "SELECT coalesce(sum(stored), 0)::bigint FROM stream_total WHERE stream = 'tel'"
    first, before, peak, deadline = None, dict[str, float](), 0.0, time.monotonic() + 600
    while True:
        (stored,) = connection.execute(query).fetchone()
        now = time.perf_counter()
        peak = max(peak, rss_mb(watched["ingest"]))
        if first is None and stored:
            first, before = (now, stored), _cpu(watched)
        if stored >= expected and first is not None:
            spent = {name: after - before[name] for name, after in _cpu(watched).items()}
            return first, (now, stored), peak, spent
        if time.monotonic() > deadline:
            msg = f"after ten minutes {stored} of {expected} rows are stored"
            raise RuntimeError(msg)
        time.sleep(0.05)


def _where(stack: Stack, postgres: Postgres) -> dict[str, str]:
    name = make_url(stack.database).database
    return {"host": postgres.socket, "user": "postgres", "dbname": str(name)}


# ---------------------------------------------------------------- the edge


def _fill(stack: Stack, number: int, rows: int, start_us: int) -> float:
    """Make a gateway, its agent's configuration and its backlog; return the seconds it took."""
    gateway, folder = f"gw-bench-{number:04}", stack.folder / f"edge-{number}"
    folder.mkdir()
    asyncio.run(_provision(stack, gateway, folder / "keys"))
    config = {
        "gateway": gateway,
        "site": SITE,
        "data": str(folder / "data"),
        "cloud": {
            "host": "127.0.0.1",
            "port": stack.broker_port,
            "ca": str(folder / "keys" / "ca.pem"),
            "cert": str(folder / "keys" / "gateway.pem"),
            "key": str(folder / "keys" / "gateway.key"),
        },
        "buffer": {"limit_mb": 2000},
        "buses": [],
    }
    (folder / "agent.yaml").write_text(yaml.safe_dump(config))
    (folder / "data").mkdir()
    out = folder / "filled.json"
    arguments = (str(folder / "data" / "buffer.db"), str(rows), str(start_us), str(out))
    child = Child("fill", python(str(HERE / "ingest_edge.py"), *arguments), folder, ready=out)
    child.start().wait_ready(300)
    child.stop()
    return float(json.loads(out.read_text())["seconds"])


async def _provision(stack: Stack, gateway: str, out: Path) -> None:
    settings = load_settings(stack.cloud_config)
    database = open_database(settings)
    try:
        async with as_owner(database).write() as session:
            scope, site_id = await find_site(session, SITE, COMPANY)
            authority = Authority(settings.data / "pki")
            await add_gateway(
                session, SystemClock(), authority, gateway, scope=scope, site_id=site_id, out=out
            )
    finally:
        await database.close()


# ---------------------------------------------------------------- floors


def _floors(stack: Stack, postgres: Postgres, start_us: int) -> dict[str, float]:
    stack.stop(*(name for name in stack.children if name != "broker"))
    rows = ingest_floors.rows_of(FLOOR_ROWS, start_us)
    floors = ingest_floors.postgres(_where(stack, postgres), rows)
    floors["SQLite executemany"] = ingest_floors.sqlite(stack.folder, rows)
    return floors


def _raw_mqtt(stack: Stack, start_us: int) -> float:
    settings = load_settings(stack.cloud_config)
    keys = stack.folder / "edge-0" / "keys"
    files = TlsFiles(keys / "ca.pem", keys / "gateway.pem", keys / "gateway.key")
    cloud = client_context(Authority(settings.data / "pki").files("cloud"))
    payloads = [
        (encode_samples("0" * 15 + "1", 1 + first, batch(first, BATCH, start_us)), BATCH)
        for first in range(0, FLOOR_ROWS, BATCH)
    ]
    names = ("gw-bench-0000", CLOUD)
    return asyncio.run(
        ingest_floors.mqtt(stack.broker_port, client_context(files), cloud, names, payloads)
    )
