"""The quarantine for whoever runs the service: each call is one transaction."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.audit import cli_user
from plantroom_cloud.config import load_settings
from plantroom_cloud.db import Scope, act_for, open_database
from plantroom_cloud.gateways.repository import find_owners
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.problems import InvalidRequest
from plantroom_cloud.migrations import migrate
from plantroom_cloud.quarantine.payloads import Correction, shown
from plantroom_cloud.quarantine.repository import STATES, QuarantineFilter, QuarantineRepository
from plantroom_cloud.quarantine.schemas import Release, show_decision, show_detail, show_row
from plantroom_cloud.quarantine.service import QuarantineService, held_of, no_row
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, Unavailable

T = TypeVar("T")


def list_rows(
    config: Path | None, gateway: str, reason: str, stream: str, *, state: str
) -> list[dict[str, Any]]:
    """Return a gateway's refused rows, the newest 1,000."""
    if state not in {*STATES, "all"}:
        what = f"there is no state {state[:40]!r}"
        raise ConfigError(what, key="--state", fix="use held, released, discarded or all")
    which = QuarantineFilter(reason or None, stream or None, None if state == "all" else state)

    async def read(session: AsyncSession, scope: Scope) -> list[dict[str, Any]]:
        rows = QuarantineRepository(session, scope)
        return [show_row(row) for row in await rows.page(gateway, which, Page(999, None))]

    return _for_gateway(config, gateway, read)


def one_row(config: Path | None, gateway: str, row: int) -> dict[str, Any]:
    """Return a refused row with what it says."""

    async def read(session: AsyncSession, scope: Scope) -> dict[str, Any]:
        rows = QuarantineRepository(session, scope)
        found = await rows.find(gateway, row)
        if found is None:
            raise no_row(gateway, row)
        held, content = held_of(found), shown(held_of(found))
        alias = content.get("p") if isinstance(content, dict) else None
        detail = show_detail(found, held, await rows.point(held, alias))
        return detail | {"content": content}

    return _for_gateway(config, gateway, read)


def release_row(
    config: Path | None, gateway: str, row: int, correction: Correction
) -> dict[str, Any]:
    """Store a refused row after all."""

    async def act(session: AsyncSession, scope: Scope) -> dict[str, Any]:
        service = QuarantineService(session, scope, SystemClock())
        return show_decision(await service.release(gateway, row, correction, cli_user()))

    return _for_gateway(config, gateway, act)


def discard_row(config: Path | None, gateway: str, row: int, reason: str) -> dict[str, Any]:
    """Give a refused row up."""
    if not reason.strip():
        what = "is empty"
        raise ConfigError(what, key="--reason", fix="say why they will never be stored")

    async def act(session: AsyncSession, scope: Scope) -> dict[str, Any]:
        service = QuarantineService(session, scope, SystemClock())
        return show_decision(await service.discard(gateway, row, reason, cli_user()))

    return _for_gateway(config, gateway, act)


def read_correction(shift: float, ts: str, value: str | None) -> Correction:
    """Return what is to be changed; ConfigError where that cannot be."""
    given: dict[str, Any] = {"shift": shift}
    if ts:
        given["ts"] = ts
    try:
        if value is not None:
            given["value"] = json.loads(value)
        return Release.model_validate(given).correction()
    except (ValidationError, InvalidRequest, ValueError) as error:
        what = "is none that can be applied"
        fix = "for example --shift -3600, --ts 2026-01-31T12:00:00Z, --value 21.5, --value '\"on\"'"
        raise ConfigError(what, key="correction", fix=fix) from error


def _for_gateway(
    config: Path | None,
    gateway: str,
    action: Callable[[AsyncSession, Scope], Awaitable[T]],
) -> T:
    """Run `action` for the owner of `gateway`, in one transaction."""

    async def run() -> T:
        database = open_database(load_settings(config))
        try:
            await migrate(database)
            async with database.write(None) as session:
                # The operator of the service may see every company's gateways.
                owner = (await find_owners(session, [gateway])).get(gateway)
                if owner is None:
                    what = f"there is no gateway {gateway[:64]!r}"
                    raise ConfigError(what, key="GATEWAY", fix="see 'plantroom-cloud account'")
                await act_for(session, owner.scope)
                return await action(session, owner.scope)
        except SQLAlchemyError as error:
            msg = f"the database does not answer: {error}"
            raise Unavailable(msg) from error
        finally:
            await database.close()

    return asyncio.run(run())
