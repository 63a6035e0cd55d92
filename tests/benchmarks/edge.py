"""``bench edge``: the agent's cost per point, beside the least that a durable gateway must do.

The agent is whole: discovery, types, quality, dictionary, group commit with synchronous=FULL,
TLS, acks of the real ingest. The baseline for Modbus (`floor.py`) polls the same registers with
pymodbus, commits frames as durably and publishes them over the same broker, and does nothing
else. The baseline for BACnet is bacpypes3 reading the same objects by read-property-multiple. With ``--peer`` ThingsBoard Gateway does the same work in the same run.

That all was delivered is not taken from the agent: what the simulators have answered is held against
what the cloud has stored.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import peer
from benchmarks.figures import Figure, Usage, observe, rss_mb
from demo.processes import Child, python, wait_for
from demo.stack import COMPANY, GATEWAY, Stack

HERE = Path(__file__).resolve().parent
UNIT_REGISTERS = 1000
WARM_UP = 5.0
DRAIN = 60.0
"""Seconds that the cloud gets to store what it was sent."""
CLOSE = {"bands": [{"quantity": "temperature", "deadband": 0.05}]}
"""A deadband that everything passes: its cost, and nothing saved."""
OBJECTS = 2000


def measure(seconds: float, *, with_peer: bool = False, minutes: float = 0) -> dict[str, Figure]:
    """Return the figures of all loads.

    Args:
        seconds: length of each measurement.
        with_peer: let ThingsBoard Gateway do the same, where it can be installed.
        minutes: if not 0, all that is done is to watch the memory of the agent for so long.
    """
    if minutes:
        return _over_time(minutes)
    if with_peer:
        peer.install()
    figures: dict[str, Figure] = {}
    for units in (1, 10):
        with _stack() as stack:
            figures |= _modbus(stack, units, seconds, with_peer=with_peer)
    with _stack() as stack:
        figures |= _by_exception(stack, seconds)
    with _stack() as stack:
        figures |= _bacnet(stack, seconds, with_peer=with_peer)
    return figures


def _compare(name: str, agent: Usage, floor: Usage, other: Usage | None) -> dict[str, Figure]:
    figures = {
        f"{name}: rate": Figure(agent.rate, "points/s", floor.rate),
        f"{name}: CPU": Figure(agent.cpu_per_1000, "CPU-s per 1,000 points", floor.cpu_per_1000),
        f"{name}: memory": Figure(agent.rss_mb, "MB resident", floor.rss_mb),
    }
    if other is None:
        return figures
    rows = (
        ("rate", agent.rate, "points/s", other.rate),
        ("CPU", agent.cpu_per_1000, "CPU-s per 1,000 points", other.cpu_per_1000),
        ("memory", agent.rss_mb, "MB resident", other.rss_mb),
    )
    return figures | {
        f"{name}: {what}, beside ThingsBoard": Figure(ours, unit, theirs)
        for what, ours, unit, theirs in rows
    }


@contextmanager
def _stack() -> Iterator[Stack]:
    """Yield a cloud that is ready to take samples."""
    with tempfile.TemporaryDirectory(prefix="plantroom-bench-") as folder:
        stack = Stack(Path(folder), engine="embedded")
        try:
            stack.write_cloud_config()
            stack.provision(companies=(COMPANY,))
            stack.start_broker()
            stack.child("ingest", *stack.cloud("ingest"))
            yield stack
        finally:
            stack.stop()


def _serve(stack: Stack, name: str, *command: str) -> str:
    """Start a helper that writes its address to its ready file; return the address."""
    ready = stack.folder / f"{name}.ready"
    child = Child(name, [*command, str(ready)], stack.folder, ready=ready)
    stack.children[name] = child.start()
    child.wait_ready()
    return ready.read_text().strip()


def _accepted(stack: Stack) -> float:
    """Return how many points the agent has read, by its own account: for the rate."""
    status = stack.agent_status()
    silent = status.get("counters", {}).get("suppressed", 0)  # read, and nothing new
    return float(status.get("buffer", {}).get("accepted", {}).get("tel", 0)) + float(silent)


def _observe_agent(stack: Stack, seconds: float, simulator: str) -> Usage:
    """Watch the agent, then end the simulator first: what it has answered, the agent has read."""
    agent = stack.start_agent()
    wait_for(lambda: _accepted(stack) > 0, what="the first sample")
    time.sleep(WARM_UP)
    usage = observe(agent.pid, seconds, lambda: _accepted(stack))
    stack.stop(simulator)
    time.sleep(WARM_UP)
    stack.stop("agent")
    return usage


def _over_time(minutes: float) -> dict[str, Figure]:
    """Return the agent's memory at 10,000 registers/s after warming up, at the end and at most."""
    with _stack() as stack:
        port = _serve_modbus(stack, "modbus")
        stack.write_agent_config([_bus(stack, port, 10, _mixed())], [], sampling=CLOSE)
        agent = stack.start_agent()
        wait_for(lambda: _accepted(stack) > 0, what="the first sample")
        time.sleep(min(60.0, minutes * 6))
        seen = [rss_mb(agent.pid)]
        deadline = time.monotonic() + minutes * 60
        while time.monotonic() < deadline:
            time.sleep(min(5.0, minutes))
            seen.append(rss_mb(agent.pid))
    name = f"modbus {10 * UNIT_REGISTERS:,} registers/s for {minutes:g} minutes: memory"
    return {
        f"{name} at the end, beside the start": Figure(seen[-1], "MB resident", seen[0]),
        f"{name} at most, beside the start": Figure(max(seen), "MB resident", seen[0]),
    }


