"""The whole matrix: every route, each role, own and foreign ids, each kind of credential."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import httpx
import pytest

from plantroom_cloud.app import create_app
from plantroom_cloud.db import Database
from plantroom_cloud.identity.permissions import ROLES
from support.api_matrix import Case, Undone, cases, credentials
from support.api_world import SETTINGS, Discovered, Stopped, Tenant, client_of

AT_LEAST = 5000
"""Requests of all roles together."""


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """One engine is enough here: what a role may does not depend on it."""
    return sqlite_database


async def _ask(client: httpx.AsyncClient, case: Case, own: Tenant, other: Tenant) -> str:
    """Make the request; return what is wrong with the answer, or nothing."""
    route, tenant = case.route, own if case.own else other
    if case.own and case.who.session:
        tenant = replace(own, session=case.who.session, identity=case.who.identity)
    foreign = {"site": other.site, "gateway": other.gateway, "point": other.points[0]}
    query: dict[str, Any] = (
        {} if case.own else {k: v for k, v in foreign.items() if k in route.query}
    )
    answer = await client.request(
        route.method,
        route.url(tenant),
        json=route.body,
        params=query,
        headers=case.who.headers | {"If-Match": "*"},
    )
    name = f"{route.method} {route.path} as {case.who.kind} {case.who.role} own={case.own}"
    if answer.status_code not in case.expected():
        return f"{name}: {answer.status_code} in place of {case.expected()}: {answer.text[:200]}"
    if other.slug in answer.text.replace(other.gateway, ""):
        return f"{name}: shows something of another company"
    return ""


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_the_whole_matrix(
    role: str, database: Database, acme: Tenant, rival: Tenant, clock: Stopped
) -> None:
    """No foreign row is shown or touched, no route lacks a rule, and each answer is the right one.

    All is done on the real application over a database that rolls back what is written, so that
    each of the requests finds what the first has found.
    """
    undone = Undone(str(database.url))
    try:
        settings = SETTINGS.model_copy(
            update={"identity": SETTINGS.identity.model_copy(update={"cache": 4.0})}
        )
        app = create_app(settings, undone, clock=clock, http=Discovered())
        who = await credentials(app, database, acme, role)
        found, told, began = [], Counter[str](), time.monotonic()
        async with client_of(app) as client:
            for case in cases(app, who):
                assert case.permission is not None, f"{case.route.path} has no rule"
                app.state.gate._used.update(dict.fromkeys(range(1000), clock.now))
                if wrong := await _ask(client, case, acme, rival):
                    found.append(wrong)
                told[case.who.kind] += 1
        print(f"{told.total()} requests in {time.monotonic() - began:.1f} s: {dict(told)}")
        assert not found, "\n".join(found[:20])
        assert told.total() * len(ROLES) >= AT_LEAST
        assert len(told) >= 9
    finally:
        await undone.close()
