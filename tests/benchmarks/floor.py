"""The floor: the least a durable Modbus gateway in Python must do, without any of the rest.

pymodbus reads blocks of 125 registers once a second, one frame per 500 values goes into SQLite
(WAL, synchronous=FULL), is published with QoS 1 over the same TLS broker and deleted on PUBACK.
No configuration, no types, no quality, no dictionary, no acks of the cloud.

``python floor.py HOST PORT UNITS REGISTERS BROKER_PORT CA CERT KEY DATABASE GATEWAY`` runs until it is
terminated.
"""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
import struct
import sys
import time
import zlib
from contextlib import suppress

import aiomqtt
from pymodbus.client import AsyncModbusTcpClient

BLOCK, FRAME = 125, 500


async def poll(client: AsyncModbusTcpClient, units: int, registers: int) -> list[int]:
    """Return every register of every unit."""
    values: list[int] = []
    for unit in range(1, units + 1):
        for address in range(0, registers, BLOCK):
            count = min(BLOCK, registers - address)
            reply = await client.read_holding_registers(address, count=count, device_id=unit)
            values += reply.registers
    return values


def store(db: sqlite3.Connection, values: list[int]) -> list[tuple[int, bytes]]:
    """Commit `values` as frames and return them with their row ids."""
    frames = []
    with db:
        for start in range(0, len(values), FRAME):
            part = values[start : start + FRAME]
            blob = zlib.compress(struct.pack(f">Q{len(part)}H", time.time_ns(), *part), 1)
            row = db.execute("INSERT INTO frame(blob) VALUES (?)", (blob,)).lastrowid
            frames.append((row or 0, blob))
    return frames


async def main() -> None:
    """Poll, store, publish, delete; once a second."""
    host, port, units, registers, broker, ca, cert, key, path, gateway = sys.argv[1:]
    db = sqlite3.connect(path)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("CREATE TABLE frame(id INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB)")
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    client = AsyncModbusTcpClient(host, port=int(port))
    await client.connect()
    async with aiomqtt.Client(
        "127.0.0.1", int(broker), identifier=gateway, tls_context=context
    ) as mqtt:
        while True:
            due = time.monotonic() + 1
            frames = store(db, await poll(client, int(units), int(registers)))
            for _, blob in frames:
                await mqtt.publish(f"sv1/{gateway}/up/floor", blob, qos=1)
            with db:
                db.executemany("DELETE FROM frame WHERE id = ?", [(row,) for row, _ in frames])
            await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
