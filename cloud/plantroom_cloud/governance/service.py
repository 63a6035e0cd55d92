"""Checking sites, and what people say of rules, sites and findings."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.governance.checking import (
    Found,
    Outcome,
    Subject,
    Waivers,
    check,
    compared,
    score,
)
from plantroom_cloud.governance.facts import subjects
from plantroom_cloud.governance.patterns import MAX_PATTERN
from plantroom_cloud.governance.reading import SiteReader
from plantroom_cloud.governance.repository import GovernanceRepository
from plantroom_cloud.governance.rules import (
    MAX_RULES,
    BadRule,
    Rule,
    Setting,
    applied,
    builtin,
    of_company,
)
from plantroom_cloud.governance.vocabulary import KINDS
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import ApiError, InvalidRequest, NotFound
from plantroom_cloud.kit.times import DAY
from plantroom_cloud.tables import GovernanceWaiver
from plantroom_shared.clock import Clock

MOST_DAYS: Final = 366
"""Days that a waiver may hold."""
EVERYTHING: Final = "*"


class Conflict(ApiError):
    """What is asked for does not go with what is there."""

    status, code, title = 409, "conflict", "It cannot be done as things are"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of a site came to."""

    site: int
    score: int
    opened: int
    still: int
    closed: int
    outcomes: Sequence[Outcome]


