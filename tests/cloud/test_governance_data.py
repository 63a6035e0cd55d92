"""Deletions with proof and exports: every table has its rule, nothing is left, nobody else loses."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, func, insert, inspect, select

from plantroom_cloud.audit.service import verify
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.governance.carrying_out import SomethingIsLeft, Worker
from plantroom_cloud.governance.certificates import Certificate, is_genuine, signed
from plantroom_cloud.governance.deleting import DeletionRows, DeletionService
from plantroom_cloud.governance.deletion_sql import DeletionRepository, What
from plantroom_cloud.governance.exporting import Exporter, ExportRows, ExportService, folder_of
from plantroom_cloud.governance.holdings import HOLDINGS, NOBODYS, order
from plantroom_cloud.governance.jobs import delete_all, export_all
from plantroom_cloud.governance.service import Conflict
from plantroom_cloud.kit.problems import InvalidRequest, NotFound
from plantroom_cloud.tables import (
    ApiKey,
    AuditRow,
    Base,
    Company,
    Deletion,
    Invitation,
    Membership,
    Outbox,
    RefreshToken,
    ReviewEvent,
    SampleRow,
    ServiceAccount,
    Site,
    User,
)
from support.api_world import DATA, MINUTE, NOW, ONE_ENGINE, Stopped, Tenant, put_samples, seed
from support.servers import as_owner

KEY = Ed25519PrivateKey.generate()
DAY = 24 * 60 * MINUTE
WORDS = ("digest", "secret", "password", "private", "token", "hash")
HARMLESS = {
    "alarm_receiver.digest_us": "when a digest is due",
    "audit_head.hash": "of the chain",
    "audit_row.hash": "of the chain",
    "job_chunk.token": "of a claim that is over",
    "once_request.token": "of a claim that is over",
    "review_request.digest": "of what was asked",
    "stream_message.digest": "of what came",
    "thing_model.digest": "of its document",
    "llm_usage.tokens_in": "counts words",
    "llm_usage.tokens_out": "counts words",
    "llm_batch.tokens_in": "counts words",
    "llm_batch.tokens_out": "counts words",
    "configuration_version.digest": "of its document",
    "webhook_delivery.token": "of a claim that is over",
    "pending_gateway.code_hash": "of nobody",
}
"""Columns that are called like secrets, and are none."""


def worker(database: Database, rows: int = 3, clock: Stopped | None = None) -> Worker:
    """Return what carries deletions out, a few rows at a time."""
    return Worker(database, clock or Stopped(), KEY, DATA, rows)


async def confirmed(
    database: Database, scope: Scope, kind: str, subject: int | None, clock: Stopped | None = None
) -> str:
    """Plan a deletion and confirm it; return its id."""
    async with database.write(scope) as session:
        service = DeletionService(session, scope, clock or Stopped())
        row = await service.plan(kind, subject, "cli:test")
        await session.flush()
        await service.confirm(row.id, row.word, "cli:test")
        return row.id


async def rows_of(database: Database, company: int) -> dict[str, int]:
    """Return table → rows of a company, from the catalogue of the database."""
    async with as_owner(database).read() as session:
        connection = await session.connection()

        def tables(inner: Any) -> list[str]:
            found = inspect(inner)
            return [
                name
                for name in found.get_table_names()
                if any(c["name"] == "company_id" for c in found.get_columns(name))
                and not name.startswith("sample_")
            ]

        names = await connection.run_sync(tables)
        counts = {}
        for name in sorted(names):
            table = Base.metadata.tables[name]
            query = select(func.count()).select_from(table).where(table.c.company_id == company)
            counts[name] = (await session.execute(query)).scalar_one()
    return counts


async def found(database: Database, scope: Scope, deletion: str) -> Deletion:
    """Return a deletion as it is."""
    async with database.read(scope) as session:
        row = await DeletionRows(session, scope).find(deletion)
    assert row is not None
    return row


def content(row: Deletion) -> dict[str, Any]:
    """Return what a certificate says, its signature checked."""
    assert is_genuine(Certificate(row.certificate, row.key_id, row.signature), KEY.public_key())
    said: dict[str, Any] = json.loads(row.certificate)
    return said


# ------------------------------------------------------------ the registry


async def test_every_table_says_how_its_rows_go_and_what_is_handed_over(
    database: Database,
) -> None:
    """A table without a rule for deletion and export fails here, by its name."""
    async with database.engine.connect() as connection:
        names = await connection.run_sync(lambda inner: inspect(inner).get_table_names())
    known = HOLDINGS.keys() | NOBODYS.keys()
    strange = {n for n in names if n not in known and not n.startswith("sample_")}
    assert not strange, f"say in governance/holdings.py what becomes of {sorted(strange)}"
    own = {n for n, t in Base.metadata.tables.items() if "company_id" in t.c}
    assert own <= HOLDINGS.keys()


def test_every_rule_fits_its_table() -> None:
    """What a rule names is there: the columns that tell the site, secrets and names."""
    for name, table in Base.metadata.tables.items():
        if name not in HOLDINGS:
            continue
        holding = HOLDINGS[name]
        place = {"site": "site_id", "gateway": "gateway_id", "point": "point_id"}.get(holding.at)
        columns = {*holding.secret, *holding.names, *([place] if place else [])}
        if holding.at == "parent":
            columns.add(holding.parent[0])
            assert len(Base.metadata.tables[holding.parent[1]].primary_key.columns) == 1
        assert columns <= set(table.c.keys()), name


def test_no_export_shows_a_secret() -> None:
    """A column that is called like a secret is left out, or named here with the reason why it is none."""
    shown = {
        f"{name}.{column}"
        for name, holding in HOLDINGS.items()
        if name in Base.metadata.tables and holding.handed_over
        for column in [c.name for c in Base.metadata.tables[name].columns]
        if any(word in column for word in WORDS) and column not in holding.secret
    }
    assert shown <= HARMLESS.keys(), "name it in holdings.py as secret, or here as harmless"


def test_children_go_before_what_they_hang_on() -> None:
    """A table goes before what its foreign keys name; the notes to check sites go last."""
    names = order(Base.metadata.sorted_tables)
    for name in names:
        for key in Base.metadata.tables[name].foreign_keys:
            above = key.column.table.name
            if above in names and above != name:
                assert names.index(name) < names.index(above), (name, above)
    assert names.index("sample") < names.index("point")
    assert names[-1] == "governance_due"


# ------------------------------------------------------------ sites


async def test_a_site_goes_and_nothing_else(
    database: Database, acme: Tenant, rival: Tenant
) -> None:
    """All rows of the site are gone and counted; the other company has all of its own."""
    scope = Scope(acme.company)
    stamps = [{"ts_us": NOW - n * MINUTE, "value": 1.0} for n in range(2, 20)]
    await put_samples(database, acme, acme.points[0], stamps)
    before, others = await rows_of(database, acme.company), await rows_of(database, rival.company)
    deletion = await confirmed(database, scope, "site", acme.site)
    assert await delete_all(worker(database), {}) == 1
    row = await found(database, scope, deletion)
    said = content(row)
    after = await rows_of(database, acme.company)
    for name, holding in HOLDINGS.items():
        if name in after and holding.at != "company":
            assert after[name] == (1 if name == "mapping_override" else 0), name  # of the company
            if name != "governance_due":
                assert said["gone"].get(name, 0) == before[name] - after[name], name
    assert said["gone"]["sample"] == before["sample"] > 18
    assert after["api_key"] == before["api_key"]
    assert (said["kind"], said["subject"], set(said["left"].values())) == ("site", acme.site, {0})
    assert await rows_of(database, rival.company) == others
    chain = await verify(database, scope, {})
    assert not chain.findings
    assert await delete_all(worker(database), {}) == 0


async def test_what_comes_in_meanwhile_goes_too(database: Database, acme: Tenant) -> None:
    """Rows that arrive between the pieces are taken by the last transaction."""
    scope, job = Scope(acme.company), worker(database, rows=2)
    deletion = await confirmed(database, scope, "site", acme.site)
    taken = 0

    real = DeletionRepository.drop

    async def drop(
        self: DeletionRepository, table: Any, most: int, point: int | None = None
    ) -> int:
        nonlocal taken
        gone = await real(self, table, most, point)
        taken += 1
        if taken == 40:  # after the samples have gone, before their points have
            row = {"company_id": acme.company, "ts_us": 5, "tie": 0, "quality": 0, "value": 1.0}
            await self._session.execute(insert(SampleRow).values(point_id=acme.points[0], **row))
        return gone

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeletionRepository, "drop", drop)
        assert await job.carry_out(scope, deletion)
    assert (await rows_of(database, acme.company))["sample"] == 0
    assert content(await found(database, scope, deletion))["kind"] == "site"


@ONE_ENGINE
async def test_nothing_is_certified_while_something_is_left(
    database: Database, acme: Tenant
) -> None:
    """Where the look at the end finds a row the transaction is undone, and the trouble is told."""
    scope = Scope(acme.company)
    deletion = await confirmed(database, scope, "site", acme.site)

    async def left(_: DeletionRepository) -> dict[str, int]:
        return {"sample": 1}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeletionRepository, "left", left)
        with pytest.raises(SomethingIsLeft):
            await worker(database).carry_out(scope, deletion)
        waits: dict[str, float] = {}
        assert await delete_all(worker(database), waits) == 0
    row = await found(database, scope, deletion)
    assert (row.state, row.certificate) == ("confirmed", "")
    assert "sample" in row.trouble
    assert await delete_all(worker(database), waits) == 0, "it is left alone for a while"
    async with database.read(scope) as session:
        here = (Site.company_id == acme.company, Site.id == acme.site)
        assert await session.scalar(select(Site.id).where(*here))
    assert await delete_all(worker(database), {}) == 1


async def test_a_worker_that_is_killed_goes_on(
    tmp_path: Path, acme_on_sqlite: Tenant, sqlite_database: Database
) -> None:
    """By kill -9 at any piece: the next worker ends it, and the counts are those of the plan."""
    database, acme = sqlite_database, acme_on_sqlite
    scope = Scope(acme.company)
    stamps = [{"ts_us": NOW - n * MINUTE, "value": 1.0} for n in range(2, 400)]
    await put_samples(database, acme, acme.points[0], stamps)
    before = await rows_of(database, acme.company)
    deletion = await confirmed(database, scope, "site", acme.site)
    path = str(database.url.database)
    for pieces in (1, 5, 17, 40):
        child = await asyncio.to_thread(_killed_after, path, acme.company, deletion, pieces)
        assert child == -signal.SIGKILL
    assert await worker(database, rows=50).carry_out(scope, deletion)
    gone = content(await found(database, scope, deletion))["gone"]
    assert gone["sample"] == before["sample"]
    assert {n: gone.get(n, 0) for n in ("point", "device", "rollup_due", "mapping")} == {
        n: before[n] for n in ("point", "device", "rollup_due", "mapping")
    }


_CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.governance import carrying_out
from plantroom_shared.clock import SystemClock

path, company, deletion, pieces = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
real, done = carrying_out._Job._piece, 0

async def piece(self, table, point):
    global done
    more = await real(self, table, point)
    done += 1
    if done == pieces:
        os.kill(os.getpid(), signal.SIGKILL)
    return more

carrying_out._Job._piece = piece
worker = carrying_out.Worker(
    Database(f"sqlite+aiosqlite:///{path}"), SystemClock(), Ed25519PrivateKey.generate(), Path("/nowhere"), 2
)
asyncio.run(worker.carry_out(Scope(company), deletion))
"""


