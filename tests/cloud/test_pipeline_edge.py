"""Jobs whose points an EnOS Edge finds: searched, waited for, mapped, and named as the Edge does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from demo.enos_sim import discovery as simulated
from demo.enos_sim.app import Simulator
from demo.enos_sim.faults import Fault
from demo.enos_sim.server import Addresses
from plantroom_cloud.config import CloudSettings, EnosTarget
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.pipeline import jobs, searching
from plantroom_cloud.pipeline.claims import MAX_TRIES, Claim, Claims
from plantroom_cloud.pipeline.edges import identity_of
from plantroom_cloud.pipeline.steps import STEPS, Means
from plantroom_cloud.pipeline.work import Worker
from plantroom_cloud.publishing.enos import discovery
from plantroom_cloud.publishing.enos.discovery import Discovery, News, PointsFound
from plantroom_cloud.publishing.enos.found import FoundPoint
from plantroom_cloud.tables import ApiKey, JobChunk
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, Rejected, Unavailable
from support import enos_site
from support.api_world import ONE_ENGINE, Stopped, Tenant, client_of, make_app
from support.pipeline_world import drain, job_of, point_list, rows_of, states
from support.servers import as_owner

EDGE = simulated.EDGE
LEASE = 30.0
NET = simulated.NETS[0]


@dataclass
class Ahead:
    """The machine's clock, which EnOS checks, and what a test has moved it by."""

    by_us: int = 0

    def now_us(self) -> int:
        return SystemClock().now_us() + self.by_us

    def monotonic(self) -> float:
        return SystemClock().monotonic()


@dataclass
class Plant:
    """A simulated EnOS whose Edge has devices, and the settings of the company it belongs to."""

    simulator: Simulator
    addresses: Addresses
    target: EnosTarget

    @property
    def requests(self) -> int:
        return int(self.simulator.world.counts["requests"])

    def fail(self, mode: str, count: int, path: str) -> None:
        fault = Fault.model_validate({"mode": mode, "count": count, "path": path})
        self.simulator.faults.waiting.append(fault)


@asynccontextmanager
async def plant(*, polls: int = 1, **more: Any) -> AsyncIterator[Plant]:
    """Yield an EnOS; its answers take `polls` questions, and ours follow each other at once."""
    quick = {"edge_poll": 0.002, "edge_patience": 20.0}
    async with enos_site.running(discovery_polls=polls) as (simulator, addresses):
        target = enos_site.target_of(simulator.world, addresses, **(quick | more))
        yield Plant(simulator, addresses, target)


def worker_of(db: Database, *targets: EnosTarget, clock: Ahead | None = None) -> Worker:
    return Worker(means_of(db, *targets, clock=clock), LEASE)


def means_of(db: Database, *targets: EnosTarget, clock: Ahead | None = None) -> Means:
    return Means(db, clock or Ahead(), enos={one.company: one for one in targets})


async def start(client: httpx.AsyncClient, *edges: Mapping[str, Any], **headers: str) -> str:
    answer = await client.post("/v1/jobs", json={"edges": list(edges)}, headers=headers)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """The Edge has three devices only."""
    monkeypatch.setattr(simulated, "DEVICES", 3)
    return 3


def objects(devices: int) -> set[tuple[str, str, str]]:
    """Return what the simulated Edge has: device instance, object type, instance."""
    return {
        (str(row["otDeviceInst"]), row["objectType"], str(row["objectInst"]))
        for at in range(devices)
        for row in simulated.found_points(1000 + at)
    }


