"""Listens to what the API writes, and says which transaction did so without an audit record."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
from fastapi import FastAPI
from sqlalchemy import Delete, Insert, Table, TextClause, Update, event

from plantroom_cloud.api import PUBLIC
from plantroom_cloud.db import Database
from support.api_routes import Route, all_routes
from support.api_tokens import headers_for
from support.api_world import Tenant

AUDIT: Final = "audit_row"
NOTES: Final = {
    "api_key.last_used_us": "when a key was used last, once a minute",
    "user_session.used_us": "when a session was used last",
    "usage_day": "how many requests there were, every few seconds",
    "oidc_flow": "that somebody was sent to an identity provider, until that one comes back",
    "live_ticket": "opens one connection within seconds, for whoever asks",
    "login_backoff": "counts wrong passwords of an address, to slow it down",
}
"""Columns, and tables, that say something of the request itself, whatever it asks for, and why that is no act."""
_WRITES: Final = re.compile(r"\s*(insert\s+into|update|delete\s+from)\s+(\w+)", re.IGNORECASE)


@contextmanager
def watching(db: Database) -> Iterator[list[frozenset[str]]]:
    """Yield a list that fills with what each transaction of `db` wrote: tables, or columns."""
    engine, writing = db.engine.sync_engine, defaultdict[int, set[str]](set)
    done: list[frozenset[str]] = []

    def hear(connection: Any, statement: Any, *_rest: Any) -> None:
        writing[id(connection)] |= _written(statement)

    def commit(connection: Any) -> None:
        if what := writing.pop(id(connection), None):
            done.append(frozenset(what))

    def rollback(connection: Any) -> None:
        writing.pop(id(connection), None)

    listeners: dict[str, Callable[..., None]] = {
        "before_execute": hear,
        "commit": commit,
        "rollback": rollback,
    }
    for name, listener in listeners.items():
        event.listen(engine, name, listener)
    try:
        yield done
    finally:
        for name, listener in listeners.items():
            event.remove(engine, name, listener)


def _written(statement: Any) -> set[str]:
    if isinstance(statement, TextClause):
        found = _WRITES.match(statement.text)
        return {found[2].lower()} if found else set()
    if not isinstance(statement, Insert | Update | Delete):
        return set()
    table = statement.table
    assert isinstance(table, Table)
    values = getattr(statement, "_values", None) or {}
    columns = {f"{table.name}.{getattr(column, 'key', column)}" for column in values}
    only_notes = isinstance(statement, Update) and columns and columns <= NOTES.keys()
    return columns if only_notes else {table.name}


def unaudited(transactions: list[frozenset[str]]) -> list[str]:
    """Return what was written by transactions that hold no audit record."""
    bare = [written - NOTES.keys() for written in transactions if AUDIT not in written]
    return sorted({", ".join(sorted(tables)) for tables in bare if tables})


async def acts_without_record(
    app: FastAPI, db: Database, tenant: Tenant, client: httpx.AsyncClient
) -> tuple[list[str], set[str]]:
    """Call every route; return those that wrote without a record, and those that wrote with one."""
    wrong, right = [], set()
    routes = [
        route for route in all_routes(app) if route.path not in PUBLIC and not route.is_stream
    ]
    # A job is resumed before it is cancelled: what is so already is no act.
    for route in sorted(routes, key=lambda route: (route.late, route.path.endswith("/cancel"))):
        headers = await headers_for(route, app, tenant)
        with watching(db) as transactions:
            await _call(route, tenant, client, headers)
        name = f"{route.method} {route.path}"
        wrong += [f"{name} writes {tables} unaudited" for tables in unaudited(transactions)]
        if any(AUDIT in written for written in transactions):
            right.add(name)
    return wrong, right


async def _call(
    route: Route, tenant: Tenant, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    url, body = route.url(tenant), route.body
    answer = await client.request(route.method, url, json=body, headers=headers)
    assert answer.status_code < 400, f"{route.method} {route.path}: {answer.text}"
    if route.path.endswith("/import") and "plan" in answer.json():
        # What is shown first is done when it is asked for by its name.
        url = f"{url}?apply={answer.json()['plan']}"
        answer = await client.request(route.method, url, json=body, headers=headers)
        assert answer.status_code < 400, f"{route.method} {route.path}: {answer.text}"
