"""SQL of a company's members, their sessions and invitations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import (
    Company,
    Invitation,
    Membership,
    RefreshToken,
    User,
    UserSession,
)

_MEMBER = (
    Membership.id, Membership.user_id, User.email, User.name, Membership.role, Membership.sites,
    Membership.created_us, Membership.disabled_us, User.disabled_us.label("gone_us"),
)  # fmt: skip
_SESSION = (
    UserSession.id, UserSession.user_id, UserSession.agent, UserSession.address,
    UserSession.created_us, UserSession.used_us, UserSession.expires_us,
)  # fmt: skip
_INVITATION = (
    Invitation.id, Invitation.email, Invitation.role, Invitation.sites, Invitation.invited_by,
    Invitation.created_us, Invitation.expires_us, Invitation.accepted_us, Invitation.revoked_us,
)  # fmt: skip


class PeopleRepository(Repository):
    """Who is a member of the company, and how they are logged in."""

    # ------------------------------------------------------------ members

    async def members(self, page: Page) -> Sequence[AnyRow]:
        """Return a page of members, oldest first."""
        statement = select(*_MEMBER).join(User, User.id == Membership.user_id)
        statement = statement.where(self._own(Membership))
        if page.after is not None:
            statement = statement.where(Membership.id > page.after[0])
        statement = statement.order_by(Membership.id).limit(page.limit + 1)
        return (await self._session.execute(statement)).all()

    async def member(self, user: int) -> AnyRow | None:
        """Return one member by the user's id."""
        statement = select(*_MEMBER).join(User, User.id == Membership.user_id)
        mine = (self._own(Membership), Membership.user_id == user)
        return (await self._session.execute(statement.where(*mine))).one_or_none()

    async def add_member(
        self, user: int, role: str, sites: Sequence[int] | None, now_us: int
    ) -> None:
        """Make a user a member."""
        values = {"user_id": user, "role": role, "sites": sites, "created_us": now_us}
        values["company_id"] = self._scope.company_id
        await self._session.execute(insert(Membership).values(values))

    async def change_member(self, user: int, **columns: Any) -> None:
        """Change columns of a membership."""
        which = (self._own(Membership), Membership.user_id == user)
        await self._session.execute(update(Membership).where(*which).values(**columns))

    async def remove_member(self, user: int) -> None:
        """End a membership."""
        which = (self._own(Membership), Membership.user_id == user)
        await self._session.execute(delete(Membership).where(*which))

    async def other_admins(self, user: int) -> int:
        """Return how many others may administer the company; nobody changes that meanwhile."""
        company = select(Company.id).where(Company.id == self._scope.company_id)
        await self._session.execute(company.with_for_update())
        statement = (
            select(func.count())
            .select_from(Membership)
            .join(User, User.id == Membership.user_id)
            .where(
                self._own(Membership),
                Membership.role == "company_admin",
                Membership.sites.is_(None),
                Membership.user_id != user,
                Membership.disabled_us.is_(None),
                User.disabled_us.is_(None),
            )
        )
        return (await self._session.execute(statement)).scalar_one()

    # ------------------------------------------------------------ sessions

    async def sessions(self, user: int, now_us: int) -> Sequence[AnyRow]:
        """Return the open sessions of a user, the newest first; at most a thousand."""
        mine = (self._own(UserSession), UserSession.user_id == user)
        open_ = (UserSession.ended_us.is_(None), UserSession.expires_us > now_us)
        statement = select(*_SESSION).join(User, User.id == UserSession.user_id)
        statement = statement.where(*mine, *open_, UserSession.created_us >= User.valid_from_us)
        statement = statement.order_by(UserSession.id.desc()).limit(1000)
        return (await self._session.execute(statement)).all()

    async def add_session(self, **columns: Any) -> int:
        """Add a session and return its id."""
        values = columns | {"company_id": self._scope.company_id, "ended_by": ""}
        statement = insert(UserSession).values(values).returning(UserSession.id)
        return (await self._session.execute(statement)).scalar_one()

    async def used_session(self, session: int, used_us: int, expires_us: int) -> None:
        """Note that a session was refreshed."""
        mine = (self._own(UserSession), UserSession.id == session)
        values = {"used_us": used_us, "expires_us": expires_us}
        await self._session.execute(update(UserSession).where(*mine).values(values))

    async def end_sessions(
        self, user: int, now_us: int, why: str, *, one: int | None = None
    ) -> int:
        """End a user's open sessions, or `one` of them; return how many."""
        which = [self._own(UserSession), UserSession.user_id == user]
        which.append(UserSession.ended_us.is_(None))
        if one is not None:
            which.append(UserSession.id == one)
        statement = update(UserSession).where(*which).values(ended_us=now_us, ended_by=why)
        done = await self._session.execute(statement.returning(UserSession.id))
        return len(done.all())

    async def drop_old_sessions(self, user: int, before_us: int) -> None:
        """Delete a user's sessions that were over before a moment, with their refresh tokens."""
        old = select(UserSession.id).where(
            self._own(UserSession), UserSession.user_id == user, UserSession.expires_us < before_us
        )
        ids = list((await self._session.execute(old.limit(1000))).scalars())
        if ids:
            for table, column in (
                (RefreshToken, RefreshToken.session_id),
                (UserSession, UserSession.id),
            ):
                await self._session.execute(delete(table).where(self._own(table), column.in_(ids)))

    # ------------------------------------------------------------ refresh tokens

    async def add_refresh(self, session: int, digest: str, now_us: int, expires_us: int) -> None:
        """Add a refresh token of a session."""
        values = {"session_id": session, "digest": digest, "created_us": now_us}
        values |= {"expires_us": expires_us, "company_id": self._scope.company_id}
        await self._session.execute(insert(RefreshToken).values(values))

    async def use_refresh(self, token: int, now_us: int) -> int | None:
        """Mark a refresh token as used; return when it runs out, or None if it was used before."""
        which = (self._own(RefreshToken), RefreshToken.id == token, RefreshToken.used_us.is_(None))
        statement = update(RefreshToken).where(*which).values(used_us=now_us)
        done = await self._session.execute(statement.returning(RefreshToken.expires_us))
        return done.scalar_one_or_none()

    # ------------------------------------------------------------ invitations

    async def invitations(self, page: Page, *, ended: bool, now_us: int) -> Sequence[AnyRow]:
        """Return a page of invitations, oldest first; only those that can be accepted unless `ended`."""
        statement = select(*_INVITATION).where(self._own(Invitation))
        if not ended:
            open_ = (Invitation.accepted_us.is_(None), Invitation.revoked_us.is_(None))
            statement = statement.where(*open_, Invitation.expires_us > now_us)
        if page.after is not None:
            statement = statement.where(Invitation.id > page.after[0])
        statement = statement.order_by(Invitation.id).limit(page.limit + 1)
        return (await self._session.execute(statement)).all()

    async def invitation(self, invitation: int, *, lock: bool = False) -> AnyRow | None:
        """Return an invitation."""
        mine = (self._own(Invitation), Invitation.id == invitation)
        statement = select(*_INVITATION).where(*mine)
        statement = statement.with_for_update() if lock else statement
        return (await self._session.execute(statement)).one_or_none()

    async def add_invitation(self, **columns: Any) -> int:
        """Add an invitation and return its id."""
        values = columns | {"company_id": self._scope.company_id}
        statement = insert(Invitation).values(values).returning(Invitation.id)
        return (await self._session.execute(statement)).scalar_one()

    async def change_invitation(self, invitation: int, **columns: Any) -> None:
        """Change columns of an invitation."""
        which = (self._own(Invitation), Invitation.id == invitation)
        await self._session.execute(update(Invitation).where(*which).values(**columns))
