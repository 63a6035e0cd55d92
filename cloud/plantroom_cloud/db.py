"""The database: one engine, a session per unit of work, one commit at its end."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NewType, cast

from sqlalchemy import Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from plantroom_cloud.config import CloudSettings
from plantroom_shared.errors import ConfigError

_WAL_TRIES = 250

ReadSession = NewType("ReadSession", AsyncSession)
"""A session that never commits."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a repository may see: every repository is made with one."""

    company_id: int


class Database:
    """An engine for ``sqlite+aiosqlite:///path`` or ``postgresql+psycopg://...``."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        options: dict[str, Any] = {} if self.is_sqlite else {"pool_size": 8, "pool_pre_ping": True}
        self.engine = create_async_engine(self.url, **options)
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """Yield a session; commit when the block ends, roll back if it raises."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            if self.is_sqlite:
                # Take the write lock at the start: a reader that turns writer half-way would fail
                # at once where another process has written in between, instead of waiting.
                await session.connection(execution_options={"plantroom_write": True})
            yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """Yield a session on one consistent snapshot; nothing of it is ever committed."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            if not self.is_sqlite:
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield ReadSession(session)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def open_database(settings: CloudSettings) -> Database:
    """Return the database of `settings`, its folder made and its file closed to others.

    Raises:
        ConfigError: the folder cannot be made, or the URL is none.
    """
    try:
        # Others may pass through to the broker's folder, and read nothing on the way.
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o711)
        if not settings.database:
            os.close(os.open(settings.data / "plantroom.db", os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        what = f"the data folder cannot be used: {error}"
        fix = "set PLANTROOM_DATA to a folder that can be written"
        raise ConfigError(what, key="data", fix=fix) from error
    try:
        return Database(settings.database_url)
    except (ArgumentError, ModuleNotFoundError) as error:
        what = "this is no database URL we know"  # the URL itself may hold a password
        fix = "write postgresql+psycopg://user:password@host/name, or leave it empty for SQLite"
        raise ConfigError(what, key="database", fix=fix) from error


def is_sqlite(session: AsyncSession) -> bool:
    """Say whether `session` speaks to SQLite."""
    return session.get_bind().dialect.name == "sqlite"


def insert_into(
    session: AsyncSession, table: type[DeclarativeBase]
) -> postgresql.Insert | sqlite.Insert:
    """Return an insert into `table` that knows ON CONFLICT, in the dialect of `session`."""
    target = cast("Table", table.__table__)
    return sqlite.insert(target) if is_sqlite(session) else postgresql.insert(target)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, below
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA cache_size=-65536")  # KiB: the newest pages of a few thousand points
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """Switch the file to WAL, once in its life; several processes may start on a new file."""
    for attempt in range(_WAL_TRIES):
        cursor.execute("PRAGMA journal_mode")
        if cursor.fetchone()[0] == "wal":
            return
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            # SQLite does not wait here, whatever the busy timeout: whoever is first needs a moment.
            if attempt == _WAL_TRIES - 1:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Any) -> None:
    write = connection.get_execution_options().get("plantroom_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
