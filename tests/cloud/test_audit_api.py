"""The audit at the API: lists, filters, signed heads, the export, and the gateways' own stream."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, insert

from plantroom_cloud.app import create_app
from plantroom_cloud.audit.heads import make_head_key, read_heads
from plantroom_cloud.audit.service import sign_heads
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity.setup import add_key
from plantroom_cloud.tables import EdgeRecord, GapRecord, StreamRange
from support.api_world import NOW, ONE_ENGINE, SETTINGS, Stopped, Tenant, client_of
from support.servers import as_owner


async def _act(client: httpx.AsyncClient, acme: Tenant, times: int = 3) -> None:
    for value in range(times):
        answer = await client.post(f"/v1/points/{acme.points[0]}/commands", json={"value": value})
        assert answer.status_code == 200, answer.text
    answer = await client.delete(f"/v1/mapping-overrides/{acme.override}")
    assert answer.status_code == 200


async def test_acts_are_listed_newest_first(acme: Tenant, client: httpx.AsyncClient) -> None:
    """Who did what to what, from where and by which request; pages hold each once."""
    await _act(client, acme)
    body = (await client.get("/v1/audit")).json()
    first = body["items"][0]
    assert [item["n"] for item in body["items"]] == [4, 3, 2, 1]
    assert first["actor"] == f"key:{acme.key_id}"
    assert first["action"] == "mapping-override.end"
    assert first["subject"] == f"mapping-override/{acme.override}"
    assert first["at"] == "2026-01-31T12:00:00.000000Z"
    assert first["source"] == "127.0.0.1"
    assert len(first["request_id"]) == 32
    seen, cursor = [], None
    while True:
        params = {"limit": 3} | ({"after": cursor} if cursor else {})
        page = (await client.get("/v1/audit", params=params)).json()
        seen += [item["n"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [4, 3, 2, 1]


async def test_acts_are_filtered(acme: Tenant, client: httpx.AsyncClient) -> None:
    """By who, what, to what, request and time; wholly, or by how they begin."""
    await _act(client, acme)
    items = (await client.get("/v1/audit")).json()["items"]

    async def numbers(**params: Any) -> list[int]:
        answer = await client.get("/v1/audit", params=params)
        assert answer.status_code == 200, answer.text
        return [item["n"] for item in answer.json()["items"]]

    assert await numbers(action="command.give") == [3, 2, 1]
    assert await numbers(action="command.") == [3, 2, 1]
    assert await numbers(action="Command.") == []
    assert await numbers(actor="key:") == [4, 3, 2, 1]
    assert await numbers(actor="user:") == []
    assert await numbers(subject=items[1]["subject"]) == [3]
    assert await numbers(subject="command/") == [3, 2, 1]
    assert await numbers(request=items[0]["request_id"]) == [4]
    assert await numbers(**{"from": "2026-01-31T12:00:01Z"}) == []
    assert await numbers(to="2026-01-31T12:00:01Z") == [4, 3, 2, 1]


@ONE_ENGINE
async def test_who_may_not_read_it_does_not(api: FastAPI, database: Database, acme: Tenant) -> None:
    """The audit is for those with the permission: a key of an engineer is refused."""
    async with as_owner(database).write() as session:
        key = await add_key(session, Stopped(), Scope(acme.company), "e", scopes=["engineer"])
    async with client_of(api, headers={"X-API-Key": key.plain}) as other:
        for path in ("", "/heads", "/keys", "/export", "/edge", "/edge/streams"):
            assert (await other.get(f"/v1/audit{path}")).status_code == 403


async def test_heads_are_signed_listed_and_kept(
    database: Database, acme: Tenant, rival: Tenant, tmp_path: Path
) -> None:
    """Each chain that has grown is signed once; the file, the API and the export hold the same."""
    settings = SETTINGS.model_copy(update={"data": tmp_path})
    app = create_app(settings, database, clock=Stopped())
    async with client_of(app, headers=acme.headers) as client:
        assert (await client.get("/v1/audit/keys")).json() == {"items": []}
        await _act(client, acme)
        key, file = make_head_key(tmp_path), tmp_path / "heads.ndjson"
        assert (tmp_path / "audit" / "heads.pem").stat().st_mode & 0o777 == 0o600
        assert await sign_heads(database, Stopped(NOW + 1), key, file) == 1
        assert await sign_heads(database, Stopped(NOW + 2), key, file) == 0
        (listed,) = (await client.get("/v1/audit/heads")).json()["items"]
        (kept,) = read_heads(file)
        assert (listed["head"], listed["signature"]) == (kept.body, kept.signature)
        newest = (await client.get("/v1/audit", params={"limit": 1})).json()["items"][0]
        assert (listed["n"], listed["hash"]) == (newest["n"], newest["hash"])
        (told,) = (await client.get("/v1/audit/keys")).json()["items"]
        assert told == {"key": key.id, "public": key.public_pem}
        lines = (await client.get("/v1/audit/export")).text.splitlines()
    assert kept.line in lines
    async with client_of(app, headers=rival.headers) as other:
        assert (await other.get("/v1/audit/heads")).json()["items"] == []
        assert len((await other.get("/v1/audit/export")).text.splitlines()) == 2


async def test_an_export_goes_on_where_another_ended(
    acme: Tenant, client: httpx.AsyncClient
) -> None:
    """Rows after a number follow the hash that the start names; a row there is not is a 404."""
    await _act(client, acme)
    whole = [json.loads(line) for line in (await client.get("/v1/audit/export")).text.splitlines()]
    part = (await client.get("/v1/audit/export", params={"since": 2})).text.splitlines()
    start, *rows, end = (json.loads(line) for line in part)
    assert start["start"] == {"company": acme.company, "hash": whole[2]["hash"], "n": 2}
    assert rows == whole[3:-1]
    assert end == whole[-1]
    last = start["start"]["hash"]
    for row in rows:
        last = hashlib.sha256(bytes.fromhex(last) + row["row"].encode()).hexdigest()
        assert row["hash"] == last
    assert end["end"] == {"hash": last, "heads": 0, "n": 4}
    assert (await client.get("/v1/audit/export", params={"since": 99})).status_code == 404


# ---------------------------------------------------------------- gateways

EPOCH = "00000000000000bb"


@pytest.fixture
async def records(database: Database, acme: Tenant) -> None:
    """A start whose records 1 to 9 arrived but for 4 (lost), 6 and 7 (not arrived)."""
    here = {"company_id": acme.company, "gateway_id": acme.gateway, "epoch": EPOCH, "stream": "aud"}
    async with as_owner(database).write() as session:
        rows = [
            here | {"seq": n, "at_us": NOW + n, "kind": "config.applied", "doc": {"n": n}}
            for n in (1, 2, 3, 5, 8, 9)
        ]
        await session.execute(insert(EdgeRecord), rows)
        spans = [here | {"lo": lo, "hi": hi} for lo, hi in ((1, 5), (8, 9))]
        await session.execute(insert(StreamRange), spans)
        gap = here | {"lo": 4, "hi": 4, "cause": "quota", "received_us": NOW}
        await session.execute(insert(GapRecord), [gap])


async def test_records_of_gateways_stand_beside(
    records: None, acme: Tenant, rival: Tenant, api: FastAPI, client: httpx.AsyncClient
) -> None:
    """What gateways told is a list of its own, with filters and pages."""
    own = {"gateway": acme.gateway, "kind": "config.applied"}
    first = (await client.get("/v1/audit/edge", params=own | {"limit": 4})).json()
    rest = (
        await client.get("/v1/audit/edge", params=own | {"limit": 4, "after": first["next"]})
    ).json()
    assert [item["seq"] for item in first["items"] + rest["items"]] == [9, 8, 5, 3, 2, 1]
    assert (await client.get("/v1/audit/edge", params={"kind": "x"})).json()["items"] == []
    early = {"from": "0", "to": "2026-01-31T12:00:00Z"}
    assert (await client.get("/v1/audit/edge", params=early)).json()["items"] == []
    async with client_of(api, headers=rival.headers) as other:
        assert (await other.get("/v1/audit/edge")).json()["items"] == []


async def test_a_missing_record_is_counted(
    records: None, database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """Order numbers tell what is lost, what never came, and what somebody removed here."""

    async def line() -> dict[str, Any]:
        answer = await client.get("/v1/audit/edge/streams", params={"gateway": acme.gateway})
        return next(dict(item) for item in answer.json()["items"] if item["epoch"] == EPOCH)

    expected = {"gateway": acme.gateway, "epoch": EPOCH, "highest": 9, "stored": 6}
    expected |= {"declared_lost": 1, "quarantined": 0, "not_arrived": [[6, 7]], "removed": 0}
    assert await line() == expected | {"complete": False}
    async with as_owner(database).write() as session:
        await session.execute(delete(EdgeRecord).where(EdgeRecord.seq.in_([2, 8])))
    assert await line() == expected | {"stored": 4, "removed": 2, "complete": False}
