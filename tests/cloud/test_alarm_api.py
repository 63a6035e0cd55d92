"""Alarms by the API: what people see and do, rules, receivers, figures."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import select, update

from plantroom_cloud.alarms.receivers import MailReceiver
from plantroom_cloud.alarms.repository import AlarmFilter, AlarmRepository, RuleRepository
from plantroom_cloud.alarms.service import AlarmService
from plantroom_cloud.alarms.states import Act
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.tables import AlarmNotice, AlarmReceiver
from support.alarm_world import START, World
from support.api_world import HOUR, NOW, Stopped, Tenant, client_of, make_app, seed
from support.scope_watch import watching
from support.servers import as_owner, opened


class Service(NamedTuple):
    """The application with what it is made of."""

    database: Database
    clock: Stopped
    app: FastAPI


THRESHOLD = {"kind": "threshold", "compare": "above", "high": 8}
_NUMBERS = count(1)
pytestmark = pytest.mark.asyncio(loop_scope="module")
MAIL = {"kind": "email", "name": "Desk", "target": "desk@plant.example"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """The application for all tests here; each has a company of its own."""
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("alarms") / "plantroom.db")
    async with opened(f"sqlite+aiosqlite:///{path}") as database:
        clock = Stopped()
        with watching(database) as watch:
            yield Service(database, clock, make_app(database, clock))
        assert watch.escaped == []


@pytest_asyncio.fixture(loop_scope="module")
async def acme(service: Service) -> Tenant:
    """A company with one of everything."""
    service.clock.now = NOW
    return await seed(service.database, f"acme-{next(_NUMBERS)}")


@pytest_asyncio.fixture(loop_scope="module")
async def client(service: Service, acme: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key of `acme`."""
    async with client_of(service.app, headers=acme.headers) as made:
        yield made


@pytest.fixture
def world(service: Service, acme: Tenant) -> World:
    """The company with its points."""
    return World(service.database, acme, service.clock)