def _stored(stack: Stack, protocol: str) -> int:
    """Return the good samples that the cloud has stored of a bus, when no more arrive."""
    file = stack.folder / "cloud" / "plantroom.db"
    query = (
        "SELECT count(*) FROM sample WHERE quality = 0 AND point_id IN (SELECT point.id FROM point"
        " JOIN device ON device.id = point.device_id WHERE device.key LIKE ?)"
    )
    before, deadline = -1, time.monotonic() + DRAIN
    while True:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as db:
            (count,) = db.execute(query, (f"{protocol}:%",)).fetchone()
        if count == before or time.monotonic() > deadline:
            return int(count)
        before = count
        time.sleep(2.0)


def _delivery(name: str, stored: int, offered: int) -> dict[str, Figure]:
    return {f"{name}: stored, beside what was offered": Figure(stored, "points", offered)}


# ---------------------------------------------------------------- Modbus


def _modbus(stack: Stack, units: int, seconds: float, *, with_peer: bool) -> dict[str, Figure]:
    port = _serve_modbus(stack, "floor-modbus")
    floor = _observe_floor(stack, port, units, seconds)
    other = None
    if with_peer:
        work = (
            peer.single_tags(port, UNIT_REGISTERS)
            if units == 1
            else peer.ranges(port, units, UNIT_REGISTERS)
        )
        other = peer.observe_peer(stack, work, seconds, units * UNIT_REGISTERS)
    stack.stop("floor-modbus")
    port = _serve_modbus(stack, "modbus")
    if units == 1:
        name, content, rules = f"modbus {UNIT_REGISTERS:,} single registers/s", _profile(), {}
    else:
        name = f"modbus {units * UNIT_REGISTERS:,} values/s, typed, scaled, deadband"
        content, rules = _mixed(), {"sampling": CLOSE}
    stack.write_agent_config([_bus(stack, port, units, content)], [], **rules)
    agent = _observe_agent(stack, seconds, "modbus")
    stored = _stored(stack, "modbus")
    figures = _compare(name, agent, floor, other)
    return figures | _delivery(name, stored, _offered(stack, content["registers"]))


def _serve_modbus(stack: Stack, name: str) -> int:
    return int(_serve(stack, name, *python(str(HERE / "raw_modbus.py"))))


def _offered(stack: Stack, registers: list[dict[str, Any]]) -> int:
    """Return how many values the simulator says that it has answered."""
    starts = [row["address"] for row in registers]
    return sum(
        answers * sum(start <= address < start + count for address in starts)
        for _, start, count, answers in json.loads((stack.folder / "modbus.served").read_text())
        if count > 2  # less is the question whether somebody is there
    )


def _by_exception(stack: Stack, seconds: float) -> dict[str, Figure]:
    """Return the figures of scaled, ranged registers under a deadband that every fourth poll passes."""
    port = _serve_modbus(stack, "modbus")
    rules = {"bands": [{"quantity": "temperature", "deadband": 0.35}]}
    bus = _bus(stack, port, 10, _profile(type="int16", scale=0.1, unit="°C", sentinel=[0x8000]))
    stack.write_agent_config([bus], [], sampling=rules)
    usage = _observe_agent(stack, seconds, "modbus")
    counted = stack.agent_status()["buses"]["m"]
    name = f"modbus {10 * UNIT_REGISTERS:,} registers/s, scaled, deadband"
    return {
        f"{name}: rate": Figure(usage.rate, "points/s"),
        f"{name}: CPU": Figure(usage.cpu_per_1000, "CPU-s per 1,000 points"),
        f"{name}: memory": Figure(usage.rss_mb, "MB resident"),
        f"{name}: suppressed": Figure(counted["suppressed_percent"], "%"),
    }


