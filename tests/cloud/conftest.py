"""Fixtures of the API's tests: two companies, the application, a client for each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from plantroom_cloud.db import Database
from support.api_world import Stopped, Tenant, client_of, make_app, seed


@pytest.fixture
def clock() -> Stopped:
    """A clock that stands at 2026-01-31T12:00:00Z until told otherwise."""
    return Stopped()


@pytest.fixture
def api(database: Database, clock: Stopped) -> FastAPI:
    """The real application over an empty database: once SQLite, once PostgreSQL."""
    return make_app(database, clock)


@pytest.fixture
async def acme(database: Database) -> Tenant:
    """A company with one of everything."""
    return await seed(database, "acme")


@pytest.fixture
async def rival(database: Database) -> Tenant:
    """Another company with the same."""
    return await seed(database, "rival")


@pytest.fixture
async def client(api: FastAPI, acme: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key of `acme`."""
    async with client_of(api, headers=acme.headers) as opened:
        yield opened


@pytest.fixture
async def anonymous(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with client_of(api) as opened:
        yield opened


@pytest.fixture
async def acme_on_sqlite(sqlite_database: Database) -> Tenant:
    """A company with one of everything, for tests that need no second engine."""
    return await seed(sqlite_database, "acme")
