"""Commands from the command line, straight on the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.commands.repository import CommandRepository
from plantroom_cloud.commands.schemas import CommandIn, show_command
from plantroom_cloud.commands.service import CommandService
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Scope, open_database
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.migrations import migrate
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError

T = TypeVar("T")


def value_of(text: str) -> Any:
    """Return the value that somebody typed: a number, true, false, or else a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


def allow(settings: CloudSettings, company: str, gateway: str, *, writes: bool) -> None:
    """Say whether commands may be given to `gateway`; ConfigError if the company has none such."""

    async def do(session: AsyncSession, scope: Scope) -> bool:
        found = await CommandRepository(session, scope).allow(gateway, writes=writes)
        if found:
            audit.record(
                session,
                scope,
                who=audit.cli_user(),
                action="gateway.writes",
                subject=f"gateway/{gateway}",
                after={"writes": writes},
            )
        return found

    if not _run(settings, company, do):
        what = f"company {company} has no gateway {gateway[:40]!r}"
        raise ConfigError(what, key="gateway", fix="`plantroom-cloud gateway add` makes one")


def send(settings: CloudSettings, company: str, point: int, asked: CommandIn) -> str:
    """Give a command and return its id."""

    async def do(session: AsyncSession, scope: Scope) -> str:
        service = CommandService(session, scope, SystemClock())
        return await service.give(point, asked, audit.cli_user())

    return _run(settings, company, do)


def show(settings: CloudSettings, company: str, command: str) -> dict[str, Any]:
    """Return a command and what became of it; ConfigError if the company has none such."""

    async def do(session: AsyncSession, scope: Scope) -> dict[str, Any] | None:
        repository = CommandRepository(session, scope)
        row = await repository.find(command)
        return show_command(row, await repository.events(command)) if row else None

    found = _run(settings, company, do)
    if found is None:
        what = f"company {company} has no command {command[:64]!r}"
        raise ConfigError(what, key="command", fix="check the id that `command send` printed")
    return found


def _run(
    settings: CloudSettings, company: str, do: Callable[[AsyncSession, Scope], Awaitable[T]]
) -> T:
    async def run() -> T:
        database = open_database(settings)
        try:
            await migrate(database)
            async with database.write(None) as session:
                return await do(session, await find_company(session, company))
        finally:
            await database.close()

    return asyncio.run(run())
