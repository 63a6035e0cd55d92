"""Desired configurations in the cloud: versions, diffs, stages, waves, reports, and the second person."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update

from plantroom_cloud.commands.sender import Due, Sender
from plantroom_cloud.commands.signing import make_signer
from plantroom_cloud.configuration.reports import Reports
from plantroom_cloud.configuration.rollouts import cut, step
from plantroom_cloud.configuration.sender import AGAIN_US, ConfigurationSender
from plantroom_cloud.configuration.words import differences, faults
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity import keys
from plantroom_cloud.tables import (
    ApiKey,
    CommandRule,
    ConfigurationAssignment,
    ConfigurationEvent,
    ConfigurationRollout,
    Gateway,
)
from plantroom_shared import wire
from support.api_world import NOW, ONE_ENGINE, Stopped, Tenant, client_of
from support.servers import as_owner

DOCUMENT: dict[str, Any] = {
    "buses": [
        {
            "name": "power",
            "driver": "modbus",
            "host": "10.0.0.7",
            "devices": [{"name": "main", "profile": "meter/x", "interval": 5}],
        }
    ]
}


async def put(client: httpx.AsyncClient, tenant: Tenant, **body: Any) -> int:
    url = f"/v1/gateways/{tenant.gateway}/configuration/versions"
    answer = await client.post(url, json=body or {"document": DOCUMENT})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["number"])


async def stage(client: httpx.AsyncClient, gateway: str, version: int, **more: Any) -> str:
    url = f"/v1/gateways/{gateway}/configuration/assignments"
    answer = await client.post(url, json={"version": version, "force": True} | more)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def shown(client: httpx.AsyncClient, ident: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.get(f"/v1/configuration-assignments/{ident}")).json()
    return answer


async def online(db: Database, **values: Any) -> None:
    async with as_owner(db).write() as session:
        await session.execute(update(Gateway).values(online=True, takes="cmd cfg", **values))
        await session.execute(delete(ConfigurationEvent))
        await session.execute(delete(ConfigurationAssignment))
        await session.execute(delete(ConfigurationRollout))


async def due(db: Database, clock: Stopped, data: Path) -> list[Due]:
    sender = ConfigurationSender(db, clock, data)
    await sender.advance()
    return [each async for each in sender.due()]


async def tell(db: Database, tenant: Tenant, gateway: str, kind: str, at: int, **doc: Any) -> None:
    # Its clock goes backwards: what is newer its numbers tell.
    record = {"at_us": NOW - at, "kind": f"desired.{kind}", "doc": {"journal": "aa", "n": at} | doc}
    async with db.write(Scope(tenant.company)) as session:
        await Reports(session, Scope(tenant.company), gateway).take([record])


# ---------------------------------------------------------------- pure


def test_differences_are_in_words_of_the_field() -> None:
    """Buses, devices, points and intervals by their names; the order means nothing."""
    old = {"site": "a", "buses": [*DOCUMENT["buses"], {"name": "b", "driver": "bacnet"}]}
    main = {"name": "main", "profile": "meter/x", "interval": 10, "points": [{"id": "kWh", "n": 1}]}
    power = DOCUMENT["buses"][0] | {
        "host": "10.0.0.8",
        "devices": [main, {"name": "sub", "profile": "p"}],
    }
    new = {
        "site": "b",
        "buses": [{"name": "c", "driver": "modbus", "devices": [{"name": "x"}]}, power],
    }
    told = [str(one) for one in differences(old, new)]
    assert told == [
        "setting site changed: a → b",
        "bus b removed",
        "bus c added: modbus, 1 device",
        "bus power changed: host: 10.0.0.7 → 10.0.0.8",
        "device power/main changed: interval: 5 → 10",
        "point power/main/kWh added",
        "device power/sub added: p",
    ]
    assert differences(new, new | {"buses": new["buses"][::-1]}) == []


@given(
    st.dictionaries(
        st.sampled_from(["site", "buses", "detectors"]),
        st.recursive(
            st.none() | st.text() | st.floats(allow_nan=False),
            lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        ),
    )
)
def test_any_document_is_judged_and_compared(document: dict[str, Any]) -> None:
    """Nothing that can be sent breaks the checks or the words."""
    faults(document)
    assert differences(document, document) == []
    differences(document, DOCUMENT)
    differences(DOCUMENT, document)


@pytest.mark.parametrize(
    ("states", "wave", "waited", "todo"),
    [
        ([(0, "staged"), (1, "waiting")], 0, 0, ("wait", 0)),
        ([(0, "applied"), (1, "waiting")], 0, 0, ("open", 1)),
        ([(0, "pending"), (1, "waiting")], 0, 9e9, ("wait", 0)),
        ([(0, "refused"), (1, "waiting")], 0, 0, ("halt", 0)),
        ([(0, "rolled_back"), (0, "applied"), (1, "waiting")], 0, 0, ("halt", 0)),
        ([(0, "applied"), (0, "sent"), (1, "waiting")], 0, 61, ("open", 1)),
        ([(0, "sent"), (1, "waiting")], 0, 61, ("halt", 0)),
        ([(0, "applied"), (1, "superseded")], 1, 0, ("done", 1)),
        ([(0, "staged"), (1, "applied")], 1, 0, ("wait", 1)),
        ([(0, "applied"), (1, "applied")], 1, 0, ("done", 1)),
    ],
)  # fmt: skip
def test_waves(
    states: list[tuple[int, str]], wave: int, waited: float, todo: tuple[str, int]
) -> None:
    """A wave opens after the one before has come good; a failure, or nobody reached, halts."""

    class One:
        def __init__(self, wave: int, state: str) -> None:
            self.wave, self.state = wave, state

    got = step(
        [One(*one) for one in states],
        wave=wave,
        waves=2,
        most_failed=0,
        waited_s=waited,
        patience_s=60,
    )
    assert (got.what, got.wave) == todo
    assert cut(["a", "b", "c", "d"], [1, 2]) == [["a"], ["b", "c"], ["d"]]
    assert cut(["a"], [5, 5]) == [["a"]]


# ---------------------------------------------------------------- versions


@ONE_ENGINE
async def test_versions_have_parents_and_conflicts(client: httpx.AsyncClient, acme: Tenant) -> None:
    """Who makes a version from one that is not the newest is told; what no gateway takes is refused."""
    first = await put(client, acme)
    url = f"/v1/gateways/{acme.gateway}/configuration/versions"
    for body, status, code in (
        ({"document": DOCUMENT, "parent": first - 1}, 409, "configuration_conflict"),
        ({"document": {"writes": {}}}, 422, "invalid_request"),
        ({"document": {}}, 422, "invalid_request"),
        ({"document": {"buses": [{"name": "a"}]}}, 422, "invalid_request"),
        (
            {"document": {"buses": [{"name": "a", "driver": "b", "n": 10**30}]}},
            422,
            "invalid_request",
        ),
        ({"document": {"site": "x"}, "version": 1}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
        ({"version": 99}, 404, "not_found"),
    ):
        answer = await client.post(url, json=body)
        assert (body, answer.status_code, answer.json()["code"]) == (body, status, code)
    again = await put(client, acme, version=1, parent=first, why="back")
    newest = (await client.get(f"{url}/{again}")).json()
    assert (newest["parent"], newest["origin"], newest["why"]) == (first, "version 1", "back")
    listed = (await client.get(url)).json()["items"]
    assert [one["number"] for one in listed] == [again, first, 1]


@ONE_ENGINE
async def test_much_that_goes_away_needs_force(
    database: Database, client: httpx.AsyncClient, acme: Tenant
) -> None:
    """The cloud counts with what it knows; the gateway counts again."""
    runs = {"buses": [{"name": "b", "driver": "bacnet", "devices": {"1001": {}}}]}
    await tell(database, acme, acme.gateway, "running", 5, version=0, config="cc", document=runs)
    number = await put(client, acme, document={"buses": []})
    here = f"/v1/gateways/{acme.gateway}/configuration"
    diff = (await client.get(f"{here}/diff")).json()
    assert (diff["points_dropped"], diff["points"]) == (2, 5)
    assert [one["name"] for one in diff["items"]] == ["b"]
    answer = await client.post(f"{here}/assignments", json={"version": number})
    assert (answer.status_code, answer.json()["code"]) == (409, "needs_force")
    await stage(client, acme.gateway, number)


# ---------------------------------------------------------------- stages


async def test_the_newest_is_sent_signed_and_again(
    database: Database, client: httpx.AsyncClient, acme: Tenant, tmp_path: Path
) -> None:
    """Only the last one goes, to a gateway that heeds it, with a time of its own each time."""
    await online(database)
    clock, signer = Stopped(), make_signer(tmp_path)
    number = await put(client, acme)
    first, second = [await stage(client, acme.gateway, number) for _ in range(2)]
    assert (await shown(client, first))["state"] == "superseded"
    (sent,) = await due(database, clock, tmp_path)
    assert (sent.id, sent.topic) == (second, f"sv1/{acme.gateway}/down/cfg")
    message = wire.decode(wire.Configuration, sent.payload)
    signature = base64.b64decode(message.sig)
    signer.key.public_key().verify(signature, wire.signed_configuration(message.body))
    body = wire.read_assignment(message.body)
    assert (body.version, body.document, body.issued, body.force) == (number, DOCUMENT, NOW, True)
    assert await due(database, clock, tmp_path) == []
    clock.now += AGAIN_US
    (again,) = await due(database, clock, tmp_path)
    assert wire.read_assignment(wire.decode(wire.Configuration, again.payload).body).issued > NOW
    assert await due(database, clock, tmp_path) == []
    async with database.write(Scope(acme.company)) as session:
        await Reports(session, Scope(acme.company), acme.gateway).greeted(clock.now)
    assert len(await due(database, clock, tmp_path)) == 1  # it has connected: at once
    await tell(database, acme, acme.gateway, "pending", 1, id=second)
    clock.now += 100 * AGAIN_US
    assert await due(database, clock, tmp_path) == []


@ONE_ENGINE
async def test_who_does_not_heed_or_is_away_gets_nothing(
    database: Database, client: httpx.AsyncClient, acme: Tenant, tmp_path: Path
) -> None:
    """Nothing is queued for it; cancelled in time it never comes."""
    await online(database)
    make_signer(tmp_path)
    ident = await stage(client, acme.gateway, await put(client, acme))
    for values in ({"takes": "cmd"}, {"takes": "cmd cfg", "online": False}):
        async with as_owner(database).write() as session:
            await session.execute(update(Gateway).values(**values))
        assert await due(database, Stopped(), tmp_path) == []
    url = f"/v1/configuration-assignments/{ident}/cancel"
    assert (await client.post(url)).json()["state"] == "cancelled"
    assert (await client.post(url)).status_code == 409
    async with as_owner(database).write() as session:
        await session.execute(update(Gateway).values(online=True))
    assert await due(database, Stopped(), tmp_path) == []


async def test_reports_in_any_order_and_twice(
    database: Database, client: httpx.AsyncClient, acme: Tenant, rival: Tenant
) -> None:
    """Each counts once; a late `pending` takes nothing back; nobody speaks for another's gateway."""
    await online(database)
    ident = await stage(client, acme.gateway, await put(client, acme))
    await tell(database, rival, rival.gateway, "applied", 1, id=ident)
    await tell(database, acme, "gw-other-1", "applied", 1, id=ident)
    assert (await shown(client, ident))["state"] == "staged"
    errors = ["buses[0]: no", "x" * 400]
    for _ in range(2):
        await tell(database, acme, acme.gateway, "refused", 2, id=ident, reason="r", errors=errors)
    await tell(database, acme, acme.gateway, "pending", 1, id=ident)
    for doc in ({"id": ident, "n": 0}, {"id": ident, "journal": 5}, {"id": 7}, {"errors": "x"}):
        await tell(database, acme, acme.gateway, "applied", 3, **doc)
    told = await shown(client, ident)
    assert (told["state"], told["reason"], told["errors"]) == ("refused", "r", errors)
    kinds = [event["kind"] for event in told["events"]]
    assert kinds == ["desired.staged", "desired.refused", "desired.pending"]