async def test_an_edge_finds_a_building(
    database: Database, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages of devices, late as they are, and all their points: mapped and named as it names them."""
    monkeypatch.setattr(simulated, "DEVICES", 23)
    monkeypatch.setattr(discovery, "_PAGE", 10)
    async with plant(polls=2) as enos:
        job = await start(client, {"id": EDGE, "nets": [NET], "name": "Tower"})
        queued = await job_of(client, job)
        assert (queued["source"], queued["state"], queued["points"]) == ("edges", "queued", 0)
        async with asyncio.timeout(120):
            assert await drain(worker_of(database, enos.target)) == 5
    done = await job_of(client, job)
    assert (done["state"], done["troubles"], done["progress"]) == ("done", [], 1.0)
    assert states(done)["publish"] == "skipped"
    rows = await rows_of(client, job)
    assert len(rows) == done["points"]
    assert {identity_of(row["point"]) for row in rows} == objects(simulated.DEVICES)
    assert {row["stage"] for row in rows} == {"score"}
    assert sum(bool(row["point_class"]) for row in rows) == done["figures"]["classed"] > 0
    (building,) = (await client.get(f"/v1/jobs/{job}/buildings")).json()["items"]
    assert (building["name"], building["site"]) == ("Tower", None)
    assert building["search"] == {
        "devices": simulated.DEVICES,
        "devices_read": simulated.DEVICES,
        "points": len(rows),
        "no_value": 0,
        "unreadable": 0,
    }


@ONE_ENGINE
async def test_all_networks_where_none_is_named(
    database: Database, client: httpx.AsyncClient, few: int
) -> None:
    """Every network of the Edge is searched; a device that is on two of them is one device."""
    async with plant() as enos:
        job = await start(client, {"id": EDGE})
        await drain(worker_of(database, enos.target))
    rows = await rows_of(client, job)
    assert [identity_of(row["point"]) for row in rows] == [
        (str(device), kind, str(instance))
        for device, kind, instance in sorted(
            (int(device), kind, int(instance)) for device, kind, instance in objects(few)
        )
    ]
    (building,) = (await client.get(f"/v1/jobs/{job}/buildings")).json()["items"]
    assert building["name"] == EDGE


@ONE_ENGINE
async def test_an_edge_that_is_not_there_costs_no_other(
    database: Database, client: httpx.AsyncClient, few: int
) -> None:
    """What EnOS refuses is given up at once with its reason; the other building is done."""
    async with plant() as enos:
        job = await start(client, {"id": "elsewhere"}, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target))
    shown = await job_of(client, job)
    assert shown["state"] == "failed"
    (trouble,) = shown["troubles"]
    assert (trouble["building"], trouble["stage"], trouble["tries"]) == (0, "select", 1)
    assert "edge not found" in trouble["reason"]
    assert {row["building"] for row in await rows_of(client, job)} == {1}
    assert len(await rows_of(client, job)) == len(objects(few))


@ONE_ENGINE
async def test_an_edge_that_never_answers(
    database: Database, client: httpx.AsyncClient, few: int
) -> None:
    """Empty answers mean "not ready": it is tried again, then given up; put right, it is resumed."""
    clock = Ahead()
    async with plant(polls=10**6, edge_patience=0.1) as enos:
        worker = worker_of(database, enos.target, clock=clock)
        job = await start(client, {"id": EDGE, "nets": [NET]})
        for tries in range(1, MAX_TRIES + 1):
            await drain(worker)
            (trouble,) = (await job_of(client, job))["troubles"]
            assert trouble["tries"] == tries
            clock.by_us += 60_000_000
        assert f"{EDGE} brought no devices of {NET} within 0.1 s" in trouble["reason"]
        assert (await job_of(client, job))["state"] == "failed"
        enos.simulator.world.limits.discovery_polls = 1
        clock.by_us = 0
        patient = enos.target.model_copy(update={"edge_patience": 20.0})
        assert (await client.post(f"/v1/jobs/{job}/resume")).status_code == 200
        await drain(worker_of(database, patient))
    mended = await job_of(client, job)
    assert (mended["state"], mended["troubles"]) == ("done", [])
    assert mended["points"] == len(objects(few))


@ONE_ENGINE
@pytest.mark.parametrize("mode", ["garbage", "503", "429", "500", "unclear"])
async def test_an_enos_that_is_away_for_a_moment(
    database: Database, client: httpx.AsyncClient, few: int, mode: str
) -> None:
    """Rubbish and "later" in the middle of a search cost nothing but time."""
    async with plant() as enos:
        for call in ("search", "deviceResponse", "pointResponse"):
            enos.fail(mode, 2, call)
        job = await start(client, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target))
        assert enos.simulator.faults.done == 6
    shown = await job_of(client, job)
    assert (shown["state"], shown["troubles"]) == ("done", [])
    assert shown["points"] == len(objects(few))


@ONE_ENGINE
async def test_rubbish_for_ever_has_a_reason(
    database: Database, client: httpx.AsyncClient, few: int
) -> None:
    """The reason names the Edge, what did not come, and what came in its place; no row is left."""
    async with plant(edge_patience=2.0) as enos:
        enos.fail("garbage", 10**6, "pointResponse")
        job = await start(client, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target))
    shown = await job_of(client, job)
    (trouble,) = shown["troubles"]
    assert f"{EDGE} brought no points within 2 s" in trouble["reason"]
    assert "no JSON" in trouble["reason"]
    assert (shown["state"], shown["points"], trouble["state"]) == ("running", 0, "waiting")
    assert await rows_of(client, job) == []


@ONE_ENGINE
async def test_a_device_that_is_silent_is_named(
    database: Database, client: httpx.AsyncClient, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The points of the others are mapped; the job is done, and says what it lacks."""
    whole = simulated.found_points

    def points(device: int) -> list[dict[str, Any]]:
        found = whole(device)
        found += [{**found[0], "objectType": "trend-log", "objectInst": 7}]
        found += [{**found[0], "objectType": "a:b:c"}]
        return [] if device == 1001 else found

    monkeypatch.setattr(simulated, "found_points", points)
    async with plant(edge_patience=2.0) as enos:
        job = await start(client, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target))
    shown = await job_of(client, job)
    assert shown["state"] == "done"
    (trouble,) = shown["troubles"]
    assert (trouble["state"], trouble["stage"]) == ("done", "select")
    assert trouble["reason"] == (
        "1 of 3 devices did not bring all their points: 1001; "
        "2 records made no sense and were left out"
    )
    rows = await rows_of(client, job)
    assert {identity_of(row["point"])[0] for row in rows} == {"1000", "1002"}
    assert {identity_of(row["point"])[1] for row in rows} == {"analog-input", "binary-input"}
    (building,) = (await client.get(f"/v1/jobs/{job}/buildings")).json()["items"]
    figures = {"devices": few, "devices_read": 2, "points": 16, "no_value": 2, "unreadable": 2}
    assert building["search"] == figures


