"""``bench live``: from a device's answer on its bus to 500 clients that follow its site, by the clock.

Everything is there and is a process of its own: a Modbus device of 200 points that tells the time, the agent
that polls it once a second, Mosquitto with client certificates, the ingest, PostgreSQL (fsync on), and the
API: once as two processes that hear of samples over Redis, once in one process with the ingest. The
clients, half of them by server-sent events and half by WebSocket, are one more process **on the same
machine**. A figure stands beside that of a single client in the same run.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.clock_modbus import WORDS
from benchmarks.figures import Figure, cpu_seconds
from demo.processes import Child, free_port, python, wait_for
from demo.stack import COMPANY, Stack
from support.redis_server import running_redis
from support.servers import start_postgres, sync_commits

HERE = Path(__file__).resolve().parent
CLIENTS = 500
UNITS, POINTS = 5, 40
"""Devices behind one gateway, each an event a second of so many points."""
_ALONE = 1 / 3
"""Of the time, for a single client."""
_LIMIT = 240.0
"""Seconds beyond those of the measurement, until the clients are given up: not all machines are idle."""
_START = 180.0
"""The same for the start of a process."""


def measure(seconds: float) -> dict[str, Figure]:
    """Return the figures of two runs of so many seconds each."""
    figures: dict[str, Figure] = {}
    for bus in ("redis", "memory"):
        with _site(bus) as (stack, key, bases):
            figures |= _run(stack, key, bases, bus, seconds)
    return figures


def _run(stack: Stack, key: str, bases: list[str], bus: str, seconds: float) -> dict[str, Figure]:
    alone = _clients(key, bases[:1], 1, seconds * _ALONE)
    servers = [child.pid for name, child in stack.children.items() if name.startswith("api")]
    before = sum(map(cpu_seconds, servers))
    many = _clients(key, bases, CLIENTS, seconds)
    spent = sum(map(cpu_seconds, servers)) - before
    where = {"redis": "2 API processes over Redis", "memory": "1 process, API and ingest"}[bus]
    name = f"device to {CLIENTS} clients, {where}"
    return {
        f"{name}: 99 %": Figure(1000 * many["p99"], "ms", 1000 * alone["p99"]),
        f"{name}: median": Figure(1000 * many["median"], "ms", 1000 * alone["median"]),
        f"{name}: longest": Figure(1000 * many["longest"], "ms", 1000 * alone["longest"]),
        f"{name}: events that clients had": Figure(many["events"], "events"),
        f"{name}: the client with the fewest": Figure(many["fewest"], "events", many["most"]),
        f"{name}: told to read anew": Figure(many["resyncs"], "times"),
        f"{name}: CPU": Figure(1000 * spent / many["events"], "CPU-s per 1,000 events"),
    }


def _clients(key: str, bases: list[str], count: int, seconds: float) -> dict[str, Any]:
    site = httpx.get(f"{bases[0]}/v1/sites", headers={"Authorization": f"Bearer {key}"})
    number = site.raise_for_status().json()["items"][0]["id"]
    arguments = (key, str(number), str(count), str(seconds), *bases)
    command = python(str(HERE / "live_clients.py"), *arguments)
    limit = seconds + _LIMIT
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=limit, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def _site(bus: str) -> Iterator[tuple[Stack, str, list[str]]]:
    """Yield a cloud that stores what a gateway reads, a key of it, and where its API is."""
    with start_postgres() as postgres, running_redis() as redis, postgres.database() as url:
        sync_commits(postgres)
        # Not only its owner may pass: Mosquitto gives up root where it starts as that.
        with tempfile.TemporaryDirectory(prefix="plantroom-bench-") as name:
            folder = Path(name)
            folder.chmod(0o711)
            stack = Stack(folder, database=url, engine="mosquitto")
            try:
                stack.write_cloud_config()
                (key,) = stack.provision(companies=(COMPANY,))
                stack.start_broker()
                bases = _start_cloud(stack, bus, redis.url)
                _start_agent(stack)
                yield stack, key, bases
            finally:
                stack.stop()


def _start_cloud(stack: Stack, bus: str, redis: str) -> list[str]:
    """Start API and ingest; return where the API is."""
    live = {"bus": bus, "sockets": CLIENTS}
    api = {"per_key": None, "per_company": None, "per_address": None}
    stack.cloud_config.write_text(_config(stack, api=api))
    if bus == "memory":
        stack.cloud_config.write_text(_config(stack, live=live))
        stack.child("api", *stack.cloud("serve"), seconds=_START)
        return [f"http://127.0.0.1:{stack.api_port}"]
    ports = (stack.api_port, free_port())
    for number, port in enumerate(ports):
        stack.cloud_config.write_text(_config(stack, live=live, redis=redis, api_port=port))
        stack.child(f"api-{number}", *stack.cloud("api"), seconds=_START)
    stack.child("ingest", *stack.cloud("ingest"), seconds=_START)
    return [f"http://127.0.0.1:{port}" for port in ports]


def _config(stack: Stack, **more: Any) -> str:
    settings = yaml.safe_load(stack.cloud_config.read_text())
    return yaml.safe_dump({**settings, **more})


def _start_agent(stack: Stack) -> None:
    ready = stack.folder / "device.ready"
    command = python(str(HERE / "clock_modbus.py"), str(ready))
    stack.children["device"] = Child("device", command, stack.folder, ready=ready).start()
    stack.children["device"].wait_ready()
    port = int(ready.read_text())
    profile = stack.folder / "bench" / "clock.yaml"
    profile.parent.mkdir()
    rows = [
        {"id": f"t{n}", "name": f"Time {n}", "address": n * WORDS, "type": "float64"}
        for n in range(POINTS)
    ]
    about = {"profile": 1, "vendor": "Bench", "model": "Clock", "source": "clock_modbus.py"}
    profile.write_text(json.dumps(about | {"registers": rows}))
    common = {"profile": "bench/clock", "profile_dir": str(stack.folder), "interval": 1.0}
    devices = [{"name": f"unit-{unit}", "unit": unit} | common for unit in range(1, UNITS + 1)]
    bus = {"name": "m", "driver": "modbus", "host": "127.0.0.1", "port": port, "devices": devices}
    stack.write_agent_config([bus], [])
    stack.start_agent()
    wait_for(lambda: _delivered(stack), what="the first acknowledged sample", seconds=_START)


def _delivered(stack: Stack) -> bool:
    return stack.agent_status().get("sync", {}).get("last_ack_age") is not None
