"""``plantroom-cloud doctor``: what the settings choose, and whether it answers.

It makes what is missing of the data folder, puts a blob and takes it back, and changes nothing else.
Secrets are not shown.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import open_database
from plantroom_cloud.isolation.check import check_wall
from plantroom_cloud.kit.blobs_opening import opened_blobs, try_out
from plantroom_cloud.migrations import history
from plantroom_shared.errors import ConfigError, PlantroomError, Unavailable

PATIENCE: Final = 10.0
"""Seconds that each has to answer."""

Check = Callable[[CloudSettings], Awaitable[str]]
"""Returns what there is to say; raises `ConfigError` or `Unavailable`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one setting."""

    setting: str
    value: str
    ok: bool
    told: str
    milliseconds: float


async def examine(settings: CloudSettings) -> list[Finding]:
    """Return what the settings choose and whether that answers, each looked at by itself."""
    return [
        await _looked_at(settings, name, value(settings), check)
        for name, (value, check) in CHECKS.items()
    ]


async def _looked_at(settings: CloudSettings, name: str, value: str, check: Check) -> Finding:
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            ok, told = True, await check(settings)
    except TimeoutError:
        ok, told = False, f"no answer in {PATIENCE:.0f} s"
    except (PlantroomError, OSError) as error:
        ok, told = False, str(error)
    return Finding(name, value, ok, told, round((time.monotonic() - began) * 1000, 1))


# ------------------------------------------------------------ database


def _database_value(settings: CloudSettings) -> str:
    database = open_database(settings)
    return database.url.render_as_string(hide_password=True)


async def _database(settings: CloudSettings) -> str:
    database = open_database(settings)
    try:
        async with database.engine.connect() as connection:
            present = await connection.run_sync(_revision)
        newest = history().get_current_head()
        if present != newest:
            what = f"its tables are of revision {present or 'none'}, ours of {newest}"
            raise ConfigError(what, fix="run 'plantroom-cloud migrate'")
        await check_wall(database, settings)
    except SQLAlchemyError as error:
        msg = f"it does not answer: {type(error).__name__}; check the URL and that the server runs"
        raise Unavailable(msg) from error
    finally:
        await database.close()
    return f"answers, revision {present}"


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


# ------------------------------------------------------------ Redis


async def over_redis(settings: CloudSettings) -> str:
    """Say that Redis answers, and which."""
    if importlib.util.find_spec("redis") is None:
        what = "the package redis is not installed"
        raise ConfigError(what, fix="install plantroom[cloud,celery]")
    from redis.asyncio import Redis  # noqa: PLC0415 - an extra
    from redis.exceptions import RedisError  # noqa: PLC0415 - an extra

    client = Redis.from_url(
        settings.redis.get_secret_value(), socket_connect_timeout=5.0, socket_timeout=5.0
    )
    try:
        about = await client.info("server")
    except (RedisError, OSError) as error:
        msg = f"Redis does not answer: {type(error).__name__}; check redis"
        raise Unavailable(msg) from error
    finally:
        await client.aclose()
    return f"Redis {about.get('redis_version', '?')} answers"


async def _jobs(settings: CloudSettings) -> str:
    if settings.jobs == "embedded":
        return "done by `plantroom-cloud worker`, or `serve`"
    if importlib.util.find_spec("celery") is None:
        what = "Celery is not installed"
        raise ConfigError(what, fix="install plantroom[cloud,celery], or say jobs: embedded")
    return await over_redis(settings)


async def _bus(settings: CloudSettings) -> str:
    if settings.live.bus == "memory":
        return "within one process: `plantroom-cloud serve`"
    return await over_redis(settings)


async def _cache(settings: CloudSettings) -> str:
    if settings.cache == "memory":
        return "each process for itself"
    return await over_redis(settings)


# ------------------------------------------------------------ blobs, broker


async def _blobs(settings: CloudSettings) -> str:
    async with opened_blobs(settings) as blobs:
        await try_out(blobs)
        return f"put, read and deleted in {blobs.where}"


async def _broker(settings: CloudSettings) -> str:
    host, port = settings.mqtt.host, settings.mqtt.port
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        msg = f"it does not answer: {error.strerror or error}; start `plantroom-cloud broker`"
        raise Unavailable(msg) from error
    writer.close()
    await writer.wait_closed()
    return "takes connections"


CHECKS: Final[dict[str, tuple[Callable[[CloudSettings], str], Check]]] = {
    "database": (_database_value, _database),
    "jobs": (lambda settings: settings.jobs, _jobs),
    "live.bus": (lambda settings: settings.live.bus, _bus),
    "cache": (lambda settings: settings.cache, _cache),
    "blobs": (lambda settings: settings.blobs or str(settings.data / "blobs"), _blobs),
    "mqtt": (lambda settings: f"{settings.mqtt.host}:{settings.mqtt.port}", _broker),
}
"""Setting → what it is, for people, and its check."""