class GovernanceService:
    """Rules, checks and waivers of one company, within a transaction."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope, self._clock = session, scope, clock
        self._rows = GovernanceRepository(session, scope)

    # ------------------------------------------------------------ checking

    async def check(
        self, site_id: int, *, seconds: float = 5.0, who: Principal | str | None = None
    ) -> Checked:
        """Apply all rules to a site and enter what they found.

        Args:
            site_id: which.
            seconds: that one rule may take.
            who: has asked for it; None where nobody has: the worker's checks are no acts.

        Raises:
            NotFound: there is no such site.
        """
        site = await self._site(site_id)
        now = self._clock.now_us()
        await self._rows.lock_site(site_id)
        rules = of_company(await self._rows.settings()).values()
        rows = await SiteReader(self._session, self._scope).read(site, now)
        waivers = await self._rows.waivers(site_id, now)
        looked_at = subjects(rows, KINDS)
        # Pure Python over a whole site: not in the loop that serves requests.
        outcomes = await asyncio.to_thread(check, rules, looked_at, waivers, seconds=seconds)
        changes = compared(await self._rows.standing(site_id), outcomes)
        await self._rows.put_findings(site_id, [*changes.opened, *changes.still], now)
        await self._rows.close(site_id, changes.closed, now)
        scored = score(outcomes)
        told = {o.rule.id: shown_outcome(o) for o in outcomes if o.wanting or o.waived or o.stopped}
        await self._rows.put_site(site_id, score=scored, rules=told, checked_us=now)
        found = (len(changes.opened), len(changes.still), len(changes.closed))
        if who is not None:
            after = {"score": scored, "opened": found[0], "still": found[1], "closed": found[2]}
            self._record(who, "governance.check", f"site/{site_id}", after=after)
        return Checked(site_id, scored, *found, outcomes)

    async def check_later(self, who: Principal | str) -> int:
        """Have the worker check all sites; return how many those are."""
        sites = [row.id for row in await self._rows.sites()]
        await self._rows.note(sites)
        self._record(who, "governance.check", "company", after={"sites": len(sites)})
        return len(sites)

    async def try_rule(self, setting: Setting, site_id: int, most: int = 20) -> Outcome:
        """Return what a rule would find at a site; nothing is entered.

        Raises:
            InvalidRequest: it is no rule.
            NotFound: there is no such site.
        """
        rule = _applied(setting)
        site = await self._site(site_id)
        rows = await SiteReader(self._session, self._scope).read(site, self._clock.now_us())
        looked_at = subjects(rows, {rule.about})
        (outcome,) = await asyncio.to_thread(
            check, [replace(rule, enabled=True)], looked_at, Waivers(), seconds=2.0
        )
        outcome.found = outcome.found[:most]
        return outcome

    # ------------------------------------------------------------ rules

    async def rules(self) -> dict[str, Rule]:
        """Return all rules of the company."""
        return of_company(await self._rows.settings())

    async def put_rule(self, setting: Setting, who: Principal | str) -> Rule:
        """Make, change or set a rule; return it as it is applied.

        Raises:
            InvalidRequest: it is none, or there are too many.
        """
        rule = _applied(setting)
        before = {known.rule: known for known in await self._rows.settings()}
        own = [name for name in before if name not in builtin()]
        if rule.id not in before and not rule.builtin and len(own) >= MAX_RULES:
            msg = f"a company has at most {MAX_RULES} rules of its own: delete one first"
            raise InvalidRequest(msg)
        await self._rows.put_setting(setting, audit.display_name(who), self._clock.now_us())
        was = asdict(before[rule.id]) if rule.id in before else None
        self._record(who, "governance.rule", f"rule/{rule.id}", was, asdict(setting))
        return rule

    async def drop_rule(self, rule: str, who: Principal | str) -> None:
        """Delete a rule of the company, or what it says of a built-in one; NotFound if nothing is."""
        before = {known.rule: known for known in await self._rows.settings()}
        if not await self._rows.drop_setting(rule):
            msg = f"the company says nothing of a rule {rule[:64]!r}; GET /v1/governance/rules lists them"
            raise NotFound(msg)
        self._record(who, "governance.rule-delete", f"rule/{rule}", asdict(before[rule]))

    # ------------------------------------------------------------ sites

    async def describe(
        self, site_id: int, location: str | None, naming: Sequence[str] | None, who: Principal | str
    ) -> None:
        """Say where a site is, and how its points are named; None leaves what is there."""
        before = await self._rows.site(site_id)
        if before is None:
            raise _no_site(site_id)
        values: dict[str, Any] = {}
        if location is not None:
            values["location"] = location.strip()
        if naming is not None:
            values["naming"] = [pattern[:MAX_PATTERN] for pattern in naming]
        if values:
            await self._rows.put_site(site_id, **values)
            was = {name: getattr(before, name) for name in values}
            self._record(who, "governance.site", f"site/{site_id}", was, values)

    # ------------------------------------------------------------ waivers

    async def waive(
        self,
        site_id: int,
        rule: str,
        subject: str,
        *,
        reason: str,
        days: float,
        who: Principal | str,
    ) -> int:
        """Put up with what a rule finds of a subject, or at the whole site, for some days.

        Raises:
            NotFound: there is no such site.
            InvalidRequest: there is no such rule, or it is for ever.
        """
        await self._site(site_id)
        if rule not in await self.rules():
            msg = f"there is no rule {rule[:64]!r}; GET /v1/governance/rules lists them"
            raise InvalidRequest(msg)
        if not 0 < days <= MOST_DAYS:
            msg = (
                f"a waiver holds for at most {MOST_DAYS} days: renew it then, if it is still right"
            )
            raise InvalidRequest(msg)
        now = self._clock.now_us()
        row = {
            "site_id": site_id,
            "rule": rule,
            "subject": subject,
            "reason": reason,
            "created_us": now,
            "expires_us": now + round(days * DAY),
        }
        waiver = await self._rows.add_waiver(row | {"actor": audit.display_name(who)})
        self._record(who, "governance.waive", f"waiver/{waiver}", after=row)
        return waiver

    async def end_waiver(self, waiver_id: int, who: Principal | str) -> GovernanceWaiver:
        """Take a waiver back; one that was taken back stays so. NotFound if there is none."""
        row = await self.waiver(waiver_id)
        if row.ended_us is None:
            row.ended_us, row.ended_by = self._clock.now_us(), audit.display_name(who)[:200]
            self._record(who, "governance.waiver-end", f"waiver/{waiver_id}")
        return row

    async def waiver(self, waiver_id: int) -> GovernanceWaiver:
        """Return a waiver; NotFound if there is none."""
        row = await self._rows.waiver(waiver_id)
        if row is None:
            msg = f"there is no waiver {waiver_id}; GET /v1/governance/waivers lists yours"
            raise NotFound(msg)
        return row

    async def _site(self, site_id: int) -> Any:
        site = await SiteReader(self._session, self._scope).find(site_id)
        if site is None:
            raise _no_site(site_id)
        return site

    def _record(
        self,
        who: Principal | str,
        action: str,
        subject: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        audit.record(
            self._session,
            self._scope,
            who=who,
            action=action,
            subject=subject,
            before=before,
            after=after,
        )


def _no_site(site_id: int) -> NotFound:
    return NotFound(f"there is no site {site_id}; GET /v1/sites lists yours")


def _applied(setting: Setting) -> Rule:
    try:
        return applied(setting)
    except BadRule as error:
        item = {"where": "body", "name": error.part, "detail": error.what}
        raise InvalidRequest(str(error), errors=[item]) from error


def shown_outcome(outcome: Outcome) -> dict[str, Any]:
    """Return in figures what a rule came to."""
    return {
        "severity": outcome.rule.severity,
        "subjects": outcome.subjects,
        "wanting": outcome.wanting,
        "waived": outcome.waived,
        "stopped": outcome.stopped,
    }


def by_severity(found: Sequence[Found]) -> dict[str, int]:
    """Return how many of what was found count, by severity."""
    return dict(Counter(one.severity for one in found if not one.waived))


__all__ = ["Checked", "Conflict", "GovernanceService", "Subject", "by_severity", "shown_outcome"]
