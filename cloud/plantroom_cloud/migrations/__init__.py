"""The schema's history: numbered revisions, forward only, run by alembic on our own engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from plantroom_cloud.db import Database
from plantroom_cloud.governance import histories, notes
from plantroom_cloud.isolation import wall
from plantroom_shared.errors import ConfigError

_LOCK = 0x706C616E74  # any number, the same in every process: one of them migrates at a time
_OURS = text(
    "SELECT coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class"
    " WHERE oid = to_regclass('alembic_version')), true)"
)
"""Whether this role owns the tables, or there are none yet."""


async def migrate(database: Database) -> None:
    """Bring the schema to the newest revision; harmless where it already is, safe in parallel.

    On PostgreSQL this is done as the owner of the tables, and the wall between companies is put
    up with it. Whoever owns nothing only makes sure that there is nothing to do.

    Raises:
        ConfigError: the database cannot be opened, or is older and not ours to change.
    """
    if not database.is_sqlite:
        database = Database(database.owner_url, pooled=False)
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
    revisions = history()
    if connection.dialect.name != "postgresql":
        _run(connection, revisions)
        notes.install(connection)
        histories.install(connection)
        return
    # A new column of a large table takes as long as it takes, and so may the one before us.
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    present = MigrationContext.configure(connection).get_current_heads()
    behind = set(present) != set(revisions.get_heads())
    if not connection.execute(_OURS).scalar_one():
        if behind:
            what = "the database is of another version, and belongs to another role"
            fix = "name its owner's URL in isolation.owner, or run 'plantroom-cloud migrate' as it"
            raise ConfigError(what, key="database", fix=fix)
        return
    if behind:
        wall.relax(connection)
        _run(connection, revisions)
    notes.install(connection)
    histories.install(connection)
    try:
        wall.confine(connection)
    except ProgrammingError as error:
        what = f"the roles of the service cannot be made: {error.orig}"
        fix = "see docs/isolation.md for what a superuser has to do once"
        raise ConfigError(what, key="database", fix=fix) from error


def _run(connection: Connection, revisions: ScriptDirectory) -> None:
    config = Config()

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
