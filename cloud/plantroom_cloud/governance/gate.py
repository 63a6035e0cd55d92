"""The gate: what must not go out while something is wrong with it.

It looks at the site as it is now and not at what a worker found last: only rules of the severity
``blocker`` count, and what is waived does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.governance.checking import Found, Outcome, check
from plantroom_cloud.governance.configurations import Document
from plantroom_cloud.governance.facts import subjects
from plantroom_cloud.governance.reading import SiteReader
from plantroom_cloud.governance.repository import GovernanceRepository
from plantroom_cloud.governance.rules import of_company
from plantroom_cloud.kit.problems import ApiError
from plantroom_shared.clock import Clock, SystemClock

_SHOWN: Final = 20
_SECONDS: Final = 5.0


class GateClosed(ApiError):
    """Something that must not go out as it is was to go out."""

    status, code, title = 409, "governance_blockers", "The gate is closed"


async def blockers(
    session: AsyncSession,
    scope: Scope,
    site: int,
    *,
    documents: Sequence[Document] | None = None,
    clock: Clock | None = None,
) -> list[Found]:
    """Return what keeps a site from going out, or a configuration from going to it.

    For configurations only rules about these count: what is wrong with the site's names does not
    keep a gateway from being mended.

    Args:
        session: any that sees the company.
        scope: whose site.
        site: its id; one that is not there has no blockers.
        documents: configurations that shall be rolled out, in place of those that run.
        clock: what "now" means for waivers and ages.
    """
    now_us = (clock or SystemClock()).now_us()
    repository, reader = GovernanceRepository(session, scope), SiteReader(session, scope)
    found = await reader.find(site)
    rules = of_company(await repository.settings()).values()
    block = [rule for rule in rules if rule.enabled and rule.severity == "blocker"]
    if documents is not None:
        block = [rule for rule in block if rule.about == "configuration"]
    if found is None or not block:
        return []
    rows = await reader.read(found, now_us, documents)
    waivers = await repository.waivers(site, now_us)
    looked_at = subjects(rows, {rule.about for rule in block})
    outcomes = await asyncio.to_thread(check, block, looked_at, waivers, seconds=_SECONDS)
    return [one for outcome in outcomes for one in _closing(outcome, site)]


def _closing(outcome: Outcome, site: int) -> list[Found]:
    """Return what of an outcome closes the gate, with a word where it is not all."""
    found = [one for one in outcome.found if not one.waived]
    rule, where = outcome.rule, f"site/{site}"
    if (more := outcome.wanting - len(found)) > 0:
        found.append(Found(rule.id, rule.severity, where, f"and {more} more", rule.fix))
    if outcome.stopped:
        text, fix = "it took too long to look at everything", "make its condition simpler"
        found.append(Found(rule.id, rule.severity, where, text, fix))
    return found


async def check_gate(
    session: AsyncSession,
    scope: Scope,
    site: int,
    what: str,
    *,
    documents: Sequence[Document] | None = None,
    clock: Clock | None = None,
) -> None:
    """Let pass, or raise GateClosed naming rule, subject and fix of what stands in the way.

    Args:
        session: that of what is to be done.
        scope: whose site.
        site: its id.
        what: is refused: "publishing", "the rollout".
        documents: see `blockers`.
        clock: see `blockers`.
    """
    found = await blockers(session, scope, site, documents=documents, clock=clock)
    if not found:
        return
    first = found[0]
    count = f"{len(found)} findings" if len(found) > 1 else "1 finding"
    detail = (
        f"{what} of site {site} is blocked by {count}; {first.rule} of {first.subject}: "
        f"{first.text}. {first.fix}; or waive it with a reason: "
        f"POST /v1/governance/sites/{site}/waivers"
    )
    errors = [
        {"where": one.subject, "name": one.rule, "detail": f"{one.text}. {one.fix}"}
        for one in found[:_SHOWN]
    ]
    raise GateClosed(detail, errors=errors)
