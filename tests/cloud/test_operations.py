"""What processes say of themselves: probes, metrics, health of each dependency, draining."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from plantroom_cloud.config import load_settings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.kit import figures
from plantroom_cloud.kit.dependencies import Dependency
from plantroom_cloud.kit.draining import Draining
from plantroom_cloud.operations import jobs
from plantroom_cloud.operations.probes import Probes
from plantroom_cloud.operations.reporting import Reporter
from plantroom_cloud.publishing.repository import PublishingRepository
from plantroom_cloud.serve import Plan, serve
from plantroom_cloud.tables import JobChunk
from plantroom_shared.errors import ConfigError, Unavailable
from support.api_world import NOW, ONE_ENGINE, Stopped, Tenant, client_of, make_app
from support.waiting import eventually

SECOND = 1_000_000


def _of(answer: httpx.Response, name: str) -> dict[str, object]:
    found = [one for one in answer.json()["dependencies"] if one["name"] == name]
    assert len(found) == 1
    return dict(found[0])


async def test_health_tells_each_dependency_with_its_age(
    client: httpx.AsyncClient, database: Database, clock: Stopped
) -> None:
    """What processes have said of what they use, and what is not used; the database is asked."""
    llm, broker = Dependency("llm", clock), Dependency("broker", clock)
    llm.worked(0.25)
    broker.failed(ConnectionRefusedError())
    reporter = Reporter(database, ("ingest", "worker"), clock)
    await reporter.report()
    clock.now += 7 * SECOND
    answer = await client.get("/v1/health/detail")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    found = _of(answer, "llm")
    assert (found["state"], found["age_seconds"], found["latency_ms"]) == ("ok", 7.0, 250.0)
    found = _of(answer, "broker")
    assert (found["state"], found["failure"]) == ("failing", "ConnectionRefusedError")
    assert _of(answer, "database")["state"] == "ok"
    assert answer.json()["processes"] == [{"parts": "ingest+worker", "age_seconds": 7.0}]
    clock.now += 20 * SECOND
    answer = await client.get("/v1/health/detail")
    assert _of(answer, "broker")["state"] == "unused"
    assert answer.json()["processes"] == []


async def test_health_tells_of_ones_own_company_alone(
    client: httpx.AsyncClient,
    database: Database,
    acme: Tenant,
    rival: Tenant,
    clock: Stopped,
) -> None:
    """How publishing goes and what waits for jobs: another company's trouble is not there."""
    for tenant, failure in ((acme, ""), (rival, "ConnectError")):
        async with database.write(Scope(tenant.company)) as session:
            repository = PublishingRepository(session, Scope(tenant.company))
            await repository.set_target("enos", enabled=True)
            await session.flush()
            await repository.note("enos", clock.now, failure)
        async with database.write(Scope(tenant.company)) as session:
            values = {"state": "waiting" if failure else "done", "due_us": NOW - 600 * SECOND}
            mine = JobChunk.company_id == tenant.company
            await session.execute(update(JobChunk).where(mine).values(values))
    answer = await client.get("/v1/health/detail")
    assert (_of(answer, "enos")["state"], _of(answer, "jobs")["state"]) == ("ok", "ok")
    async with client_of(make_app(database, clock), headers=rival.headers) as other:
        theirs = await other.get("/v1/health/detail")
    found = _of(theirs, "enos")
    assert (found["state"], found["failure"]) == ("failing", "ConnectError")
    assert _of(theirs, "jobs")["state"] == "late"