def _bus(stack: Stack, port: int, units: int, content: dict[str, Any]) -> dict[str, Any]:
    profile = stack.folder / "bench" / "registers.yaml"
    profile.parent.mkdir()
    profile.write_text(json.dumps(content))  # no aliases: a profile has none
    devices = [
        {
            "name": f"unit-{unit}",
            "unit": unit,
            "profile": "bench/registers",
            "profile_dir": str(stack.folder),
            "interval": 1.0,
        }
        for unit in range(1, units + 1)
    ]
    return {"name": "m", "driver": "modbus", "host": "127.0.0.1", "port": port, "devices": devices}


def _profile(**keys: Any) -> dict[str, Any]:
    common = {"type": "uint16", **keys}
    return _registers(
        {"id": f"r{address}", "name": f"Register {address}", "address": address, **common}
        for address in range(UNIT_REGISTERS)
    )


def _mixed() -> dict[str, Any]:
    """Return a profile of as many values of four types, most scaled, ranged and with sentinels."""
    scaled: dict[str, Any] = {"scale": 0.1, "unit": "°C"}
    kinds: list[tuple[int, dict[str, Any]]] = [
        (1, {"type": "uint16", "range": [0, 7000], "sentinel": [0xFFFF], **scaled}),
        (1, {"type": "int16", "range": [-4000, 4000], "sentinel": [0x8000], **scaled}),
        (2, {"type": "uint32", "range": [0, 5e8], "sentinel": [0xFFFFFFFF], **scaled}),
        (2, {"type": "float32", "unit": "kW"}),
    ]
    rows, address = [], 0
    for index in range(UNIT_REGISTERS):
        words, keys = kinds[index % len(kinds)]
        rows.append({"id": f"r{index}", "name": f"Value {index}", "address": address, **keys})
        address += words
    return _registers(rows)


def _registers(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {
        "profile": 1,
        "vendor": "Bench",
        "model": "Registers",
        "source": "tests/benchmarks/raw_modbus.py",
        "registers": list(rows),
    }


def _observe_floor(stack: Stack, port: int, units: int, seconds: float) -> Usage:
    keys = stack.certificates
    arguments = (
        "127.0.0.1",
        str(port),
        str(units),
        str(UNIT_REGISTERS),
        str(stack.broker_port),
        str(keys / "ca.pem"),
        str(keys / "gateway.pem"),
        str(keys / "gateway.key"),
        str(stack.folder / "floor.db"),
        GATEWAY,
    )
    child = Child("floor", python(str(HERE / "floor.py"), *arguments), stack.folder)
    stack.children["floor"] = child.start()
    time.sleep(WARM_UP)
    expected = units * UNIT_REGISTERS
    started = time.monotonic()
    usage = observe(child.pid, seconds, lambda: expected * (time.monotonic() - started))
    if not child.running:
        raise RuntimeError(child.log_end())
    stack.stop("floor")
    return usage


# ---------------------------------------------------------------- BACnet


def _bacnet(stack: Stack, seconds: float, *, with_peer: bool) -> dict[str, Figure]:
    name = f"bacnet {OBJECTS} objects/s"
    address = _serve(stack, "device", *python(str(HERE / "raw_bacnet.py"), str(OBJECTS)))
    bus = {
        "name": "b",
        "driver": "bacnet",
        "bind": "127.0.0.1:0",
        "who_is": [address],
        "interval": 1.0,
    }
    stack.write_agent_config([bus], [])
    agent = _observe_agent(stack, seconds, "device")
    stored, offered = _stored(stack, "bacnet"), int((stack.folder / "device.served").read_text())
    address = _serve(stack, "device", *python(str(HERE / "raw_bacnet.py"), str(OBJECTS)))
    other = None
    if with_peer:
        other = peer.observe_peer(stack, peer.bacnet(address, OBJECTS), seconds, OBJECTS)
    count = stack.folder / "bacpypes3.count"
    child = Child(
        "bacpypes3",
        python(str(HERE / "bacnet_floor.py"), address, str(OBJECTS), str(count)),
        stack.folder,
        ready=count,
    )
    stack.children["bacpypes3"] = child.start()
    child.wait_ready()
    time.sleep(WARM_UP)
    floor = observe(child.pid, seconds, lambda: float(count.read_text()))
    return _compare(name, agent, floor, other) | _delivery(name, stored, offered)