@ONE_ENGINE
async def test_set_aside_after_applied(
    database: Database, client: httpx.AsyncClient, acme: Tenant
) -> None:
    """What was in force and is not any more, by the word of the site, is told as such."""
    await online(database)
    number = await put(client, acme)
    ident = await stage(client, acme.gateway, number)
    here = f"/v1/gateways/{acme.gateway}/configuration"
    await tell(database, acme, acme.gateway, "applied", 1, id=ident)
    await tell(database, acme, acme.gateway, "running", 2, version=number, config="ab")
    assert (await client.get(here)).json()["in_step"] is True
    await tell(database, acme, acme.gateway, "set_aside", 3, id=ident, reason="site-file-changed")
    await tell(database, acme, acme.gateway, "running", 1, version=number, config="old")
    told = (await client.get(here)).json()
    assert (told["in_step"], told["desired"]["state"], told["running"]["config"]) == (
        False, "set_aside", "ab",
    )  # fmt: skip


# ---------------------------------------------------------------- rollouts


async def fleet(db: Database, tenant: Tenant, count: int) -> list[str]:
    """Add gateways to a company and return the ids of all of them."""
    names = [f"gw-{tenant.slug}-{number}" for number in range(2, count + 1)]
    rows = [
        {"id": name, "name": name, "site_id": tenant.site, "company_id": tenant.company}
        | {"created_us": NOW, "online": True, "takes": "cfg"}
        for name in names
    ]
    async with as_owner(db).write() as session:
        await session.execute(insert(Gateway), rows)
    return [tenant.gateway, *names]


