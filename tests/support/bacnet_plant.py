"""The plant of the legacy bacpypes as a process that is told what to do."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.bacnet_peers import free_port

_SCRIPT = Path(__file__).parents[1] / "simulators" / "bacnet_legacy_plant.py"


@dataclass
class Plant:
    """A process of the simulator."""

    address: str
    process: asyncio.subprocess.Process

    async def say(self, line: str) -> str:
        """Send a line and return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(10):
            return (await self.process.stdout.readline()).decode().strip()


@asynccontextmanager
async def plant(**spec: Any) -> AsyncIterator[Plant]:
    """Run the legacy plant."""
    spec = {"port": free_port(), "instance": 5} | spec
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_SCRIPT),
        json.dumps(spec),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == b"ready\n"
        yield Plant(f"127.0.0.1:{spec['port']}", process)
    finally:
        process.stdin.close()
        async with asyncio.timeout(10):
            await process.wait()
