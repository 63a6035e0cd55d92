"""API keys and service accounts: made, changed, replaced, ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.identity import keys
from plantroom_cloud.identity.errors import Conflict
from plantroom_cloud.identity.granting import check_scopes, check_sites
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.identity.trail import record
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import DAY, HOUR
from plantroom_shared.clock import Clock

LONGEST_LIFE: Final = 365
"""Days of an API key."""


class Credentials:
    """What a company says of its keys and service accounts, within a transaction."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock, who: Principal) -> None:
        self._session, self._scope, self._clock, self._who = session, scope, clock, who
        self._rows = IdentityRepository(session, scope)

    # ------------------------------------------------------------ keys

    async def add_key(
        self, name: str, scopes: Sequence[str], sites: Sequence[int] | None, days: int
    ) -> tuple[AnyRow, str]:
        """Make a key; return it with its plain text, which nothing can show again."""
        await self._check(scopes, sites)
        expires = self._clock.now_us() + days * DAY
        return await self._insert_key(name, scopes, sites, expires)

    async def change_key(self, key_id: int, changes: dict[str, Any]) -> AnyRow:
        """Change name, scopes or sites of a key that opens; return it."""
        row = await self._open_key(key_id)
        await self._check(changes.get("scopes", []), changes.get("sites"))
        check_scopes(self._who, row.scopes)
        if changes:
            await self._rows.change_key(key_id, **changes)
        before = {key: getattr(row, key) for key in changes}
        self._record("key.change", f"key/{key_id}", before, changes)
        return await self.key(key_id)

    async def rotate_key(self, key_id: int, hours: int) -> tuple[AnyRow, str]:
        """Make another key like this one, which goes on for some hours; return the new one."""
        row = await self._open_key(key_id)
        check_scopes(self._who, row.scopes)
        now = self._clock.now_us()
        ends = min(row.expires_us or now + hours * HOUR, now + hours * HOUR)
        life = LONGEST_LIFE * DAY
        if row.expires_us is not None:
            life = min(life, row.expires_us - row.created_us)
        await self._rows.change_key(key_id, expires_us=ends)
        made = await self._insert_key(row.name, row.scopes, row.sites, now + life)
        self._record("key.rotate", f"key/{key_id}", None, {"to": f"key/{made[0].id}"})
        return made

    async def revoke_key(self, key_id: int) -> AnyRow:
        """Let a key open nothing any more; return it."""
        row = await self.key(key_id)
        if row.revoked_us is None:
            check_scopes(self._who, row.scopes)
            await self._rows.change_key(key_id, revoked_us=self._clock.now_us())
            self._record("key.revoke", f"key/{key_id}", {"name": row.name}, None)
        return await self.key(key_id)

    async def key(self, key_id: int) -> AnyRow:
        """Return a key; NotFound if there is none."""
        if (found := await self._rows.key(key_id)) is None:
            msg = f"there is no key {key_id}; GET /v1/api-keys lists yours"
            raise NotFound(msg)
        return found

    async def _open_key(self, key_id: int) -> AnyRow:
        row = await self.key(key_id)
        over = row.expires_us is not None and row.expires_us <= self._clock.now_us()
        if row.revoked_us is not None or over:
            msg = "this key opens nothing any more; make another"
            raise Conflict(msg)
        return row

    async def _insert_key(
        self, name: str, scopes: Sequence[str], sites: Sequence[int] | None, expires_us: int
    ) -> tuple[AnyRow, str]:
        new = keys.new_key()
        number = await self._rows.add_key(
            name=name,
            prefix=new.prefix,
            digest=new.digest,
            scopes=sorted(set(scopes)),
            sites=sites,
            created_us=self._clock.now_us(),
            created_by=self._who.name,
            expires_us=expires_us,
        )
        after = {"name": name, "scopes": sorted(set(scopes)), "sites": sites}
        self._record("key.add", f"key/{number}", None, after)
        return await self.key(number), new.plain

    # ------------------------------------------------------------ service accounts

    async def add_account(
        self, name: str, scopes: Sequence[str], sites: Sequence[int] | None
    ) -> tuple[AnyRow, str]:
        """Make a service account; return it with its secret, which nothing can show again."""
        await self._check(scopes, sites)
        secret, now = keys.new_key(keys.SECRET), self._clock.now_us()
        number = await self._rows.add_account(
            name=name,
            client_id=keys.new_client_id(),
            digest=secret.digest,
            scopes=sorted(set(scopes)),
            sites=sites,
            created_us=now,
            created_by=self._who.name,
            valid_from_us=now,
        )
        after = {"name": name, "scopes": sorted(set(scopes)), "sites": sites}
        self._record("service.add", f"service/{number}", None, after)
        return await self.account(number), secret.plain

    async def change_account(self, account: int, changes: dict[str, Any]) -> AnyRow:
        """Change name, scopes, sites or whether a service account is let in; return it."""
        row = await self.account(account)
        check_scopes(self._who, row.scopes)
        await self._check(changes.get("scopes", []), changes.get("sites"))
        columns = {key: value for key, value in changes.items() if key != "disabled"}
        if "disabled" in changes:
            columns["disabled_us"] = self._clock.now_us() if changes["disabled"] else None
        if columns:
            await self._rows.change_account(account, **columns)
        before = {key: getattr(row, key) for key in columns}
        self._record("service.change", f"service/{account}", before, columns)
        return await self.account(account)

    async def new_secret(self, account: int) -> tuple[AnyRow, str]:
        """Give a service account another secret; the old one and all its tokens are void."""
        row = await self.account(account)
        check_scopes(self._who, row.scopes)
        secret = keys.new_key(keys.SECRET)
        stamp = max(self._clock.now_us(), row.valid_from_us + 1)
        await self._rows.change_account(account, digest=secret.digest, valid_from_us=stamp)
        self._record("service.secret", f"service/{account}", None, None)
        return await self.account(account), secret.plain

    async def delete_account(self, account: int) -> None:
        """Let a service account be no more."""
        row = await self.account(account)
        check_scopes(self._who, row.scopes)
        await self._rows.change_account(account, deleted_us=self._clock.now_us())
        self._record("service.delete", f"service/{account}", {"name": row.name}, None)

    async def account(self, account: int) -> AnyRow:
        """Return a service account; NotFound if there is none."""
        if (found := await self._rows.account(account)) is None:
            msg = f"there is no service account {account}; GET /v1/service-accounts lists yours"
            raise NotFound(msg)
        return found

    # ------------------------------------------------------------ inside

    async def _check(self, scopes: Sequence[str], sites: Sequence[int] | None) -> None:
        check_scopes(self._who, scopes)
        await check_sites(self._session, self._scope, sites)

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
