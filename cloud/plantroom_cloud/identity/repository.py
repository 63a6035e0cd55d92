"""SQL of a company's credentials: keys, service accounts, and what of a session lets somebody in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import insert, or_, select, update

from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import (
    ApiKey,
    Company,
    Counter,
    Membership,
    ServiceAccount,
    Site,
    User,
    UserSession,
)

_KEY = (
    ApiKey.id, ApiKey.name, ApiKey.prefix, ApiKey.scopes, ApiKey.sites, ApiKey.created_us,
    ApiKey.created_by, ApiKey.expires_us, ApiKey.last_used_us, ApiKey.revoked_us,
)  # fmt: skip
_ACCOUNT = (
    ServiceAccount.id, ServiceAccount.name, ServiceAccount.client_id, ServiceAccount.scopes,
    ServiceAccount.sites, ServiceAccount.created_us, ServiceAccount.created_by,
    ServiceAccount.last_used_us, ServiceAccount.disabled_us, ServiceAccount.digest,
    ServiceAccount.valid_from_us,
)  # fmt: skip


class IdentityRepository(Repository):
    """A company's own credentials, and its counters."""

    # ------------------------------------------------------------ who gets in

    async def standing_of_session(self, session: int) -> AnyRow | None:
        """Return a session that is open, with its user and what that may do here."""
        found = await self.standing_of([session])
        return found[0] if found else None

    async def standing_of(self, sessions: Collection[int]) -> Sequence[AnyRow]:
        """Return the same of those of `sessions` that are open."""
        if not sessions:
            return ()
        columns = (
            User.id, UserSession.created_us, UserSession.expires_us, UserSession.scopes,
            User.email, Membership.role, Membership.sites, UserSession.id.label("session"),
        )  # fmt: skip
        statement = (
            select(*columns)
            .join(User, User.id == UserSession.user_id)
            .join(Membership, Membership.user_id == User.id)
            .where(
                self._own(UserSession, Membership),
                UserSession.id.in_(sessions),
                UserSession.ended_us.is_(None),
                UserSession.created_us >= User.valid_from_us,
                User.disabled_us.is_(None),
                Membership.disabled_us.is_(None),
            )
        )
        return (await self._session.execute(statement)).all()

    async def some_keys(self, keys: Collection[int]) -> Sequence[AnyRow]:
        """Return those of `keys` that were not revoked."""
        if not keys:
            return ()
        which = (self._own(ApiKey), ApiKey.id.in_(keys), ApiKey.revoked_us.is_(None))
        return (await self._session.execute(select(*_KEY).where(*which))).all()

    async def some_accounts(self, accounts: Collection[int]) -> Sequence[AnyRow]:
        """Return those of `accounts` that may get in."""
        if not accounts:
            return ()
        open_ = (ServiceAccount.deleted_us.is_(None), ServiceAccount.disabled_us.is_(None))
        which = (self._own(ServiceAccount), ServiceAccount.id.in_(accounts), *open_)
        return (await self._session.execute(select(*_ACCOUNT).where(*which))).all()

    async def account(self, account: int) -> AnyRow | None:
        """Return a service account; None where there is none or it was deleted."""
        mine = (ServiceAccount.id == account, ServiceAccount.deleted_us.is_(None))
        statement = select(*_ACCOUNT).where(self._own(ServiceAccount), *mine)
        return (await self._session.execute(statement)).one_or_none()

    async def touch_key(self, key_id: int, now_us: int, not_since_us: int) -> None:
        """Note that a key was used now, unless that was noted later than `not_since_us`."""
        stale = or_(ApiKey.last_used_us.is_(None), ApiKey.last_used_us <= not_since_us)
        mine = self._own(ApiKey)
        statement = update(ApiKey).where(mine, ApiKey.id == key_id, stale)
        await self._session.execute(statement.values(last_used_us=now_us))

    # ------------------------------------------------------------ keys

    async def keys(self, page: Page, *, ended: bool, now_us: int) -> Sequence[AnyRow]:
        """Return a page of keys, oldest first; only those that open unless `ended`."""
        statement = select(*_KEY).where(self._own(ApiKey))
        if not ended:
            lasting = or_(ApiKey.expires_us.is_(None), ApiKey.expires_us > now_us)
            statement = statement.where(ApiKey.revoked_us.is_(None), lasting)
        if page.after is not None:
            statement = statement.where(ApiKey.id > page.after[0])
        statement = statement.order_by(ApiKey.id).limit(page.limit + 1)
        return (await self._session.execute(statement)).all()

    async def key(self, key_id: int) -> AnyRow | None:
        """Return a key."""
        statement = select(*_KEY).where(self._own(ApiKey), ApiKey.id == key_id)
        return (await self._session.execute(statement)).one_or_none()

    async def add_key(self, **columns: Any) -> int:
        """Add a key and return its id."""
        values = columns | {"company_id": self._scope.company_id}
        statement = insert(ApiKey).values(values).returning(ApiKey.id)
        return (await self._session.execute(statement)).scalar_one()

    async def change_key(self, key_id: int, **columns: Any) -> None:
        """Change columns of a key."""
        which = (self._own(ApiKey), ApiKey.id == key_id)
        await self._session.execute(update(ApiKey).where(*which).values(**columns))

    # ------------------------------------------------------------ service accounts

    async def accounts(self, page: Page) -> Sequence[AnyRow]:
        """Return a page of service accounts, oldest first."""
        mine = (self._own(ServiceAccount), ServiceAccount.deleted_us.is_(None))
        statement = select(*_ACCOUNT).where(*mine)
        if page.after is not None:
            statement = statement.where(ServiceAccount.id > page.after[0])
        statement = statement.order_by(ServiceAccount.id).limit(page.limit + 1)
        return (await self._session.execute(statement)).all()

    async def add_account(self, **columns: Any) -> int:
        """Add a service account and return its id."""
        values = columns | {"company_id": self._scope.company_id}
        statement = insert(ServiceAccount).values(values).returning(ServiceAccount.id)
        return (await self._session.execute(statement)).scalar_one()

    async def change_account(self, account: int, **columns: Any) -> None:
        """Change columns of a service account."""
        which = (self._own(ServiceAccount), ServiceAccount.id == account)
        await self._session.execute(update(ServiceAccount).where(*which).values(**columns))

    # ------------------------------------------------------------ the company

    async def company(self) -> AnyRow:
        """Return id, slug and name of the company."""
        columns = (Company.id, Company.slug, Company.name)
        which = Company.id == self._scope.company_id
        return (await self._session.execute(select(*columns).where(which))).one()

    async def missing_sites(self, sites: Sequence[int]) -> list[int]:
        """Return the ids in `sites` that are no sites of the company."""
        mine = select(Site.id).where(self._own(Site), Site.id.in_(sites))
        return sorted(set(sites) - set((await self._session.execute(mine)).scalars()))

    async def counters(self) -> Sequence[AnyRow]:
        """Return (name, value) of everything counted for the company."""
        statement = select(Counter.name, Counter.value).where(self._own(Counter))
        return (await self._session.execute(statement.order_by(Counter.name))).all()
