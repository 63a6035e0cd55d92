"""Floors of ``bench ingest``: the same rows by the least that each part must do."""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiomqtt
import psycopg

from benchmarks import ingest_copying as copying
from benchmarks.ingest_edge import batch
from plantroom_cloud.ingest.rows import Column

Rows = list[tuple[int, int, int, int, float, None, int, str]]
_COLUMNS = "company_id, point_id, ts_us, tie, value, text, quality, reason"
_GROUP = 64_000
"""Rows in a transaction: as many as the ingest takes at once."""


def rows_of(count: int, start_us: int) -> Rows:
    """Return what the first `count` samples of the run are in the table."""
    made = batch(0, count, start_us)
    columns = zip(made.points, made.times, range(count), made.values, strict=True)
    return [(1, p, t, tie, float(v or 0), None, 0, "") for p, t, tie, v in columns]


def postgres(url: dict[str, str], rows: Rows) -> dict[str, float]:
    """Return rows per second of executemany and COPY into a table like ours, key and all."""
    with psycopg.connect(**url, autocommit=True) as connection:  # type: ignore[arg-type]
        some = rows[: _GROUP // 2]
        return {
            "executemany": _rate(connection, some, _executemany),
            "COPY, rows from Python": _rate(connection, rows, _copy_rows),
            "COPY, bytes made before": _rate(connection, rows, _copy_bytes(rows)),
        }


def _rate(connection: Any, rows: Rows, write: Callable[[Any, Rows], None]) -> float:
    connection.execute("DROP TABLE IF EXISTS floor")
    connection.execute("CREATE TABLE floor (LIKE sample, PRIMARY KEY (point_id, ts_us, tie))")
    started = time.perf_counter()
    for start in range(0, len(rows), _GROUP):
        with connection.transaction(), connection.cursor() as cursor:
            write(cursor, rows[start : start + _GROUP])
    lasted = time.perf_counter() - started
    connection.execute("DROP TABLE floor")
    return len(rows) / lasted


def _executemany(cursor: Any, rows: Rows) -> None:
    cursor.executemany(
        f"INSERT INTO floor ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows
    )


def _copy_rows(cursor: Any, rows: Rows) -> None:
    with cursor.copy(f"COPY floor ({_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int8", "int8", "int8", "int8", "float8", "text", "int2", "varchar"])
        for row in rows:
            copy.write_row(row)


def _copy_bytes(rows: Rows) -> Callable[[Any, Rows], None]:
    """Return a COPY of bytes that are made outside of the clock."""
    packed = {}
    for start in range(0, len(rows), _GROUP):
        part = rows[start : start + _GROUP]
        column = Column(
            *(list(one) for one in list(zip(*part, strict=True))[1:]),
        )
        packed[id(part[0])] = copying.pack(1, column)

    def write(cursor: Any, part: Rows) -> None:
        with cursor.copy(copying.STATEMENT.replace("sample", "floor")) as copy:
            copy.write(packed[id(part[0])])

    return write


def sqlite(folder: Path, rows: Rows) -> float:
    """Return rows per second of executemany into one SQLite table without a key, 2,000 a commit."""
    db = sqlite3.connect(folder / "floor.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute(
        "CREATE TABLE floor (seq INTEGER PRIMARY KEY, point INTEGER, ts INTEGER, value REAL)"
    )
    started = time.perf_counter()
    for start in range(0, len(rows), 2000):
        db.execute("BEGIN")
        part = ((row[1], row[2], row[4]) for row in rows[start : start + 2000])
        db.executemany("INSERT INTO floor (point, ts, value) VALUES (?, ?, ?)", part)
        db.execute("COMMIT")
    lasted = time.perf_counter() - started
    db.close()
    return len(rows) / lasted


async def mqtt(
    port: int, sender: ssl.SSLContext, taker: ssl.SSLContext, names: tuple[str, str],
    payloads: Sequence[tuple[bytes, int]],
) -> float:  # fmt: skip
    """Return samples per second of the same messages through the broker, QoS 1, and no more."""
    gateway, cloud = names
    client = {"hostname": "127.0.0.1", "port": port, "protocol": aiomqtt.ProtocolVersion.V5}
    total = len(payloads)
    async with (
        aiomqtt.Client(identifier=cloud, tls_context=taker, **client) as into,  # type: ignore[arg-type]
        aiomqtt.Client(identifier=gateway, tls_context=sender, **client) as out,  # type: ignore[arg-type]
    ):
        await into.subscribe("sv1/+/up/floor", qos=1)
        started = time.perf_counter()

        async def send() -> None:
            for start in range(0, total, 8):
                part = payloads[start : start + 8]
                await asyncio.gather(
                    *(out.publish(f"sv1/{gateway}/up/floor", blob, qos=1) for blob, _ in part)
                )

        async def take() -> None:
            left = total
            async for _ in into.messages:
                left -= 1
                if not left:
                    return

        await asyncio.gather(send(), take())
        lasted = time.perf_counter() - started
    return sum(rows for _, rows in payloads) / lasted
