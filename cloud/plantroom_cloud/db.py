"""The database: one engine, a session per unit of work, one commit at its end.

Every session acts for one company, or for none: then it sees no row of any. On PostgreSQL the
database holds to that by itself (`isolation`); on SQLite every statement names the company, and
tests hear each of them.
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NewType, TypeVar, cast

from sqlalchemy import Connection, Engine, NullPool, QueuePool, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.util import greenlet_spawn

from plantroom_cloud.config import CloudSettings, ResilienceSettings
from plantroom_cloud.kit import figures
from plantroom_cloud.kit.pool import look_at_idle
from plantroom_shared.errors import ConfigError

T = TypeVar("T")

_WAL_TRIES = 250
_LINE: Final = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""Of a connection to PostgreSQL: a server that vanished without a word is noticed in seconds."""
ACTING: Final = "plantroom_acts_for"
"""In a connection's `info`: the id of the company that its transaction acts for, or None."""
_ACT_FOR: Final = "SELECT set_config('plantroom.company', %s, true)"
_SEEN_AT_ONCE: Final = "REPEATABLE READ, READ ONLY"
_BY_US: Final = {"isolation_level": "AUTOCOMMIT"}
"""Of a connection whose transactions we begin and end ourselves."""
_ROLE: Final = re.compile(r"(?:^|\s)(?:-c\s*|--)role=\S+")

BUS: Final = "plantroom.bus"
"""Key of a session's `info`: what carries live events, where this process has that."""
AFTER_COMMIT: Final = "plantroom.after_commit"
"""Key of a session's `info`: a list of what is called when its transaction is committed."""

ReadSession = NewType("ReadSession", AsyncSession)
"""A session that never commits."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a repository may see: every repository is made with one."""

    company_id: int
    sites: frozenset[int] | None = None
    """The only sites whose rows it may see; None: all of the company's."""


