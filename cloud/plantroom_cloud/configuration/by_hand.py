"""Desired configurations from the command line, straight on the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.configuration.message import Wish
from plantroom_cloud.configuration.rollout_service import RolloutService, Waves
from plantroom_cloud.configuration.schemas import (
    show_configuration,
    show_detail,
    show_difference,
    show_rollout_detail,
    show_version,
)
from plantroom_cloud.configuration.words import faults
from plantroom_cloud.db import Scope, open_database
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.problems import ApiError
from plantroom_cloud.migrations import migrate
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError
from plantroom_shared.wire import SECTIONS

T = TypeVar("T")


def read_document(file: Path) -> dict[str, Any]:
    """Return the sections of a YAML file that a version may have: a site's file will do."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        what = f"it cannot be read: {error}"
        raise ConfigError(what, file=str(file), fix="name a YAML file") from error
    if not isinstance(content, dict):
        what = "it must be a mapping of sections"
        fix = f"write one or more of: {', '.join(SECTIONS)}"
        raise ConfigError(what, file=str(file), fix=fix)
    document = {key: content[key] for key in SECTIONS if key in content}
    for key, wrong in faults(document):
        raise ConfigError(wrong, file=str(file), key=key)
    return document


def wish(why: str = "", *, force: bool = False) -> Wish:
    """Return that whoever works here wants something."""
    return Wish(audit.cli_user(), why, force)


def show(settings: CloudSettings, company: str, gateway: str) -> dict[str, Any]:
    """Return a gateway's configuration at a glance."""

    async def do(service: RolloutService) -> dict[str, Any]:
        found, rows = await service.gateway(gateway), service.rows
        newest, desired = await rows.newest(gateway), await rows.latest(gateway)
        return show_configuration(found, newest, desired, await rows.running(gateway))

    return _run(settings, company, do)


def versions(settings: CloudSettings, company: str, gateway: str) -> list[dict[str, Any]]:
    """Return the last versions of a gateway."""

    async def do(service: RolloutService) -> list[dict[str, Any]]:
        await service.gateway(gateway)
        return [show_version(row) for row in await service.rows.versions(gateway, Page(100, None))]

    return _run(settings, company, do)


def get(settings: CloudSettings, company: str, gateway: str, which: str) -> dict[str, Any]:
    """Return the document of a version, or what is ``running``."""

    async def do(service: RolloutService) -> dict[str, Any]:
        return dict(await service.document(gateway, which))

    return _run(settings, company, do)


def put(
    settings: CloudSettings, company: str, gateway: str, document: dict[str, Any], why: str
) -> int:
    """Keep a new version and return its number."""

    async def do(service: RolloutService) -> int:
        return await service.add(gateway, document, wish(why))

    return _run(settings, company, do)


def diff(
    settings: CloudSettings, company: str, gateway: str, old: str, new: str
) -> tuple[list[dict[str, str]], int, int]:
    """Return what differs, how many points go away, and how many there are."""

    async def do(service: RolloutService) -> tuple[list[dict[str, str]], int, int]:
        before = await service.document(gateway, old)
        after = await service.document(gateway, new)
        found, dropped, of = await service.compare(gateway, before, after)
        return [show_difference(one) for one in found], dropped, of

    return _run(settings, company, do)


def stage(
    settings: CloudSettings, company: str, gateway: str, version: int, wanted: Wish
) -> dict[str, Any]:
    """Have a gateway get a version; return the assignment."""

    async def do(service: RolloutService) -> dict[str, Any]:
        ident = await service.stage(gateway, version, wanted)
        return show_detail(await service.assignment(ident), await service.rows.events(ident))

    return _run(settings, company, do)


def roll_out(  # noqa: PLR0917 -- what the command takes
    settings: CloudSettings,
    company: str,
    gateways: Sequence[str],
    wanted: Wish,
    waves: Waves,
    source: tuple[str, int] | None,
) -> dict[str, Any]:
    """Stage a change for several gateways, all of the company where none is named."""

    async def do(service: RolloutService) -> dict[str, Any]:
        chosen = list(gateways) or await service.rows.gateways(None)
        ident = await service.roll_out(chosen, wanted, waves, source=source)
        return show_rollout_detail(
            await service.rollout(ident), await service.rows.of_rollout(ident)
        )

    return _run(settings, company, do)


def rollout(settings: CloudSettings, company: str, ident: str) -> dict[str, Any]:
    """Return a rollout with its gateways."""

    async def do(service: RolloutService) -> dict[str, Any]:
        row = await service.rollout(ident)
        return show_rollout_detail(row, await service.rows.of_rollout(ident))

    return _run(settings, company, do)


def _run(settings: CloudSettings, company: str, do: Callable[[RolloutService], Awaitable[T]]) -> T:
    async def within(session: AsyncSession, scope: Scope) -> T:
        try:
            return await do(RolloutService(session, scope, SystemClock()))
        except ApiError as error:
            raise ConfigError(error.title, fix=error.detail) from error

    async def run() -> T:
        database = open_database(settings)
        try:
            await migrate(database)
            async with database.write(None) as session:
                return await within(session, await find_company(session, company))
        finally:
            await database.close()

    return asyncio.run(run())