async def test_waves_open_one_by_one_and_halt(
    database: Database, client: httpx.AsyncClient, acme: Tenant, tmp_path: Path
) -> None:
    """The second wave waits for the first; a failure halts; by hand it goes on, or ends."""
    await online(database)
    make_signer(tmp_path)
    gateways, clock = await fleet(database, acme, 5), Stopped()
    number = await put(client, acme)
    source = {"gateway": acme.gateway, "version": number}
    body = {"gateways": gateways, "source": source, "waves": [1, 2], "force": True}
    answer = await client.post("/v1/configuration-rollouts", json=body)
    rollout = answer.json()
    assert (answer.status_code, rollout["waves"]) == (200, [1, 2, 2]), answer.text
    of = {one["gateway"]: one["id"] for one in rollout["assignments"]}
    assert [one.id for one in await due(database, clock, tmp_path)] == [of[gateways[0]]]
    await tell(database, acme, gateways[0], "applied", 1, id=of[gateways[0]])
    sent = {one.id for one in await due(database, clock, tmp_path)}
    assert sent == {of[gateways[1]], of[gateways[2]]}
    await tell(database, acme, gateways[1], "rolled_back", 1, id=of[gateways[1]])
    await tell(database, acme, gateways[2], "applied", 1, id=of[gateways[2]])
    assert await due(database, clock, tmp_path) == []
    url = f"/v1/configuration-rollouts/{rollout['id']}"
    told = (await client.get(url)).json()
    assert (told["state"], told["reason"]) == ("halted", "1 failed, 0 may")
    assert told["counts"] == {"applied": 2, "rolled_back": 1, "waiting": 2}
    assert (await client.post(f"{url}/resume", json={"most_failed": 1})).json()[
        "state"
    ] == "running"
    assert len(await due(database, clock, tmp_path)) == 2
    assert (await client.post(f"{url}/cancel")).json()["state"] == "cancelled"
    for path in ("resume", "cancel"):
        again = await client.post(f"{url}/{path}", json={"most_failed": 1})
        assert again.status_code == 409


