"""Checking sites: what is found, that it stays the same finding, waivers, and the gate."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import delete, insert, select, update

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.governance import notes
from plantroom_cloud.governance.configurations import Document
from plantroom_cloud.governance.gate import GateClosed, blockers, check_gate
from plantroom_cloud.governance.jobs import Checker, check_noted
from plantroom_cloud.governance.repository import GovernanceRepository
from plantroom_cloud.governance.service import GovernanceService
from plantroom_cloud.tables import (
    Base,
    GovernanceDue,
    GovernanceFinding,
    GovernanceRule,
    GovernanceWaiver,
    Mapping,
    Point,
    Site,
    ThingModelRow,
)
from support.api_world import MINUTE, NOW, ONE_ENGINE, Stopped, Tenant
from support.servers import as_owner

DAY = 24 * 60 * MINUTE


async def bare(db: Database, tenant: Tenant) -> Scope:
    """Take away what the API's tests have of governance: every test here begins with nothing."""
    async with as_owner(db).write() as session:
        for table in (GovernanceWaiver, GovernanceFinding, GovernanceRule, GovernanceDue):
            await session.execute(delete(table))
    return Scope(tenant.company)


async def check(db: Database, scope: Scope, site: int, clock: Stopped | None = None) -> Any:
    async with db.write(scope) as session:
        return await GovernanceService(session, scope, clock or Stopped()).check(site)


async def findings(db: Database, scope: Scope, rule: str = "") -> dict[str, Any]:
    async with db.read(scope) as session:
        query = select(GovernanceFinding).where(GovernanceFinding.company_id == scope.company_id)
        rows = (await session.scalars(query)).all()
    return {row.subject: row for row in rows if rule in {"", row.rule}}


async def change(db: Database, tenant: Tenant, table: Any, **values: Any) -> None:
    async with db.write(Scope(tenant.company)) as session:
        where = table.company_id == tenant.company
        await session.execute(update(table).where(where).values(**values))


async def test_a_site_is_checked(database: Database, acme: Tenant) -> None:
    """What is wrong is found with words, severity and fix, and scored; a second look finds the same."""
    scope = await bare(database, acme)
    first = await check(database, scope, acme.site)
    assert (first.still, first.closed) == (0, 0)
    found = await findings(database, scope)
    rules = {row.rule for row in found.values()}
    assert {"site-without-location", "site-time-zone-unset"} & rules
    assert first.opened == sum(o.wanting for o in first.outcomes) > 0
    async with database.read(scope) as session:
        rows = {(r.rule, r.subject): r for r in await session.scalars(
            select(GovernanceFinding).where(GovernanceFinding.company_id == scope.company_id))}  # fmt: skip
    zone = rows["site-time-zone-unset", f"site/{acme.site}"]
    assert zone.text.startswith("the time zone is UTC")
    assert (zone.severity, zone.state, zone.times) == ("warning", "open", 1)
    later = await check(database, scope, acme.site, Stopped(NOW + MINUTE))
    assert (later.opened, later.still, later.closed) == (0, first.opened, 0)
    assert 0 < later.score < 100


async def test_findings_are_opened_closed_and_opened_again(
    database: Database, acme: Tenant
) -> None:
    """A finding keeps its identity: it is closed when it is gone, and opened again by its old id."""
    scope = await bare(database, acme)
    await check(database, scope, acme.site)
    key, rule = f"site/{acme.site}", "site-time-zone-unset"
    before = (await findings(database, scope, rule))[key]
    await change(database, acme, Site, timezone="Europe/Berlin")
    gone = await check(database, scope, acme.site, Stopped(NOW + MINUTE))
    closed = (await findings(database, scope, rule))[key]
    assert (closed.id, closed.state, closed.closed_us) == (before.id, "closed", NOW + MINUTE)
    assert gone.closed == 1
    await change(database, acme, Site, timezone="Etc/UTC")
    await check(database, scope, acme.site, Stopped(NOW + 2 * MINUTE))
    again = (await findings(database, scope, rule))[key]
    assert (again.id, again.state, again.times) == (before.id, "open", 2)
    assert (again.opened_us, again.closed_us) == (NOW + 2 * MINUTE, None)


