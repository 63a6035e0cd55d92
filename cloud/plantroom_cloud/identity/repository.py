"""SQL of companies' keys and counters."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import ApiKey, Counter


async def find_key(session: AsyncSession, digest: str) -> AnyRow | None:
    """Return the key with this SHA-256: the one look-up that comes before there is a scope."""
    columns = (ApiKey.id, ApiKey.company_id, ApiKey.last_used_us, ApiKey.revoked_us)
    return (await session.execute(select(*columns).where(ApiKey.digest == digest))).one_or_none()


class IdentityRepository(Repository):
    """A company's own keys and counters."""

    async def touch_key(self, key_id: int, now_us: int, not_since_us: int) -> None:
        """Note that a key was used now, unless that was noted later than `not_since_us`."""
        stale = or_(ApiKey.last_used_us.is_(None), ApiKey.last_used_us <= not_since_us)
        mine = self._own(ApiKey)
        statement = update(ApiKey).where(mine, ApiKey.id == key_id, stale)
        await self._session.execute(statement.values(last_used_us=now_us))

    async def writer(self, digest: str) -> str | None:
        """Return the name of the key with this SHA-256 if it may give commands; None if not."""
        mine = (self._own(ApiKey), ApiKey.digest == digest, ApiKey.may_write.is_(True))
        statement = select(ApiKey.name).where(*mine)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def counters(self) -> Sequence[AnyRow]:
        """Return (name, value) of everything counted for the company."""
        statement = select(Counter.name, Counter.value).where(self._own(Counter))
        return (await self._session.execute(statement.order_by(Counter.name))).all()
