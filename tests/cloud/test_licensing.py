"""What a company may have: nobody gets more, nothing is lost, and what is used is counted once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from plantroom_cloud.config import LlmBudget
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.gateways.provision import add_gateway
from plantroom_cloud.identity import by_hand as people
from plantroom_cloud.identity import keys
from plantroom_cloud.identity.oauth import INVITATION
from plantroom_cloud.identity.setup import add_site
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.licensing import flags, limits, service, upkeep
from plantroom_cloud.licensing.errors import LicenceOver, LimitReached, RequestsUsedUp
from plantroom_cloud.licensing.model import (
    Amount,
    Licence,
    Limit,
    Status,
    from_json,
    parse_limit,
    to_json,
)
from plantroom_cloud.licensing.requests import RequestMeter
from plantroom_cloud.mapping.llm.money import Cost
from plantroom_cloud.mapping.llm.repository import LlmRepository
from plantroom_cloud.tables import AuditRow, Invitation, LicenceNotice, SampleRow, Site, UsageDay
from plantroom_shared.errors import ConfigError
from support import cloud_site
from support.api_world import HOUR, NOW, ONE_ENGINE, PASSWORD, Seeder, Stopped, Tenant
from support.cloud_site import TestClock, inv, tel
from support.enos_plans import opened as publishing
from support.servers import as_owner

DAY = 24 * HOUR


async def license_(
    database: Database,
    scope: Scope,
    *said: str,
    status: Status = Status.ACTIVE,
    until_us: int | None = None,
    plan: str = "basic",
) -> None:
    """Give a company a licence."""
    licence = Licence(plan, status, dict(parse_limit(text) for text in said), 0, until_us)
    async with database.write(scope) as session:
        await service.give(session, scope, licence, now_us=NOW, who="cli:test")


def scope_of(tenant: Tenant) -> Scope:
    """Return whose rows a tenant's are."""
    return Scope(tenant.company)


async def used(database: Database, scope: Scope, what: str) -> int:
    """Return how much of something was ever used."""
    mine = (UsageDay.company_id == scope.company_id, UsageDay.what == what)
    total = select(func.coalesce(func.sum(UsageDay.amount), 0)).where(*mine)
    async with database.read(scope) as session:
        return int((await session.execute(total)).scalar_one())


# ---------------------------------------------------------------- pure


def test_limits_as_they_are_written() -> None:
    """A number, a number and from where to warn, or only the latter; all else is refused."""
    assert parse_limit("sites=5") == (Limit.SITES, Amount(5, 4))
    assert parse_limit("points=1000:990") == (Limit.POINTS, Amount(1000, 990))
    assert parse_limit("users=:7") == (Limit.USERS, Amount(None, 7))
    assert parse_limit("users=0:") == (Limit.USERS, Amount(0, None))
    kept = {"sites": [5, 4], "gone by now": [1, 1]}
    assert to_json(from_json(kept)) == {"sites": [5, 4]}
    for wrong in ("sites", "sites=", "sites=:", "sites=-1", "sites=x", "moons=1", "sites=1e3", ""):
        with pytest.raises(ConfigError):
            parse_limit(wrong)
    assert [Amount(5, 4).state(number) for number in (3, 4, 5, 6)] == [
        "ok",
        "warning",
        "reached",
        "reached",
    ]


def test_a_licence_ends_by_itself() -> None:
    """From its last moment on, whatever was said of its status."""
    licence = Licence("basic", Status.TRIAL, until_us=NOW)
    assert licence.status_at(NOW - 1) is Status.TRIAL
    assert licence.status_at(NOW) is Status.ENDED


# ---------------------------------------------------------------- nobody gets more


async def test_of_fifty_at_once_one_gets_what_is_left(database: Database, acme: Tenant) -> None:
    """Fifty make a site where there is room for one: there is one more afterwards."""
    scope = scope_of(acme)
    await license_(database, scope, "sites=2")

    async def make(number: int) -> bool:
        try:
            async with database.write(scope) as session:
                await add_site(session, Stopped(), scope, f"site-{number}")
        except LimitReached:
            return False
        return True

    made = await asyncio.gather(*(make(number) for number in range(50)))
    assert sum(made) == 1
    mine = select(func.count()).select_from(Site).where(Site.company_id == acme.company)
    async with database.read(scope) as session:
        assert (await session.execute(mine)).scalar_one() == 2


