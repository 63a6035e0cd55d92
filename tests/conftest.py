"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import functools
import gc
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import fastapi.dependencies.utils
import pytest
from hypothesis import HealthCheck, settings

from plantroom_cloud.db import Database
from support import coverage_greenlets, servers
from support.cloud_broker import BrokerProcess, reachable_folder
from support.scope_watch import watching

# How fast the machine is decides about nothing.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

coverage_greenlets.follow()

# Every application of a test makes two hundred routes anew; what their functions take stays the same.
_signature = fastapi.dependencies.utils._get_signature
fastapi.dependencies.utils._get_signature = functools.lru_cache(maxsize=4096)(_signature)


def pytest_collection_finish() -> None:
    """Keep the collector from looking again and again at what the imports have made."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def mosquitto() -> Path:
    """The Mosquitto binary; where there is none, the test fails with the command to get it."""
    return servers.find_mosquitto()


@pytest.fixture(params=["mosquitto", "embedded"], scope="module")
def broker(request: pytest.FixtureRequest) -> Iterator[BrokerProcess]:
    """A running broker with TLS and rights, once of each kind; it ends in order."""
    if request.param == "mosquitto":
        request.getfixturevalue("mosquitto")
    with reachable_folder() as folder:
        running = BrokerProcess(folder, request.param)
        running.start()
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """A private PostgreSQL for the whole run of this process."""
    with servers.start_postgres() as running:
        yield running


@pytest.fixture
def postgres_url(postgres: servers.Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file."""
    return servers.make_sqlite_template(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database of this test's own: once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        path = shutil.copy(template, tmp_path / "plantroom.db")
        yield f"sqlite+aiosqlite:///{path}"
        return
    with request.getfixturevalue("postgres").database(template=servers.TEMPLATE) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated, empty database: once SQLite, once PostgreSQL; no statement of it escapes."""
    async with servers.opened(database_url) as opened:
        with watching(opened) as watch:
            yield opened
        assert watch.escaped == []


@pytest.fixture
async def sqlite_database(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated, empty SQLite database, for tests that need no second engine."""
    path = shutil.copy(sqlite_template, tmp_path / "plantroom.db")
    async with servers.opened(f"sqlite+aiosqlite:///{path}") as opened:
        with watching(opened) as watch:
            yield opened
        assert watch.escaped == []
