"""A child that uses the buffer in a fixed way and says what was accepted: made to be killed and failed.

``python fault_appender.py FOLDER STEPS``. Standard output has a line for every step: ``A stream first
last`` (accepted, values), ``R`` (refused) or ``C last`` (about to confirm up to that value), and first of all
``E epoch``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from plantroom_edge.buffer import Buffer
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch, Point, Value

T0 = 1_763_680_000_000_000
ROWS = 5


class Hasty(SystemClock):
    """The same clock, on which the pauses before a failing disk is tried again pass quickly."""

    def monotonic(self) -> float:
        """Return twenty seconds for each one."""
        return 20 * super().monotonic()


def say(*words: object) -> None:
    """Write a line that a killed process has really written."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def main(folder: Path, steps: int) -> None:
    """Append, now and then confirm, and end in order."""
    path = folder / "buffer.db"
    buffer = await Buffer.open(path, commit_s=0.001, limit_bytes=64 * 2**20, clock=Hasty())
    try:
        await buffer.add_points([Point(key="ledger:0", device="ledger", name="n")], [])
    except Unavailable:
        say("R")
    say("E", buffer.epoch)
    accepted = 0
    for step in range(1, steps + 1):
        # A long text makes pages overflow, and deleting it frees them.
        values: list[Value] = [*(float(accepted + i) for i in range(1, ROWS)), "x" * 3000]
        try:
            await buffer.append(Batch([0] * ROWS, [T0 + step] * ROWS, values))
        except Unavailable:
            say("R")
            await asyncio.sleep(0.05)
            continue
        say("A", "tel", accepted + 1, accepted + ROWS)
        accepted += ROWS
        if step % 7 == 0:
            say("C", accepted - ROWS)
            try:
                await buffer.confirm(buffer.epoch, "tel", [(1, accepted - ROWS)])
            except Unavailable:
                say("R")
    await buffer.close()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
