"""The loss account for whoever runs the service: all of it, a site's, or one gateway's."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from plantroom_cloud.config import load_settings
from plantroom_cloud.db import Database, ReadSession, act_for, open_database
from plantroom_cloud.gateways.account import (
    Delivery,
    LossAccount,
    accounts,
    deliveries,
    explain,
)
from plantroom_cloud.gateways.books import gateways_of
from plantroom_cloud.gateways.provision import find_site
from plantroom_cloud.gateways.schemas import show_account, show_brief, show_site
from plantroom_cloud.isolation.lookups import companies
from plantroom_cloud.licensing.limits import pause
from plantroom_cloud.migrations import migrate
from plantroom_shared import wire
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, Unavailable

_COLUMNS: Final = (
    "accepted",
    "stored",
    "quarantined",
    "gaps",
    "on_edge",
    "duplicates",
    "difference",
    "balanced",
)


@dataclass(frozen=True, slots=True)
class _Asked:
    gateway: str
    site: str
    company: str
    stream: str


@dataclass(frozen=True, slots=True)
class _Found:
    """Accounts of one company's gateways, read at one moment."""

    site: int | None
    parts: list[tuple[LossAccount, Delivery]]
    paused: dict[str, str] = field(default_factory=dict)
    """Gateway → why nothing of it is published at the moment."""


def show_accounts(
    config: Path | None, gateway: str, site: str, company: str, *, stream: str, as_json: bool
) -> bool:
    """Print the accounts that are asked for; say whether all of them balance."""
    if stream not in wire.STREAMS:
        what = f"there is no stream {stream[:40]!r}"
        raise ConfigError(what, key="--stream", fix="use tel or evt, aud or cmd")
    now_us = SystemClock().now_us()
    asked = _Asked(gateway, site, company, stream)
    found = asyncio.run(_in_snapshot(open_database(load_settings(config)), asked))
    if as_json:
        typer.echo(json.dumps(_document(asked, found, now_us)))
    else:
        _print(asked, found, now_us)
    return all(books.balanced for books, _ in found.parts)


async def _in_snapshot(database: Database, asked: _Asked) -> _Found:
    try:
        await migrate(database)
        async with database.read(None) as session:
            return await _read(session, asked)
    except SQLAlchemyError as error:
        msg = f"the database does not answer: {error}"
        raise Unavailable(msg) from error
    finally:
        await database.close()


async def _read(session: ReadSession, asked: _Asked) -> _Found:
    site: int | None = None
    if asked.site:
        scope, site = await find_site(session, asked.site, asked.company)
        owners = [scope]
    else:
        # The operator of the service may see every company's gateways.
        owners = await companies(session)
    parts: list[tuple[LossAccount, Delivery]] = []
    paused: dict[str, str] = {}
    for scope in owners:
        await act_for(session, scope)
        ids = await gateways_of(session, scope, site=site, gateway=asked.gateway or None)
        books = await accounts(session, scope, ids, asked.stream)
        if why := await pause(session, scope, SystemClock().now_us()):
            paused |= dict.fromkeys(ids, why)
        parts += zip(books, await deliveries(session, scope, ids, asked.stream), strict=True)
    if asked.gateway and not parts:
        what = f"there is no gateway {asked.gateway[:64]!r}"
        raise ConfigError(what, key="gateway", fix="see 'plantroom-cloud gateway add --help'")
    return _Found(site, parts, paused)


def _document(asked: _Asked, found: _Found, now_us: int) -> dict[str, Any]:
    if asked.gateway:
        ((books, delivery),) = found.parts
        document = show_account(books, delivery, [], now_us)
        del document["gap_list"]  # GET /v1/gateways/{id}/gaps lists them
        return document
    if found.site is not None:
        return show_site(found.site, asked.stream, found.parts, now_us)
    brief = [show_brief(books, delivery, now_us) for books, delivery in found.parts]
    return {"stream": asked.stream, "gateways": brief}


def _print(asked: _Asked, found: _Found, now_us: int) -> None:
    wide = None if sys.stdout.isatty() else 140
    console = Console(width=wide)
    first = "epoch" if asked.gateway else "gateway"
    table = Table(*(first, *(name.replace("_", " ") for name in _COLUMNS)))
    for books, _ in found.parts:
        for epoch in books.epochs if asked.gateway else ():
            table.add_row(epoch.epoch, *(str(getattr(epoch, name)) for name in _COLUMNS))
        name = "all" if asked.gateway else books.gateway
        table.add_section()
        table.add_row(name, *(str(getattr(books, column)) for column in _COLUMNS))
    console.print(table)
    for books, delivery in found.parts:
        told = " · ".join(_told(books, delivery, now_us))
        if why := found.paused.get(books.gateway):
            told += f" · publishing pauses: {why}"
        console.print(f"{books.gateway}: {told}", markup=False, highlight=False, soft_wrap=True)


def _told(books: LossAccount, delivery: Delivery, now_us: int) -> list[str]:
    """Return what a person should know beside the numbers."""
    told = ["online" if delivery.online else "offline"]
    told.append(f"reported {_ago(books.as_of_us, now_us)}")
    told.append(f"newest sample {_ago(delivery.newest_us, now_us)}")
    if delivery.oldest_us is not None:
        told.append(f"oldest unsent {_ago(delivery.oldest_us, now_us)}")
    if delivery.clock_state:
        told.append(f"clock {delivery.clock_state}")
    if delivery.clock_skew_us is not None:
        told.append(f"skew {delivery.clock_skew_us / 1e6:+.3f} s")
    told += [f"lost by {cause}: {rows}" for cause, rows in delivery.causes.items()]
    told += [f"ALARM {alarm.kind} ({alarm.count})" for alarm in delivery.alarms]
    if why := explain(books.epochs, now_us):
        told.append(why)
    return told


def _ago(us: int | None, now_us: int) -> str:
    return "never" if us is None else f"{max(0, now_us - us) / 1e6:.1f} s ago"
