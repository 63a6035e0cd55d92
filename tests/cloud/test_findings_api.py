"""Findings: newest first, by time and state, with their evidence."""

from __future__ import annotations

from typing import Any

import httpx
from sqlalchemy import insert

from plantroom_cloud.db import Database
from plantroom_cloud.tables import FindingRow
from support.api_world import HOUR, NOW, ONE_ENGINE, Seeder, Tenant
from support.servers import as_owner


async def _add(database: Database, tenant: Tenant, *rows: dict[str, Any]) -> None:
    defaults = {"detector": "pca", "subject": "d", "points": [], "score": 1.0, "text": ""}
    defaults |= {"evidence": {}, "ended_us": None}
    async with as_owner(database).write() as session:
        wired = Seeder(session, tenant).wired
        await session.execute(insert(FindingRow), [defaults | wired | row for row in rows])


async def _ids(client: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await client.get("/v1/findings", params=params)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def test_by_time_and_state(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """The newest comes first; from and to select what went on then; open is what has no end."""
    await _add(
        database,
        acme,
        {"id": "old", "started_us": NOW - 9 * HOUR, "ended_us": NOW - 8 * HOUR},
        {"id": "long", "started_us": NOW - 7 * HOUR, "ended_us": NOW - 2 * HOUR},
    )
    assert await _ids(client) == ["pca/chiller:1", "long", "old"]
    assert await _ids(client, open="true") == ["pca/chiller:1"]
    assert await _ids(client, to="2026-01-31T11:00:00Z") == ["long", "old"]
    three_hours_ago = {"from": "2026-01-31T09:00:00Z", "to": "2026-01-31T09:30:00Z"}
    assert await _ids(client, **three_hours_ago) == ["long"]
    assert await _ids(client, site=acme.site + 1) == []


async def test_pages_hold_findings_of_one_moment(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Findings that started together are split between pages without loss."""
    rows = [{"id": f"f{n:02}/ä", "started_us": NOW} for n in range(10)]
    await _add(database, acme, *rows)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        body = (await client.get("/v1/findings", params={"limit": 3, **cursor})).json()
        seen += [item["id"] for item in body["items"]]
        if body["next"] is None:
            break
        cursor = {"after": body["next"]}
    assert seen == [*(row["id"] for row in reversed(rows)), "pca/chiller:1"]


@ONE_ENGINE
async def test_one_finding(client: httpx.AsyncClient, database: Database, acme: Tenant) -> None:
    """A finding is found by gateway and id, slashes and all; its end closes it."""
    await _add(database, acme, {"id": "a/b c?", "started_us": NOW, "ended_us": NOW + 1})
    body = (await client.get(f"/v1/findings/{acme.gateway}/a%2Fb%20c%3F")).json()
    assert body["id"] == "a/b c?"
    assert body["open"] is False
    assert body["ended"] == "2026-01-31T12:00:00.000001Z"
    missing = await client.get(f"/v1/findings/{acme.gateway}/none")
    assert missing.status_code == 404


async def test_evidence_that_cannot_be_shown_costs_only_itself(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Evidence nested beyond what JSON writers take, and times beyond the calendar, do no harm."""
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    await _add(
        database,
        acme,
        {"id": "deep", "started_us": NOW, "evidence": {"x": deep}},
        {"id": "huge", "started_us": 2**62, "evidence": {"x": 2**70}, "score": 1e308},
    )
    items = {item["id"]: item for item in (await client.get("/v1/findings")).json()["items"]}
    assert "cannot be shown" in items["deep"]["evidence"]["error"]
    assert "cannot be shown" in items["huge"]["evidence"]["error"]
    assert items["huge"]["started"].startswith("9999-")
    assert items["pca/chiller:1"]["evidence"] == {"residual": 3.0}
