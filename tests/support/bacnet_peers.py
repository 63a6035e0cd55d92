"""BACnet devices as processes, and what tests of the driver share."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from plantroom_edge.drivers import Poll, PollGroup
from plantroom_edge.drivers.bacnet import BacnetConfig, BacnetDriver
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.model import Value

_SIMULATORS = Path(__file__).parents[1] / "simulators"


def free_port() -> int:
    """Return a UDP port of 127.0.0.1 that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def simulator(name: str, **spec: Any) -> Iterator[str]:
    """Run a device of ``tests/simulators`` and yield its address."""
    spec.setdefault("port", free_port())
    process = subprocess.Popen(
        [sys.executable, str(_SIMULATORS / f"{name}.py"), json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield f"127.0.0.1:{spec['port']}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@asynccontextmanager
async def driver(*targets: str, **settings: Any) -> AsyncIterator[BacnetDriver]:
    """Open the driver on a free port of 127.0.0.1, with a `clock` if given, and close it again."""
    clock: Clock = settings.pop("clock", None) or SystemClock()
    settings = {"bind": "127.0.0.1:0", "who_is": targets, "timeout": 1.0, "retries": 3} | settings
    opened = BacnetDriver(BacnetConfig(name="field", **settings), clock)
    try:
        yield opened
    finally:
        await opened.close()


def by_key(group: PollGroup, poll: Poll) -> dict[str, tuple[Value, tuple[int, str] | None]]:
    """Return value and quality of each point, without the device in its key."""
    assert len(poll.values) == len(group.points)
    return {
        key.split(":", 2)[2]: (poll.values[row], poll.quality.get(row))
        for row, key in enumerate(group.points)
    }
