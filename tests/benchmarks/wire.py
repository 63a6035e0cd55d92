"""``bench wire``: bytes that a sample takes on the wire and on the gateway's disk, on the demo site.

The baseline is the same rows as JSON objects, ``{"point", "ts", "value"}``, gzipped message by
message: what a gateway sends that keeps names out but thinks in rows.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
import zlib
from contextlib import closing
from pathlib import Path

import orjson

from benchmarks.figures import Figure
from demo.site.manifest import agent_config
from demo.stack import COMPANY, Stack
from plantroom_edge.config import load
from plantroom_shared.wire import Samples, decode_rows


def measure(seconds: float) -> dict[str, Figure]:
    """Return the bytes per sample of what the agent wrote in so many seconds."""
    with tempfile.TemporaryDirectory(prefix="plantroom-bench-") as folder:
        messages = _record(Path(folder), seconds)
    rows = wire = objects = 0
    for blob in messages:
        found = decode_rows(blob)
        if isinstance(found, Samples):
            rows, wire = rows + found.n, wire + len(blob)
            objects += len(_as_objects(found))
    return {
        "demo site: message": Figure(rows / len(messages), "samples per message"),
        "demo site: wire": Figure(wire / rows, "bytes per sample", objects / rows),
    }


def _record(folder: Path, seconds: float) -> list[bytes]:
    """Let the agent poll the demo's site with no broker to send to; return its messages."""
    stack = Stack(folder, engine="embedded")
    try:
        manifest = stack.start_site("--speed", "600")
        stack.write_cloud_config()
        stack.provision(companies=(COMPANY,))
        stack.write_agent_config(agent_config(manifest)["buses"], [])
        stack.start_agent()
        time.sleep(seconds)
    finally:
        stack.stop()
    file = load(stack.agent_config).buffer_file
    with closing(sqlite3.connect(file)) as db:
        return [blob for (blob,) in db.execute("SELECT blob FROM frame WHERE stream='tel'")]


def _as_objects(message: Samples) -> bytes:
    batch = message.batch
    rows = [
        {"point": point, "ts": ts, "value": value}
        for point, ts, value in zip(batch.points, batch.times, batch.values, strict=True)
    ]
    return zlib.compress(orjson.dumps(rows), 6)
