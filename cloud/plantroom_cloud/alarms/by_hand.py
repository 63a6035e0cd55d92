"""Alarms from the command line, straight on the database: each call is one transaction."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import orjson
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.designing import ReceiverService, RuleService
from plantroom_cloud.alarms.flood import figures
from plantroom_cloud.alarms.keeping import Keeping
from plantroom_cloud.alarms.receivers import read_receiver
from plantroom_cloud.alarms.repository import (
    AlarmFilter,
    AlarmRepository,
    ReceiverRepository,
    RuleRepository,
)
from plantroom_cloud.alarms.rules import read_rule
from plantroom_cloud.alarms.schemas import State
from plantroom_cloud.alarms.service import AlarmService, no_alarm
from plantroom_cloud.alarms.showing import (
    show_alarm,
    show_event,
    show_figures,
    show_receiver,
    show_rule,
)
from plantroom_cloud.alarms.states import Act
from plantroom_cloud.audit import cli_user
from plantroom_cloud.config import load_settings
from plantroom_cloud.db import Scope, open_database
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.kit.outbound import Rules
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.problems import ApiError
from plantroom_cloud.kit.times import rfc3339
from plantroom_cloud.migrations import migrate
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, Unavailable

T = TypeVar("T")
_FIRST = Page(999, None)
_CLOCK = SystemClock()


def alarms(config: Path | None, company: str, state: str) -> list[dict[str, Any]]:
    """Return alarms; ConfigError where there is no such state."""
    if state and state not in {*get_args(State), "all"}:
        what, fix = f"there is no state {state[:40]!r}", f"use {', '.join(get_args(State))}"
        raise ConfigError(what, key="--state", fix=fix)

    async def do(session: AsyncSession, scope: Scope) -> list[dict[str, Any]]:
        rows = await AlarmRepository(session, scope).page(AlarmFilter(state=state or None), _FIRST)
        return [show_alarm(row) for row in rows]

    return _run(config, company, do)


def alarm(config: Path | None, company: str, number: int) -> dict[str, Any]:
    """Return an alarm with the newest of its history."""

    async def do(session: AsyncSession, scope: Scope) -> dict[str, Any]:
        repository = AlarmRepository(session, scope)
        row = await repository.find(number)
        if row is None:
            raise no_alarm(number)
        events = [show_event(one) for one in await repository.history(number, _FIRST)]
        plain: dict[str, Any] = orjson.loads(orjson.dumps({"history": events}))
        return show_alarm(row) | plain

    return _run(config, company, do)


def act(
    config: Path | None,
    company: str,
    what: str,
    numbers: Sequence[int],
    *,
    reason: str = "",
    seconds: float | None = None,
    to: str = "",
    text: str = "",
) -> list[dict[str, Any]]:
    """Do something with alarms, all or none, and return them as they are then."""
    if what in {"shelve", "remove"} and not reason.strip():
        empty, fix = "is empty", "say why: others must know"
        raise ConfigError(empty, key="--reason", fix=fix)

    async def one(service: AlarmService, number: int) -> Any:
        if what == "assign":
            return await service.assign(number, to, reason)
        if what == "note":
            return await service.note(number, text)
        return await service.act(number, Act(what), reason=reason, seconds=seconds)

    async def do(session: AsyncSession, scope: Scope) -> list[dict[str, Any]]:
        service = AlarmService(session, scope, _CLOCK, cli_user())
        return [show_alarm(await one(service, number)) for number in sorted(set(numbers))]

    return _run(config, company, do)


def figures_of(config: Path | None, company: str, hours: float, operators: int) -> dict[str, Any]:
    """Return the figures of the last hours."""
    end = _CLOCK.now_us()
    start = end - round(hours * 3600e6)

    async def do(session: AsyncSession, scope: Scope) -> dict[str, Any]:
        repository = AlarmRepository(session, scope)
        calls = await repository.calls(start, end, None)
        standing = await repository.standing(None)
        found = figures(calls, standing, start=start, end=end, operators=operators)
        named = {number for number, _ in (*found.top, *found.chattering, *found.stale)}
        return show_figures(found, await repository.titles(named), start, end, operators)

    return _run(config, company, do)


def rules(config: Path | None, company: str) -> list[dict[str, Any]]:
    """Return the rules."""

    async def do(session: AsyncSession, scope: Scope) -> list[dict[str, Any]]:
        rows = [show_rule(row) for row in await RuleRepository(session, scope).page(None, _FIRST)]
        about = ("name", "priority", "enabled")
        return [
            row
            | {name: row["rule"][name] for name in about}
            | {"kind": row["rule"]["when"]["kind"]}
            for row in rows
        ]

    return _run(config, company, do)


def add_rule(config: Path | None, company: str, file: Path) -> int:
    """Add a rule from a file and return its number."""
    says = _read(file, read_rule)

    async def do(session: AsyncSession, scope: Scope) -> int:
        service = RuleService(session, scope, _CLOCK, cli_user())
        return int((await service.add(says)).id)

    return _run(config, company, do)


def delete_rule(config: Path | None, company: str, rule: int) -> None:
    """Delete a rule."""

    async def do(session: AsyncSession, scope: Scope) -> None:
        await RuleService(session, scope, _CLOCK, cli_user()).delete(rule)

    _run(config, company, do)


def receivers(config: Path | None, company: str) -> list[dict[str, Any]]:
    """Return who is told."""

    async def do(session: AsyncSession, scope: Scope) -> list[dict[str, Any]]:
        rows = await ReceiverRepository(session, scope).page(_FIRST)
        about = ("name", "kind", "target")
        shown = [show_receiver(row) for row in rows]
        return [row | {name: row["receiver"][name] for name in about} for row in shown]

    return _run(config, company, do)


def add_receiver(config: Path | None, company: str, file: Path) -> tuple[int, str]:
    """Add a receiver from a file; return its number and the secret of a webhook."""
    wish = _read(file, read_receiver)

    async def do(session: AsyncSession, scope: Scope) -> tuple[int, str]:
        row, secret = await _receivers(config, session, scope).add(wish)
        return int(row.id), secret

    return _run(config, company, do)


def delete_receiver(config: Path | None, company: str, receiver: int) -> None:
    """Delete a receiver."""

    async def do(session: AsyncSession, scope: Scope) -> None:
        await _receivers(config, session, scope).delete(receiver)

    _run(config, company, do)


def _receivers(config: Path | None, session: AsyncSession, scope: Scope) -> ReceiverService:
    rules = Rules(load_settings(config).outbound)
    return ReceiverService(session, scope, _CLOCK, cli_user(), rules)


def keep(config: Path | None, company: str, days: int | None, *, inherit: bool) -> tuple[int, str]:
    """Set for how many days the history is kept, if told so; return the days and its beginning."""

    async def do(session: AsyncSession, scope: Scope) -> tuple[int, str]:
        keeping = Keeping(session, scope)
        if inherit or days is not None:
            await keeping.choose(None if inherit else days, cli_user())
        own, begins = await keeping.days()
        return load_settings(config).alarms.keep_days if own is None else own, rfc3339(
            begins
        ) if begins else ""

    return _run(config, company, do)


def _read(file: Path, read: Callable[[Any], T]) -> T:
    """Return what a JSON file says; ConfigError names the file, the key and what is wrong."""
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return read(orjson.loads(data))
    except OSError as error:
        what, fix = f"cannot be read: {error.strerror or error}", "check the path"
        raise ConfigError(what, file=str(file), fix=fix) from error
    except orjson.JSONDecodeError as error:
        what, fix = f"is no JSON: {error}", "see docs/alarms.md for examples"
        raise ConfigError(what, file=str(file), fix=fix) from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        fix = "see docs/alarms.md for examples"
        raise ConfigError(first["msg"], file=str(file), key=key, fix=fix) from error


def _run(config: Path | None, company: str, do: Callable[[AsyncSession, Scope], Awaitable[T]]) -> T:
    async def run() -> T:
        database = open_database(load_settings(config))
        try:
            await migrate(database)
            async with database.write(None) as session:
                return await do(session, await find_company(session, company))
        except ApiError as error:
            raise ConfigError(error.detail, key="alarm") from error
        except SQLAlchemyError as error:
            msg = f"the database does not answer: {error}"
            raise Unavailable(msg) from error
        finally:
            await database.close()

    return asyncio.run(run())