async def test_units_names_models_and_targets(database: Database, acme: Tenant) -> None:
    """Rules about points, mappings and equipment find what is wrong with each."""
    scope = await bare(database, acme)
    points = acme.points
    accepted = {"state": "accepted", "source": "person", "mapped_us": NOW - 90 * DAY}
    supply = "Chilled_Water_Supply_Temperature_Sensor"
    model = {"points": {"T": _point("T", "°C"), "P": _point("P", "kW", required=True)}}
    async with database.write(scope) as session:
        await session.execute(insert(ThingModelRow).values(
            company_id=acme.company, model_id="M", version=1, digest="", origin="", actor="",
            document={"model_id": "M", **model}, created_us=NOW))  # fmt: skip
        await session.execute(
            update(Point)
            .where(Point.id == points[0], Point.company_id == acme.company)
            .values(unit="kW")
        )
        await session.execute(
            update(Point)
            .where(Point.id == points[1], Point.company_id == acme.company)
            .values(unit="", name="CH1.SupplyTemp")
        )
        about = {"equipment": "CH1", "equip_class": "Chiller", "model_id": "M", "model_point": "T",
                 "parent": "PLANT", "template": "", "company_id": acme.company, "site_id": acme.site}  # fmt: skip
        await session.execute(
            delete(Mapping).where(Mapping.point_id.in_(points), Mapping.company_id == acme.company)
        )
        for point in points:
            await session.execute(
                insert(Mapping).values(point_id=point, point_class=supply, **about, **accepted)
            )
    await check(database, scope, acme.site)
    async with database.read(scope) as session:
        rows = (await session.scalars(select(GovernanceFinding).where(
            GovernanceFinding.company_id == scope.company_id))).all()  # fmt: skip
    found = {(row.rule, row.subject): row.text for row in rows}
    first, second = points
    assert "in kW (power)" in found["point-unit-against-class", f"point/{first}"]
    assert "temperature" in found["point-without-unit", f"point/{second}"]
    assert "wants °C" in found["mapping-unit-unconvertible", f"mapping/{first}"]
    assert ("mapping-target-taken", f"mapping/{second}") in found
    assert "PLANT" in found["mapping-parent-unknown", f"mapping/{first}"]
    assert "CH1 lacks what M requires: P" in found["equipment-incomplete", "equipment/CH1"]
    assert "CH1.SupplyTemp" in found["device-names-repeated", f"device/{acme.device}"]
    assert ("mapping-unapproved", f"mapping/{first}") not in found


def _point(name: str, unit: str, *, required: bool = False) -> dict[str, Any]:
    return {"type": "DOUBLE", "unit": unit, "required": required, "identifier": name}


async def test_waivers_hold_and_run_out(database: Database, acme: Tenant) -> None:
    """What is waived does not count, in score and state; once the waiver is over it does again."""
    scope = await bare(database, acme)
    before = await check(database, scope, acme.site)
    clock = Stopped(NOW + MINUTE)
    async with database.write(scope) as session:
        service = GovernanceService(session, scope, clock)
        for rule in {o.rule.id for o in before.outcomes if o.wanting}:
            await service.waive(acme.site, rule, "*", reason="known to all", days=2, who="cli:t")
    waived = await check(database, scope, acme.site, clock)
    assert waived.score == 100
    assert {row.state for row in (await findings(database, scope)).values()} == {"waived"}
    over = await check(database, scope, acme.site, Stopped(NOW + 3 * DAY))
    assert over.score < 100
    assert "open" in {row.state for row in (await findings(database, scope)).values()}


