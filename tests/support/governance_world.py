"""What a company of the API's tests has of governance, and shorthands for tests of it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from plantroom_cloud.db import Scope
from plantroom_cloud.governance.exporting import folder_of
from plantroom_cloud.tables import (
    CompanyExport,
    Deletion,
    GovernanceFinding,
    GovernanceRule,
    GovernanceSite,
    GovernanceWaiver,
)

WORD = "5f3a9c01"
"""Confirms the deletions that are planned here."""
LINE = b'{"id":1}\n'


def own_rule(company: int) -> str:
    """Return the id of the company's own rule."""
    return f"own-{company}"


def deletions(company: int) -> list[str]:
    """Return the ids of two plans: one to be taken back, one to be confirmed."""
    return [f"d-{company}-a", f"d-{company}-b"]


def export_id(company: int) -> str:
    """Return the id of an export that is there."""
    return f"x-{company}"


async def put_governance(seeder: Any, now: int, data: Path) -> int:
    """Insert a rule, a finding, a waiver, deletions and an export; return the waiver's id."""
    company, here = seeder.tenant.company, seeder.here
    said = {"about": "point", "condition": 'name == "spare"', "text": "a spare", "fix": ""}
    await seeder.put(
        GovernanceRule,
        rule=own_rule(company),
        severity="info",
        given={},
        changed_us=now,
        changed_by="first",
        **said,
        **seeder.own,
    )
    await seeder.put(GovernanceSite, rules={}, naming=[], **here)
    await seeder.put(
        GovernanceFinding,
        rule="site-without-location",
        subject=f"site/{seeder.tenant.site}",
        severity="info",
        text=f"nobody has said where {seeder.tenant.slug} is",
        fix="",
        state="open",
        opened_us=now,
        seen_us=now,
        **here,
    )
    waiver = await seeder.put(
        GovernanceWaiver,
        rule="site-time-zone-unset",
        subject="*",
        reason=f"{seeder.tenant.slug} lives by UTC",
        actor="first",
        created_us=now,
        expires_us=now + 86_400_000_000,
        **here,
    )
    for name in deletions(company):
        plan = {"rows": {"site": 1}, "names": {}}
        about = {"kind": "site", "subject": seeder.tenant.site, "state": "planned", "word": WORD}
        await seeder.put(
            Deletion, id=name, plan=plan, asked_us=now, asked_by="first", **about, **seeder.own
        )
    file = {"rows": 1, "bytes": len(LINE), "sha256": "0" * 64}
    manifest = {"made": "2026-01-31T12:00:00.000000Z", "files": {"site": file}, "left_out": {}}
    times = {"asked_us": now, "ended_us": now, "expires_us": now + 86_400_000_000}
    await seeder.put(
        CompanyExport,
        id=export_id(company),
        state="done",
        manifest=manifest,
        asked_by="first",
        **times,
        **seeder.own,
    )
    folder = folder_of(data, Scope(company), export_id(company))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.ndjson.gz").write_bytes(gzip.compress(LINE))
    return int(waiver)
