"""The account over HTTP: a gateway's, a site's, gaps in pages, what stands beside the numbers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, insert, update

from plantroom_cloud.db import Database
from plantroom_cloud.tables import DeliveryAlarm, GapRecord, Gateway, StreamTotal
from support.api_world import EPOCH, HOUR, MINUTE, NOW, ONE_ENGINE, Stopped, Tenant, client_of
from support.servers import as_owner


@pytest.fixture
async def gaps(database: Database, acme: Tenant) -> list[dict[str, Any]]:
    """Gap records of several causes, streams and times, in place of the seeded one."""
    head = {"company_id": acme.company, "gateway_id": acme.gateway, "epoch": EPOCH}
    zero = {"signature": "", "certificate_serial": "", "message_s0": 0, "message_n": 0}
    made = [
        head
        | zero
        | {
            "stream": "evt" if n % 5 == 0 else "tel",
            "lo": 10 * n,
            "hi": 10 * n + n,
            "cause": ("quota", "salvage")[n % 2],
            "from_us": NOW - HOUR * n if n < 8 else 0,
            "to_us": NOW - HOUR * n + MINUTE if n < 8 else 0,
            "signed": n % 3 == 0,
            "received_us": NOW + n // 4,
        }
        for n in range(1, 13)
    ]
    async with as_owner(database).write() as session:
        await session.execute(delete(GapRecord).where(GapRecord.company_id == acme.company))
        await session.execute(insert(GapRecord), made)
    return made


async def paged(client: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    """Return all items of a list, five at a time."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        answer = await client.get(path, params={"limit": 5} | params | after)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next"] is None:
            return found
        after = {"after": answer.json()["next"]}


async def test_gaps_come_in_pages(
    client: httpx.AsyncClient, acme: Tenant, gaps: list[dict[str, Any]]
) -> None:
    """Newest record first, each once; with when, why, and whether the signature is right."""
    path = f"/v1/gateways/{acme.gateway}/gaps"
    found = await paged(client, path)
    order = sorted(gaps, key=lambda gap: (gap["received_us"], gap["stream"], gap["lo"]))
    assert [(one["stream"], one["lo"], one["rows"], one["signed"]) for one in found] == [
        (gap["stream"], gap["lo"], gap["hi"] - gap["lo"] + 1, gap["signed"])
        for gap in reversed(order)
    ]
    first = next(one for one in found if one["lo"] == 10)
    assert first == {
        "epoch": EPOCH,
        "stream": "tel",
        "lo": 10,
        "hi": 11,
        "rows": 2,
        "cause": "salvage",
        "from": "2026-01-31T11:00:00.000000Z",
        "to": "2026-01-31T11:01:00.000000Z",
        "signed": False,
        "received": "2026-01-31T12:00:00.000000Z",
    }
    assert next(one for one in found if one["lo"] == 120)["from"] is None
    assert {one["lo"] for one in await paged(client, path, stream="evt")} == {50, 100}
    quota = await paged(client, path, cause="quota")
    assert {one["lo"] for one in quota} == {20, 40, 60, 80, 100, 120}
    # Accepted between 07:00:30 and 09:30; those whose time is not known were told at 12:00.
    window = {"from": "2026-01-31T07:00:30Z", "to": "2026-01-31T09:30:00Z"}
    assert {one["lo"] for one in await paged(client, path, **window)} == {30, 40, 50}
    late = await paged(client, path, **{"from": "2026-01-31T11:30:00Z"})
    assert {one["lo"] for one in late} == {80, 90, 100, 110, 120}
    refused = await client.get(path, params={"from": "yesterday"})
    assert refused.status_code == 422


