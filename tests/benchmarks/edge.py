"""``bench edge``: the agent's cost per point, beside the least that a durable gateway must do.

The agent is whole: discovery, types, quality, dictionary, group commit with synchronous=FULL,
TLS, acks of the real ingest. The baseline for Modbus (`floor.py`) polls the same registers with
pymodbus, commits frames as durably and publishes them over the same broker, and does nothing
else. The baseline for BACnet is bacpypes3 reading the same objects by read-property-multiple.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.figures import Figure, Usage, observe
from demo.processes import Child, python, wait_for
from demo.stack import COMPANY, GATEWAY, Stack

HERE = Path(__file__).resolve().parent
UNIT_REGISTERS = 1000
WARM_UP = 5.0
OBJECTS = 2000


def measure(seconds: float) -> dict[str, Figure]:
    """Return the figures of all three loads."""
    figures: dict[str, Figure] = {}
    for units in (1, 10):
        with _stack() as stack:
            name = f"modbus {units * UNIT_REGISTERS:,} registers/s"
            floor, agent = _modbus(stack, units, seconds)
            figures |= _compare(name, agent, floor)
    with _stack() as stack:
        figures |= _compare(f"bacnet {OBJECTS} objects/s", *_bacnet(stack, seconds))
    return figures


def _compare(name: str, agent: Usage, floor: Usage) -> dict[str, Figure]:
    return {
        f"{name}: rate": Figure(agent.rate, "points/s", floor.rate),
        f"{name}: CPU": Figure(agent.cpu_per_1000, "CPU-s per 1,000 points", floor.cpu_per_1000),
        f"{name}: memory": Figure(agent.rss_mb, "MB resident", floor.rss_mb),
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


def _observe_agent(stack: Stack, seconds: float) -> Usage:
    def accepted() -> float:
        return float(stack.agent_status().get("buffer", {}).get("accepted", {}).get("tel", 0))

    agent = stack.start_agent()
    wait_for(lambda: accepted() > 0, what="the first sample")
    time.sleep(WARM_UP)
    usage = observe(agent.pid, seconds, accepted)
    stack.stop("agent")
    return usage


# ---------------------------------------------------------------- Modbus


def _modbus(stack: Stack, units: int, seconds: float) -> tuple[Usage, Usage]:
    port = int(_serve(stack, "modbus", *python(str(HERE / "raw_modbus.py"))))
    floor = _observe_floor(stack, port, units, seconds)
    profile = stack.folder / "bench" / "registers.yaml"
    profile.parent.mkdir()
    profile.write_text(yaml.safe_dump(_profile()))
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
    bus = {"name": "m", "driver": "modbus", "host": "127.0.0.1", "port": port, "devices": devices}
    stack.write_agent_config([bus], [])
    return floor, _observe_agent(stack, seconds)


def _profile() -> dict[str, Any]:
    registers = [
        {"id": f"r{address}", "name": f"Register {address}", "address": address, "type": "uint16"}
        for address in range(UNIT_REGISTERS)
    ]
    return {
        "profile": 1,
        "vendor": "Bench",
        "model": "Registers",
        "source": "tests/benchmarks/raw_modbus.py",
        "registers": registers,
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


def _bacnet(stack: Stack, seconds: float) -> tuple[Usage, Usage]:
    address = _serve(stack, "device", *python(str(HERE / "raw_bacnet.py"), str(OBJECTS)))
    bus = {
        "name": "b",
        "driver": "bacnet",
        "bind": "127.0.0.1:0",
        "who_is": [address],
        "interval": 1.0,
    }
    stack.write_agent_config([bus], [])
    agent = _observe_agent(stack, seconds)
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
    return agent, observe(child.pid, seconds, lambda: float(count.read_text()))
