"""From a key to a company: the only way that a `Scope` comes into being at the API."""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity import keys
from plantroom_cloud.identity.repository import IdentityRepository, find_key
from plantroom_cloud.kit.problems import Unauthorized
from plantroom_cloud.kit.times import MINUTE
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

_LONGEST: Final = 200


class KeyService:
    """Looks keys up, and notes at most once a minute that each is in use."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._noted: dict[int, int] = {}

    async def scope_of(self, session: AsyncSession, plain: str | None) -> tuple[Scope, int | None]:
        """Return whose key `plain` is, and the key's id if its use is to be noted.

        Raises:
            Unauthorized: there is no key, nobody knows it, or it was revoked.
        """
        if not plain:
            msg = "send your key as 'Authorization: Bearer pk_...' or 'X-API-Key: pk_...'"
            raise Unauthorized(msg)
        known = plain.isascii() and len(plain) <= _LONGEST
        row = await find_key(session, keys.digest(plain)) if known else None
        if row is None or row.revoked_us is not None:
            msg = "this key is not known, or was revoked; ask your administrator for another"
            raise Unauthorized(msg)
        since = max(row.last_used_us or 0, self._noted.get(row.id, 0))
        due = self._clock.now_us() - since >= MINUTE
        return Scope(row.company_id), row.id if due else None

    async def note_use(self, scope: Scope, key_id: int) -> None:
        """Write down that a key is in use; a database that is busy costs only this note."""
        now = self._clock.now_us()
        if now - self._noted.get(key_id, 0) < MINUTE:
            return
        self._noted[key_id] = now
        try:
            async with self._db.write() as session:
                repository = IdentityRepository(session, scope)
                await repository.touch_key(key_id, now, now - MINUTE)
        except SQLAlchemyError as error:
            log.warning("use of a key not noted", extra={"key": key_id, "error": str(error)})
