"""``bench buffer``: what accepting costs, beside raw SQLite writing the same bytes as durably.

The baseline writes the very messages that the buffer has written (the same blobs, header columns,
index, pragmas and group commits) by ``executemany``; it encodes, numbers, checks and accounts for
nothing. Both run in turns on the same disk, and the medians are compared.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure
from plantroom_edge.buffer_db import connect
from plantroom_edge.buffer_store import Options, Store
from plantroom_shared.clock import SystemClock
from plantroom_shared.model import Batch

POINTS = 1000
RESERVE = 25 << 20
"""Bytes, as with the default limit."""

ROWS = 2000
"""Samples in a commit: what 10,000 samples a second make of 200 ms."""

_INSERT = (
    "INSERT INTO frame (epoch, stream, s0, n, kind, cause, dv, accepted_us, crc, blob)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def measure(seconds: float) -> dict[str, Figure]:
    """Return rates, CPU and bytes of accepting samples; a few seconds are enough."""
    batches = _batches(max(10, min(100, int(seconds * 4))))
    rounds: list[tuple[float, float, float, float]] = []
    size = 0
    with tempfile.TemporaryDirectory(prefix="plantroom-bench-") as folder:
        deadline = time.monotonic() + seconds
        while len(rounds) < 3 or time.monotonic() < deadline:
            place = Path(folder) / str(len(rounds))
            place.mkdir()
            ours, our_cpu, size = _append(place / "buffer.db", batches)
            raw, raw_cpu = _raw(place / "buffer.db", place / "raw.db")
            rounds.append((ours, raw, our_cpu, raw_cpu))
    samples = len(batches) * ROWS
    ours, raw, our_cpu, raw_cpu = (
        statistics.median(column) for column in zip(*rounds, strict=True)
    )
    return {
        "append: rate": Figure(samples / ours, "samples/s", samples / raw),
        "append: CPU": Figure(our_cpu / samples * 1e6, "us per sample", raw_cpu / samples * 1e6),
        "append: disk": Figure(size / samples, "bytes per sample"),
    }


def _batches(count: int) -> list[Batch]:
    dice = random.Random(1)
    start = time.time_ns() // 1000
    values = [dice.uniform(15, 30) for _ in range(POINTS)]
    out = []
    for i in range(count):
        batch = Batch()
        for poll in range(ROWS // POINTS):
            at = start + (i * (ROWS // POINTS) + poll) * 1_000_000
            for alias in range(POINTS):
                values[alias] += dice.uniform(-0.2, 0.2)
                batch.append(alias, at + alias // 50 * 20_000, round(values[alias], 2))
        out.append(batch)
    return out


def _append(path: Path, batches: list[Batch]) -> tuple[float, float, int]:
    """Return (seconds, CPU seconds, bytes of messages) of accepting `batches`, a commit each."""
    store = Store(path, 1 << 30, "b" * 16, SystemClock(), Options(reserve=RESERVE))
    store.run(lambda: None)
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        store.run(lambda: store.append([batch], []))  # noqa: B023 -- run at once
    took = time.perf_counter() - began, time.process_time() - cpu
    size = store.ledger.written
    store.close()
    return *took, size


def _raw(source: Path, path: Path) -> tuple[float, float]:
    """Return (seconds, CPU seconds) of writing the messages in `source`, a commit each."""
    reader = sqlite3.connect(source)
    columns = "epoch, stream, s0, n, kind, cause, dv, accepted_us, crc, blob"
    rows = reader.execute(f"SELECT {columns} FROM frame WHERE stream='tel' ORDER BY s0").fetchall()
    reader.close()
    db = connect(path)
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(rows), 1):
        db.execute("BEGIN IMMEDIATE")
        db.executemany(_INSERT, rows[start : start + 1])
        db.execute("COMMIT")
    took = time.perf_counter() - began, time.process_time() - cpu
    db.close()
    return took
