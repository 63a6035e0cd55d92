"""The schema's history ends in the schema that the tables describe."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from plantroom_cloud.db import Database
from plantroom_cloud.migrations import history, migrate
from plantroom_cloud.tables import Base
from plantroom_shared.errors import ConfigError
from support.servers import as_owner, opened
from support.waiting import eventually


def _is_described(name: str | None, kind: str, _parents: Any = None) -> bool:
    """Say whether the metadata must know a name: of partitions it knows the whole alone."""
    return kind != "table" or re.fullmatch(r"sample_(default|\d{4}_\d{2})", name or "") is None


def _differences(connection: Connection) -> list[object]:
    options: dict[str, Any] = {"compare_type": True, "include_name": _is_described}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Base.metadata))


def _structure(connection: Connection) -> dict[str, object]:
    """What compare_metadata does not look at: keys, foreign keys and nullability."""
    inspector = inspect(connection)
    return {
        table: (
            sorted((c["name"], bool(c["nullable"])) for c in inspector.get_columns(table)),
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted(
                (tuple(k["constrained_columns"]), k["referred_table"])
                for k in inspector.get_foreign_keys(table)
            ),
            sorted(tuple(u["column_names"]) for u in inspector.get_unique_constraints(table)),
        )
        for table in sorted(inspector.get_table_names())
        if table != "alembic_version" and _is_described(table, "table")
    }


async def test_migrated_schema_is_the_metadata(database: Database) -> None:
    """On both engines alembic finds no difference between the tables and the migrated schema."""
    async with database.engine.connect() as connection:
        assert await connection.run_sync(_differences) == []


async def test_migrated_schema_has_the_same_keys(
    database: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Keys, foreign keys and nullability are those that create_all would make."""
    if database.is_sqlite:
        url = f"sqlite+aiosqlite:///{tmp_path / 'fresh.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    async with opened(url) as fresh:
        async with as_owner(fresh).engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with as_owner(fresh).engine.connect() as connection:
            expected = await connection.run_sync(_structure)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(_structure) == expected


async def test_samples_lie_in_key_order_on_sqlite(sqlite_database: Database) -> None:
    """The table of samples is its own index: no second copy of every row."""
    async with sqlite_database.engine.connect() as connection:
        query = text("SELECT sql FROM sqlite_master WHERE name = 'sample'")
        made = (await connection.execute(query)).scalar_one()
    assert made.strip().endswith("WITHOUT ROWID")


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_parallel_first_starts_migrate_once(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Processes that start together on an empty database do not trip over each other."""
    if engine == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'new.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    async with opened(url) as one, opened(url) as two, opened(url) as three:
        await asyncio.gather(migrate(one), migrate(two), migrate(three))
        async with one.engine.connect() as connection:
            assert await connection.run_sync(_differences) == []


def test_history_is_one_line() -> None:
    """There is one head and no way back."""
    revisions = history()
    assert len(revisions.get_heads()) == 1
    assert not any(hasattr(item.module, "downgrade") for item in revisions.walk_revisions())


async def test_unreachable_database_is_a_configuration_error(tmp_path: Path) -> None:
    """A folder that does not exist is named with what to do about it."""
    threads = threading.active_count()
    async with opened(f"sqlite+aiosqlite:///{tmp_path / 'none' / 'x.db'}") as database:
        with pytest.raises(ConfigError, match="PLANTROOM_DATABASE"):
            await migrate(database)
    # aiosqlite's thread says goodbye to this loop by itself; it must still be there to hear it.
    await eventually(lambda: threading.active_count() <= threads, "the end of the thread")