@ONE_ENGINE
async def test_keys_that_enos_refuses_are_not_told(
    database: Database, client: httpx.AsyncClient, few: int
) -> None:
    """Given up at once, for a person to put right; neither key nor secret stands anywhere."""
    for wrong in ({"app_secret": SecretStr("s3cr3t-s3cr3t")}, {"app_key": "k3y-k3y-k3y"}):
        async with plant(**wrong) as enos:
            job = await start(client, {"id": EDGE, "nets": [NET]})
            await drain(worker_of(database, enos.target))
            shown = await job_of(client, job)
            (trouble,) = shown["troubles"]
            assert (shown["state"], trouble["tries"]) == ("failed", 1)
            assert "check app_key, app_secret" in trouble["reason"]
            for secret in (enos.target.app_secret.get_secret_value(), enos.target.app_key):
                assert secret not in str(shown)


@ONE_ENGINE
async def test_a_token_that_enos_stops_to_take(
    database: Database, client: httpx.AsyncClient, few: int
) -> None:
    """Refused in the middle of a search, and fresh ones too: given up, and nothing of it is told."""
    async with plant() as enos:
        enos.fail("401", 10**6, "pointResponse")
        job = await start(client, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target))
        (trouble,) = (await job_of(client, job))["troubles"]
        assert trouble["reason"].startswith("Rejected: EnOS refuses our keys")
        assert enos.simulator.tokens.token not in trouble["reason"]


async def test_words_of_enos_are_told_without_keys(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that repeats what we signed with is shown without it, refused for good or for now."""
    async with plant() as enos:
        secret = enos.target.app_secret.get_secret_value()

        async def told(_figures: Mapping[str, int]) -> None:
            return

        whole = Discovery.networks
        for kind in (Unavailable, Rejected):

            async def networks(self: Discovery, kind: type = kind) -> list[str]:
                await whole(self)
                token = enos.simulator.tokens.token
                said = f"you sent {enos.target.app_key}, {secret} and {token}"
                raise kind(said, reason="x") if kind is Rejected else kind(said)

            with monkeypatch.context() as patch:
                patch.setattr(Discovery, "networks", networks)
                with pytest.raises(kind) as caught:
                    await searching.search(enos.target, Ahead(), EDGE, (), told)
            assert str(caught.value) == "you sent …, … and …"
            assert caught.value.__suppress_context__


async def test_a_foreign_company_cannot_use_an_enos(
    database: Database, client: httpx.AsyncClient, acme: Tenant, rival: Tenant
) -> None:
    """Whose EnOS is asked comes from the key alone: another's Edge is never so much as spoken to."""
    async with (
        plant() as enos,
        plant(company="rival", app_secret=SecretStr("x")) as other,
        client_of(make_app(database), headers=rival.headers) as stranger,
    ):
        job = await start(stranger, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target))
        (trouble,) = (await job_of(stranger, job))["troubles"]
        assert "company rival has no EnOS in the settings" in trouble["reason"]
        assert (enos.requests, enos.simulator.world.counts["token_requests"]) == (0, 0)
        assert (await client.get(f"/v1/jobs/{job}")).status_code == 404
        again = await start(stranger, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target, other.target))
        assert (await job_of(stranger, again))["state"] == "failed"
        assert (enos.requests, enos.simulator.world.counts["token_requests"]) == (0, 0)
        assert other.simulator.world.counts["token_requests"] > 0
        named = {"id": EDGE, "company": acme.slug}
        refused = await stranger.post("/v1/jobs", json={"edges": [named]})
        assert refused.status_code == 422


