"""SQL of rules, findings, waivers and what was said of sites."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import case, delete, func, select, update

from plantroom_cloud.db import insert_into
from plantroom_cloud.governance.checking import Found, Waivers
from plantroom_cloud.governance.rules import Setting
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import (
    GovernanceDue,
    GovernanceFinding,
    GovernanceRule,
    GovernanceSite,
    GovernanceWaiver,
    Site,
)

OPEN, WAIVED, CLOSED = "open", "waived", "closed"
STATES: Final = (OPEN, WAIVED, CLOSED)
_PIECE: Final = 500
_FINDING = (
    GovernanceFinding.id, GovernanceFinding.site_id, GovernanceFinding.rule,
    GovernanceFinding.subject, GovernanceFinding.severity, GovernanceFinding.text,
    GovernanceFinding.fix, GovernanceFinding.state, GovernanceFinding.times,
    GovernanceFinding.opened_us, GovernanceFinding.seen_us, GovernanceFinding.closed_us,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings; None means: whichever."""

    site: int | None = None
    rule: str | None = None
    severity: str | None = None
    state: str | None = None


class GovernanceRepository(Repository):
    """What a company has of its governance."""

    # ------------------------------------------------------------ rules

    async def settings(self) -> list[Setting]:
        """Return what the company says of rules."""
        t = GovernanceRule
        query = select(
            t.rule, t.enabled, t.severity, t.given, t.about, t.condition, t.text, t.fix
        ).where(self._own(t))
        return [Setting(*row) for row in await self._session.execute(query.order_by(t.rule))]

    async def put_setting(self, setting: Setting, by: str, now_us: int) -> None:
        """Enter what the company says of a rule, in place of what it said before."""
        row = {
            "enabled": setting.enabled,
            "severity": setting.severity,
            "given": dict(setting.given),
            "about": setting.about,
            "condition": setting.when,
            "text": setting.text,
            "fix": setting.fix,
            "changed_us": now_us,
            "changed_by": by[:200],
        }
        new = insert_into(self._session, GovernanceRule)
        key = {"company_id": self._scope.company_id, "rule": setting.rule}
        await self._session.execute(
            new.on_conflict_do_update(
                index_elements=list(key), set_={name: new.excluded[name] for name in row}
            ),
            [key | row],
        )

    async def drop_setting(self, rule: str) -> bool:
        """Forget what the company says of a rule; False where it said nothing."""
        t = GovernanceRule
        gone = await self._session.execute(
            delete(t).where(self._own(t), t.rule == rule).returning(t.rule)
        )
        return gone.first() is not None

    # ------------------------------------------------------------ sites

    async def sites(self) -> Sequence[AnyRow]:
        """Return the company's sites with what their last checks came to."""
        t = GovernanceSite
        found = (t.site_id == Site.id) & self._own(t)
        columns = (t.score, t.rules, t.checked_us, t.location, t.naming)
        query = select(Site.id, Site.slug, *columns).outerjoin(t, found).where(self._own(Site))
        return (await self._session.execute(query.order_by(Site.id))).all()

    async def site(self, site_id: int) -> AnyRow | None:
        """Return one of these; None if the company has none of this id."""
        t = GovernanceSite
        found = (t.site_id == Site.id) & self._own(t)
        columns = (t.score, t.rules, t.checked_us, t.location, t.naming)
        query = select(Site.id, Site.slug, *columns).outerjoin(t, found)
        query = query.where(self._own(Site), Site.id == site_id)
        return (await self._session.execute(query)).one_or_none()

    async def put_site(self, site_id: int, **values: Any) -> None:
        """Enter what was said of a site, or what its check came to."""
        empty: dict[str, Any] = {
            "location": "",
            "naming": [],
            "score": None,
            "rules": {},
            "checked_us": None,
        }
        row = {"company_id": self._scope.company_id, "site_id": site_id, **empty, **values}
        new = insert_into(self._session, GovernanceSite)
        changes = {name: new.excluded[name] for name in values}
        key = ["site_id"]
        if changes:
            statement = new.on_conflict_do_update(index_elements=key, set_=changes)
        else:
            statement = new.on_conflict_do_nothing(index_elements=key)
        await self._session.execute(statement, [row])

    async def lock_site(self, site_id: int) -> None:
        """Let one check of a site after the other be done: made at the first."""
        await self.put_site(site_id)
        t = GovernanceSite
        query = select(t.site_id).where(self._own(t), t.site_id == site_id).with_for_update()
        await self._session.execute(query)

    # ------------------------------------------------------------ findings

    async def page(self, which: FindingFilter, page: Page) -> Sequence[AnyRow]:
        """Return findings by id, one more than the page holds if there are more."""
        t = GovernanceFinding
        query = select(*_FINDING).where(self._own(t))
        for column, value in (
            (t.site_id, which.site),
            (t.rule, which.rule),
            (t.severity, which.severity),
            (t.state, which.state),
        ):
            if value is not None:
                query = query.where(column == value)
        if page.after:
            query = query.where(t.id > page.after[0])
        return (await self._session.execute(query.order_by(t.id).limit(page.limit + 1))).all()

    async def standing(self, site_id: int) -> set[tuple[str, str]]:
        """Return rule and subject of what is not closed at a site."""
        t = GovernanceFinding
        query = select(t.rule, t.subject).where(
            self._own(t), t.site_id == site_id, t.state != CLOSED
        )
        return {(row.rule, row.subject) for row in await self._session.execute(query)}

    async def put_findings(self, site_id: int, found: Sequence[Found], now_us: int) -> None:
        """Enter what was found: new ones are opened, closed ones again, the others seen."""
        t, new = GovernanceFinding, insert_into(self._session, GovernanceFinding)
        again = t.state == CLOSED
        said = ("severity", "text", "fix", "state", "seen_us", "closed_us")
        changes = {name: new.excluded[name] for name in said} | {
            "times": t.times + case((again, 1), else_=0),
            "opened_us": case((again, new.excluded["opened_us"]), else_=t.opened_us),
        }
        upsert = new.on_conflict_do_update(
            index_elements=["site_id", "rule", "subject"], set_=changes
        )
        here = {"company_id": self._scope.company_id, "site_id": site_id}
        rows = [here | _row(one, now_us) for one in found]
        for start in range(0, len(rows), _PIECE):
            await self._session.execute(upsert, rows[start : start + _PIECE])

    async def close(self, site_id: int, keys: Collection[tuple[str, str]], now_us: int) -> None:
        """Close findings by rule and subject."""
        t = GovernanceFinding
        by_rule: dict[str, list[str]] = {}
        for rule, subject in keys:
            by_rule.setdefault(rule, []).append(subject)
        for rule, subjects in sorted(by_rule.items()):
            which = (self._own(t), t.site_id == site_id, t.rule == rule, t.state != CLOSED)
            for start in range(0, len(subjects), _PIECE):
                mine = t.subject.in_(subjects[start : start + _PIECE])
                change = update(t).where(*which, mine).values(state=CLOSED, closed_us=now_us)
                await self._session.execute(change)

    async def counts(self) -> dict[int, dict[str, int]]:
        """Return site → severity → open findings."""
        t = GovernanceFinding
        query = select(t.site_id, t.severity, func.count().label("found"))
        query = query.where(self._own(t), t.state == OPEN).group_by(t.site_id, t.severity)
        counts: dict[int, dict[str, int]] = {}
        for row in await self._session.execute(query):
            counts.setdefault(row.site_id, {})[row.severity] = row.found
        return counts

    # ------------------------------------------------------------ waivers

    async def waivers(self, site_id: int, now_us: int) -> Waivers:
        """Return what is put up with at a site at this moment."""
        t = GovernanceWaiver
        query = select(t.rule, t.subject).where(
            self._own(t), t.site_id == site_id, t.ended_us.is_(None), t.expires_us > now_us
        )
        pairs = {(row.rule, row.subject) for row in await self._session.execute(query)}
        return Waivers(frozenset(pairs))

    async def add_waiver(self, row: dict[str, Any]) -> int:
        """Enter a waiver and return its id."""
        made = GovernanceWaiver(company_id=self._scope.company_id, ended_by="", **row)
        self._session.add(made)
        await self._session.flush()
        return made.id

    async def waiver(self, waiver_id: int) -> GovernanceWaiver | None:
        """Return one waiver."""
        t = GovernanceWaiver
        query = select(t).where(self._own(t), t.id == waiver_id)
        return await self._session.scalar(query)

    async def waiver_page(
        self, page: Page, *, site: int | None, holds_at: int | None
    ) -> Sequence[GovernanceWaiver]:
        """Return waivers by id, those only that hold at a moment where one is given."""
        t = GovernanceWaiver
        query = select(t).where(self._own(t))
        if site is not None:
            query = query.where(t.site_id == site)
        if holds_at is not None:
            query = query.where(t.ended_us.is_(None), t.expires_us > holds_at)
        if page.after:
            query = query.where(t.id > page.after[0])
        return (await self._session.scalars(query.order_by(t.id).limit(page.limit + 1))).all()

    # ------------------------------------------------------------ notes

    async def take(self, site_id: int) -> None:
        """Mark the notes of a site as being in hand; later ones are none of these."""
        t = GovernanceDue
        change = update(t).where(self._own(t), t.site_id == site_id, t.taken == 0).values(taken=1)
        await self._session.execute(change)

    async def taken(self, site_id: int) -> list[int]:
        """Return the ids of the notes of a site that are in hand."""
        t = GovernanceDue
        query = select(t.id).where(self._own(t), t.site_id == site_id, t.taken == 1)
        return list(await self._session.scalars(query))

    async def settle(self, ids: Sequence[int]) -> None:
        """Delete notes that are dealt with."""
        t = GovernanceDue
        for start in range(0, len(ids), _PIECE):
            mine = t.id.in_(ids[start : start + _PIECE])
            await self._session.execute(delete(t).where(self._own(t), mine))

    async def note(self, sites: Iterable[int]) -> None:
        """Have sites checked by the worker."""
        rows = [{"company_id": self._scope.company_id, "site_id": s, "taken": 0} for s in sites]
        if rows:
            await self._session.execute(insert_into(self._session, GovernanceDue), rows)


def _row(one: Found, now_us: int) -> dict[str, Any]:
    state = WAIVED if one.waived else OPEN
    times = {"opened_us": now_us, "seen_us": now_us, "closed_us": None, "times": 1}
    said = {"severity": one.severity, "text": one.text, "fix": one.fix, "state": state}
    return {"rule": one.rule, "subject": one.subject} | said | times
