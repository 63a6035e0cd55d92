"""Deletions: planned, confirmed by word, taken back while nothing has gone.

What goes is counted first and shown; whoever confirms repeats the word of that plan. The worker
does the rest (`governance.carrying_out`).
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.governance.deletion_sql import (
    COMPANY,
    PERSON,
    SITE,
    DeletionRepository,
    Person,
    What,
)
from plantroom_cloud.governance.reading import SiteReader
from plantroom_cloud.governance.service import Conflict
from plantroom_cloud.identity.people import PeopleRepository
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.isolation.lookups import members_elsewhere
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.problems import InvalidRequest, NotFound
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.kit.times import DAY
from plantroom_cloud.tables import ApiKey, Deletion, Membership, ServiceAccount
from plantroom_shared.clock import Clock

PLANNED, CONFIRMED, DONE, CANCELLED = "planned", "confirmed", "done", "cancelled"
KINDS: Final = (SITE, PERSON, COMPANY)
GOOD_FOR: Final = DAY
"""Microseconds that a plan may be confirmed: what was counted should still be so."""
_ADMIN: Final = "company_admin"


class DeletionRows(Repository):
    """The deletions of one company."""

    async def find(self, deletion: str, *, lock: bool = False) -> Deletion | None:
        """Return one deletion, locked for the rest of the transaction where that is said."""
        query = select(Deletion).where(self._own(Deletion), Deletion.id == deletion)
        # As it is now, whatever this session has seen of it before.
        query = query.execution_options(populate_existing=True)
        return await self._session.scalar(query.with_for_update() if lock else query)

    async def page(self, page: Page) -> list[Deletion]:
        """Return deletions, the newest first, one more than the page holds if there are more."""
        t = Deletion
        query = select(t).where(self._own(t))
        if page.after:
            query = query.where((t.asked_us < page.after[0]) | (t.id < page.after[1]))
            query = query.where(t.asked_us <= page.after[0])
        query = query.order_by(t.asked_us.desc(), t.id.desc()).limit(page.limit + 1)
        return list(await self._session.scalars(query))


class DeletionService:
    """What a company says of its deletions, within a transaction."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope, self._clock = session, scope, clock
        self._rows = DeletionRows(session, scope)

    async def plan(self, kind: str, subject: int | None, who: Principal | str) -> Deletion:
        """Count what would go; nothing does.

        Raises:
            NotFound: there is no such site or person.
            Conflict: nobody would be left to administer the company.
        """
        what = What(kind, self._scope.company_id if kind == COMPANY else subject or 0)
        rows = DeletionRepository(self._session, self._scope, what)
        plan: dict[str, Any]
        if kind == PERSON:
            person = await self.person(rows, what.subject)
            await self._keep_an_admin(person)
            plan = {"rows": await rows.count_own(person), "names": await rows.mentions(person.name)}
            plan["rows"] |= {} if person.elsewhere else {"user_account": 1}
        else:
            if kind == SITE:
                await self._check_site(what.subject)
            plan = {"rows": await rows.counts(), "names": {}}
        row = self._made(what, plan, who)
        self._record(who, "plan", row, {"kind": kind, "subject": what.subject, **plan})
        return row

    def _made(self, what: What, plan: dict[str, Any], who: Principal | str) -> Deletion:
        row = Deletion(
            id=f"d-{secrets.token_hex(12)}",
            company_id=self._scope.company_id,
            kind=what.kind,
            subject=what.subject,
            state=PLANNED,
            word=secrets.token_hex(4),
            plan=plan,
            gone={},
            rewritten={},
            pseudonym=f"person-{secrets.token_hex(4)}" if what.kind == PERSON else "",
            trouble="",
            asked_us=self._clock.now_us(),
            asked_by=audit.display_name(who)[:200],
            confirmed_by="",
            certificate="",
            key_id="",
            signature="",
        )
        self._session.add(row)
        return row

    async def confirm(self, deletion: str, word: str, who: Principal | str) -> Deletion:
        """Give the word: what was planned goes, and nothing brings it back.

        A company is closed in the same transaction: no key, account or member of it gets in.

        Raises:
            NotFound: there is no such plan.
            InvalidRequest: the word is not that of the plan.
            Conflict: it is too old, or was taken back.
        """
        row = await self.get(deletion, lock=True)
        if not secrets.compare_digest(word.encode(), row.word.encode()):
            msg = "word: it is not that of this plan; read the plan again before you confirm it"
            raise InvalidRequest(msg)
        if row.state in {CONFIRMED, DONE}:
            return row
        if row.state == CANCELLED or row.asked_us + GOOD_FOR < self._clock.now_us():
            msg = "the plan was taken back, or is older than a day: POST /v1/governance/deletions makes one anew"
            raise Conflict(msg)
        row.state, row.confirmed_us = CONFIRMED, self._clock.now_us()
        row.confirmed_by = audit.display_name(who)[:200]
        if row.kind == COMPANY:
            await self._close_company()
        self._record(who, "confirm", row)
        return row

    async def cancel(self, deletion: str, who: Principal | str) -> Deletion:
        """Take a plan back; Conflict once it is confirmed."""
        row = await self.get(deletion, lock=True)
        if row.state in {CONFIRMED, DONE}:
            msg = "it is confirmed: what has gone does not come back"
            raise Conflict(msg)
        if row.state == PLANNED:
            row.state, row.ended_us = CANCELLED, self._clock.now_us()
            self._record(who, "cancel", row)
        return row

    async def get(self, deletion: str, *, lock: bool = False) -> Deletion:
        """Return a deletion; NotFound if there is none."""
        row = await self._rows.find(deletion, lock=lock)
        if row is None:
            msg = (
                f"there is no deletion {deletion[:40]!r}; GET /v1/governance/deletions lists yours"
            )
            raise NotFound(msg)
        return row

    async def person(self, rows: DeletionRepository, user: int) -> Person:
        """Return a member; NotFound if there is none."""
        person = await rows.person()
        if person is None:
            msg = f"there is no user {user}; GET /v1/users lists yours"
            raise NotFound(msg)
        elsewhere = await members_elsewhere(self._session, self._scope, [user])
        return replace(person, elsewhere=user in elsewhere)

    async def _keep_an_admin(self, person: Person) -> None:
        people = PeopleRepository(self._session, self._scope)
        member = await people.member(person.id)
        admin = member is not None and member.role == _ADMIN and member.sites is None
        if admin and not await people.other_admins(person.id):
            msg = "nobody would be left to administer the company; make somebody else one first, or delete the company"
            raise Conflict(msg)

    async def _check_site(self, site: int) -> None:
        if await SiteReader(self._session, self._scope).find(site) is None:
            msg = f"there is no site {site}; GET /v1/sites lists yours"
            raise NotFound(msg)

    async def _close_company(self) -> None:
        now, company = self._clock.now_us(), self._scope.company_id
        for table, column in (
            (ApiKey, ApiKey.revoked_us),
            (ServiceAccount, ServiceAccount.disabled_us),
            (Membership, Membership.disabled_us),
        ):
            which = (table.company_id == company, column.is_(None))
            await self._session.execute(update(table).where(*which).values({column.key: now}))

    def _record(
        self, who: Principal | str, verb: str, row: Deletion, after: dict[str, Any] | None = None
    ) -> None:
        audit.record(
            self._session,
            self._scope,
            who=who,
            action=f"deletion.{verb}",
            subject=f"deletion/{row.id}",
            after=after,
        )