@ONE_ENGINE
async def test_what_is_refused(client: httpx.AsyncClient, database: Database, acme: Tenant) -> None:
    """Each has its problem, and none makes a job; a key that may only read searches nothing."""
    one = {"id": EDGE}
    bodies: tuple[dict[str, Any], ...] = (
        {"edges": []},
        {"edges": [one, one]},
        {"edges": [one], "sites": [acme.site]},
        {"edges": [{"id": "../x"}]},
        {"edges": [{"id": ""}]},
        {"edges": [one | {"nets": ["a\0b"]}]},
        {"edges": [one | {"nets": ["x" * 201]}]},
        {"edges": [one | {"nets": ["x"] * 17}]},
        {"edges": [{"id": f"e{number}"} for number in range(101)]},
    )
    for body in bodies:
        answer = await client.post("/v1/jobs", json=body)
        code = "no_text" if "\\u0000" in json.dumps(body) else "invalid_request"
        assert (answer.status_code, answer.json()["code"]) == (422, code), body
    async with as_owner(database).write() as session:
        await session.execute(update(ApiKey).values(scopes=["viewer"]))
    answer = await client.post("/v1/jobs", json={"edges": [one]})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert {job["id"] for job in (await client.get("/v1/jobs")).json()["items"]} == {acme.job}


