"""The edge of ``bench ingest``: fills a buffer as the agent does, then hands it to the agent.

``ingest_edge.py FILE ROWS START_US OUT`` appends samples of 500 points, one a second, to the
buffer FILE and writes to OUT (JSON) how many seconds the appends took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from plantroom_edge.buffer import Buffer
from plantroom_shared.model import Batch, Device, Point

POINTS, BATCH = 500, 2000


def batch(first: int, rows: int, start_us: int) -> Batch:
    """Return samples ``first .. first + rows - 1`` of the run: values as sensors give them."""
    numbers = range(first, first + rows)
    points = [number % POINTS for number in numbers]
    times = [start_us + number // POINTS * 1_000_000 + number % POINTS * 37 for number in numbers]
    values = [round(20 + point / 50 + (at * 7919 % 211) / 100, 2) for point, at in
              zip(points, range(first // POINTS, first // POINTS + rows), strict=True)]  # fmt: skip
    return Batch(points, times, list(values))


async def main(file: Path, rows: int, start_us: int, out: Path) -> None:
    """Fill the buffer."""
    buffer = await Buffer.open(file, limit_bytes=2**31)
    device = Device(key="bench", name="Bench", protocol="bacnet")
    points = [
        Point(key=f"bench:{number}", device="bench", name=f"P {number}") for number in range(POINTS)
    ]
    await buffer.add_points(points, [device])
    batches = [batch(first, min(BATCH, rows - first), start_us) for first in range(0, rows, BATCH)]
    started = time.perf_counter()
    for some in batches:
        await buffer.append(some)
    lasted = time.perf_counter() - started
    await buffer.close()
    out.write_text(json.dumps({"rows": rows, "seconds": lasted}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
