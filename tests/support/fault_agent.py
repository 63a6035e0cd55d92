"""``plantroom-edge`` in trouble: a wall clock that is wrong, drivers that raise where nobody expects it.

``python fault_agent.py FOLDER run CONFIG``; the file ``clock-offset`` in FOLDER says by how many
microseconds the clock is wrong, the file ``raise`` how likely a read is to end in a defect.
"""

from __future__ import annotations

import asyncio
import functools
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Read = Callable[..., Awaitable[Any]]

DEFECTS = (
    KeyError("defect"),
    RuntimeError("defect"),
    ValueError("defect"),
    asyncio.CancelledError(),
)


def number(file: Path) -> float:
    """Return what the file says now; 0 where there is none or it is being written."""
    try:
        return float(file.read_text())
    except (OSError, ValueError):
        return 0.0


def raising(read: Read, file: Path) -> Read:
    """Return a read that ends in a defect now and then, before or after it is done."""

    @functools.wraps(read)
    async def spoilt(*arguments: Any) -> Any:
        chance = number(file)
        if random.random() < chance:
            raise random.choice(DEFECTS[:3])
        result = await read(*arguments)
        if random.random() < chance:
            raise random.choice(DEFECTS)
        return result

    return spoilt


def main() -> None:
    """Shift `time.time_ns`, on which every clock of the agent rests, and run the agent."""
    folder = Path(sys.argv.pop(1))
    real = time.time_ns
    time.time_ns = lambda: real() + 1000 * int(number(folder / "clock-offset"))
    from plantroom_edge.cli import main as run
    from plantroom_edge.drivers.bacnet.driver import BacnetDriver
    from plantroom_edge.drivers.modbus.driver import ModbusDriver

    for driver in (BacnetDriver, ModbusDriver):
        driver.read = raising(driver.read, folder / "raise")  # type: ignore[method-assign,assignment] # on purpose
    sys.exit(run())


if __name__ == "__main__":
    main()
