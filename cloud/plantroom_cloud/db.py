"""The database: one engine, a session per unit of work, one commit at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NewType

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

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


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, below
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    write = connection.get_execution_options().get("plantroom_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
