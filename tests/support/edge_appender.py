"""A child that appends for ever and says what was accepted: made to be killed.

``python edge_appender.py FOLDER``: after every accepted batch a line ``epoch first last`` goes to
standard output, where first and last are the values of its rows.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from plantroom_edge.buffer import Buffer
from plantroom_shared.model import Batch, Point

T0 = 1_763_680_000_000_000
ROWS = 7


async def main(folder: Path) -> None:
    buffer = await Buffer.open(folder / "buffer.db", commit_s=0.002)
    await buffer.add_points([Point(key="ledger:0", device="ledger", name="n")], [])
    first = 1
    while True:
        values = [float(first + i) for i in range(ROWS)]
        await buffer.append(Batch([0] * ROWS, [T0 + first] * ROWS, list(values)))
        print(buffer.epoch, first, first + ROWS - 1, flush=True)
        if first % 5 == 0:  # an ack now and then, so that kills fall into deletes too
            await buffer.confirm(buffer.epoch, "tel", [(1, first - 1)])
        first += ROWS


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