def _killed_after(path: str, company: int, deletion: str, pieces: int) -> int:
    command = [sys.executable, "-c", _CHILD, path, str(company), deletion, str(pieces)]
    return subprocess.run(command, check=False, timeout=120, env=os.environ).returncode


# ------------------------------------------------------------ persons


async def test_a_person_goes(database: Database, acme: Tenant, rival: Tenant) -> None:
    """Its account, membership and log-ins are gone, its name is replaced, the audit still verifies."""
    scope = Scope(acme.company)
    async with as_owner(database).write() as session:
        event = {"request": "r", "at_us": NOW, "action": "accept", "subject": "", "note": ""}
        event |= {"company_id": acme.company, "site_id": acme.site, "point_class": "", "before": {}}
        await session.execute(insert(ReviewEvent).values(actor="ann", **event))
        token = {"session_id": acme.session, "digest": "a" * 64, "company_id": acme.company}
        await session.execute(insert(RefreshToken).values(created_us=0, expires_us=0, **token))
    deletion = await confirmed(database, scope, "person", acme.user)
    assert await delete_all(worker(database, rows=1), {}) == 1
    row = await found(database, scope, deletion)
    said = content(row)
    assert said["gone"] == {
        "membership": 1,
        "refresh_token": 1,
        "user_account": 1,
        "user_session": 1,
    }
    assert said["rewritten"] == {"invitation.invited_by": 1, "review_event.actor": 1}
    async with database.read(scope) as session:
        actor = select(ReviewEvent.actor).where(ReviewEvent.company_id == acme.company)
        assert set(await session.scalars(actor)) == {row.pseudonym, "first"}
        assert await session.get(User, acme.user) is None
    async with database.read(Scope(rival.company)) as session:
        assert await session.get(User, rival.user) is not None
    assert not (await verify(database, scope, {})).findings


