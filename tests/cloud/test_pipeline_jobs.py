"""Jobs of the BMS pipeline: one resource from the start to the result, whatever happens between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.mapping.service import map_site
from plantroom_cloud.pipeline import stages, uploads
from plantroom_cloud.pipeline.claims import MAX_TRIES, Claim, Claims, Result
from plantroom_cloud.pipeline.steps import STEPS, Means, Step
from plantroom_cloud.pipeline.upkeep import prune
from plantroom_cloud.pipeline.work import Worker
from plantroom_cloud.tables import JobChunk, JobOutput, Point
from plantroom_cloud.tables import Mapping as MappingRow
from support.api_world import NOW, ONE_ENGINE, Stopped, Tenant
from support.pipeline_world import (
    add_site,
    drain,
    has_work,
    job_of,
    point_list,
    rows_of,
    said,
    states,
)
from support.servers import as_owner

LEASE = 30.0
DAY = 86_400_000_000
CSV = {"Content-Type": "text/csv"}


def worker_of(db: Database, clock: Stopped, steps: Mapping[str, Step] = STEPS) -> Worker:
    return Worker(Means(db, clock), LEASE, steps)


async def upload(client: httpx.AsyncClient, data: bytes, **headers: str) -> str:
    answer = await client.post("/v1/jobs", content=data, headers=CSV | headers)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job}"
    return job


async def start(client: httpx.AsyncClient, **body: Any) -> str:
    answer = await client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


async def test_a_list_goes_through_all_stages(
    database: Database, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """202 at once; then every building is grouped, analysed, mapped and scored, and has its rows."""
    job = await upload(client, point_list(3, 2))
    before = await job_of(client, job)
    assert (before["state"], before["points"], before["buildings"]) == ("queued", 42, 3)
    assert before["progress"] == 0.2  # what was uploaded is selected
    assert await drain(worker_of(database, clock)) == 3 * 4
    after = await job_of(client, job)
    assert (after["state"], after["progress"], after["reason"]) == ("done", 1.0, "")
    assert states(after) == {
        **dict.fromkeys(("select", "group", "analyse", "map", "score"), "done"),
        "publish": "skipped",
    }
    rows = await rows_of(client, job, limit=5)
    assert [(row["building"], row["row"]) for row in rows] == [
        (building, row) for building in range(3) for row in range(14)
    ]
    first = rows[0]
    assert (first["name"], first["equipment"]) == ("AHU-1 Supply Air Temp", "AHU-1")
    assert first["point_class"] == "Supply_Air_Temperature_Sensor"
    assert {row["stage"] for row in rows} == {"score"}
    assert after["figures"]["points"] == 42
    assert after["figures"]["classed"] == sum(bool(row["point_class"]) for row in rows)
    assert after["figures"]["accepted"] == sum(row["state"] == "accepted" for row in rows)
    buildings = (await client.get(f"/v1/jobs/{job}/buildings")).json()["items"]
    assert [one["name"] for one in buildings] == ["house 0", "house 1", "house 2"]
    assert {(one["stage"], one["state"], one["points"]) for one in buildings} == {
        ("score", "done", 14)
    }


async def test_sites_are_published_into_their_mappings(
    database: Database, client: httpx.AsyncClient, acme: Tenant, clock: Stopped
) -> None:
    """A job over a site leaves the mappings that the mapper would have made of it."""
    mine = await add_site(database, acme.company, "annex", 150, NOW)
    other = await add_site(database, acme.company, "barn", 150, NOW)
    clock.now += 10
    job = await start(client, sites=[mine])
    await drain(worker_of(database, clock))
    done = await job_of(client, job)
    assert (done["state"], states(done)["publish"]) == ("done", "done")
    await map_site(database, Scope(acme.company), other, clock=clock)
    assert await _mappings(database, mine) == await _mappings(database, other)
    assert len(await rows_of(client, job)) == 1050


async def _mappings(db: Database, site: int) -> list[tuple[Any, ...]]:
    row = MappingRow
    said_of = (row.template, row.equipment, row.equip_class, row.point_class, row.model_id)
    more = (row.model_point, row.confidence, row.source, row.state, row.mapped_us)
    async with as_owner(db).read() as session:
        found = await session.execute(
            select(Point.key, *said_of, *more)
            .join(Point, Point.id == row.point_id)
            .where(row.site_id == site)
            .order_by(Point.key)
        )
        return [tuple(one) for one in found]


async def test_rows_can_be_read_while_it_runs(
    database: Database, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """Names at once; what a stage has found as soon as it is done with a building."""
    job = await upload(client, point_list(2, 1))
    seen = [(await rows_of(client, job))[0]]
    worker = worker_of(database, clock)
    shares = [(await job_of(client, job))["progress"]]
    while await worker.step():
        seen.append((await rows_of(client, job))[0])
        shares.append((await job_of(client, job))["progress"])
    assert {row["name"] for row in seen} == {"AHU-1 Supply Air Temp"}
    assert list(dict.fromkeys(row["stage"] for row in seen)) == ["", "group", "map", "score"]
    assert (seen[0]["point_class"], seen[0]["state"]) == ("", "")
    assert seen[1]["point_class"] == "Supply_Air_Temperature_Sensor"
    assert shares == sorted(set(shares))


async def test_the_same_key_is_the_same_job(
    client: httpx.AsyncClient, acme: Tenant, database: Database
) -> None:
    """Sent again, also at the same time, there is one job; with another request it is refused."""
    data = point_list(1, 1)
    same = {"Idempotency-Key": "abc"}
    request = partial(client.post, "/v1/jobs", content=data, headers=CSV | same)
    answers = await asyncio.gather(*(request() for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    sent = [await upload(client, data, **same) for _ in range(2)]
    sent += [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert len(set(sent)) == 1
    assert await _listed(client) == {sent[0], acme.job}
    other = await client.post("/v1/jobs", content=data + b"x,y\n", headers=CSV | same)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert await upload(client, data) != sent[0]


@ONE_ENGINE
async def test_what_is_refused(
    client: httpx.AsyncClient, acme: Tenant, rival: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its problem, and none makes a job."""
    monkeypatch.setattr(uploads, "MAX_POINTS", 100)
    refused: list[tuple[dict[str, Any], int, str]] = [
        ({"json": {"sites": [rival.site]}}, 404, "not_found"),
        ({"json": {"sites": []}}, 422, "invalid_request"),
        ({"json": {"sites": [0]}}, 422, "invalid_request"),
        ({"json": {"site": 1}}, 422, "invalid_request"),
        ({"content": b"", "headers": {"Content-Type": "application/json"}}, 422, "invalid_request"),
        ({"content": b"", "headers": CSV}, 422, "invalid_request"),
        ({"content": b"name\nx\n", "headers": CSV}, 422, "invalid_request"),
        ({"content": b"point_name\n\n", "headers": CSV}, 422, "invalid_request"),
        ({"content": b"x" * 2**21, "headers": CSV}, 422, "invalid_request"),
        (
            {"content": b"x", "headers": {"Content-Type": "image/png"}},
            415,
            "unsupported_media_type",
        ),
        ({"content": b"point_name\n" + b"x\n" * 101, "headers": CSV}, 413, "too_large"),
        ({"content": b"x" * (32 * 2**20 + 1), "headers": CSV}, 413, "too_large"),
        ({"json": {}, "headers": {"Idempotency-Key": "x" * 201}}, 422, "invalid_request"),
    ]
    for request, status, code in refused:
        answer = await client.post("/v1/jobs", **request)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text[:300]
    assert await _listed(client) == {acme.job}


