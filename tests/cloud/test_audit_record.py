"""Acts are recorded with what they do, in one chain per company."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase

from plantroom_cloud import audit
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.tables import AuditHead, AuditRow, AuditSignature, Company, Site
from support.api_world import NOW
from support.servers import as_owner

WHO = Principal(1, "key", 5, "first key")


async def _company(database: Database, slug: str = "acme") -> Scope:
    async with as_owner(database).write() as session:
        company = Company(slug=slug, name=slug, created_us=NOW)
        session.add(company)
        await session.flush()
        return Scope(company.id)


async def _rows(database: Database, scope: Scope) -> list[Any]:
    async with as_owner(database).read() as session:
        mine = select(AuditRow).where(AuditRow.company_id == scope.company_id)
        return list((await session.execute(mine.order_by(AuditRow.n))).scalars())


async def test_acts_are_chained_without_gaps(database: Database) -> None:
    """Several acts, in one transaction and in many, are numbered from 1 and each hash follows."""
    scope = await _company(database)
    for times in (1, 3, 2):
        async with database.write(scope) as session:
            for _ in range(times):
                audit.record(session, scope, who=WHO, action="key.add", subject="key/7")
    rows = await _rows(database, scope)
    assert [row.n for row in rows] == [1, 2, 3, 4, 5, 6]
    last = "0" * 64
    for row in rows:
        assert row.prev == last
        last = hashlib.sha256(bytes.fromhex(last) + row.body.encode()).hexdigest()
        assert row.hash == last
        assert json.loads(row.body)["n"] == row.n
    async with as_owner(database).read() as session:
        head = (await session.execute(select(AuditHead))).scalar_one()
    assert (head.n, head.hash) == (6, last)


async def test_a_row_says_who_did_what(database: Database) -> None:
    """Who, what, before, after and the request stand in the row, and lists filter by some."""
    scope = await _company(database)
    async with database.write(scope) as session:
        audit.record(
            session,
            scope,
            who=WHO,
            action="site.rename",
            subject="site/3",
            before={"name": "old"},
            after={"name": "new"},
            request_id="r1",
        )
    (row,) = await _rows(database, scope)
    body = json.loads(row.body)
    assert body.pop("at_us") == row.at_us
    assert body == {
        "action": "site.rename",
        "actor": "key:5",
        "after": {"name": "new"},
        "before": {"name": "old"},
        "company": scope.company_id,
        "format": 1,
        "n": 1,
        "name": "first key",
        "request_id": "r1",
        "source": "",
        "subject": "site/3",
    }
    assert (row.actor, row.action, row.subject) == ("key:5", "site.rename", "site/3")
    assert row.request_id == "r1"


async def test_what_is_rolled_back_was_never_recorded(database: Database) -> None:
    """Neither a failed transaction nor a failed savepoint leaves a row; what stood before it does."""
    scope = await _company(database)

    async def fail() -> None:
        async with database.write(scope) as session:
            audit.record(session, scope, who="cli:a", action="site.add", subject="site/1")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await _rows(database, scope) == []

    async with database.write(scope) as session:
        audit.record(session, scope, who="cli:a", action="site.add", subject="site/before")
        with pytest.raises(KeyError):  # noqa: PT012 - the savepoint is what is tested
            async with session.begin_nested():
                audit.record(session, scope, who="cli:a", action="site.add", subject="site/taken")
                async with session.begin_nested():
                    audit.record(session, scope, who="cli:a", action="site.add", subject="site/in")
                raise KeyError
        async with session.begin_nested():
            audit.record(session, scope, who="cli:a", action="site.add", subject="site/after")
    assert [row.subject for row in await _rows(database, scope)] == ["site/before", "site/after"]


async def test_a_failed_flush_in_a_savepoint_costs_only_that(database: Database) -> None:
    """What was recorded before a savepoint whose flush fails is still written."""
    scope = await _company(database)
    async with database.write(scope) as session:
        audit.record(session, scope, who="cli:a", action="site.add", subject="site/before")
        with pytest.raises(DBAPIError):  # noqa: PT012 - the savepoint is what is tested
            async with session.begin_nested():
                audit.record(session, scope, who="cli:a", action="site.add", subject="site/taken")
                own = {"company_id": scope.company_id, "timezone": "UTC", "created_us": NOW}
                session.add_all(Site(slug="tower", name=name, **own) for name in "ab")
                await session.flush()
    assert [row.subject for row in await _rows(database, scope)] == ["site/before"]


async def test_companies_have_chains_of_their_own(database: Database) -> None:
    """Two companies that act at once each count from 1, many times over, and nothing is lost."""
    scopes = [await _company(database, slug) for slug in ("acme", "rival")]

    async def act(scope: Scope, turn: int) -> None:
        async with database.write(scope) as session:
            audit.record(session, scope, who="cli:a", action="site.add", subject=f"site/{turn}")

    async with asyncio.timeout(60):
        await asyncio.gather(*(act(scope, turn) for turn in range(20) for scope in scopes))
    for scope in scopes:
        rows = await _rows(database, scope)
        assert [row.n for row in rows] == list(range(1, 21))
        assert {row.subject for row in rows} == {f"site/{turn}" for turn in range(20)}
        assert [row.prev for row in rows[1:]] == [row.hash for row in rows[:-1]]


@pytest.mark.parametrize("table", [AuditRow, AuditSignature])
async def test_rows_are_never_changed(database: Database, table: type[DeclarativeBase]) -> None:
    """The database itself refuses to change or remove what the audit holds."""
    scope = await _company(database)
    own = {"company_id": scope.company_id, "n": 1, "at_us": NOW, "body": "{}"}
    async with database.write(scope) as session:
        audit.record(session, scope, who="cli:a", action="site.add", subject="site/1")
        await session.execute(insert(AuditSignature), [own | {"key_id": "", "signature": ""}])
    for change in (update(table).values(body="x"), delete(table)):
        with pytest.raises(DBAPIError, match="append-only"):
            async with as_owner(database).write() as session:
                await session.execute(change)
    if not database.is_sqlite:
        for whose, why in (
            (as_owner(database).write(), "append-only"),
            (database.write(scope), "denied"),
        ):
            with pytest.raises(DBAPIError, match=why):
                async with whose as session:
                    await session.execute(text(f"TRUNCATE {table.__tablename__}"))


async def test_an_action_is_a_noun_and_a_verb(sqlite_database: Database) -> None:
    """An action written otherwise is a mistake of the caller's, told at once."""
    scope = await _company(sqlite_database)
    async with as_owner(sqlite_database).write() as session:
        for action in ("", "add", "Key.add", "key.", "key add", "key.add\n", "a." + "b" * 100):
            with pytest.raises(ValueError, match="noun"):
                audit.record(session, scope, who="cli:a", action=action, subject="x")
    assert await _rows(sqlite_database, scope) == []