@ONE_ENGINE
async def test_a_rollout_needs_gateways_with_versions(
    database: Database, client: httpx.AsyncClient, acme: Tenant, rival: Tenant
) -> None:
    """Nobody chosen, a stranger, or one that has no version: told, and nothing is staged."""
    await online(database)
    bare = (await fleet(database, acme, 2))[1]
    for body, status in (
        ({}, 422),
        ({"gateways": [rival.gateway]}, 404),
        ({"gateways": [acme.gateway, bare]}, 404),
        ({"gateways": [acme.gateway], "source": {"gateway": rival.gateway, "version": 1}}, 404),
        ({"gateways": [acme.gateway], "waves": []}, 422),
    ):
        answer = await client.post("/v1/configuration-rollouts", json=body)
        assert (body, answer.status_code) == (body, status)
    assert (await client.get("/v1/configuration-rollouts")).json()["items"] == []
    answer = await client.post(
        "/v1/configuration-rollouts",
        json={"site": acme.site, "source": {"gateway": acme.gateway, "version": 1}},
    )
    assert [one["gateway"] for one in answer.json()["assignments"]] == [acme.gateway, bare]


# ---------------------------------------------------------------- two persons


async def second(db: Database, tenant: Tenant) -> dict[str, str]:
    """Return the headers of another key of the same company."""
    new = keys.new_key()
    row = {"name": "other", "prefix": new.prefix, "digest": new.digest, "created_us": NOW}
    async with as_owner(db).write() as session:
        await session.execute(
            insert(ApiKey).values(company_id=tenant.company, scopes=["operator"], **row)
        )
    return {"Authorization": f"Bearer {new.plain}"}


