"""An agent without a cloud, as a process, and what it has stored: for faults of the field."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from demo.processes import Child, python
from plantroom_edge import status
from plantroom_edge.buffer import Buffer
from plantroom_shared.model import Quality
from plantroom_shared.wire import Dictionary, Samples, decode, decode_rows

Row = tuple[int, Any, int]
"""Microseconds, value, quality."""


@dataclass
class LoneAgent:
    """One agent in a folder of its own.

    Args:
        folder: for its configuration, its data and its log.
        buses: as in the configuration.
    """

    folder: Path
    buses: list[dict[str, Any]]
    child: Child = field(init=False)

    def __post_init__(self) -> None:
        file = self.folder / "agent.yaml"
        config = {"gateway": "gw-fault-0001", "site": "faults", "buses": self.buses}
        file.write_text(yaml.safe_dump(config))
        ready = self.folder / "data" / "status.json"
        command = python("-m", "plantroom_edge", "run", str(file))
        self.child = Child("agent", command, self.folder, ready=ready)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it; it is stopped in order at the end."""
        self.child.start()
        try:
            self.child.wait_ready()
            yield
        finally:
            self.child.stop()

    def says(self) -> dict[str, Any]:
        """Return what it last said of itself."""
        return status.read(self.folder / "data" / "status.json")

    def polls(self, bus: str) -> int:
        """Return how often it has read anything of a bus."""
        counted = self.says().get("buses", {}).get(bus, {}).get("counters", {})
        return int(counted.get("polls", 0))

    @property
    def resident_mb(self) -> float:
        """Megabytes of memory that the process has now."""
        pages = Path(f"/proc/{self.child.pid}/statm").read_text().split()[1]
        return int(pages) * 4096 / 1e6

    async def rows(self) -> dict[str, list[Row]]:
        """Return what the stopped agent has stored, by point key, in the order of time."""
        out: dict[str, list[Row]] = defaultdict(list)
        keys: dict[str, list[str]] = {}
        buffer = await Buffer.open(self.folder / "data" / "buffer.db", limit_bytes=1 << 30)
        with contextlib.suppress(StopAsyncIteration):
            after = (0, 0)
            while frames := await buffer.next("tel", after, 200):
                for frame in frames:
                    if frame.ep not in keys:
                        chunks, _ = await buffer.dictionary(frame.ep, 0)
                        parts = [decode(Dictionary, chunk) for chunk in chunks]
                        keys[frame.ep] = [point.key for part in parts for point in part.points]
                    _sort_in(out, frame.blob, keys[frame.ep])
                after = (frames[-1].order, frames[-1].last)
        await buffer.close()
        return out


def _sort_in(out: dict[str, list[Row]], blob: bytes, keys: Sequence[str]) -> None:
    message = decode_rows(blob)
    assert isinstance(message, Samples)
    batch = message.batch
    for row, alias in enumerate(batch.points):
        quality = batch.quality.get(row, (int(Quality.GOOD), ""))[0]
        out[keys[alias]].append((batch.times[row], batch.values[row], quality))


def on_time(rows: Sequence[Row], begin: float, end: float, interval: float) -> tuple[int, int]:
    """Return in how many of its slots a point was read well, and how many there were.

    A read belongs to the slot to which it is nearest; slots are counted from the first read on.

    Args:
        rows: of the point.
        begin: seconds since 1970; earlier reads only say where the slots are.
        end: seconds since 1970.
        interval: seconds between two slots.
    """
    good = [ts / 1e6 for ts, _, quality in rows if quality == 0]
    due = int((end - begin) / interval) - 1
    if not good:
        return 0, due
    slots = {round((ts - good[0]) / interval) for ts in good if begin <= ts <= end}
    return min(len(slots), due), due
