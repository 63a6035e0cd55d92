"""Lists are filtered and sorted by indices: no route reads a whole table or sorts what it found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from plantroom_cloud.db import Database
from support.api_routes import all_routes
from support.api_world import Tenant
from support.servers import as_owner

VALUES: dict[str, Any] = {
    "from": "2026-01-01T00:00:00Z", "to": "2026-01-31T12:00:00Z", "q": "temp", "state": "open",
    "open": "true", "stream": "tel", "cause": "quota", "reason": "schema", "min_confidence": "0.5",
    "equip_class": "AHU", "point_class": "AHU", "model": "x", "device": 1, "building": 0,
    "ended": "true", "action": "key.add", "actor": "key:1", "request": "r", "subject": "key/1",
    "kind": "x", "rule": 1, "severity": "error", "assignee": "Ada", "priority": "high", "all": "true",
}  # fmt: skip
STATES = {
    "/v1/mappings": "proposed", "/v1/gateways/{gateway}/quarantine": "held",
    "/v1/alarms": "shelved", "/v1/alarm-receivers/{receiver}/notices": "sent",
    "/v1/webhooks/{webhook}/deliveries": "dead",
}  # fmt: skip
BOUNDED = {
    "/v1/sites/{site}/review/queue": "reads a whole site: its order is calculated",
}
"""Lists that are no pages of a table, and why."""
SORTED = {("/v1/audit", "from"), ("/v1/audit", "to")}
"""Rows of the time asked for, sorted by number: clocks and numbers need not agree."""


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Yield a list that fills with the reads that go to the database, with their values."""
    heard: list[tuple[str, Any]] = []

    def hear(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            heard.append((statement, parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(engine, "before_cursor_execute", hear)


async def complaints(database: Database, statement: str, parameters: Any) -> list[str]:
    """Return the steps of a plan that read a whole table, or sort."""
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    # As the owner: a policy's condition would stand in for one that the statement lacks.
    async with as_owner(database).engine.connect() as connection:
        if not database.is_sqlite:
            # On so few rows a scan costs nothing: forbidden, it appears where there is no other way.
            for way in ("seqscan", "sort", "incremental_sort", "hashjoin", "mergejoin"):
                await connection.execute(text(f"SET LOCAL enable_{way} = off"))
        found = await connection.exec_driver_sql(explain + statement, parameters)
        lines = [str(row[-1]).strip() for row in found]
    if database.is_sqlite:
        return [line for line in lines if _SQLITE.search(line)]
    return [
        line
        for number, line in enumerate(lines)
        if _POSTGRES.search(line)
        # A whole index read from end to end, each row looked at, is no better than the table.
        or (" Scan " in line and not any(" Cond: " in one for one in lines[number + 1 :][:2]))
    ]


_SQLITE = re.compile(r"^SCAN (?!.*USING|CONSTANT|\()|TEMP B-TREE FOR ORDER BY")
_POSTGRES = re.compile(r"Seq Scan|^(-> +)?(Incremental )?Sort ")


def _asked(api: FastAPI, acme: Tenant) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every list with no filter and with each of its filters."""
    own = {"site": acme.site, "gateway": acme.gateway, "point": acme.points[0]}
    for route in all_routes(api):
        if route.method != "GET" or "limit" not in route.query or route.path in BOUNDED:
            continue
        yield route.url(acme), {}
        for name in sorted(route.query - {"limit", "after", "interval", "agg"}):
            value = STATES.get(route.path) if name == "state" else None
            yield route.url(acme), {name: value or own.get(name) or VALUES[name]}


async def test_every_list_is_read_by_an_index(
    api: FastAPI, database: Database, acme: Tenant, rival: Tenant, client: httpx.AsyncClient
) -> None:
    """On either engine, with each filter and without, at the start and further on."""
    bad: set[str] = set()
    lists = 0
    for url, params in _asked(api, acme):
        with statements(database) as heard:
            answer = await client.get(url, params=params | {"limit": 1})
            assert answer.status_code == 200, (url, params, answer.text)
            if after := answer.json().get("next"):
                await client.get(url, params=params | {"limit": 1, "after": after})
        lists += 1
        if (url, *params) in SORTED:
            continue
        for statement, parameters in dict.fromkeys(map(_hashable, heard)):
            for line in await complaints(database, statement, _thawed(parameters)):
                bad.add(
                    f"{url} by {sorted(params)}: {line}\n    {' '.join(statement.split())[-300:]}"
                )
    assert lists > 30
    assert not bad, "\n".join(sorted(bad))


def _hashable(one: tuple[str, Any]) -> tuple[str, Any]:
    statement, parameters = one
    if isinstance(parameters, dict):
        return statement, tuple(sorted(parameters.items()))
    return statement, tuple(parameters)


def _thawed(parameters: Any) -> Any:
    named = bool(parameters) and isinstance(parameters[0], tuple)
    return dict(parameters) if named else parameters


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM point WHERE unit = 'x'", "SELECT * FROM point WHERE site_id = 1 ORDER BY unit"],
)
async def test_a_plan_without_an_index_is_found(database: Database, statement: str) -> None:
    """The test above would tell of a filter or an order that has no index."""
    assert await complaints(database, statement, ())
    with pytest.raises(DBAPIError):
        await complaints(database, "SELECT nothing FROM nowhere", ())