@ONE_ENGINE
async def test_the_same_key_is_the_same_search(client: httpx.AsyncClient) -> None:
    """Sent again it is one job; with another network it is another request."""
    key = {"Idempotency-Key": "abc"}
    job = await start(client, {"id": EDGE, "nets": [NET]}, **key)
    assert await start(client, {"id": EDGE, "nets": [NET]}, **key) == job
    other = await client.post("/v1/jobs", json={"edges": [{"id": EDGE}]}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


@ONE_ENGINE
async def test_cancelled_while_it_waits(
    database: Database, client: httpx.AsyncClient, few: int
) -> None:
    """The lease is renewed while the Edge searches; cancelled, nobody asks it any more."""
    clock = Ahead()
    async with plant(polls=10**6, edge_patience=60.0) as enos, asyncio.timeout(60):
        job = await start(client, {"id": EDGE, "nets": [NET]})
        means = means_of(database, enos.target, clock=clock)
        working = asyncio.create_task(Worker(means, 0.05).step())
        try:
            first = await _due(database, job)
            while enos.requests < 5 or await _due(database, job) <= first:
                await asyncio.sleep(0.005)
            assert (await job_of(client, job))["state"] == "running"
            first = await _due(database, job)
            while await _due(database, job) <= first:
                await asyncio.sleep(0.005)
            assert (await client.post(f"/v1/jobs/{job}/cancel")).status_code == 200
            assert await working
        finally:
            working.cancel()
        asked = enos.requests
        assert not await worker_of(database, enos.target).step()
        assert enos.requests == asked
    assert (await job_of(client, job))["state"] == "cancelled"


async def _due(db: Database, job: str) -> int:
    async with as_owner(db).read() as session:
        query = select(JobChunk.due_us).where(JobChunk.job_id == job)
        return int((await session.execute(query)).scalar_one())


@ONE_ENGINE
async def test_progress_while_it_searches(
    database: Database, client: httpx.AsyncClient, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices and points are told as they come, before the search is over."""
    seen: list[tuple[int, int, int, int]] = []
    whole = Discovery.points

    async def watched(self: Discovery, devices: Any, news: News, most: int) -> PointsFound:
        async def look(read: int, points: int) -> None:
            await news(read, points)
            (one,) = (await client.get(f"/v1/jobs/{job}/buildings")).json()["items"]
            figures = one["search"]
            count = (await job_of(client, job))["points"]
            seen.append((figures["devices"], figures["devices_read"], figures["points"], count))

        return await whole(self, devices, look, most)

    monkeypatch.setattr(Discovery, "points", watched)
    async with plant() as enos:
        job = await start(client, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target))
    every = len(objects(few))
    assert seen[0] == (few, 0, 0, 0)
    assert seen[-1] == (few, few, every, every)
    assert any(0 < points < every for _, _, points, _ in seen)


@ONE_ENGINE
async def test_progress_that_cannot_be_noted(
    database: Database, client: httpx.AsyncClient, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away for a moment costs a search nothing."""

    async def away(*_: Any) -> bool:
        statement = "update"
        raise OperationalError(statement, {}, Exception("away"))

    monkeypatch.setattr(Claims, "tell", away)
    async with plant() as enos:
        job = await start(client, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target))
    assert (await job_of(client, job))["points"] == len(objects(few))


@ONE_ENGINE
async def test_a_search_done_twice_changes_nothing(
    database: Database, client: httpx.AsyncClient, acme: Tenant, few: int
) -> None:
    """A worker that was thought dead comes late: both found the same, and one of them counts."""
    clock, scope = Ahead(), Scope(acme.company)
    async with plant() as enos:
        means = means_of(database, enos.target, clock=clock)
        job = await start(client, {"id": EDGE, "nets": [NET]})
        late = await _take(database, scope, clock)
        first = await STEPS[late.stage](means, late)
        clock.by_us += round(LEASE * 1e6)
        early = await _take(database, scope, clock)
        again = await STEPS[early.stage](means, early)
        assert list(again.outputs) == list(first.outputs)
        for claim, result, counts in ((late, first, False), (early, again, True)):
            async with as_owner(database).write() as session:
                claims = Claims(session, scope)
                assert await claims.finish(claim, result, clock.now_us()) is counts
        async with as_owner(database).write() as session:
            assert not await Claims(session, scope).tell(late, {}, 1)
        await drain(worker_of(database, enos.target, clock=clock))
    assert len(await rows_of(client, job)) == len(objects(few))


async def _take(db: Database, scope: Scope, clock: Ahead) -> Claim:
    async with as_owner(db).write() as session:
        claims = Claims(session, scope)
        claim = await claims.take("one", clock.now_us(), round(LEASE * 1e6))
    assert claim is not None
    return claim


@ONE_ENGINE
async def test_a_search_has_an_end(database: Database, client: httpx.AsyncClient, few: int) -> None:
    """However much news there is, a building that takes too long is given up at once."""
    async with plant(polls=10**6, edge_limit=0.2) as enos:
        job = await start(client, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target))
    (trouble,) = (await job_of(client, job))["troubles"]
    assert (trouble["tries"], trouble["state"]) == (1, "failed")
    assert "was not done within 0.2 s; search fewer networks" in trouble["reason"]


@ONE_ENGINE
async def test_networks_that_bring_nothing_cost_no_other(
    database: Database, client: httpx.AsyncClient, few: int
) -> None:
    """A network that EnOS refuses is named; the devices of the others are there. All refused: why."""
    async with plant() as enos:
        job = await start(client, {"id": EDGE, "nets": ["eth9", NET]})
        none = await start(client, {"id": EDGE, "nets": ["eth9"]})
        await drain(worker_of(database, enos.target))
    shown = await job_of(client, job)
    assert (shown["state"], shown["points"]) == ("done", len(objects(few)))
    assert "Invalid Argument: net" in shown["troubles"][0]["reason"]
    (trouble,) = (await job_of(client, none))["troubles"]
    assert (trouble["tries"], trouble["state"]) == (1, "failed")


