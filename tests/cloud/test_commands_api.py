"""Commands in the cloud: who may give them, how they are sent, what their results change."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import update

from plantroom_cloud.commands import by_hand
from plantroom_cloud.commands.repository import CommandRepository
from plantroom_cloud.commands.results import Results
from plantroom_cloud.commands.sender import GRACE_US, Due, Sender
from plantroom_cloud.commands.signing import key_file, load_signer, make_signer
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.tables import ApiKey, Gateway, Point
from plantroom_shared import wire
from plantroom_shared.errors import ConfigError
from support.api_world import NOW, ONE_ENGINE, Stopped, Tenant
from support.servers import as_owner


async def change(database: Database, table: Any, **values: Any) -> None:
    async with as_owner(database).write() as session:
        await session.execute(update(table).values(**values))


async def give(client: httpx.AsyncClient, tenant: Tenant, **body: Any) -> dict[str, Any]:
    url = f"/v1/points/{tenant.points[0]}/commands"
    answer = await client.post(url, json={"value": 21.5} | body)
    assert answer.status_code == 200, answer.text
    given: dict[str, Any] = answer.json()
    return given


async def shown(client: httpx.AsyncClient, ident: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.get(f"/v1/commands/{ident}")).json()
    return answer


async def due(database: Database, clock: Stopped, data: Path) -> list[Due]:
    return [each async for each in Sender(database, clock, data).due()]


async def tell(database: Database, tenant: Tenant, *records: dict[str, Any]) -> None:
    async with as_owner(database).write() as session:
        results = Results(session, Scope(tenant.company), tenant.gateway)
        await results.take(records)


def record(ident: str, kind: str, n: int, **doc: Any) -> dict[str, Any]:
    doc = {"id": ident, "journal": "aa", "n": n} | doc
    return {"at_us": NOW + n, "kind": f"command.{kind}", "doc": doc}


@ONE_ENGINE
async def test_a_key_needs_the_right(
    database: Database, client: httpx.AsyncClient, acme: Tenant
) -> None:
    """A key without the right to write gets a 403, and nothing is entered."""
    await change(database, ApiKey, scopes=["viewer"])
    answer = await client.post(f"/v1/points/{acme.points[0]}/commands", json={"value": 1})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@ONE_ENGINE
async def test_gateway_and_point_must_take_it(
    database: Database, client: httpx.AsyncClient, acme: Tenant
) -> None:
    """A point that is not writable, or a gateway that nobody has allowed, is a 409."""
    for table, values in ((Point, {"writable": False}), (Gateway, {"writes": False})):
        await change(database, table, **values)
        answer = await client.post(f"/v1/points/{acme.points[0]}/commands", json={"value": 1})
        assert (answer.status_code, answer.json()["code"]) == (409, "not_writable")
        await change(database, Point, writable=True)


@ONE_ENGINE
async def test_what_goes_together(client: httpx.AsyncClient, acme: Tenant) -> None:
    """What a gateway would not take is refused here already."""
    refused: list[tuple[dict[str, Any], int]] = [
        ({}, 422),
        ({"value": [1]}, 422),
        ({"value": 1, "priority": 2}, 422),
        ({"value": 1, "valid_s": 600}, 422),
        ({"value": 1, "release": "c-1"}, 422),
        ({"kind": "release"}, 422),
        ({"kind": "release", "release": "c-nobody", "value": None}, 404),
        ({"kind": "release", "release": "c-1", "value": 1}, 422),
        ({"value": 1, "more": 2}, 422),
    ]
    for body, status in refused:
        answer = await client.post(f"/v1/points/{acme.points[0]}/commands", json=body)
        assert (body, answer.status_code) == (body, status), answer.text


async def test_a_command_is_signed_when_it_is_sent(
    database: Database, client: httpx.AsyncClient, acme: Tenant, tmp_path: Path
) -> None:
    """It goes once, to a gateway that is there and heeds commands, with what was entered, signed."""
    given = await give(client, acme, priority=10, lease_s=60, expect=[20])
    clock = Stopped()
    await change(database, Gateway, online=True, takes="")
    signer = make_signer(tmp_path)
    assert await due(database, clock, tmp_path) == []
    await change(database, Gateway, takes="cmd")
    (sent,) = await due(database, clock, tmp_path)
    assert (sent.topic, sent.expires_in) == (f"sv1/{acme.gateway}/down/cmd", 30)
    command = wire.decode(wire.Command, sent.payload)
    signature = base64.b64decode(command.sig)
    signer.key.public_key().verify(signature, wire.signed_part(command.body))
    order = wire.read_order(command.body)
    assert (order.id, order.gateway, order.actor) == (given["id"], acme.gateway, "key:first")
    assert order.writes[0].expect == wire.Expected(value=20)
    assert (await due(database, clock, tmp_path), (await shown(client, given["id"]))["state"]) == (
        [],
        "sent",
    )


async def test_without_a_key_nothing_is_sent(
    database: Database, client: httpx.AsyncClient, acme: Tenant, tmp_path: Path
) -> None:
    """It expires, and says that it was not sent."""
    given = await give(client, acme, valid_s=5)
    await change(database, Gateway, online=True, takes="cmd")
    clock = Stopped()
    assert await due(database, clock, tmp_path) == []
    clock.now = NOW + 5_000_000
    assert await due(database, clock, tmp_path) == []
    told = await shown(client, given["id"])
    assert (told["state"], told["reason"]) == ("expired", "not-sent")
    assert [event["kind"] for event in told["events"]] == ["command.given", "command.expired"]


async def test_results_in_any_order_and_twice(
    database: Database, client: httpx.AsyncClient, acme: Tenant
) -> None:
    """Each event counts once; the first end stays, and what is taken back is noted."""
    ident = (await give(client, acme))["id"]
    accepted, executed = record(ident, "accepted", 1), record(ident, "executed", 2)
    released = record(ident, "released", 3, outcome="released")
    await tell(database, acme, executed, accepted, released, executed, released)
    await tell(database, acme, record(ident, "failed", 4, reason="later"))
    told = await shown(client, ident)
    assert (told["state"], told["reason"], told["released"] is not None) == ("executed", "", True)
    assert len(told["events"]) == 5


async def test_the_gateways_word_counts_more_than_our_guess(
    database: Database, client: httpx.AsyncClient, acme: Tenant, tmp_path: Path
) -> None:
    """A command that had expired for us was executed when the gateway says so later."""
    given = await give(client, acme)
    await change(database, Gateway, online=True, takes="cmd")
    make_signer(tmp_path)
    clock = Stopped()
    assert len(await due(database, clock, tmp_path)) == 1
    clock.now = NOW + 30_000_000 + GRACE_US
    await due(database, clock, tmp_path)
    assert (await shown(client, given["id"]))["reason"] == "not-answered"
    await tell(database, acme, record(given["id"], "accepted", 1))
    assert (await shown(client, given["id"]))["state"] == "accepted"
    await tell(database, acme, record(given["id"], "executed", 2))
    assert (await shown(client, given["id"]))["state"] == "executed"


async def test_nobody_speaks_of_another_gateways_commands(
    database: Database, client: httpx.AsyncClient, acme: Tenant, rival: Tenant
) -> None:
    """Records about commands of others, of nobody, or without a number change nothing."""
    ident = (await give(client, acme))["id"]
    odd = [
        record(ident, "executed", 1),
        record("c-nobody", "executed", 2),
        {"at_us": NOW, "kind": "command.executed", "doc": {"id": 7}},
        {"at_us": NOW, "kind": "other.thing", "doc": {"id": ident}},
    ]
    await tell(database, rival, *odd)
    await tell(
        database, acme, *odd[1:], {"at_us": NOW, "kind": "command.executed", "doc": {"id": ident}}
    )
    assert (await shown(client, ident))["state"] == "pending"


async def test_allowing_a_gateway(database: Database, acme: Tenant, rival: Tenant) -> None:
    """A company allows its own gateways only."""
    async with as_owner(database).write() as session:
        repository = CommandRepository(session, Scope(acme.company))
        assert await repository.allow(acme.gateway, writes=False)
        assert not await repository.allow(rival.gateway, writes=False)


def test_the_signing_key(tmp_path: Path) -> None:
    """It is made once, closed to others, and a file that is no such key is a clear error."""
    assert load_signer(tmp_path) is None
    signer = make_signer(tmp_path)
    assert make_signer(tmp_path).kid == signer.kid
    assert key_file(tmp_path).stat().st_mode & 0o777 == 0o600
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for content in (b"rubbish", other):
        key_file(tmp_path).write_bytes(content)
        with pytest.raises(ConfigError, match="signs commands"):
            load_signer(tmp_path)


def test_by_hand_names_what_is_missing(tmp_path: Path) -> None:
    """A gateway or command that the company does not have is a wrong setting, with the fix."""
    settings = CloudSettings(data=tmp_path)
    assert [by_hand.value_of(one) for one in ("1.5", "true", "[1]", "on")] == [
        1.5,
        True,
        "[1]",
        "on",
    ]
    with pytest.raises(ConfigError, match="no company"):
        by_hand.allow(settings, "nobody", "gw-1", writes=True)
    from plantroom_cloud.db import open_database
    from plantroom_cloud.identity.setup import add_company

    async def company() -> None:
        opened = open_database(settings)
        async with as_owner(opened).write() as session:
            await add_company(session, Stopped(), "acme")
        await opened.close()

    import asyncio

    asyncio.run(company())
    with pytest.raises(ConfigError, match="no gateway"):
        by_hand.allow(settings, "acme", "gw-1", writes=True)
    with pytest.raises(ConfigError, match="no command"):
        by_hand.show(settings, "acme", "c-1")
