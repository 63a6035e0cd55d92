"""``plantroom-edge`` with a wall clock that a file can step.

The file named by ``PLANTROOM_TEST_STEP`` holds the seconds by which the wall clock is off.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from functools import partial
from pathlib import Path

from plantroom_edge import agent
from plantroom_edge.cli import main
from plantroom_edge.clock import EdgeClock
from plantroom_shared.clock import SystemClock


class Stepped(SystemClock):
    """The machine's clock, off by what a file says."""

    def now_us(self) -> int:
        """Return microseconds since 1970, right or wrong."""
        off = 0.0
        with contextlib.suppress(OSError, ValueError):
            off = float(Path(os.environ["PLANTROOM_TEST_STEP"]).read_text())
        return time.time_ns() // 1000 + round(off * 1e6)


if __name__ == "__main__":
    # What the agent takes for the machine's clock, and nobody steers it: what it knows of the time
    # is what the cloud has told.
    vars(agent)["SystemClock"] = Stepped
    vars(agent)["EdgeClock"] = partial(EdgeClock, synced=lambda: False)
    sys.exit(main())