@ONE_ENGINE
async def test_health_says_that_the_database_is_away(
    database: Database, acme: Tenant, clock: Stopped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an answer, not as an error: who asks how things are is told."""
    from plantroom_cloud.operations import service

    async def gone(*_: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(service, "reports", gone)
    async with client_of(make_app(database, clock), headers=acme.headers) as client:
        answer = await client.get("/v1/health/detail")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert _of(answer, "database")["failure"] == "ConnectionResetError"


# ---------------------------------------------------------------- metrics


@ONE_ENGINE
async def test_requests_are_counted_by_template(client: httpx.AsyncClient, acme: Tenant) -> None:
    """Neither what strangers make up nor a name of a company becomes a label."""
    for path in (f"/v1/points/{acme.points[0]}", "/v1/points/999999", "/made/up", "/v1/sites"):
        await client.get(path)
    await client.request("BREW", "/v1/sites")
    families = {f.name: f for f in text_string_to_metric_families(figures.exposition().decode())}
    counted = {
        (s.labels["method"], s.labels["route"], s.labels["status"])
        for s in families["plantroom_http_requests"].samples
        if s.name.endswith("_total")
    }
    assert {
        ("GET", "/v1/points/{point}", "200"),
        ("GET", "/v1/points/{point}", "404"),
        ("GET", "none", "404"),
    } <= counted
    assert {method for method, _, _ in counted} <= {
        "GET",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "other",
    }
    assert ("other", "/v1/sites", "405") in counted or ("other", "none", "405") in counted
    said = figures.exposition().decode()
    assert "acme" not in said
    assert acme.gateway not in said


async def test_what_waits_is_looked_at(database: Database, acme: Tenant, clock: Stopped) -> None:
    """Sums over all companies, with the age of the oldest."""
    async with database.write(Scope(acme.company)) as session:
        values = {"state": "waiting", "due_us": NOW - 5 * SECOND}
        mine = JobChunk.company_id == acme.company
        await session.execute(update(JobChunk).where(mine).values(values))
    await jobs.look(database, clock)
    sample = figures.REGISTRY.get_sample_value
    assert (sample("plantroom_job_chunks", {"state": "waiting"}) or 0) >= 1
    assert sample("plantroom_job_wait_seconds") == 5.0
    assert (sample("plantroom_outbox_rows", {"kind": "enos"}) or 0) >= 0


# ---------------------------------------------------------------- probes


async def test_probes_answer_what_they_are_asked() -> None:
    """Alive, ready, about to end; and nothing else to nobody."""
    well, draining = True, Draining()

    async def check() -> bool:
        return well

    probes = Probes(draining, {"database": check})
    transport = httpx.ASGITransport(probes)
    async with httpx.AsyncClient(transport=transport, base_url="http://probes") as client:
        assert (await client.get("/readyz")).text == "ok\n"
        assert "plantroom_http_requests_total" in (await client.get("/metrics")).text
        well = False
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "not ready: database\n")
        well = True
        draining.begin()
        assert (await client.get("/readyz")).text == "about to end\n"
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/v1/sites")).status_code == 404
        assert (await client.post("/metrics")).status_code == 405


async def test_a_process_that_ends_says_so_first_and_finishes_what_is_under_way(
    tmp_path: Path,
) -> None:
    """While it drains it is not ready and still serves; then a request under way ends well."""
    settings = load_settings(
        data=tmp_path / "data",
        api_port=0,
        watching={"listen": "127.0.0.1:0"},
        resilience={"drain": 60},
    )
    stop, file = asyncio.Event(), tmp_path / "ready"
    task = asyncio.create_task(serve(settings, Plan(("api",), file), stop=stop))
    async with asyncio.timeout(120):
        await eventually(lambda: file.exists() or task.done(), "the start")
        facts = json.loads(file.read_text())
        async with (
            httpx.AsyncClient(base_url=facts["api"]) as api,
            httpx.AsyncClient(base_url=facts["probes"]) as probes,
        ):
            assert (await api.get("/readyz")).status_code == 200
            assert (await probes.get("/readyz")).status_code == 200
            stop.set()
            while (await api.get("/readyz")).status_code != 503:
                await asyncio.sleep(0.01)
            assert (await probes.get("/readyz")).status_code == 503
            assert (await api.get("/livez")).status_code == 200
            assert (await api.get("/v1/sites")).status_code == 401
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_taken_port_of_the_probes_is_a_setting(tmp_path: Path) -> None:
    """The error names it; and an address that is none is refused at once."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load_settings(
            data=tmp_path, api_port=0, watching={"listen": f"127.0.0.1:{port}"}
        )
        with pytest.raises(ConfigError, match=r"watching\.listen"):
            asyncio.run(serve(settings, Plan(("api",))))
    with pytest.raises(ConfigError, match=r"watching\.listen"):
        load_settings(watching={"listen": "everywhere"})


async def test_reports_ask_what_else_there_is_to_ask(database: Database, clock: Stopped) -> None:
    """A ping that fails costs the report nothing."""
    asked = 0

    async def ping() -> None:
        nonlocal asked
        asked += 1
        msg = "away"
        raise Unavailable(msg)

    await Reporter(database, ("api",), clock, [ping]).report()
    assert asked == 1