async def test_a_second_person_confirms(
    database: Database, api: FastAPI, client: httpx.AsyncClient, acme: Tenant, tmp_path: Path
) -> None:
    """Nothing is sent before; whoever gave it cannot, by no key of its own; both stand in history and order."""
    rule = {"points": "bacnet:1001:*", "within_s": 60, "actor": "admin", "created_us": NOW}
    async with as_owner(database).write() as session:
        await session.execute(update(Gateway).values(online=True, takes="cmd"))
        await session.execute(insert(CommandRule).values(company_id=acme.company, **rule))
    signer, clock = make_signer(tmp_path), Stopped()
    url = f"/v1/points/{acme.points[0]}/commands"
    given = (await client.post(url, json={"value": 21.5, "valid_s": 30})).json()
    assert given["state"] == "unconfirmed"
    assert [one async for one in Sender(database, clock, tmp_path).due()] == []
    confirm = f"/v1/commands/{given['id']}/confirm"
    own = await client.post(confirm)
    assert (own.status_code, own.json()["code"]) == (409, "not_confirmable")
    made = (await client.post("/v1/api-keys", json={"name": "mine", "scopes": ["operator"]})).json()
    async with client_of(api, headers={"Authorization": f"Bearer {made['key']}"}) as mine:
        same = await mine.post(confirm)
    assert (same.status_code, "behind both" in same.json()["detail"]) == (409, True)
    async with client_of(api, headers=await second(database, acme)) as other:
        done = await other.post(confirm)
        assert (done.status_code, done.json()["state"]) == (200, "pending"), done.text
        assert (await other.post(confirm)).status_code == 409
    (sent,) = [one async for one in Sender(database, clock, tmp_path).due()]
    order = wire.read_order(wire.decode(wire.Command, sent.payload).body)
    assert order.actor == "key:first, confirmed by key:other"
    assert order.expires - order.issued == 30_000_000
    told = (await client.get(f"/v1/commands/{given['id']}")).json()
    assert [event["kind"] for event in told["events"]] == ["command.given", "command.confirmed"]
    assert told["confirmed_by"] == "other"
    assert signer.kid
    dry = (await client.post(url, json={"value": 1, "kind": "dry_run"})).json()
    assert dry["state"] == "pending"
    elsewhere = f"/v1/points/{acme.battery['power']}/commands"
    assert (await client.post(elsewhere, json={"value": 1})).json()["state"] == "pending"


@ONE_ENGINE
async def test_what_nobody_confirms_expires(
    database: Database, api: FastAPI, client: httpx.AsyncClient, acme: Tenant, tmp_path: Path
) -> None:
    """After its time it is over, whoever comes."""
    rule = {"points": "*", "within_s": 60, "actor": "admin", "created_us": NOW - 60_000_000}
    async with as_owner(database).write() as session:
        await session.execute(insert(CommandRule).values(company_id=acme.company, **rule))
    url = f"/v1/points/{acme.points[0]}/commands"
    given = (await client.post(url, json={"value": 21.5})).json()
    clock = Stopped(NOW + 60_000_000)
    assert [one async for one in Sender(database, clock, tmp_path).due()] == []
    async with client_of(api, headers=await second(database, acme)) as other:
        late = await other.post(f"/v1/commands/{given['id']}/confirm")
    assert (late.status_code, "expired" in late.json()["detail"]) == (409, True)
    told = (await client.get(f"/v1/commands/{given['id']}")).json()
    assert (told["state"], told["reason"]) == ("expired", "not-confirmed")


RULE = "configuration-interval-too-short"


@ONE_ENGINE
async def test_what_governance_blocks_is_not_rolled_out(
    acme: Tenant, client: httpx.AsyncClient
) -> None:
    """What a blocker finds goes to no gateway, forced or not, until somebody waives the rule."""
    strict = {"severity": "blocker", "numbers": {"seconds": 60}}
    told = await client.put(f"/v1/governance/rules/{RULE}", json=strict)
    assert told.is_success, told.text
    version = await put(client, acme)
    staged = f"/v1/gateways/{acme.gateway}/configuration/assignments"
    asked = {"version": version, "force": True}
    rollout = {"gateways": [acme.gateway], "force": True}
    for url, body in ((staged, asked), ("/v1/configuration-rollouts", rollout)):
        refused = await client.post(url, json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "governance_blockers")
        assert RULE in refused.json()["detail"]
    waiver = {"rule": RULE, "subject": "*", "reason": "a test of the gate", "days": 1}
    waived = await client.post(f"/v1/governance/sites/{acme.site}/waivers", json=waiver)
    assert waived.is_success, waived.text
    assert (await client.post(staged, json=asked)).status_code == 200
    assert (await client.post("/v1/configuration-rollouts", json=rollout)).is_success