@ONE_ENGINE
async def test_an_edge_without_networks(
    database: Database,
    client: httpx.AsyncClient,
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is nothing to search, and the reason says what to do."""
    monkeypatch.setattr(simulated, "NETS", [])
    async with plant() as enos:
        job = await start(client, {"id": EDGE})
        await drain(worker_of(database, enos.target))
    (trouble,) = (await job_of(client, job))["troubles"]
    assert "has no network to search; set one up in EnOS" in trouble["reason"]


@ONE_ENGINE
async def test_searches_in_parts(
    database: Database, client: httpx.AsyncClient, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More devices than one search takes are searched in parts; one that fails costs no other."""
    monkeypatch.setattr(searching, "_AT_ONCE", 1)
    whole = Discovery.points

    async def points(self: Discovery, devices: Any, *rest: Any) -> PointsFound:
        if devices == [1001]:
            msg = "away"
            raise Unavailable(msg)
        return await whole(self, devices, *rest)

    monkeypatch.setattr(Discovery, "points", points)
    async with plant() as enos:
        job = await start(client, {"id": EDGE, "nets": [NET]})
        await drain(worker_of(database, enos.target))
    shown = await job_of(client, job)
    assert (shown["state"], shown["points"]) == ("done", 16)
    assert "1 of 3 devices did not bring all their points: 1001" in shown["troubles"][0]["reason"]


def test_points_are_named_by_what_they_have() -> None:
    """A point without a name is called by its description, then by what it is; keys are ours."""
    here = {"otDeviceInst": 7, "objectType": "analog-input", "objectInst": 3}
    for said, name in (
        ({"objectName": "AHU1_T", "description": "temp"}, "AHU1_T"),
        ({"objectName": " ", "description": "temp"}, "temp"),
        ({"objectName": "", "description": None}, "analog-input 3"),
    ):
        point = searching.point_of(FoundPoint.model_validate(here | said))
        assert (point.name, point.device) == (name, "bacnet:7")
        assert identity_of(point.key) == ("7", "analog-input", "3")
    assert identity_of("list.csv:7") == ("", "", "")


def test_no_enos_serves_two_companies(tmp_path: Path) -> None:
    """The settings are those of publishing, and checked like them."""
    keys: dict[str, Any] = {"apigw": "http://a", "integration": "http://a", "app_key": "k"}
    keys |= {"org_id": "o", "app_secret": SecretStr("s")}
    both = tuple(EnosTarget(company=company, **keys) for company in ("acme", "rival"))
    assert searching.targets_of(CloudSettings(data=tmp_path, enos=both[:1])) == {"acme": both[0]}
    with pytest.raises(ConfigError, match="organisation of its own"):
        searching.targets_of(CloudSettings(data=tmp_path, enos=both))


async def test_edges_that_are_waited_for_keep_nobody_waiting(
    database: Database, client: httpx.AsyncClient, few: int, tmp_path: Path
) -> None:
    """As many silent Edges as there are searches at once: a list goes through beside them."""
    async with plant(polls=10**6, edge_patience=600.0, edge_poll=0.1) as enos, asyncio.timeout(90):
        edges = [await start(client, {"id": EDGE, "nets": [NET]}) for _ in range(jobs.SEARCHES + 1)]
        settings = CloudSettings(data=tmp_path, enos=(enos.target,))
        running = asyncio.create_task(jobs.run(database, settings, SystemClock()))
        waited_for = ["queued", *["running"] * jobs.SEARCHES]
        try:
            while await _states(client, edges) != waited_for:
                await asyncio.sleep(0.02)
            csv = {"Content-Type": "text/csv"}
            answer = await client.post("/v1/jobs", content=point_list(1, 1), headers=csv)
            while (await job_of(client, answer.json()["id"]))["state"] != "done":
                await asyncio.sleep(0.02)
            assert await _states(client, edges) == waited_for
        finally:
            running.cancel()
            await asyncio.wait({running})


async def _states(client: httpx.AsyncClient, wanted: list[str]) -> list[str]:
    return sorted([(await job_of(client, job))["state"] for job in wanted])


@ONE_ENGINE
async def test_the_service_does_it(
    database: Database, client: httpx.AsyncClient, few: int, clock: Stopped, tmp_path: Path
) -> None:
    """The worker of `serve` has the settings, and does the job like any other."""
    async with plant() as enos, asyncio.timeout(60):
        settings = CloudSettings(data=tmp_path, enos=(enos.target,))
        running = asyncio.create_task(jobs.run(database, settings, SystemClock()))
        try:
            job = await start(client, {"id": EDGE, "nets": [NET]})
            while (await job_of(client, job))["state"] != "done":
                await asyncio.sleep(0.02)
        finally:
            running.cancel()
            await asyncio.wait({running})
    assert len(await rows_of(client, job)) == len(objects(few))