async def test_account_tells_how_delivery_stands(
    client: httpx.AsyncClient, database: Database, acme: Tenant, clock: Stopped
) -> None:
    """Lag, report's age, oldest unsent, clock, causes of gaps, alarms that stand."""
    alarm = {
        "company_id": acme.company,
        "gateway_id": acme.gateway,
        "since_us": NOW - HOUR,
        "last_us": NOW,
        "count": 3,
        "details": {"s0": 1},
    }
    async with as_owner(database).write() as session:
        await session.execute(
            insert(DeliveryAlarm),
            [
                alarm | {"kind": "stream_fork", "cleared_us": None},
                alarm | {"kind": "restored", "cleared_us": NOW},
            ],
        )
        values = {"clock_state": "holdover", "clock_skew_us": -2_500_000, "clock_seen_us": NOW}
        statement = update(Gateway).where(Gateway.id == acme.gateway)
        await session.execute(statement.values(oldest_us=NOW - MINUTE, online=True, **values))
    clock.now = NOW + MINUTE
    body = (await client.get(f"/v1/gateways/{acme.gateway}/account")).json()
    about = ("online", "report_age_s", "newest_sample", "lag_s", "oldest_unsent", "gap_causes")
    assert {key: body[key] for key in about} == {
        "online": True,
        "report_age_s": 60.0,
        "newest_sample": "2026-01-31T11:59:00.000000Z",
        "lag_s": 120.0,
        "oldest_unsent": "2026-01-31T11:59:00.000000Z",
        "gap_causes": {"quota": 2},
    }
    assert body["clock"] == {
        "state": "holdover",
        "skew_s": -2.5,
        "measured": "2026-01-31T12:00:00.000000Z",
    }
    assert [(one["kind"], one["count"], one["details"]) for one in body["alarms"]] == [
        ("stream_fork", 3, {"s0": 1})
    ]
    assert (body["balanced"], body["difference"], body["explanation"]) == (True, 0, "")


async def test_open_account_says_what_is_missing(
    client: httpx.AsyncClient, database: Database, acme: Tenant, clock: Stopped
) -> None:
    """Rows that the gateway says it had, and that are nowhere: how many, which, how old its word."""
    async with as_owner(database).write() as session:
        mine = update(StreamTotal).where(
            StreamTotal.gateway_id == acme.gateway, StreamTotal.stream == "tel"
        )
        await session.execute(mine.values(accepted=9))
    clock.now = NOW + MINUTE
    body = (await client.get(f"/v1/gateways/{acme.gateway}/account")).json()
    assert (body["balanced"], body["difference"]) == (False, 3)
    assert "60 s old" in body["explanation"]
    assert "7-9" in body["explanation"]


async def test_site_is_the_sum_of_its_gateways(
    client: httpx.AsyncClient, database: Database, acme: Tenant, rival: Tenant
) -> None:
    """Every term is added up, and each gateway is listed; one that never spoke has noughts."""
    second = {"company_id": acme.company, "site_id": acme.site, "created_us": NOW, "report": {}}
    total = {"company_id": acme.company, "stream": "tel", "held": "[]", "duplicates": 4}
    async with as_owner(database).write() as session:
        rows = [second | {"id": name, "name": name} for name in ("gw-acme-2", "gw-acme-3")]
        await session.execute(insert(Gateway), rows)
        row = total | {"gateway_id": "gw-acme-2", "epoch": EPOCH, "accepted": 7, "stored": 5}
        await session.execute(insert(StreamTotal), [row | {"quarantined": 0, "declared": 0}])
    body = (await client.get(f"/v1/sites/{acme.site}/account")).json()
    assert [one["gateway"] for one in body["gateways"]] == [
        "gw-acme-1",
        "gw-acme-2",
        "gw-acme-3",
    ]
    names = ("accepted", "stored", "quarantined", "gaps", "on_edge", "duplicates", "difference")
    assert [body[name] for name in names] == [13, 7, 1, 2, 1, 4, 2]
    assert [sum(one[name] for one in body["gateways"]) for name in names] == [
        body[name] for name in names
    ]
    assert body["balanced"] is False
    assert [one["balanced"] for one in body["gateways"]] == [True, False, True]
    assert (body["gap_causes"], body["lag_s"]) == ({"quota": 2}, 60.0)
    assert rival.gateway not in str(body)
    events = (await client.get(f"/v1/sites/{acme.site}/account", params={"stream": "aud"})).json()
    assert (events["accepted"], events["quarantined"], events["balanced"]) == (1, 1, True)


@ONE_ENGINE
async def test_unknown_streams_are_refused(client: httpx.AsyncClient, acme: Tenant) -> None:
    """Only what there is."""
    for path in (f"/v1/gateways/{acme.gateway}/account", f"/v1/sites/{acme.site}/account"):
        assert (await client.get(path, params={"stream": "msg"})).status_code == 422


@ONE_ENGINE
async def test_foreign_gaps_are_not_found(api: FastAPI, acme: Tenant, rival: Tenant) -> None:
    """Another company's gateway has no list."""
    async with client_of(api, headers=rival.headers) as other:
        assert (await other.get(f"/v1/gateways/{acme.gateway}/gaps")).status_code == 404