async def test_a_person_that_others_know_stays_theirs(
    database: Database, acme: Tenant, rival: Tenant
) -> None:
    """Whoever is a member elsewhere keeps the account there; here nothing is left."""
    async with as_owner(database).write() as session:
        member = {"user_id": acme.user, "role": "viewer", "created_us": NOW}
        await session.execute(insert(Membership).values(company_id=rival.company, **member))
    scope = Scope(acme.company)
    deletion = await confirmed(database, scope, "person", acme.user)
    assert await worker(database).carry_out(scope, deletion)
    assert "user_account" not in content(await found(database, scope, deletion))["gone"]
    async with database.read(Scope(rival.company)) as session:
        assert await session.get(User, acme.user) is not None


@ONE_ENGINE
async def test_plans_are_confirmed_by_their_word(
    database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """A plan counts and changes nothing; it needs its word, in time, and can be taken back before."""
    planned = (await client.post("/v1/governance/deletions", json={"kind": "company"})).json()
    assert planned["rows"]["point"] == 5
    assert planned["state"] == "planned"
    confirm = f"/v1/governance/deletions/{planned['id']}/confirm"
    assert (await client.post(confirm, json={"word": "other"})).status_code == 422
    path = f"/v1/governance/deletions/{planned['id']}"
    assert (await client.delete(path)).json()["state"] == "cancelled"
    assert (await client.post(confirm, json={"word": planned["word"]})).status_code == 409
    for body in ({"kind": "site"}, {"kind": "company", "id": 1}, {"kind": "person", "id": 999}):
        assert (await client.post("/v1/governance/deletions", json=body)).status_code in {404, 422}
    body = {"kind": "site", "id": acme.site}
    planned = (await client.post("/v1/governance/deletions", json=body)).json()
    confirm = f"/v1/governance/deletions/{planned['id']}/confirm"
    done = await client.post(confirm, json={"word": planned["word"]})
    assert (done.status_code, done.json()["state"], done.json()["word"]) == (202, "confirmed", None)
    assert (await client.post(confirm, json={"word": planned["word"]})).status_code == 202
    path = f"/v1/governance/deletions/{planned['id']}"
    assert (await client.delete(path)).status_code == 409
    scope = Scope(acme.company)
    async with database.write(scope) as session:
        service = DeletionService(session, scope, Stopped(NOW + 2 * DAY))
        with pytest.raises(Conflict, match="older than a day"):
            await service.confirm(f"d-{acme.company}-a", "5f3a9c01", "cli:test")
        with pytest.raises(InvalidRequest):
            await service.confirm(f"d-{acme.company}-a", "ü", "cli:test")
        with pytest.raises(NotFound):
            await service.plan("site", 999_999, "cli:test")


@ONE_ENGINE
async def test_the_last_administrator_stays(database: Database, acme: Tenant) -> None:
    """Nobody is deleted without whom the company could not be administered."""
    scope = Scope(acme.company)
    async with database.write(scope) as session:
        others = (Membership.company_id == acme.company, Membership.user_id != acme.user)
        await session.execute(delete(Membership).where(*others))
        with pytest.raises(Conflict, match="administer"):
            await DeletionService(session, scope, Stopped()).plan("person", acme.user, "cli:test")


# ------------------------------------------------------------ companies


async def test_a_company_goes_but_for_its_audit(
    database: Database, acme: Tenant, rival: Tenant, client: httpx.AsyncClient
) -> None:
    """Only audit, proof and a tombstone are left; its key opens nothing; the chain verifies."""
    scope, others = Scope(acme.company), await rows_of(database, rival.company)
    deletion = await confirmed(database, scope, "company", None)
    assert (await client.get("/v1/sites")).status_code == 401, "closed before anything has gone"
    assert await worker(database).carry_out(scope, deletion)
    left = {name: rows for name, rows in (await rows_of(database, acme.company)).items() if rows}
    assert left.keys() == {"audit_row", "audit_head", "deletion"}
    said = content(await found(database, scope, deletion))
    assert said["gone"]["user_account"] == 2
    assert said["kept"]["audit_row"]["rows"] == left["audit_row"] - 1
    async with as_owner(database).read() as session:
        company = await session.get(Company, acme.company)
        assert company is not None
        assert (company.slug, company.name) == (f"deleted-{acme.company}", "(deleted)")
        body = await session.scalar(
            select(AuditRow.body).where(AuditRow.company_id == acme.company)
            .order_by(AuditRow.n.desc()).limit(1)
        )  # fmt: skip
    assert json.loads(str(body))["action"] == "deletion.done"
    assert not (await verify(database, scope, {})).findings
    assert await rows_of(database, rival.company) == others
    assert not folder_of(DATA, scope).exists()


def test_certificates_cannot_be_changed() -> None:
    """A certificate that was changed, or signed by another or for something else, is not genuine."""
    made = signed({"id": "d-1", "gone": {"point": 2}}, KEY)
    assert is_genuine(made, KEY.public_key())
    changed = Certificate(made.body.replace("2", "3"), made.key_id, made.signature)
    assert not is_genuine(changed, KEY.public_key())
    assert not is_genuine(made, Ed25519PrivateKey.generate().public_key())
    plain = base64.b64encode(KEY.sign(made.body.encode())).decode()
    assert not is_genuine(Certificate(made.body, made.key_id, plain), KEY.public_key())
    assert not is_genuine(Certificate(made.body, made.key_id, "?"), KEY.public_key())


# ------------------------------------------------------------ exports


async def test_all_that_a_company_owns_is_exported(
    database: Database, acme: Tenant, rival: Tenant, tmp_path: Path
) -> None:
    """Every table is there with all rows and the right digest; no secret, nothing of others."""
    scope, clock = Scope(acme.company), Stopped()
    async with as_owner(database).write() as session:
        await session.execute(insert(Outbox).values(
            company_id=acme.company, kind="enos", gateway_id=acme.gateway, samples=b"\xff\x00",
            rows=1, created_us=NOW))  # fmt: skip
        keys = await session.scalars(select(User.password).where(User.password != ""))
        secrets = list(keys)
        for table in (ApiKey, Invitation, RefreshToken, ServiceAccount):
            secrets += await session.scalars(select(table.digest).where(table.digest != ""))
    before = await rows_of(database, acme.company)
    async with database.write(scope) as session:
        export = (await ExportService(session, scope, clock).ask("cli:test")).id
    async with database.write(scope) as session:
        with pytest.raises(Conflict):
            await ExportService(session, scope, clock).ask("cli:test")
    exporter = Exporter(database, clock, tmp_path, days=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plantroom_cloud.governance.exporting.PIECE", 2)
        await export_all(exporter)
    async with database.read(scope) as session:
        row = await ExportRows(session, scope).find(export)
    assert row is not None
    assert row.state == "done"
    folder = folder_of(tmp_path, scope, export)
    assert json.loads((folder / "manifest.json").read_text()) == row.manifest
    text = b""
    for name, about in row.manifest["files"].items():
        lines = gzip.decompress((folder / f"{name}.ndjson.gz").read_bytes())
        assert hashlib.sha256(lines).hexdigest() == about["sha256"]
        assert (
            lines.count(b"\n")
            == about["rows"]
            == len([orjson.loads(x) for x in lines.splitlines()])
        )
        if name in before and name not in {"audit_row", "audit_head", "company_export"}:
            assert about["rows"] == before[name], name
        text += lines
    expected = {n for n, h in HOLDINGS.items() if h.handed_over and n in Base.metadata.tables}
    assert row.manifest["files"].keys() == expected | {"company", "user_account"}
    assert row.manifest["files"]["user_account"]["rows"] == 2
    assert b'{"base64":"/wA="}' in text
    assert rival.slug.encode() not in text
    assert len(secrets) > 4
    for secret in secrets:
        assert f'"{secret}"'.encode() not in text
    clock.now += 2 * DAY
    await export_all(exporter)
    assert not folder.exists()


@ONE_ENGINE
async def test_an_export_that_cannot_be_written_has_failed(
    database: Database, acme: Tenant, tmp_path: Path
) -> None:
    """Where the folder cannot be made the export fails with the reason, and another may be asked for."""
    scope, clock = Scope(acme.company), Stopped()
    async with database.write(scope) as session:
        export = (await ExportService(session, scope, clock).ask("cli:test")).id
    (tmp_path / "exports").write_text("a file where the folder should be")
    await export_all(Exporter(database, clock, tmp_path))
    async with database.read(scope) as session:
        row = await ExportRows(session, scope).find(export)
    assert row is not None
    assert row.state == "failed"
    assert "cannot be written" in row.reason


@ONE_ENGINE
async def test_a_file_is_fetched_over_the_api(
    database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """The lines of a table come as they were written; a file that is not of the export is a 404."""
    path = f"/v1/governance/exports/x-{acme.company}/files"
    answer = await client.get(f"{path}/site")
    assert (answer.status_code, answer.content) == (200, b'{"id":1}\n')
    for name in ("api_key", "..%2F..%2Fsecret", "manifest.json"):
        assert (await client.get(f"{path}/{name}")).status_code == 404
    (folder_of(DATA, Scope(acme.company), f"x-{acme.company}") / "site.ndjson.gz").unlink()
    assert (await client.get(f"{path}/site")).status_code == 404


@ONE_ENGINE
async def test_a_deletion_of_what_is_gone_is_no_work(database: Database, acme: Tenant) -> None:
    """A deletion that nobody confirmed, or that is not there, is not carried out."""
    scope = Scope(acme.company)
    assert not await worker(database).carry_out(scope, "d-none")
    assert not await worker(database).carry_out(scope, f"d-{acme.company}-a")
    async with database.read(scope) as session:
        rows = DeletionRepository(session, scope, What("site", acme.site))
        assert (await rows.counts())["job"] == 1
    assert await seed(database, "third")
