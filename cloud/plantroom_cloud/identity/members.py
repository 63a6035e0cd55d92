"""Members of a company: who is invited, what they may, when they go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.identity import keys
from plantroom_cloud.identity.errors import Conflict
from plantroom_cloud.identity.granting import check_role, check_sites
from plantroom_cloud.identity.people import PeopleRepository
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.identity.trail import record
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import DAY
from plantroom_shared.clock import Clock

_ADMIN: Final = "company_admin"


class MemberService:
    """What a company says of its members, within a transaction."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock, who: Principal) -> None:
        self._session, self._scope, self._clock, self._who = session, scope, clock, who
        self._people = PeopleRepository(session, scope)

    async def change(self, user: int, changes: dict[str, Any]) -> AnyRow:
        """Change role, sites or whether a member is let in; return the member.

        Raises:
            NotFound: there is no such member.
            Forbidden: it may more than who asks, or would.
            Conflict: nobody would be left to administer the company.
        """
        before = await self.member(user)
        check_role(self._who, before.role)
        check_role(self._who, changes.get("role", before.role))
        await check_sites(self._session, self._scope, changes.get("sites"))
        columns: dict[str, Any] = {k: changes[k] for k in ("role", "sites") if k in changes}
        if "disabled" in changes:
            columns["disabled_us"] = self._clock.now_us() if changes["disabled"] else None
        stays = columns.get("role", before.role) == _ADMIN
        stays = stays and columns.get("sites", before.sites) is None
        await self._keep_one(before, stays and columns.get("disabled_us") is None)
        if columns:
            await self._people.change_member(user, **columns)
        self._record("user.change", f"user/{user}", _told(before), columns)
        return await self.member(user)

    async def remove(self, user: int) -> None:
        """End a membership and its sessions."""
        before = await self.member(user)
        check_role(self._who, before.role)
        await self._keep_one(before, stays=False)
        await self.end_sessions(user, "removed")
        await self._people.remove_member(user)
        self._record("user.remove", f"user/{user}", _told(before), None)

    async def end_sessions(self, user: int, why: str = "revoked", one: int | None = None) -> int:
        """End a member's sessions here, or one of them; return how many."""
        ended = await self._people.end_sessions(user, self._clock.now_us(), why, one=one)
        if ended:
            self._record("session.end", f"user/{user}", None, {"sessions": ended, "why": why})
        return ended

    async def member(self, user: int) -> AnyRow:
        """Return a member; NotFound if there is none."""
        if (found := await self._people.member(user)) is None:
            msg = f"there is no user {user}; GET /v1/users lists yours"
            raise NotFound(msg)
        return found

    async def invite(
        self, email: str, role: str, sites: Sequence[int] | None, days: float
    ) -> tuple[AnyRow, str]:
        """Invite somebody; return the invitation and its token, which nothing can show again."""
        check_role(self._who, role)
        await check_sites(self._session, self._scope, sites)
        return await invite(
            self._session, self._scope, self._clock, email, role, sites=sites, days=days,
            by=self._who,
        )  # fmt: skip

    async def take_back(self, invitation: int) -> AnyRow:
        """Take an invitation back; return it."""
        row = await self._people.invitation(invitation, lock=True)
        if row is None:
            msg = f"there is no invitation {invitation}; GET /v1/invitations lists yours"
            raise NotFound(msg)
        if row.accepted_us is not None:
            msg = "it was accepted; DELETE /v1/users/{user} puts a member out"
            raise Conflict(msg)
        if row.revoked_us is None:
            check_role(self._who, row.role)
            await self._people.change_invitation(invitation, revoked_us=self._clock.now_us())
            before = {"email": row.email, "role": row.role}
            self._record("invitation.revoke", f"invitation/{invitation}", before, None)
        found = await self._people.invitation(invitation)
        assert found is not None  # noqa: S101 - it is locked
        return found

    async def _keep_one(self, before: AnyRow, stays: bool) -> None:
        """Refuse to take the rights of the last one who has all of them."""
        was = before.role == _ADMIN and before.sites is None and before.disabled_us is None
        if was and not stays and not await self._people.other_admins(before.user_id):
            msg = "nobody would be left to administer the company; make somebody else one first"
            raise Conflict(msg)

    def _record(
        self,
        action: str,
        subject: str,
        before: dict[str, Any] | None,
        after: dict[str, Any] | None,
    ) -> None:
        record(
            self._session, self._scope, who=self._who, action=action, subject=subject,
            before=before, after=after,
        )  # fmt: skip


async def invite(
    session: AsyncSession,
    scope: Scope,
    clock: Clock,
    email: str,
    role: str,
    *,
    sites: Sequence[int] | None,
    days: float,
    by: Principal | str,
) -> tuple[AnyRow, str]:
    """Enter an invitation; return it with its token."""
    now, token = clock.now_us(), keys.new_key(keys.INVITATION)
    people = PeopleRepository(session, scope)
    number = await people.add_invitation(
        email=email,
        role=role,
        sites=sites,
        digest=token.digest,
        invited_by=by if isinstance(by, str) else by.name,
        created_us=now,
        expires_us=now + round(days * DAY),
    )
    after = {"email": email, "role": role, "sites": sites}
    subject = f"invitation/{number}"
    record(session, scope, who=by, action="invitation.add", subject=subject, after=after)
    found = await people.invitation(number)
    assert found is not None  # noqa: S101 - entered above
    return found, token.plain


def _told(row: AnyRow) -> dict[str, Any]:
    return {"role": row.role, "sites": row.sites, "disabled_us": row.disabled_us}
