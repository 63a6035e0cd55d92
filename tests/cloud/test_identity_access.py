"""Keys: who gets in, who no longer does, and what is noted about it."""

from __future__ import annotations

import logging

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from plantroom_cloud.db import Database
from plantroom_cloud.identity import keys
from plantroom_cloud.tables import ApiKey
from support.api_world import MINUTE, NOW, Stopped, Tenant, client_of
from support.servers import as_owner


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """One engine is enough here: no SQL of these tests differs."""
    return sqlite_database


async def _last_used(database: Database, tenant: Tenant) -> int | None:
    async with as_owner(database).read() as session:
        query = select(ApiKey.last_used_us).where(ApiKey.id == tenant.key_id)
        return (await session.execute(query)).scalar_one()


async def test_a_key_in_either_header(anonymous: httpx.AsyncClient, acme: Tenant) -> None:
    """Bearer and X-API-Key both open; the scheme's case does not matter."""
    for headers in (
        {"Authorization": f"Bearer {acme.key}"},
        {"Authorization": f"bearer {acme.key}"},
        {"X-API-Key": acme.key},
    ):
        assert (await anonymous.get("/v1/sites", headers=headers)).status_code == 200


async def test_what_is_no_key_is_a_401(anonymous: httpx.AsyncClient, acme: Tenant) -> None:
    """Unknown, mangled, endless and wrongly carried keys all get the same answer."""
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {acme.key}"},
        {"Authorization": f"Bearer {acme.key}x"},
        {"Authorization": f"Bearer {acme.key[:-1]}"},
        {"Authorization": f"Bearer {keys.new_key().plain}"},
        {"X-API-Key": "x" * 5000},
        {"X-API-Key": keys.digest(acme.key)},
        {b"X-API-Key": b"\xff\xfe"},
        {"Authorization": "Bearer wrong", "X-API-Key": acme.key},
    ):
        answer = await anonymous.get("/v1/sites", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "key" not in str(answer.request.url)
    assert (await anonymous.get("/v1/sites", params={"key": acme.key})).status_code == 401


async def test_a_revoked_key_is_out_at_once(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Between two requests a key can be revoked, and the second gets a 401."""
    assert (await client.get("/v1/sites")).status_code == 200
    async with as_owner(database).write() as session:
        which = ApiKey.id == acme.key_id
        await session.execute(update(ApiKey).where(which).values(revoked_us=NOW))
    assert (await client.get("/v1/sites")).status_code == 401


async def test_use_is_noted_at_most_once_a_minute(
    api: FastAPI, client: httpx.AsyncClient, database: Database, acme: Tenant, clock: Stopped
) -> None:
    """The first use is noted, then none for a minute, then the next; by another process too."""
    assert await _last_used(database, acme) is None
    await client.get("/v1/sites")
    assert await _last_used(database, acme) == NOW
    clock.now = NOW + MINUTE - 1
    await client.get("/v1/sites")
    assert await _last_used(database, acme) == NOW
    clock.now = NOW + MINUTE
    await client.get("/v1/sites")
    assert await _last_used(database, acme) == NOW + MINUTE
    from support.api_world import make_app

    async with client_of(make_app(database, clock), headers=acme.headers) as other:
        clock.now += MINUTE // 2
        await other.get("/v1/sites")
    assert await _last_used(database, acme) == NOW + MINUTE


async def test_many_requests_at_once_note_one_use(
    api: FastAPI, database: Database, acme: Tenant
) -> None:
    """Requests that arrive together write once."""
    from plantroom_cloud.db import Scope

    service = api.state.gate
    await service.note_use(Scope(acme.company), acme.key_id)
    async with as_owner(database).write() as session:
        await session.execute(update(ApiKey).values(last_used_us=None))
    await service.note_use(Scope(acme.company), acme.key_id)
    assert await _last_used(database, acme) is None


async def test_a_busy_database_costs_only_the_note(
    client: httpx.AsyncClient,
    database: Database,
    acme: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If the use of a key cannot be written down, the answer is given all the same."""

    def busy(_whose: object) -> None:
        statement = "UPDATE"
        raise OperationalError(statement, {}, Exception("database is locked"))

    monkeypatch.setattr(database, "write", busy)
    assert (await client.get("/v1/sites")).status_code == 200
    warned = [item for item in caplog.records if item.levelno == logging.WARNING]
    assert [item.getMessage() for item in warned] == ["use of a key not noted"]
    assert acme.key not in caplog.text


async def test_no_usable_key_lies_in_the_database(database: Database, acme: Tenant) -> None:
    """The table holds a digest and the first characters, never the key."""
    async with as_owner(database).read() as session:
        row = (await session.execute(select(ApiKey).where(ApiKey.id == acme.key_id))).scalar_one()
    texts = [value for value in vars(row).values() if isinstance(value, str)]
    assert acme.key not in texts
    assert row.digest == keys.digest(acme.key)
    assert acme.key.startswith(row.prefix)
