"""Governance from the command line, straight on the database: for whoever runs the service."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.audit import cli_user
from plantroom_cloud.audit.heads import make_head_key, public_keys
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope, open_database
from plantroom_cloud.governance.carrying_out import Worker
from plantroom_cloud.governance.certificates import Certificate, is_genuine
from plantroom_cloud.governance.deleting import DeletionRows, DeletionService
from plantroom_cloud.governance.exporting import Exporter, ExportRows, ExportService, folder_of
from plantroom_cloud.governance.repository import FindingFilter, GovernanceRepository
from plantroom_cloud.governance.schemas import WaiverIn, show_checked, show_finding
from plantroom_cloud.governance.schemas_data import show_deletion
from plantroom_cloud.governance.service import GovernanceService
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.problems import ApiError
from plantroom_cloud.migrations import migrate
from plantroom_cloud.tables import Membership, Site, User
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError

T = TypeVar("T")
_MOST: Final = 1000
_FIX: Final = "`plantroom-cloud governance --help` says how"


def check(settings: CloudSettings, company: str, site: str) -> dict[str, Any]:
    """Check a site now; return what that came to, and its open findings."""

    async def do(database: Database, scope: Scope) -> dict[str, Any]:
        async with database.write(scope) as session:
            site_id = await _site(session, scope, site)
            service = GovernanceService(session, scope, SystemClock())
            seconds = settings.governance.rule_seconds
            checked = await service.check(site_id, seconds=seconds, who=cli_user())
            which = FindingFilter(site=site_id, state="open")
            rows = await GovernanceRepository(session, scope).page(which, Page(_MOST, None))
        return show_checked(checked) | {"findings": [show_finding(row) for row in rows]}

    return _run(settings, company, do)


def waive(  # noqa: PLR0917 - the command's own options
    settings: CloudSettings,
    company: str,
    site: str,
    rule: str,
    subject: str,
    reason: str,
    days: float,
) -> int:
    """Put up with something; return the waiver's id."""
    try:
        WaiverIn(rule=rule, subject=subject, reason=reason, days=days)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(first["msg"], key=str(first["loc"][0]), fix=_FIX) from error

    async def do(database: Database, scope: Scope) -> int:
        async with database.write(scope) as session:
            site_id = await _site(session, scope, site)
            service = GovernanceService(session, scope, SystemClock())
            return await service.waive(
                site_id, rule, subject, reason=reason, days=days, who=cli_user()
            )

    return _run(settings, company, do)


def plan(settings: CloudSettings, company: str, kind: str, name: str) -> dict[str, Any]:
    """Count what of a site (by slug), a person (by e-mail) or the company would go."""

    async def do(database: Database, scope: Scope) -> dict[str, Any]:
        async with database.write(scope) as session:
            subject = None
            if kind == "site":
                subject = await _site(session, scope, name)
            elif kind == "person":
                subject = await _person(session, scope, name)
            service = DeletionService(session, scope, SystemClock())
            return show_deletion(await service.plan(kind, subject, cli_user()))

    return _run(settings, company, do)


def confirm(settings: CloudSettings, company: str, deletion: str, word: str) -> dict[str, Any]:
    """Confirm a deletion and carry it out here, to its end; return it with its certificate."""

    async def do(database: Database, scope: Scope) -> dict[str, Any]:
        async with database.write(scope) as session:
            await DeletionService(session, scope, SystemClock()).confirm(deletion, word, cli_user())
        key = make_head_key(settings.data).key
        rows = settings.governance.delete_rows
        worker = Worker(database, SystemClock(), key, settings.data, rows)
        await worker.carry_out(scope, deletion)
        return await _deletion(database, scope, deletion)

    return _run(settings, company, do)


def certificate(
    settings: CloudSettings, company: str, deletion: str
) -> tuple[dict[str, Any], bool]:
    """Return what a certificate says, and whether it was signed with our key and is unchanged."""

    async def do(database: Database, scope: Scope) -> dict[str, Any]:
        return await _deletion(database, scope, deletion)

    proof = _run(settings, company, do)["certificate"]
    if proof is None:
        what = f"the deletion {deletion[:40]} is not at its end"
        raise ConfigError(what, key="deletion", fix="wait for the worker, or look at its trouble")
    key = public_keys([], settings.data).get(proof["key"])
    known = Certificate(proof["body"], proof["key"], proof["signature"])
    return proof, key is not None and is_genuine(known, key)


def export(settings: CloudSettings, company: str, out: Path) -> dict[str, Any]:
    """Write all that a company owns into a folder; return the manifest."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        what = "is not empty" if any(out.iterdir()) else ""
    except FileExistsError:
        what = "is no folder"
    except OSError as error:
        what = f"cannot be written: {error.strerror}"
    if what:
        raise ConfigError(what, file=str(out), fix="name a folder that is new")

    async def do(database: Database, scope: Scope) -> dict[str, Any]:
        clock = SystemClock()
        async with database.write(scope) as session:
            asked = (await ExportService(session, scope, clock).ask(cli_user())).id
        exporter = Exporter(database, clock, settings.data, settings.governance.export_days)
        began = time.monotonic()
        await exporter.work(scope, asked)
        async with database.read(scope) as session:
            row = await ExportRows(session, scope).find(asked)
        if row is None or row.state != "done":
            what = row.reason if row is not None else "it was taken away"
            raise ConfigError(what, file=str(settings.data), fix="make room there")
        shutil.copytree(folder_of(settings.data, scope, asked), out, dirs_exist_ok=True)
        return row.manifest | {"seconds": round(time.monotonic() - began, 1)}

    return _run(settings, company, do)


async def _deletion(database: Database, scope: Scope, deletion: str) -> dict[str, Any]:
    async with database.read(scope) as session:
        row = await DeletionRows(session, scope).find(deletion)
    if row is None:
        what = f"the company has no deletion {deletion[:40]!r}"
        raise ConfigError(what, key="deletion", fix="`plantroom-cloud governance plan` makes one")
    return show_deletion(row)


async def _site(session: AsyncSession, scope: Scope, slug: str) -> int:
    query = select(Site.id).where(Site.company_id == scope.company_id, Site.slug == slug)
    found = await session.scalar(query)
    if found is None:
        what = f"the company has no site {slug[:64]!r}"
        raise ConfigError(what, key="site", fix="`plantroom-cloud site add` makes one")
    return int(found)


async def _person(session: AsyncSession, scope: Scope, email: str) -> int:
    query = select(User.id).join(Membership, Membership.user_id == User.id)
    mine = (Membership.company_id == scope.company_id, User.email == email.lower())
    found = await session.scalar(query.where(*mine))
    if found is None:
        what = f"the company has no member {email[:100]!r}"
        raise ConfigError(what, key="person", fix="`plantroom-cloud user list` shows them")
    return int(found)


def _run(settings: CloudSettings, company: str, do: Callable[[Database, Scope], Awaitable[T]]) -> T:
    async def run() -> T:
        database = open_database(settings)
        try:
            await migrate(database)
            async with database.read(None) as session:
                scope = await find_company(session, company)
            return await do(database, scope)
        except ApiError as error:
            raise ConfigError(error.detail, key="governance", fix=_FIX) from error
        finally:
            await database.close()

    return asyncio.run(run())


def as_json(value: Any) -> str:
    """Return `value` for people and programs."""
    return json.dumps(value, indent=1)