async def test_a_blocker_closes_the_gate_of_publishing(
    database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """Publishing with a blocker is refused, naming rule, subject and fix; a waiver opens the gate."""
    await bare(database, acme)
    apply = f"/v1/sites/{acme.site}/publishing/apply"
    await change(database, acme, Site, timezone="Mars/Olympus")
    refused = await client.post(apply, json={})
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (409, "governance_blockers")
    (item,) = problem["errors"]
    assert (item["name"], item["where"]) == ("site-time-zone-wrong", f"site/{acme.site}")
    assert "IANA" in item["detail"]
    gate = (await client.get(f"/v1/governance/sites/{acme.site}/gate")).json()
    assert (gate["open"], gate["blockers"][0]["rule"]) == (False, "site-time-zone-wrong")
    waiver = {"rule": item["name"], "subject": item["where"], "reason": "a test of Mars", "days": 1}
    made = await client.post(f"/v1/governance/sites/{acme.site}/waivers", json=waiver)
    assert made.status_code == 200, made.text
    assert (await client.post(apply, json={})).status_code == 200
    ended = await client.delete(f"/v1/governance/waivers/{made.json()['id']}")
    assert ended.json()["ended"] is not None
    assert not (await client.get(f"/v1/governance/sites/{acme.site}/gate")).json()["open"]


@ONE_ENGINE
async def test_the_gate_of_rollouts(database: Database, acme: Tenant) -> None:
    """A configuration that lets anything be written, or reads too fast, does not go out."""
    scope = await bare(database, acme)
    allow = [{"point": "*"}, {"point": "a", "min": 1, "max": 2}, {"point": "b", "values": [1]}]
    writes = {"enabled": True, "allow": allow}
    wild = Document(acme.gateway, {"writes": writes, "buses": "nonsense"})
    fast = {"buses": [{"interval": 0.001, "devices": [{"name": "x"}, {"interval": True}, 7]}]}
    async with database.read(scope) as session:
        found = await blockers(session, scope, acme.site, documents=[wild])
        assert {one.rule for one in found} == {
            "configuration-writes-unlimited",
            "configuration-writes-anything",
        }
        assert not await blockers(
            session, scope, acme.site, documents=[Document(acme.gateway, fast)]
        )
        with pytest.raises(GateClosed, match="the rollout of site"):
            await check_gate(session, scope, acme.site, "the rollout", documents=[wild])
        assert not await blockers(session, scope, 999_999)


async def test_every_change_leaves_a_note(database: Database, acme: Tenant) -> None:
    """Whatever changes at a site notes in the same transaction that it is to be checked."""
    scope = await bare(database, acme)

    async def noted() -> bool:
        async with database.write(scope) as session:
            query = select(GovernanceDue.site_id).where(
                GovernanceDue.company_id == acme.company, GovernanceDue.taken == 0
            )
            sites = set(await session.scalars(query))
            await session.execute(
                delete(GovernanceDue).where(GovernanceDue.company_id == acme.company)
            )
        return acme.site in sites

    await change(database, acme, Site, timezone="Europe/Rome")
    assert await noted()
    await change(database, acme, Site, timezone="Europe/Rome")
    assert not await noted(), "nothing has changed"
    for table, values in (
        ("gateway", {"name": "new"}),
        ("device", {"name": "new"}),
        ("point", {"unit": "K"}),
        ("mapping", {"state": "rejected"}),
        ("mapping_override", {"ended_us": 5}),
        ("thing_model", {"ended_us": 5}),
    ):
        core = Base.metadata.tables[table]
        async with database.write(scope) as session:
            mine = core.c.company_id == acme.company
            await session.execute(core.update().where(mine).values(values))
        assert await noted(), table
    async with database.write(scope) as session:
        await session.execute(delete(Mapping).where(Mapping.company_id == acme.company))
    assert await noted()
    for table in notes.WATCHED.keys() & Base.metadata.tables.keys():
        assert set(notes.WATCHED[table].columns) <= set(Base.metadata.tables[table].c.keys())


async def test_a_change_that_is_rolled_back_leaves_none(database: Database, acme: Tenant) -> None:
    """The note is part of the change: without the one there is not the other."""
    scope = await bare(database, acme)
    async with database.write(scope) as session:
        which = Site.company_id == acme.company
        await session.execute(update(Site).where(which).values(timezone="Europe/Rome"))
        await session.rollback()
    async with database.read(scope) as session:
        assert not (await session.scalars(select(GovernanceDue).where(
            GovernanceDue.company_id == acme.company))).all()  # fmt: skip


async def test_the_worker_checks_what_has_changed(
    database: Database, acme: Tenant, rival: Tenant
) -> None:
    """A change is followed by a check, once; without one a site is checked again after an hour."""
    scope = await bare(database, acme)
    clock = Stopped()
    checker = Checker(database, CloudSettings(), clock)
    assert await checker.round() == 2
    clock.now += MINUTE
    await checker.round()  # the first check has made the sites' own rows
    clock.now += MINUTE
    assert await checker.round() == 0
    await change(database, acme, Site, timezone="Mars/Olympus")
    assert await checker.round() == 1
    found = await findings(database, scope, "site-time-zone-wrong")
    assert found[f"site/{acme.site}"].state == "open"
    clock.now += MINUTE
    assert await checker.round() == 0
    clock.now += 2 * 60 * MINUTE
    assert await checker.round() == 2
    assert rival.site != acme.site


async def test_a_note_left_during_a_check_stays(database: Database, acme: Tenant) -> None:
    """What changes after a worker has taken its notes leaves another; a killed worker's come back."""
    scope = await bare(database, acme)
    await change(database, acme, Site, timezone="Europe/Rome")
    async with database.write(scope) as session:
        await GovernanceRepository(session, scope).take(acme.site)
    await change(database, acme, Site, timezone="Europe/Paris")
    async with database.read(scope) as session:
        query = select(GovernanceDue.taken).where(GovernanceDue.company_id == acme.company)
        assert sorted(await session.scalars(query)) == [0, 1]
    await check_noted(database, scope, acme.site, Stopped(), 5.0)
    await check_noted(database, scope, acme.site, Stopped(), 5.0)
    async with database.read(scope) as session:
        assert not (await session.scalars(query)).all()


@ONE_ENGINE
async def test_rules_of_a_company(
    database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """A company makes rules, sets built-in ones and cannot rewrite them; what is wrong is named."""
    await bare(database, acme)
    rule = {"rule": "ch-names", "about": "point", "when": 'not like(name, "CH#.*")',
            "text": "{name} of {device_name}", "numbers": {}, "severity": "error"}  # fmt: skip
    tried = await client.post(f"/v1/governance/sites/{acme.site}/try", json=rule)
    assert tried.json()["wanting"] == 3, tried.text
    assert (await client.post("/v1/governance/rules", json=rule)).status_code == 200
    assert (await client.post("/v1/governance/rules", json=rule)).status_code == 409
    checked = (await client.post(f"/v1/governance/sites/{acme.site}/check")).json()
    assert checked["rules"]["ch-names"]["wanting"] == 3
    assert checked["score"] <= 79
    bad = {**rule, "rule": "bad", "when": "name.__class__"}
    refused = await client.post("/v1/governance/rules", json=bad)
    assert (refused.status_code, refused.json()["errors"][0]["name"]) == (422, "when")
    for wrong in ({"when": "1"}, {"numbers": {"nothing": 1}}):
        answer = await client.put("/v1/governance/rules/gateway-silent", json=wrong)
        assert answer.status_code == 422, wrong
    path = "/v1/governance/rules/gateway-silent"
    stale = await client.put(path, json={"enabled": False}, headers={"If-Match": '"x"'})
    assert stale.status_code == 412
    set_ = await client.put(path, json={"severity": "info", "numbers": {"hours": 2}})
    assert (set_.json()["severity"], set_.json()["numbers"]) == ("info", {"hours": 2})
    assert (await client.delete(path)).json() == {"dropped": "gateway-silent"}
    assert (await client.get(path)).json()["severity"] == "error"
    assert (await client.delete(path)).status_code == 404
    assert (await client.get("/v1/governance/rules/none")).status_code == 404
    for body in (
        {"rule": "none", "subject": "*", "reason": "a good reason", "days": 2},
        {"rule": "ch-names", "subject": "*", "reason": "short", "days": 2},
        {"rule": "ch-names", "subject": "*", "reason": "a good reason", "days": 999},
    ):
        answer = await client.post(f"/v1/governance/sites/{acme.site}/waivers", json=body)
        assert answer.status_code == 422, body


@ONE_ENGINE
async def test_a_rule_whose_fact_has_gone_is_named(
    database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """A rule that a newer version cannot apply costs no check; the list of rules names it."""
    await bare(database, acme)
    row = {"rule": "old", "about": "point", "condition": "colour", "text": "", "fix": ""}
    async with database.write(Scope(acme.company)) as session:
        await session.execute(insert(GovernanceRule).values(
            company_id=acme.company, given={}, changed_us=0, changed_by="x", **row))  # fmt: skip
    rules = (await client.get("/v1/governance/rules")).json()
    assert rules["unusable"][0]["rule"] == "old"
    assert "colour" in rules["unusable"][0]["why"]
    assert (await client.post(f"/v1/governance/sites/{acme.site}/check")).status_code == 200