@ONE_ENGINE
async def test_jobs_that_may_be_open(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more than a company may have is a 429; a cancelled one makes room."""
    from plantroom_cloud.pipeline import service

    monkeypatch.setattr(service, "MAX_OPEN", 2)
    jobs = [await upload(client, point_list(1, 1)) for _ in range(2)]
    answer = await client.post("/v1/jobs", content=point_list(1, 1), headers=CSV)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_jobs")
    assert (await client.post(f"/v1/jobs/{jobs[0]}/cancel")).status_code == 200
    await upload(client, point_list(1, 1))


async def test_cancel_and_resume(
    database: Database, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """Cancelled, nothing of it is done, and what is under way is thrown away; resumed, it goes on."""
    job = await upload(client, point_list(2, 1))
    worker = worker_of(database, clock)
    await worker.step()
    rows = await rows_of(client, job)
    held: list[Claim] = []

    async def cancelled_meanwhile(means: Means, claim: Claim) -> Result:
        held.append(claim)
        answer = await client.post(f"/v1/jobs/{job}/cancel")
        assert answer.json()["state"] == "cancelled"
        return await STEPS[claim.stage](means, claim)

    every = dict.fromkeys(STEPS, cancelled_meanwhile)
    assert await worker_of(database, clock, every).step()
    assert len(held) == 1
    assert not await has_work(database, clock)
    assert await rows_of(client, job) == rows
    again = await client.post(f"/v1/jobs/{job}/cancel")
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")
    resumed = await client.post(f"/v1/jobs/{job}/resume")
    assert (resumed.status_code, resumed.json()["state"]) == (200, "running")
    assert await drain(worker) == 2 * 4 - 1
    assert (await job_of(client, job))["state"] == "done"
    for action in ("cancel", "resume"):
        answer = await client.post(f"/v1/jobs/{job}/{action}")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_ended")


async def test_a_chunk_done_twice_changes_nothing(
    database: Database, client: httpx.AsyncClient, acme: Tenant, clock: Stopped
) -> None:
    """Every chunk is done by two workers, the first of which is late: the job is as if by one."""
    site = await add_site(database, acme.company, "annex", 2, NOW)
    clock.now += 10
    alone = await start(client, sites=[site])
    await drain(worker_of(database, clock))
    expected = said(await rows_of(client, alone))
    mappings = await _mappings(database, site)
    clock.now += 10
    job = await start(client, sites=[site])
    scope, means = Scope(acme.company), Means(database, clock)
    lease_us, twice = round(LEASE * 1e6), 0
    while await has_work(database, clock):
        late = await _take(database, scope, clock, "late")
        first = await STEPS[late.stage](means, late)
        clock.now += lease_us
        early = await _take(database, scope, clock, "early")
        assert (early.stage, early.tries) == (late.stage, 2)
        again = await STEPS[early.stage](means, early)
        assert list(again.outputs) == list(first.outputs)
        turns = ((late, first, False), (early, again, True), (late, first, False))
        for claim, result, counts in turns:
            async with as_owner(database).write() as session:
                finished = await Claims(session, scope).finish(claim, result, clock.now)
            assert finished is counts
        async with as_owner(database).write() as session:
            assert not await Claims(session, scope).renew(late, clock.now)
        twice += 1
    assert twice == 6
    assert (await job_of(client, job))["state"] == "done"
    assert said(await rows_of(client, job)) == expected
    after = await _mappings(database, site)
    assert [row[:-1] for row in after] == [row[:-1] for row in mappings]


async def _take(db: Database, scope: Scope, clock: Stopped, name: str) -> Claim:
    async with as_owner(db).write() as session:
        claim = await Claims(session, scope).take(name, clock.now, round(LEASE * 1e6))
    assert claim is not None
    return claim


async def test_many_workers_share_without_doing_anything_twice(
    database: Database, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """Four workers side by side: every chunk is begun once, and nobody waits for another."""
    job = await upload(client, point_list(5, 1))
    done: list[tuple[str, int, str, int]] = []

    async def noted(means: Means, claim: Claim) -> Result:
        done.append((claim.job, claim.building, claim.stage, claim.piece))
        return await STEPS[claim.stage](means, claim)

    every = dict.fromkeys(STEPS, noted)
    workers = [worker_of(database, clock, every) for _ in range(4)]
    async with asyncio.timeout(120):
        while (await job_of(client, job))["state"] != "done":
            await asyncio.gather(*map(drain, workers))
    assert len(done) == len(set(done)) == 5 * 4


async def test_a_building_that_fails_costs_no_other(
    database: Database, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """It is tried again, later each time, then given up; the others are done, and it can be resumed."""
    job = await upload(client, point_list(3, 1))
    broken = True

    async def fails(means: Means, claim: Claim) -> Result:
        if broken and claim.building == 1:
            msg = "a name that nobody thought of"
            raise ZeroDivisionError(msg)
        return await STEPS[claim.stage](means, claim)

    worker = worker_of(database, clock, {**STEPS, "group": fails})
    for _ in range(MAX_TRIES):
        await drain(worker)
        assert (await job_of(client, job))["troubles"][0]["reason"].startswith("ZeroDivisionError")
        clock.now += 60_000_000
    failed = await job_of(client, job)
    assert (failed["state"], states(failed)["group"]) == ("failed", "failed")
    (trouble,) = failed["troubles"]
    assert (trouble["building"], trouble["tries"], trouble["state"]) == (1, MAX_TRIES, "failed")
    assert failed["figures"]["points"] == 14
    rows = await rows_of(client, job)
    assert [row["stage"] for row in rows] == ["score"] * 7 + [""] * 7 + ["score"] * 7
    broken = False
    assert (await client.post(f"/v1/jobs/{job}/resume")).status_code == 200
    await drain(worker)
    mended = await job_of(client, job)
    assert (mended["state"], mended["troubles"], mended["figures"]["points"]) == ("done", [], 21)


async def test_a_chunk_that_kills_its_workers_is_given_up(
    database: Database, client: httpx.AsyncClient, acme: Tenant, clock: Stopped
) -> None:
    """A worker that dies says nothing: after so many of them nobody tries again."""
    job = await upload(client, point_list(1, 1))
    for _ in range(MAX_TRIES):
        await _take(database, Scope(acme.company), clock, "dies")
        clock.now += round(LEASE * 1e6)
    assert await drain(worker_of(database, clock)) == 1
    failed = await job_of(client, job)
    assert (failed["state"], failed["reason"]) == (
        "failed",
        "1 chunks were given up; see troubles",
    )
    assert "died" in failed["troubles"][0]["reason"]


async def test_companies_take_turns(
    database: Database, client: httpx.AsyncClient, acme: Tenant, rival: Tenant, clock: Stopped
) -> None:
    """A portfolio does not keep another company's building waiting, and each sees its own."""
    from support.api_world import client_of, make_app

    await upload(client, point_list(20, 1))
    async with client_of(make_app(database, clock), headers=rival.headers) as other:
        job = await upload(other, point_list(1, 1))
        worker, steps = worker_of(database, clock), 0
        while (await job_of(other, job))["state"] != "done":
            assert await worker.step()
            steps += 1
        assert steps <= 8


async def test_a_persons_word_and_newer_mappings_stand(
    database: Database, client: httpx.AsyncClient, acme: Tenant, clock: Stopped
) -> None:
    """What a person decided stays; so does what was mapped after the job had read its points."""
    site = await add_site(database, acme.company, "annex", 1, NOW)
    await map_site(database, Scope(acme.company), site, clock=clock)
    async with as_owner(database).write() as session:
        ids = list(
            await session.scalars(
                select(MappingRow.point_id)
                .where(MappingRow.site_id == site)
                .order_by(MappingRow.point_id)
            )
        )
        for point, values in (
            (ids[0], {"source": "person", "point_class": "Enable_Status", "state": "accepted"}),
            (ids[1], {"point_class": "Alarm", "mapped_us": NOW + 10**9}),
            (ids[2], {"point_class": "Alarm"}),
        ):
            change = update(MappingRow).where(MappingRow.point_id == point)
            await session.execute(change.values(**values))
    clock.now += 10
    await start(client, sites=[site])
    await drain(worker_of(database, clock))
    async with as_owner(database).read() as session:
        rows = await session.execute(
            select(MappingRow.point_id, MappingRow.point_class).where(MappingRow.site_id == site)
        )
        classes = dict(rows.all())
    assert (classes[ids[0]], classes[ids[1]]) == ("Enable_Status", "Alarm")
    assert classes[ids[2]] != "Alarm"


@ONE_ENGINE
async def test_a_site_without_points_is_done_at_once(
    database: Database, client: httpx.AsyncClient, acme: Tenant, clock: Stopped
) -> None:
    """There is nothing to map, and nothing wrong with that."""
    site = await add_site(database, acme.company, "annex", 0, NOW)
    job = await start(client, sites=[site], publish=False)
    assert await drain(worker_of(database, clock)) == 1
    shown = await job_of(client, job)
    assert (shown["state"], shown["progress"], shown["points"]) == ("done", 1.0, 0)
    assert await rows_of(client, job) == []


@ONE_ENGINE
async def test_what_led_to_the_score_is_not_kept(
    database: Database, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """Checkpoints are deleted once a building is scored; points and score stay."""
    job = await upload(client, point_list(2, 1))
    await drain(worker_of(database, clock))
    async with as_owner(database).read() as session:
        kinds = await session.execute(
            select(JobOutput.kind, func.count())
            .where(JobOutput.job_id == job)
            .group_by(JobOutput.kind)
        )
        assert dict(kinds.all()) == {"points": 2, "score": 2}
        chunks = select(JobChunk.state).where(JobChunk.job_id == job)
        assert set(await session.scalars(chunks)) == {"done"}


@ONE_ENGINE
async def test_lists_of_jobs(client: httpx.AsyncClient, acme: Tenant, clock: Stopped) -> None:
    """Newest first, page by page, and by state; rows of one building alone."""
    jobs = []
    for _ in range(3):
        jobs.append(await upload(client, point_list(2, 1)))
        clock.now += 1
    await client.post(f"/v1/jobs/{jobs[1]}/cancel")
    first = (await client.get("/v1/jobs", params={"limit": 2})).json()
    rest = (await client.get("/v1/jobs", params={"limit": 2, "after": first["next"]})).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == [*jobs[::-1], acme.job]
    found = (await client.get("/v1/jobs", params={"state": "cancelled"})).json()["items"]
    assert [one["id"] for one in found] == [jobs[1], acme.job]
    rows = (await client.get(f"/v1/jobs/{jobs[0]}/points", params={"building": 1})).json()["items"]
    assert {row["building"] for row in rows} == {1}
    none = (await client.get(f"/v1/jobs/{jobs[0]}/points", params={"building": 9})).json()["items"]
    assert none == []
    page = (await client.get(f"/v1/jobs/{jobs[0]}/buildings", params={"limit": 1})).json()
    params = {"limit": 1, "after": page["next"]}
    more = (await client.get(f"/v1/jobs/{jobs[0]}/buildings", params=params)).json()
    assert [one["number"] for one in page["items"] + more["items"]] == [0, 1]


async def test_a_worker_told_to_stop_gives_its_chunk_back(
    database: Database, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """Another can take it at once, and the try does not count."""
    await upload(client, point_list(1, 1))
    begun = asyncio.Event()

    async def waits(_: Means, claim: Claim) -> Result:
        begun.set()
        await asyncio.Event().wait()
        return Result()

    task = asyncio.create_task(worker_of(database, clock, {"group": waits}).step())
    async with asyncio.timeout(30):
        await begun.wait()
        assert not await has_work(database, clock)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await has_work(database, clock)
    async with as_owner(database).read() as session:
        tries = await session.scalar(
            select(func.max(JobChunk.tries)).where(JobChunk.state == "waiting")
        )
    assert tries == 0


async def test_a_worker_told_to_stop_while_it_claims_or_enters_leaves_nothing_behind(
    database: Database,
    client: httpx.AsyncClient,
    clock: Stopped,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A claim that it has just made is given back; a chunk that is done is entered."""
    await upload(client, point_list(1, 1))
    reached, go_on = asyncio.Event(), asyncio.Event()

    def held(name: str) -> None:
        original = getattr(Worker, name)

        async def slow(self: Worker, *args: Any) -> Any:
            if name == "_enter":
                reached.set()
                await go_on.wait()
            done = await original(self, *args)
            reached.set()
            await go_on.wait()
            return done

        monkeypatch.setattr(Worker, name, slow)

    for name in ("_take", "_enter"):
        reached.clear()
        go_on.clear()
        held(name)
        task = asyncio.create_task(worker_of(database, clock).step())
        async with asyncio.timeout(60):
            await reached.wait()
            task.cancel()
            await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        monkeypatch.undo()
        assert await has_work(database, clock)
        async with as_owner(database).read() as session:
            states = select(JobChunk.state).distinct()
            assert "claimed" not in set(await session.scalars(states))


async def test_a_long_chunk_keeps_its_lease_and_one_that_lost_it_ends(
    database: Database, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """The lease is renewed while it is done; when the claim is gone, so is the work."""
    job = await upload(client, point_list(1, 1))
    ended = asyncio.Event()

    async def long(means: Means, claim: Claim) -> Result:
        try:
            for _ in range(3):
                before = await _due(database)
                clock.now += 40_000
                while await _due(database) == before:
                    await asyncio.sleep(0.005)
            await client.post(f"/v1/jobs/{job}/cancel")
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Result()

    worker = Worker(Means(database, clock), 0.05, {"group": long})
    async with asyncio.timeout(60):
        assert await worker.step()
    assert ended.is_set()
    assert (await job_of(client, job))["state"] == "cancelled"


async def _due(db: Database) -> int:
    async with as_owner(db).read() as session:
        due = await session.scalar(select(JobChunk.due_us).where(JobChunk.stage == "group"))
    assert due is not None
    return due


async def test_jobs_that_ended_long_ago_are_deleted(
    database: Database, client: httpx.AsyncClient, rival: Tenant, clock: Stopped
) -> None:
    """With their rows and chunks, of every company; what is open or ended later stays."""
    done = await upload(client, point_list(1, 1))
    await drain(worker_of(database, clock))
    still = await upload(client, point_list(1, 1))
    clock.now = NOW + 10 * DAY
    assert await prune(database, 10.0, clock) == 2  # both companies had one that ended before
    assert await _listed(client) == {done, still}
    clock.now += 1
    assert await prune(database, 10.0, clock) == 1
    assert await _listed(client) == {still}
    async with as_owner(database).read() as session:
        for table in (JobChunk, JobOutput):
            assert set(await session.scalars(select(table.job_id))) == {still}


async def _listed(client: httpx.AsyncClient) -> set[str]:
    return {one["id"] for one in (await client.get("/v1/jobs")).json()["items"]}


def test_chunks_of_every_stage_share_the_points() -> None:
    """Whatever the cut, the chunks of a stage are about each point once."""
    for points in (1, 7, 999, 1000, 1001, 4321):
        for stage in stages.STAGES[:-1]:
            for pieces in (1, 3):
                planned = stages.following(stage, points, pieces=pieces, publish=True)
                assert sum(one.points for one in planned) == points
                assert [one.piece for one in planned] == list(range(len(planned)))
    assert stages.following("score", 7, publish=False) == []
    assert stages.following("publish", 7, publish=True) == []
    assert stages.following("select", 0, publish=True) == []


def test_the_share_at_a_precision() -> None:
    """The surest are taken together for as long as their mean stays at the precision."""
    bins = [0] * 100
    bins[99], bins[90], bins[10] = 50, 30, 20
    assert stages.coverage(bins, 100, 0.99) == 0.5
    assert stages.coverage(bins, 100, 0.95) == 0.8
    assert stages.coverage(bins, 100, 0.5) == 1.0
    assert stages.coverage([0] * 100, 0) == 0.0


def test_a_model_point_that_the_llm_gives_away_is_claimed_once() -> None:
    """After the answers the surest point of an equipment keeps the thing-model point."""
    from plantroom_cloud.pipeline.packing import mapped_row, read_mapped
    from plantroom_shared.mapping import map_points
    from plantroom_shared.model import Point

    named = Point(key="1", device="d", name="AHU-1 Supply Air Temp", unit="degC")
    (mapped,) = map_points([named])
    assert mapped.model_point
    rival = replace(mapped, point="2", confidence=(mapped.confidence or 0) / 2)
    kept, left = stages.settle([mapped, rival], [], {})
    assert (kept.model_point, left.model_point) == (mapped.model_point, "")
    assert read_mapped(mapped_row(mapped) | {"of_another_version": [1]}) == mapped
