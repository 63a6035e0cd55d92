"""Plans from the command line: asked for here, made and carried out by the running worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from plantroom_cloud.audit import cli_user
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope, open_database
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.kit.problems import ApiError
from plantroom_cloud.migrations import migrate
from plantroom_cloud.publishing.plans import OPEN, PlanRepository
from plantroom_cloud.publishing.schemas import show_plan
from plantroom_cloud.publishing.service import PublishingService
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError

T = TypeVar("T")
_LOOK: Final = 0.5
"""Seconds between two looks at what the worker has done."""


def status(settings: CloudSettings, company: str, site: str) -> dict[str, Any]:
    """Return what the publishing of a site has come to."""

    async def do(service: PublishingService, site_id: int) -> dict[str, Any]:
        return await service.status(site_id)

    return asyncio.run(_once(settings, company, site, do))


def plan(settings: CloudSettings, company: str, site: str, wait: float) -> dict[str, Any]:
    """Ask for a plan of a site and return it once it is made, or as it is after `wait` seconds."""

    async def do(service: PublishingService, site_id: int) -> int:
        return (await service.ask(site_id, _who())).id

    return asyncio.run(_followed(settings, company, site, do, wait))


def apply(  # noqa: PLR0917 - the command's own options
    settings: CloudSettings,
    company: str,
    site: str,
    plan_id: int | None,
    left_out: Sequence[str],
    wait: float,
) -> dict[str, Any]:
    """Give the word for a plan and return it once it is done, or as it is after `wait` seconds."""

    async def do(service: PublishingService, site_id: int) -> int:
        return (await service.approve(site_id, plan_id, _who(), left_out)).id

    return asyncio.run(_followed(settings, company, site, do, wait))


def _who() -> str:
    return cli_user()


async def _once(
    settings: CloudSettings,
    company: str,
    site: str,
    do: Callable[[PublishingService, int], Awaitable[T]],
) -> T:
    database = open_database(settings)
    try:
        await migrate(database)
        return (await _in(database, company, site, do))[0]
    finally:
        await database.close()


async def _in(
    database: Database,
    company: str,
    site: str,
    do: Callable[[PublishingService, int], Awaitable[T]],
) -> tuple[T, Scope]:
    async with database.write(None) as session:
        scope = await find_company(session, company)
        site_id = await PlanRepository(session, scope).site_id(site)
        if site_id is None:
            what = f"company {company} has no site {site[:64]!r}"
            raise ConfigError(what, key="site", fix="`plantroom-cloud site add` makes one")
        try:
            return await do(PublishingService(session, scope, SystemClock()), site_id), scope
        except ApiError as error:
            fix = "`plantroom-cloud publish plan` asks for one"
            raise ConfigError(error.detail, key="plan", fix=fix) from error


async def _followed(
    settings: CloudSettings,
    company: str,
    site: str,
    do: Callable[[PublishingService, int], Awaitable[int]],
    wait: float,
) -> dict[str, Any]:
    """Do something to a plan and watch it until the worker has nothing left to do for it."""
    database = open_database(settings)
    try:
        await migrate(database)
        plan_id, scope = await _in(database, company, site, do)
        until = time.monotonic() + wait
        while True:
            async with database.read(scope) as session:
                row = await PlanRepository(session, scope).get(plan_id)
            assert row is not None  # noqa: S101 -- plans are never deleted
            if row.state not in OPEN or time.monotonic() >= until:
                return show_plan(row)
            await asyncio.sleep(_LOOK)
    finally:
        await database.close()