async def _post(client: httpx.AsyncClient, path: str, body: Any = None) -> Any:
    answer = await client.post(f"/v1/{path}", json={} if body is None else body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _rule(client: httpx.AsyncClient, world: World, **more: Any) -> int:
    says = {"name": "warm", "when": THRESHOLD | {"points": [world.point]}, **more}
    rule = (await _post(client, "alarm-rules", says))["id"]
    await world.work()
    return int(rule)


async def _raised(client: httpx.AsyncClient, world: World, **more: Any) -> str:
    await _rule(client, world, **more)
    await world.say((10, 9.5))
    return f"alarms/{(await world.only()).id}"


async def test_the_life_of_an_alarm(client: httpx.AsyncClient, world: World) -> None:
    """Raised, acknowledged, assigned, returned, latched, reset: all of it by name in the history."""
    path = await _raised(client, world, latching=True, response="Look at the valve")
    shown = (await client.get(f"/v1/{path}")).json()
    assert (shown["state"], shown["value"], shown["response"]) == (
        "unacknowledged", 9.5, "Look at the valve",
    )  # fmt: skip
    assert (await _post(client, f"{path}/acknowledge", {"note": "seen"}))["state"] == "acknowledged"
    assert (await _post(client, f"{path}/assign", {"to": "Ada"}))["assignee"] == "Ada"
    await _post(client, f"{path}/notes", {"text": "valve is stuck"})
    await world.say((20, 7.0))
    assert (await client.get(f"/v1/{path}")).json()["state"] == "latched_acknowledged"
    assert (await _post(client, f"{path}/reset"))["state"] == "normal"
    history = (await client.get(f"/v1/{path}/history", params={"limit": 4})).json()
    kinds = [item["kind"] for item in history["items"]]
    rest = await client.get(f"/v1/{path}/history", params={"after": history["next"]})
    kinds += [item["kind"] for item in rest.json()["items"]]
    assert kinds == ["reset", "returned", "note", "assigned", "acknowledged", "raised"]
    assert {item["actor"] for item in history["items"]} == {"first", ""}


async def test_shelved_with_an_end_and_a_reason(client: httpx.AsyncClient, world: World) -> None:
    """A shelf needs a reason and an end that the rule allows; it can be cut short."""
    path = await _raised(client, world, longest_shelf_s=600)
    for body in ({"minutes": 5}, {"reason": "x"}, {"minutes": 5, "reason": " "}):
        assert (await client.post(f"/v1/{path}/shelve", json=body)).status_code == 422
    long = await client.post(f"/v1/{path}/shelve", json={"minutes": 11, "reason": "x"})
    assert long.status_code == 422
    assert "at most 600 seconds" in long.json()["detail"]
    shelved = await _post(client, f"{path}/shelve", {"minutes": 10, "reason": "calibration"})
    assert (shelved["state"], shelved["reason"], shelved["shelved_until"]) == (
        "shelved", "calibration", "2026-01-31T12:10:10.000000Z",
    )  # fmt: skip
    history = (await client.get(f"/v1/{path}/history")).json()["items"][0]
    assert history["doc"] == {"reason": "calibration", "until": "2026-01-31T12:10:10.000000Z"}
    back = await _post(client, f"{path}/unshelve")
    assert (back["state"], back["reason"]) == ("unacknowledged", "")


async def test_out_of_service(client: httpx.AsyncClient, world: World) -> None:
    """What is out of service is so until somebody brings it back."""
    path = await _raised(client, world)
    gone = await _post(client, f"{path}/remove", {"reason": "being rebuilt"})
    assert (gone["state"], gone["reason"]) == ("out_of_service", "being rebuilt")
    refused = await client.post(f"/v1/{path}/acknowledge", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "alarm_state")
    await world.say((20, 7.0))
    assert (await _post(client, f"{path}/restore"))["state"] == "normal"


async def test_several_at_once(client: httpx.AsyncClient, world: World) -> None:
    """Several are acknowledged in one go; of what cannot be, the answer says why."""
    path = await _raised(client, world)
    number = int(path.rpartition("/")[2])
    body = {"alarms": [number, number, 10**12]}
    items = (await _post(client, "alarms/acknowledge", body))["items"]
    assert [item["done"] for item in items] == [True, False]
    again = (await _post(client, "alarms/acknowledge", {"alarms": [number]}))["items"]
    assert "nothing to acknowledge" in again[0]["why"]


async def test_the_list(client: httpx.AsyncClient, world: World, acme: Tenant) -> None:
    """The most urgent come first; filters and pages leave nothing out."""
    await _raised(client, world, priority="critical")

    async def states(**params: Any) -> list[str]:
        answer = await client.get("/v1/alarms", params=params)
        assert answer.status_code == 200, answer.text
        return [item["state"] for item in answer.json()["items"]]

    everything = await states()
    assert everything[0] == "unacknowledged"
    assert "normal" not in everything
    assert len(await states(all=True)) > len(everything)
    assert await states(priority="critical") == ["unacknowledged"]
    assert await states(point=world.point) == ["unacknowledged"]
    assert await states(state="shelved") == ["shelved"]
    assert await states(assignee="nobody") == []
    assert await states(rule=10**9) == []
    assert await states(gateway=acme.gateway, site=acme.site) == everything
    assert (await client.get("/v1/alarms", params={"state": "odd"})).status_code == 422
    paged: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        body = (await client.get("/v1/alarms", params={"limit": "2"} | cursor)).json()
        paged += [item["state"] for item in body["items"]]
        if body["next"] is None:
            break
        cursor = {"after": body["next"]}
    assert paged == everything


async def test_rules_come_and_go(client: httpx.AsyncClient, world: World) -> None:
    """A rule is made, changed and deleted; what it names must be the company's own."""
    rule = await _rule(client, world)
    says = (await client.get(f"/v1/alarm-rules/{rule}")).json()["rule"]
    changed = await client.put(f"/v1/alarm-rules/{rule}", json=says | {"priority": "low"})
    assert (changed.json()["version"], changed.json()["rule"]["priority"]) == (2, "low")
    await world.work()
    assert (await world.only()).priority == 1
    other = says | {"when": {"kind": "finding"}}
    assert (await client.put(f"/v1/alarm-rules/{rule}", json=other)).status_code == 422
    for wrong in (
        says | {"when": says["when"] | {"points": [10**9]}},
        says | {"site": 10**9},
        says | {"when": {"kind": "gateway", "gateways": ["gw-nobody"]}},
        says | {"when": says["when"] | {"points": [world.point], "suppress": {
            "point": 10**9, "compare": "equals", "value": 0}}},
    ):  # fmt: skip
        answer = await client.post("/v1/alarm-rules", json=wrong)
        assert answer.status_code == 422, answer.text
        assert "there is no" in answer.json()["detail"]
    listed = (await client.get("/v1/alarm-rules", params={"limit": 1})).json()
    rest = (await client.get("/v1/alarm-rules", params={"after": listed["next"]})).json()
    assert [item["id"] for item in rest["items"]] == [rule]
    assert (await client.get("/v1/alarm-rules", params={"site": 10**9})).json()["items"] == []
    assert (await client.delete(f"/v1/alarm-rules/{rule}")).status_code == 200
    await world.work()
    assert await world.alarms() == []
    assert (await client.get(f"/v1/alarm-rules/{rule}")).status_code == 404
    assert (await client.delete(f"/v1/alarm-rules/{rule}")).status_code == 404


async def test_receivers_come_and_go(client: httpx.AsyncClient, monkeypatch: Any) -> None:
    """A receiver is made, changed and deleted; the secret of a webhook is shown once."""
    made = await _post(client, "alarm-receivers", MAIL)
    assert made["secret"] is None
    path = f"/v1/alarm-receivers/{made['id']}"
    answer = await client.put(path, json=MAIL | {"least_priority": "high"})
    assert answer.json()["receiver"]["least_priority"] == "high"
    hook = {"kind": "webhook", "name": "Hook", "target": "https://desk.example/x"}
    secret = await _post(client, "alarm-receivers", hook)
    assert secret["secret"].startswith("whsec_")
    assert (await client.get(f"/v1/alarm-receivers/{secret['id']}")).json()["secret"] is None
    assert (await client.put(path, json=hook)).status_code == 422
    for wrong in (
        "http://desk.example",
        "https://u:p@desk.example",
        "file:///etc/passwd",
        "https://",
    ):
        body = hook | {"target": wrong}
        assert (await client.post("/v1/alarm-receivers", json=body)).status_code == 422, wrong
    for wrong in ("desk", "a@b\r\nBcc: x@y", "a@b,c@d", "<a@b>"):
        body = MAIL | {"target": wrong}
        assert (await client.post("/v1/alarm-receivers", json=body)).status_code == 422, wrong
    foreign = MAIL | {"sites": [10**9]}
    assert (await client.post("/v1/alarm-receivers", json=foreign)).status_code == 422
    listed = (await client.get("/v1/alarm-receivers")).json()["items"]
    assert len(listed) == 3
    assert (await client.delete(path)).status_code == 200
    assert (await client.get(path)).status_code == 404
    monkeypatch.setattr("plantroom_cloud.alarms.designing.MOST_RECEIVERS", 2)
    full = await client.post("/v1/alarm-receivers", json=MAIL)
    assert "at most 2 receivers" in full.json()["detail"]


async def test_failed_notices_are_tried_again(
    client: httpx.AsyncClient, acme: Tenant, service: Service
) -> None:
    """What has failed is listed, and waits again when somebody asks for it."""
    path = f"/v1/alarm-receivers/{acme.receiver}"
    async with as_owner(service.database).write() as session:
        await session.execute(update(AlarmNotice).values(state="failed", why="550"))
    failed = (await client.get(f"{path}/notices", params={"state": "failed"})).json()["items"]
    assert [item["why"] for item in failed] == ["550"]
    assert (await client.post(f"{path}/retry")).json() == {"notices": 1}
    assert (await client.get(f"{path}/notices")).json()["items"][0]["state"] == "waiting"


async def test_figures(client: httpx.AsyncClient, world: World) -> None:
    """The figures count what called, name the worst, and know what stands and is stale."""
    path = await _raised(client, world, priority="high")
    number = int(path.rpartition("/")[2])
    for n in range(1, 12):
        await world.say((10 + n, 7.0), (10.5 + n, 9.5))
    params = {"from": str((START - HOUR) / 1e6), "to": str((START + HOUR) / 1e6)}
    body = (await client.get("/v1/alarms/figures", params=params)).json()
    assert body["priorities"]["high"] == 12
    assert body["top"][0] == {"alarm": number, "title": "warm: CH1.SupplyTemp", "count": 12}
    assert number in [item["alarm"] for item in body["chattering"]]
    assert len(body["floods"]) == 1
    many = await client.get("/v1/alarms/figures", params=params | {"operators": 5})
    assert many.json()["floods"] == []
    world.clock.now += 25 * HOUR
    later = (await client.get("/v1/alarms/figures")).json()
    assert {item["alarm"]: item["count"] for item in later["stale"]}[number] == 25
    wide = await client.get("/v1/alarms/figures", params={"from": "0"})
    assert wide.status_code == 422


async def test_who_is_confined_to_sites(world: World, acme: Tenant) -> None:
    """Who acts for some sites finds the alarms of others neither in a list nor by number.

    At these everything is as for everybody: also what a rule of all sites says, and who is told.
    """
    alarm, page = acme.alarms[""], Page(10, None)
    wish = MailReceiver.model_validate(MAIL | {"on": ["acknowledged"]})
    config = wish.model_dump(mode="json", by_alias=True)
    async with world.owner.write() as session:
        mine = update(AlarmReceiver).where(AlarmReceiver.id == acme.receiver)
        await session.execute(mine.values(enabled=True, config=config))
    for sites in (frozenset({10**9}), frozenset[int](), frozenset({acme.site})):
        seen, scope = acme.site in sites, Scope(acme.company, sites)
        async with world.database.write(scope) as session:
            alarms = AlarmRepository(session, scope)
            assert bool(await alarms.page(AlarmFilter(), page)) is seen
            assert bool(await alarms.history(alarm, page)) is seen
            assert bool(await alarms.standing(None)) is seen
            assert bool(await alarms.calls(0, 2 * START, None)) is seen
            assert bool(await RuleRepository(session, scope).page(None, page)) is seen
            service = AlarmService(session, scope, world.clock, "ada")
            if seen:
                assert (await service.act(alarm, Act.ACKNOWLEDGE)).standing == "acknowledged"
            else:
                with pytest.raises(NotFound):
                    await service.act(alarm, Act.ACKNOWLEDGE)
    async with world.owner.read() as session:
        told = select(AlarmNotice.receiver_id).where(AlarmNotice.company_id == acme.company)
        told = told.where(AlarmNotice.state == "waiting")
        assert (await session.execute(told)).scalar_one() == acme.receiver


async def test_nobody_overwrites_what_they_have_not_seen(
    client: httpx.AsyncClient, world: World
) -> None:
    """A rule is changed by who says what it was; an alarm is acknowledged as it was seen."""
    path = await _raised(client, world)
    rule = f"/v1/alarm-rules/{(await world.only()).rule_id}"
    read = await client.get(rule)
    says, tag = read.json()["rule"], {"If-Match": read.headers["etag"]}
    del client.headers["If-Match"]
    assert (await client.put(rule, json=says)).status_code == 428
    assert (await client.put(rule, json=says | {"name": "hot"}, headers=tag)).status_code == 200
    assert (await client.put(rule, json=says, headers=tag)).status_code == 412
    assert (await client.delete(rule, headers=tag)).status_code == 412
    seen = {"If-Match": (await client.get(f"/v1/{path}")).headers["etag"]}
    await world.say((20, 7.0))
    late = await client.post(f"/v1/{path}/acknowledge", json={}, headers=seen)
    assert (late.status_code, late.json()["code"]) == (412, "changed_meanwhile")
    seen = {"If-Match": late.headers["etag"]}
    done = await client.post(f"/v1/{path}/acknowledge", json={}, headers=seen)
    assert done.json()["state"] == "normal"


async def test_once_under_a_key(client: httpx.AsyncClient, world: World) -> None:
    """The same request under one key adds one note."""
    path = await _raised(client, world)
    once = {"Idempotency-Key": "note-1"}
    answers = [
        await client.post(f"/v1/{path}/notes", json={"text": "seen"}, headers=once)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert await world.history() == ["raised", "note"]
