"""Sessions, transactions and opening: the same promises on both engines."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, insert_into, is_sqlite, open_database
from plantroom_cloud.migrations import migrate
from plantroom_cloud.tables import Company
from plantroom_shared.errors import ConfigError
from support.servers import as_owner


def company(slug: str) -> Company:
    """Return a company to add."""
    return Company(slug=slug, name=slug, created_us=1)


async def count(database: Database) -> int | None:
    """Return how many companies there are."""
    async with as_owner(database).read() as session:
        return await session.scalar(select(func.count()).select_from(Company))


async def test_a_block_that_ends_is_committed_one_that_raises_is_not(database: Database) -> None:
    """There is one commit per unit of work."""
    async with as_owner(database).write() as session:
        session.add(company("kept"))

    async def fail() -> None:
        async with as_owner(database).write() as session:
            session.add(company("lost"))
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await count(database) == 1


async def test_a_read_session_sees_one_moment(database: Database) -> None:
    """What is committed meanwhile does not appear half-way, and nothing it does stays."""
    async with as_owner(database).read() as session:
        query = select(func.count()).select_from(Company)
        assert await session.scalar(query) == 0
        async with as_owner(database).write() as writing:
            writing.add(company("new"))
        assert await session.scalar(query) == 0
        session.add(company("never"))
    assert await count(database) == 1


async def test_parallel_writers_wait_for_each_other(database: Database) -> None:
    """Reading and then writing in one transaction never fails because of another writer."""

    async def add(number: int) -> None:
        async with as_owner(database).write() as session:
            await session.scalar(select(func.count()).select_from(Company))
            session.add(company(f"c{number}"))

    await asyncio.gather(*(add(number) for number in range(12)))
    assert await count(database) == 12


async def test_insert_knows_conflicts(database: Database) -> None:
    """One way of saying it for both engines."""
    row = {"slug": "one", "name": "one", "created_us": 1}
    for _ in range(2):
        async with as_owner(database).write() as session:
            assert is_sqlite(session) == database.is_sqlite
            await session.execute(insert_into(session, Company).on_conflict_do_nothing(), row)
    assert await count(database) == 1


async def test_sqlite_is_durable(sqlite_database: Database) -> None:
    """A commit is on the disk: write-ahead log, full synchronisation, foreign keys on."""
    async with as_owner(sqlite_database).read() as session:
        found = [
            await session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]


async def test_embedded_database_is_closed_to_others(tmp_path: Path) -> None:
    """Its file is 0600, whatever the umask; others may pass the folder and not list it."""
    database = open_database(CloudSettings(data=tmp_path / "new" / "data"))
    await migrate(database)
    await database.close()
    file = tmp_path / "new" / "data" / "plantroom.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o711


@pytest.mark.parametrize("url", ["nonsense", "mysql+nodriver://x/y", "postgresql+nothing://x"])
def test_wrong_url_is_a_configuration_error(tmp_path: Path, url: str) -> None:
    """It says how one is written, and does not repeat what may hold a password."""
    with pytest.raises(ConfigError, match=r"postgresql\+psycopg") as caught:
        open_database(CloudSettings(data=tmp_path, database=url))
    assert url not in str(caught.value)


def test_data_folder_that_is_a_file(tmp_path: Path) -> None:
    """The setting to change is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="PLANTROOM_DATA"):
        open_database(CloudSettings(data=tmp_path / "file"))


async def test_server_that_is_away_is_a_configuration_error(tmp_path: Path) -> None:
    """At the start, when nothing can be done without it."""
    database = Database(f"postgresql+psycopg://x@/y?host={tmp_path}")
    with pytest.raises(ConfigError, match="server runs"):
        await migrate(database)
    await database.close()


@pytest.mark.parametrize("busy", [3, 10**6])
def test_new_file_is_switched_to_wal_with_patience(
    busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite does not wait when another process switches it at the same moment; we do, for a while."""
    import sqlite3

    from plantroom_cloud import db

    monkeypatch.setattr("time.sleep", lambda _: None)

    class Cursor:
        left, mode = busy, "delete"

        def execute(self, statement: str) -> None:
            if "=" in statement:
                self.left -= 1
                if self.left > 0:
                    raise sqlite3.OperationalError
                self.mode = "wal"

        def fetchone(self) -> tuple[str]:
            return (self.mode,)

    cursor = Cursor()
    if busy == 3:
        db._use_wal(cursor)
        assert cursor.mode == "wal"
        return
    with pytest.raises(sqlite3.OperationalError):
        db._use_wal(cursor)
