"""The schema's history: numbered revisions, forward only, run by alembic on our own engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from plantroom_cloud.db import Database
from plantroom_shared.errors import ConfigError

_LOCK = 0x706C616E74  # any number, the same in every process: one of them migrates at a time


async def migrate(database: Database) -> None:
    """Bring the schema to the newest revision; harmless where it already is, safe in parallel.

    Raises:
        ConfigError: the database cannot be opened.
    """
    try:
        async with database.engine.connect() as connection:
            # SQLite: the write lock comes with BEGIN IMMEDIATE, so a second process waits here.
            await connection.execution_options(plantroom_write=True)
            async with connection.begin():
                await connection.run_sync(upgrade)
    except OperationalError as error:
        what = f"the database cannot be opened: {error.orig}"
        fix = "check the URL (PLANTROOM_DATABASE), that the server runs and that the folder exists"
        raise ConfigError(what, key="database", fix=fix) from error


def upgrade(connection: Connection) -> None:
    """Run what is missing on `connection`, inside its transaction: all revisions or none."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config, revisions = Config(), history()

    def missing(present: Any, _: Any) -> Any:
        # What `alembic upgrade head` does, without its ini file and environment script.
        return revisions._upgrade_revs("head", present)  # noqa: SLF001

    with EnvironmentContext(config, revisions, fn=missing, destination_rev="head") as environment:
        # SQLite cannot alter a table in place: later revisions copy it.
        environment.configure(connection=connection, render_as_batch=True)
        environment.run_migrations()


def history() -> ScriptDirectory:
    """Return all revisions, as files of this package."""
    return ScriptDirectory(str(Path(__file__).parent))