class Database:
    """An engine for ``sqlite+aiosqlite:///path`` or ``postgresql+psycopg://...``.

    Args:
        url: as whom the service works.
        owner: URL of the role that owns the tables, for migrations; empty: whoever logs in by `url`.
        limits: of connections and statements.
        pooled: whether connections are kept.
    """

    def __init__(
        self,
        url: str | URL,
        owner: str = "",
        *,
        limits: ResilienceSettings | None = None,
        pooled: bool = True,
    ) -> None:
        limits = limits or ResilienceSettings()
        self.url = make_url(url)
        self.owner_url = make_url(owner) if owner else as_login(self.url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.bus: Any = None
        """A `live.bus.Bus`, which knows this module; handed to every session that writes."""
        self.engine = create_async_engine(
            self.url if self.is_sqlite else _limited(self.url, limits.statement),
            **self._options(limits, pooled=pooled),
        )
        if not self.is_sqlite:
            look_at_idle(self.engine.sync_engine)
        figures.watch(self, _pool)
        if self.is_sqlite:
            wait = partial(_prepare_sqlite, wait_ms=round(limits.statement * 1000))
            event.listen(self.engine.sync_engine, "connect", wait)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    def _options(self, limits: ResilienceSettings, *, pooled: bool) -> dict[str, Any]:
        line = {"connect_args": {**_LINE, "connect_timeout": limits.connect}}
        options: dict[str, Any] = {} if self.is_sqlite else line
        if not pooled:
            return options | {"poolclass": NullPool}
        if self.is_sqlite and self.url.database in {None, "", ":memory:"}:
            return options  # one connection, which nobody waits for
        kept = {} if self.is_sqlite else {"pool_size": limits.pool}
        return options | kept | {"pool_timeout": limits.pool_wait}

    @asynccontextmanager
    async def write(self, whose: Scope | None) -> AsyncIterator[AsyncSession]:
        """Yield a session for `whose` rows; commit when the block ends, roll back if it raises.

        Args:
            whose: the company; None where that is yet to be found out, or it is about none.

        What the block has left under `AFTER_COMMIT` is called then: it must neither wait nor fail.
        """
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            if self.is_sqlite:
                # Take the write lock at the start: a reader that turns writer half-way would fail
                # at once where another process has written in between, instead of waiting.
                await session.connection(execution_options={"plantroom_write": True})
                await _begin_for(session, whose)
            else:
                await _begin(session, "READ COMMITTED", whose)
            session.info[BUS] = self.bus
            yield session
        _call(session)

    @asynccontextmanager
    async def snapshot(self, whose: Scope | None) -> AsyncIterator[AsyncSession]:
        """Yield a session as `write` does that sees the database as it is when it first looks."""
        if self.is_sqlite:
            async with self.write(whose) as session:
                yield session
            return
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            session.info[BUS] = self.bus
            await _begin(session, "REPEATABLE READ", whose)
            yield session
        _call(session)

    @asynccontextmanager
    async def read(self, whose: Scope | None) -> AsyncIterator[ReadSession]:
        """Yield a session for `whose` rows, on one consistent snapshot; it never commits."""
        if self.is_sqlite:
            async with AsyncSession(self.engine, expire_on_commit=False) as session:
                await _begin_for(session, whose)
                yield ReadSession(session)
            return
        session = AsyncSession(self.engine, expire_on_commit=False)
        try:
            await _begin(session, _SEEN_AT_ONCE, whose)
            yield ReadSession(session)
            await session.run_sync(_leave)
        finally:
            if session.in_transaction():  # it failed; who is cancelled closes it all the same
                await asyncio.shield(asyncio.create_task(session.close()))

    async def look(self, whose: Scope, look: Callable[[Connection], T]) -> T:
        """Return what `look` makes of `whose` rows, seen as `read` shows them.

        For what is asked for most: without a session, and in one go, it costs half as much.

        Args:
            whose: the company.
            look: is given a connection, and executes selects of columns.
        """
        if self.is_sqlite:
            async with self.read(whose) as session:
                return await session.run_sync(lambda inner: look(inner.connection()))
        return await greenlet_spawn(_look, self.engine.sync_engine, whose, look)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _call(session: AsyncSession) -> None:
    """Call what waited for the commit."""
    for call in session.info.get(AFTER_COMMIT, ()):
        call()


async def act_for(session: AsyncSession, scope: Scope) -> None:
    """Let `session` see and change the rows of `scope`, and of no other, from here on.

    It holds until the transaction ends, however it ends: the connection's next user starts with
    nothing.
    """
    connection = await session.connection()
    if connection.info[ACTING] == scope.company_id:
        return
    await session.flush()  # what waits to be written is written for whom it was made
    await session.run_sync(act_for_now, scope.company_id)


def act_for_now(session: Session, company: int) -> None:
    """Do as `act_for` does, within a commit that is under way: what waited has been written."""
    connection = session.connection()
    if connection.info.get(ACTING) == company:
        return
    connection.info[ACTING] = company
    if not is_sqlite(session):
        connection.exec_driver_sql(_ACT_FOR, (str(company),))


async def _begin_for(session: AsyncSession, whose: Scope | None) -> None:
    (await session.connection()).info[ACTING] = None
    if whose is not None:
        await act_for(session, whose)


async def _begin(session: AsyncSession, how: str, whose: Scope | None) -> None:
    """Begin a transaction at PostgreSQL and say for whom, on one way there and back.

    The driver would say BEGIN by itself, on a way of its own.
    """
    await session.run_sync(_enter, how, whose)


def _enter(session: Session, how: str, whose: Scope | None) -> None:
    _say_begin(session.connection(execution_options=_BY_US), how, whose)


def _say_begin(connection: Connection, how: str, whose: Scope | None) -> None:
    begin = f"BEGIN ISOLATION LEVEL {how}"
    if whose is not None:
        begin += "; " + _ACT_FOR % f"'{int(whose.company_id)}'"  # two statements take no arguments
    connection.exec_driver_sql(begin)
    connection.info[ACTING] = None if whose is None else whose.company_id


def _look(engine: Engine, whose: Scope, look: Callable[[Connection], T]) -> T:
    with engine.connect() as connection:
        connection.execution_options(**_BY_US)
        _say_begin(connection, _SEEN_AT_ONCE, whose)
        found = look(connection)
        connection.exec_driver_sql("COMMIT")  # see `_leave`
    return found


def _leave(session: Session) -> None:
    """End what has only read, and give its connection back.

    There is nothing to commit; but after a ROLLBACK the driver forgets what it prepared.
    """
    session.connection().exec_driver_sql("COMMIT")
    session.close()


def as_login(url: URL) -> URL:
    """Return `url` without the role that it steps down to: ``options=-c role=...``."""
    options = url.query.get("options")
    if not isinstance(options, str):
        return url
    kept = _ROLE.sub("", options).strip()
    rest = url.difference_update_query(["options"])
    return rest.update_query_dict({"options": kept}) if kept else rest


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
        owner = settings.isolation.owner.get_secret_value()
        return Database(settings.database_url, owner, limits=settings.resilience)
    except (ArgumentError, ModuleNotFoundError) as error:
        what = "this is no database URL we know"  # the URL itself may hold a password
        fix = "write postgresql+psycopg://user:password@host/name, or leave it empty for SQLite"
        raise ConfigError(what, key="database", fix=fix) from error


def _limited(url: URL, statement: float) -> URL:
    """Return `url` with a limit for every statement; one that stands there already counts."""
    given = url.query.get("options", "")
    options = given if isinstance(given, str) else " ".join(given)
    limit = f"-c statement_timeout={round(statement * 1000)}"
    return url.update_query_dict({"options": f"{limit} {options}".strip()})


def _pool(database: Database) -> Iterable[figures.Reading]:
    pool = database.engine.pool
    if isinstance(pool, QueuePool):
        text = "Connections to the database."
        yield "database_connections", text, (("state", "in_use"),), float(pool.checkedout())
        yield "database_connections", text, (("state", "idle"),), float(pool.checkedin())
        yield "database_connections_most", "How many there may be.", (), float(_most(pool))


def _most(pool: QueuePool) -> int:
    return pool.size() + pool._max_overflow  # noqa: SLF001 - there is no other way to it


def is_sqlite(session: AsyncSession | Session) -> bool:
    """Say whether `session` speaks to SQLite."""
    return session.get_bind().dialect.name == "sqlite"


def insert_into(
    session: AsyncSession | Session, table: type[DeclarativeBase]
) -> postgresql.Insert | sqlite.Insert:
    """Return an insert into `table` that knows ON CONFLICT, in the dialect of `session`."""
    target = cast("Table", table.__table__)
    return sqlite.insert(target) if is_sqlite(session) else postgresql.insert(target)


def _prepare_sqlite(connection: Any, _record: Any, *, wait_ms: int) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, below
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={wait_ms:d}")
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