async def test_jobs_of_a_day_are_counted_with_them(
    database: Database, acme: Tenant, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """Twenty start at once where three are left; tomorrow there are as many again."""
    scope = scope_of(acme)
    await license_(database, scope, "jobs_per_day=3")
    answers = await asyncio.gather(*(client.post("/v1/jobs", json={}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [403] * 17
    refused = next(answer.json() for answer in answers if answer.status_code == 403)
    assert (refused["code"], refused["limit"], refused["plan"]) == (
        "limit_reached",
        "jobs_per_day",
        "basic",
    )
    assert await used(database, scope, "jobs") == 3
    clock.now += DAY
    assert (await client.post("/v1/jobs", json={})).status_code == 202


@ONE_ENGINE
async def test_every_way_to_more_is_closed(
    *, database: Database, acme: Tenant, anonymous: httpx.AsyncClient, tmp_path: Path, api: FastAPI
) -> None:
    """Sites, gateways, members by hand and by invitation, jobs: none beyond the limit, nor after."""
    scope, clock = scope_of(acme), Stopped()
    token = keys.new_key(keys.INVITATION)
    async with database.write(scope) as session:
        seeder = Seeder(session, acme)
        offer = {"email": "zoe@new.example", "role": "viewer", "invited_by": "ann"}
        times = {"created_us": NOW, "expires_us": NOW + DAY}
        await seeder.put(Invitation, digest=token.digest, **offer, **times, **seeder.own)

    async def gateway() -> None:
        async with database.write(scope) as session:
            authority = Authority(tmp_path / "pki")
            where: dict[str, Any] = {"scope": scope, "site_id": acme.site, "out": tmp_path / "gw"}
            await add_gateway(session, clock, authority, "gw-number-two", **where)

    async def site() -> None:
        async with database.write(scope) as session:
            await add_site(session, clock, scope, "two")

    async def user() -> None:
        async with database.write(None) as session:
            await people.add(session, "acme", "bo@x.example", "viewer", name="", password=PASSWORD)

    async def join() -> httpx.Response:
        form = {"grant_type": INVITATION, "token": token.plain, "password": "staple battery 12"}
        return await anonymous.post("/oauth/token", data=form)

    await license_(database, scope, "sites=1", "gateways=1", "users=2", "jobs_per_day=0")
    for make in (site, gateway, user):
        with pytest.raises(LimitReached):
            await make()
    assert ((await join()).status_code, (await join()).json()["limit"]) == (403, "users")
    await license_(database, scope, until_us=NOW)
    for make in (site, gateway, user):
        with pytest.raises(LicenceOver):
            await make()
    over = (await join()).json()
    assert (over["code"], over["licence_status"]) == ("licence_over", "ended")
    read = await anonymous.get("/v1/sites", headers=acme.headers)
    assert (read.status_code, read.headers["licence-warning"]) == (200, "licence;state=ended")
    await license_(database, scope, status=Status.PAST_DUE)
    for make in (site, gateway, user):
        await make()
    assert (await join()).status_code == 200


async def test_tokens_of_a_month_are_set_aside_once(database: Database, acme: Tenant) -> None:
    """Twenty ask for a hundred each where there is room for five of them; money is not all."""
    scope = scope_of(acme)
    await license_(database, scope, "llm_tokens_per_month=599")

    async def ask(period: str) -> bool:
        async with database.write(scope) as session:
            repository = LlmRepository(session, scope)
            return await repository.reserve(period, Cost(90, 10, 0), LlmBudget(), NOW)

    periods = ["2026-01", *("2026-01-31",) * 19]
    assert sum(await asyncio.gather(*(ask(period) for period in periods))) == 5
    assert await ask("2026-02-01")
    await license_(database, scope, status=Status.SUSPENDED)
    assert not await ask("2026-02-02")
    await license_(database, scope)
    assert await ask("2026-02-02")
    async with database.write(scope) as session:
        await service.switch(session, scope, flags.LLM, False, now_us=NOW, who="cli:test")
    assert not await ask("2026-03-01")


# ---------------------------------------------------------------- requests


async def test_requests_of_a_day(
    database: Database, acme: Tenant, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """As many as the licence allows are answered and counted; the next waits until tomorrow."""
    await license_(database, scope_of(acme), "requests_per_day=10:8")
    codes = []
    for _ in range(12):
        clock.now += 6_000_000
        answer = await client.get("/v1/sites")
        codes.append(answer.status_code)
        if len(codes) == 10:
            told = "requests_per_day;state=warning;used=9;most=10"
            assert answer.headers["licence-warning"] == told
    assert codes == [200] * 10 + [429] * 2
    problem = answer.json()
    assert (problem["code"], problem["limit"]) == ("limit_reached", "requests_per_day")
    assert 43_000 < int(answer.headers["retry-after"]) <= 43_200
    assert await used(database, scope_of(acme), "requests") == 10
    clock.now += DAY
    assert (await client.get("/v1/sites")).status_code == 200


@ONE_ENGINE
async def test_several_processes_share_the_requests(
    database: Database, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each knows what the others wrote; what cannot be written is written later, once."""
    clock, scope = Stopped(), scope_of(acme)
    await license_(database, scope, "requests_per_day=10")
    one, two = RequestMeter(database, clock), RequestMeter(database, clock)
    for meter, number in ((one, 4), (two, 5)):
        for _ in range(number):
            await meter.take(scope)
    with monkeypatch.context() as broken:

        def away(_: Scope) -> Any:
            error = OperationalError("", {}, Exception("away"))
            raise error

        broken.setattr(database, "write", away)
        broken.setattr(database, "read", away)
        await one.flush(scope)
    assert await used(database, scope, "requests") == 0
    await one.flush(scope)
    await one.flush(scope)
    clock.now += 6_000_000
    await two.flush(scope)
    assert await used(database, scope, "requests") == 9
    await two.take(scope)
    with pytest.raises(RequestsUsedUp):
        await two.take(scope)
    clock.now += DAY
    await two.take(scope)
    await two.close()
    assert await used(database, scope, "requests") == 11
    await RequestMeter(database, clock).flush(scope)  # of a company that has not asked yet


# ---------------------------------------------------------------- samples


async def test_samples_are_stored_whatever_the_licence_says(database: Database) -> None:
    """Each is counted once, though it comes twice; beyond the limit only publishing pauses."""
    home = await cloud_site.add_home(database)
    scope, clock = Scope(home.company_id), TestClock()
    store = Store(database, clock)
    await license_(database, scope, "samples_per_day=6:5", "points=1")
    await store.store([inv(cloud_site.dictionary(2)), tel(1, 4, points=2)])
    await store.store([tel(3, 4, points=2), tel(1, 4, points=2)])
    assert await used(database, scope, "samples") == 6
    async with database.read(scope) as session:
        assert await limits.pause(session, scope, clock.now_us()) == "samples_per_day"
        assert await limits.pause(session, scope, clock.now_us() + DAY) == ""
    answers = await store.store([tel(7, 3, points=2)])
    assert sum(hi - lo + 1 for pairs in answers.acks.values() for lo, hi in pairs) >= 3
    assert await used(database, scope, "samples") == 9
    await license_(database, scope, status=Status.SUSPENDED)
    await store.store([tel(10, 1, points=2)])
    mine = select(func.count()).select_from(SampleRow)
    mine = mine.where(SampleRow.company_id == scope.company_id)
    async with database.read(scope) as session:
        assert (await session.execute(mine)).scalar_one() == 10
        assert await limits.pause(session, scope, clock.now_us()) == "licence suspended"


@ONE_ENGINE
async def test_what_waits_through_a_pause_is_published_once(database: Database) -> None:
    """Nothing goes out while the licence is over; then all of it does, once."""
    async with publishing(database) as way:
        scope = way.site.scope
        await way.site.add_mapped("t")
        await license_(database, scope, status=Status.SUSPENDED)
        for number in range(5):
            way.clock.us += 60_000_000
            await way.site.put([("t", way.clock.us, float(number))], created_us=way.clock.us)
        assert (await way.drain()) == {}
        assert way.enos.values() == {}
        await license_(database, scope, status=Status.ACTIVE)
        way.clock.us += 60_000_000
        assert (await way.drain()) == {"published": 5}
        assert len(way.enos.values()) == 5
        assert await used(database, scope, "published") == 5


@ONE_ENGINE
async def test_points_beyond_the_limit_wait(database: Database) -> None:
    """The oldest points are published; the others are, with their past, once there is room."""
    async with publishing(database) as way:
        scope = way.site.scope
        await way.site.add_mapped("t")
        await way.site.add_mapped("u", target=("EnOS_HVAC_AHU", "AHU_raw_return_air_temp"))
        await license_(database, scope, "points=1")
        for number in range(3):
            way.clock.us += 60_000_000
            moment = way.clock.us
            rows = [(name, moment, float(number)) for name in ("t", "u")]
            await way.site.put(rows, created_us=moment)
        assert (await way.drain())["published"] == 3
        await license_(database, scope, "points=2")
        way.clock.us += 60_000_000
        assert (await way.drain())["published"] == 6
        assert len(way.enos.values()) == 6
        await license_(database, scope, "points=0")
        async with database.read(scope) as session:
            assert await limits.last_published_point(session, scope) == 0


# ---------------------------------------------------------------- told


@ONE_ENGINE
async def test_licence_and_usage_as_the_company_reads_them(
    database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """Without one nothing is limited; with one every limit says how it stands."""
    own = (await client.get("/v1/licence")).json()
    assert (own["plan"], own["status"], own["limits"], own["ends"]) == ("own", "active", [], None)
    await license_(
        database, scope_of(acme), "sites=1", "users=:2", "points=999", until_us=NOW + DAY
    )
    said = (await client.get("/v1/licence")).json()
    assert (said["plan"], said["paused"]) == ("basic", None)
    assert said["ends"] == "2026-02-01T12:00:00.000000Z"
    standing = {one["limit"]: (one["used"], one["state"]) for one in said["limits"]}
    assert standing == {"sites": (1, "reached"), "users": (2, "warning"), "points": (5, "ok")}
    await client.post("/v1/jobs", json={})
    usage = (await client.get("/v1/usage?from=2026-01-30T00:00:00Z&to=2026-02-01T00:00:00Z")).json()
    assert [day["day"] for day in usage["days"]] == ["2026-01-31", "2026-01-30"]
    assert usage["days"][0]["jobs"] == 1
    assert len((await client.get("/v1/usage")).json()["days"]) == 31
    for wrong in ("from=2027-01-01T00:00:00Z", "from=0&to=2026-01-01T00:00:00Z"):
        assert (await client.get(f"/v1/usage?{wrong}")).status_code == 422


@ONE_ENGINE
async def test_notices_come_once_a_day(
    database: Database, acme: Tenant, rival: Tenant, client: httpx.AsyncClient
) -> None:
    """Each look notes what is near its end, the first of a day; the audit has it."""
    scope = scope_of(acme)
    await license_(database, scope, "sites=1", "users=:2", status=Status.PAST_DUE)
    await license_(database, scope_of(rival), "sites=9")
    assert await upkeep.look(database, NOW) == 3
    assert await upkeep.look(database, NOW + HOUR) == 0
    assert await upkeep.look(database, NOW + DAY) == 3
    notices = (await client.get("/v1/licence")).json()["notices"]
    assert sorted((one["subject"], one["kind"]) for one in notices[:3]) == [
        ("licence", "past_due"),
        ("sites", "reached"),
        ("users", "warning"),
    ]
    mine = (AuditRow.company_id == acme.company, AuditRow.action == "licence.notice")
    async with database.read(scope) as session:
        assert len((await session.execute(select(AuditRow.n).where(*mine))).all()) == 6
    assert await upkeep.look(database, NOW + 500 * DAY) == 3
    left = select(func.count()).select_from(LicenceNotice)
    async with as_owner(database).read() as session:
        assert (await session.execute(left)).scalar_one() == 3


# ---------------------------------------------------------------- features


@ONE_ENGINE
async def test_features_are_switched_per_company(
    database: Database, acme: Tenant, rival: Tenant, client: httpx.AsyncClient
) -> None:
    """One that is off is refused with its name; others' are as they were; unknown ones are not."""
    listed = (await client.get("/v1/features")).json()["items"]
    assert {one["name"]: one["enabled"] for one in listed} == {"llm": True, "commands": True}
    seen = await client.get("/v1/features/commands")
    off = {"enabled": False}
    put = await client.put(
        "/v1/features/commands", json=off, headers={"If-Match": seen.headers["etag"]}
    )
    assert (put.json()["enabled"], put.json()["by"]) == (False, "first")
    stale = await client.put(
        "/v1/features/commands", json=off, headers={"If-Match": seen.headers["etag"]}
    )
    assert stale.status_code == 412
    command = {"value": 21.5}
    refused = await client.post(f"/v1/points/{acme.points[0]}/commands", json=command)
    assert (refused.status_code, refused.json()["code"]) == (403, "feature_off")
    async with database.read(scope_of(rival)) as session:
        assert await flags.enabled(session, scope_of(rival), flags.COMMANDS)
    assert (await client.delete("/v1/features/commands")).json()["changed"] is None
    given = await client.post(f"/v1/points/{acme.points[0]}/commands", json=command)
    assert given.status_code == 200
    for method in ("GET", "PUT", "DELETE"):
        body = off if method == "PUT" else None
        answer = await client.request(method, "/v1/features/telepathy", json=body)
        assert answer.status_code == 404
    mine = (AuditRow.company_id == acme.company, AuditRow.action == "feature.switch")
    async with database.read(scope_of(acme)) as session:
        found = select(AuditRow.body).where(*mine).order_by(AuditRow.n)
        bodies = [json.loads(body) for body in (await session.execute(found)).scalars()]
    assert [body["after"]["enabled"] for body in bodies] == [False, True]
