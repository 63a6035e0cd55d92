"""Fault 6 and the long outage: weeks without the cloud, by virtual time, then all of it through sync.

A site of 500 points is read once a minute for 30 days while the cloud is away; findings, audit and
results of commands come in between. Then the agent's own sync sends it through a broker to the ingest.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import random
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from demo.processes import wait_for
from plantroom_edge.buffer import Buffer
from plantroom_shared.model import Batch, Device, Finding, Point
from plantroom_shared.wire import Record, Stream
from support.fault_case import Setting, case
from support.fault_report import Figure
from support.fault_rig import Rig, rigged

POINTS: Final = 500
EVERY: Final = 60
"""Seconds between two reads of each point."""
DAY: Final = 86_400
RECORDS: Final[tuple[Stream, Stream]] = ("aud", "cmd")
SEGMENT: Final = 1 << 20
"""Bytes that the file may be over its limit: one step of giving up room."""


@dataclass
class Outage:
    """What was accepted while the cloud was away."""

    clock: LongAgo
    days: int
    samples: int = 0
    findings: int = 0
    records: dict[str, int] = field(default_factory=lambda: {"aud": 0, "cmd": 0})
    most_bytes: int = 0
    seconds: float = 0.0


class LongAgo:
    """A clock that begins some days ago and is moved by hand; it ends in the present."""

    def __init__(self, days: float) -> None:
        self._start = time.time() - days * DAY - 3600
        self.seconds = 0.0

    def now_us(self) -> int:
        """Return microseconds since 1970."""
        return round((self._start + self.seconds) * 1e6)

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return self.seconds


def used(path: Path) -> int:
    """Return the bytes of all files of the buffer."""
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))


def value_of(point: int, minute: int) -> float:
    """Return what a point of the site shows: slow waves, in steps of a tenth, as sensors do."""
    return round(20 + point % 7 + 5 * math.sin(minute / 240 + point), 1)


async def fill(path: Path, days: int, limit_bytes: int, dice: random.Random) -> Outage:
    """Write an outage of so many days into a buffer at `path`."""
    outage = Outage(LongAgo(days), days)
    clock, began = outage.clock, time.monotonic()
    buffer = await Buffer.open(path, limit_bytes=limit_bytes, commit_s=0.001, clock=clock)
    keys = [f"modbus:meter:p{number:03d}" for number in range(POINTS)]
    meter = Device(key="modbus:meter", name="meter", protocol="modbus")
    points = [Point(key=key, device=meter.key, name=key) for key in keys]
    aliases = await buffer.add_points(points, [meter])
    for minute in range(days * DAY // EVERY):
        clock.seconds += EVERY
        now = clock.now_us()
        values: list[Any] = [value_of(alias, minute) for alias in range(POINTS)]
        work = [buffer.append(Batch(list(aliases), [now] * POINTS, values))]
        outage.samples += POINTS
        if minute % 360 == 0:
            work.append(buffer.append_findings([_finding(minute, now)]))
            outage.findings += 1
        if minute % 97 == 0:
            stream = dice.choice(RECORDS)
            record = Record(at=now, kind="test.thing", doc={"minute": minute})
            work.append(buffer.append_records(stream, [record]))
            outage.records[stream] += 1
        await asyncio.gather(*work)
        if minute % 500 == 0:
            outage.most_bytes = max(outage.most_bytes, used(path))
    await buffer.close()
    outage.seconds = time.monotonic() - began
    return outage


def _finding(minute: int, now: int) -> Finding:
    return Finding(
        id=f"finding-{minute}", detector="pca", subject="modbus:meter", started=now, score=2.0,
        text="something is off",
    )  # fmt: skip


@dataclass(slots=True)
class Kept:
    """What a file holds, by stream: rows of data and rows declared lost, and the holes."""

    data: dict[str, int] = field(default_factory=dict)
    gaps: dict[str, int] = field(default_factory=dict)
    thinned: int = 0


def kept(path: Path) -> Kept:
    """Read the messages in the file without Plantroom."""
    out = Kept()
    with closing(sqlite3.connect(path)) as db:
        for stream, kind, blob in db.execute("SELECT stream, kind, blob FROM frame"):
            message = json.loads(gzip.decompress(blob))
            where = out.data if kind == "data" else out.gaps
            where[stream] = where.get(stream, 0) + message["n"]
    return out


@case("quota", faults="6", pr=6, full=30)
def quota(setting: Setting) -> Sequence[Figure]:
    """An outage of `count` days with a buffer for a part of it: the oldest samples go, each declared."""
    path = setting.folder / "buffer" / "buffer.db"
    path.parent.mkdir(parents=True)
    limit = max(4 << 20, setting.count << 20)
    outage = asyncio.run(fill(path, setting.count, limit, setting.dice("quota")))
    held = kept(path)
    name, runs = "6 quota reached", outage.samples
    accepted = {"tel": outage.samples, "evt": outage.findings, **outage.records}
    figures = [
        Figure(name, f"{stream}: accepted, neither held nor declared", accepted[stream],
               accepted[stream] - held.data.get(stream, 0) - held.gaps.get(stream, 0), seed=setting.seed)
        for stream in ("tel", "evt")
    ]  # fmt: skip
    urgent = sum(held.gaps.get(stream, 0) for stream in ("evt", "aud", "cmd"))
    return [
        *figures,
        Figure(name, "findings, audit and results given up", runs, urgent, seed=setting.seed),
        Figure(name, "records held, fewer than accepted", runs, _short(outage, held)),
        Figure(name, "samples declared lost", runs, held.gaps.get("tel", 0), None),
        Figure(
            name, "disk over the limit", runs, max(0, outage.most_bytes - limit), SEGMENT, unit="B"
        ),
    ]


def _short(outage: Outage, held: Kept) -> int:
    """Return how many records are missing; the buffer adds some of its own to the audit."""
    return sum(max(0, n - held.data.get(stream, 0)) for stream, n in outage.records.items())


LIMIT_MB: Final = 512


@case("month-offline", faults="6, 13", pr=1, full=30, alone=True)
def month_offline(setting: Setting) -> Sequence[Figure]:
    """A site was offline for `count` days; then its agent drains into PostgreSQL while it goes on."""
    name = f"{setting.count} days offline"
    with rigged(setting, postgres=True, points=4, interval=5.0) as rig:
        rig.start_cloud()
        rig.configure_agent(buffer={"limit_mb": LIMIT_MB})
        rig.buffer_file.parent.mkdir(parents=True)
        dice = setting.dice("month")
        limit = LIMIT_MB << 20
        outage = asyncio.run(fill(rig.buffer_file, setting.count, limit, dice))
        disk = used(rig.buffer_file)
        held = kept(rig.buffer_file)
        setting.say(f"{outage.samples:,} samples accepted in {outage.seconds:.0f} s, {disk:,} B")
        rig.start_agent()
        wait_for(lambda: _count(rig, BOOKED) > 0, what="the first old sample", seconds=120)
        began = time.monotonic()
        goal = held.data.get("tel", 0)
        wait_for(lambda: _count(rig, BOOKED) >= goal, what="catching up", seconds=7200)
        took = max(0.1, time.monotonic() - began)
        rig.drain(600)
        rig.stack.stop("agent", "ingest")
        stored = _count(rig, SAMPLES)
        found = _count(rig, "SELECT count(*) FROM finding")
        records = _count(rig, "SELECT count(*) FROM edge_record WHERE kind = 'test.thing'")
    runs, wanted = outage.samples, sum(outage.records.values())
    declared = held.gaps.get("tel", 0)
    return [
        Figure(name, "samples neither stored nor declared", runs, runs - stored - declared),
        Figure(name, "findings missing", outage.findings, outage.findings - found),
        Figure(name, "records of audit and commands missing", wanted, wanted - records),
        Figure(name, "disk over the limit", runs, max(0, disk - limit), SEGMENT, unit="B"),
        Figure(name, "disk", runs, disk / 1e6, None, unit="MB"),
        Figure(name, "bytes on the disk a sample", runs, disk / runs, None),
        Figure(name, "caught up after", runs, took, None, unit="s"),
        Figure(name, "samples a second", runs, stored / took, None),
        Figure(
            name, "speed over real time", runs, setting.count * DAY / took, 20, least=True, unit="x"
        ),
    ]


BOOKED: Final = (
    "SELECT coalesce(sum(stored), 0) FROM stream_total WHERE stream = 'tel' AND epoch ="
    " (SELECT epoch FROM stream_total WHERE stream = 'tel' ORDER BY accepted DESC LIMIT 1)"
)
"""By the cloud's own account, as counting so many rows takes long; the judgement counts them."""
SAMPLES: Final = (
    "SELECT count(*) FROM sample WHERE point_id IN"
    " (SELECT id FROM point WHERE key LIKE 'modbus:meter:p%')"
)


def _count(rig: Rig, sql: str) -> int:
    with rig.cloud_database() as db:
        ((number,),) = db.execute(sql)
        return int(number)
