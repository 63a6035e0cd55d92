"""One worker at a time for each company's outbox, however many processes run."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import func, select

from plantroom_cloud.db import Database


@asynccontextmanager
async def lease(database: Database, name: str) -> AsyncIterator[bool]:
    """Yield whether this worker holds `name`; the kernel or the server frees it if we die.

    It keeps order and saves double work. That nothing is counted twice does not rest on it: the
    rows are deleted in the transaction that counts them.
    """
    if not database.is_sqlite:
        async with database.write(None) as session:
            key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
            yield bool(await session.scalar(select(func.pg_try_advisory_xact_lock(key))))
        return
    # SQLite has one lock for all writers; held while EnOS thinks, it would stop the ingest.
    path = database.url.database
    if not path or path == ":memory:":
        yield True
        return
    with Path(f"{path}.{name}.lock").open("w") as file:  # noqa: ASYNC230 - an empty file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
