"""Tickets: a page cannot send a key when it opens a WebSocket, and no key belongs into an address."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

from sqlalchemy import delete, insert

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity.standing import Holder
from plantroom_cloud.kit.problems import Unauthorized
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.kit.times import SECOND
from plantroom_cloud.tables import LiveTicket

LIFE_US: Final = 30 * SECOND
"""Microseconds for which a ticket can be used, once."""
_TICKET: Final = re.compile(r"lt_([1-9]\d{0,17})_[A-Za-z0-9_-]{43}", re.ASCII)


class TicketRepository(Repository):
    """Tickets of one company."""

    async def issue(self, holder: Holder, now_us: int) -> str:
        """Return a new ticket; nothing can show it again."""
        late = (self._own(LiveTicket), LiveTicket.expires_us <= now_us)
        await self._session.execute(delete(LiveTicket).where(*late))
        plain = f"lt_{self._scope.company_id}_{secrets.token_urlsafe(32)}"
        row = {"company_id": self._scope.company_id, "digest": _digest(plain)}
        row |= {"principal": holder.document, "expires_us": now_us + LIFE_US}
        await self._session.execute(insert(LiveTicket).values(**row))
        return plain

    async def redeem(self, plain: str, now_us: int) -> Holder | None:
        """Take a ticket, which is gone then; None if there is none, or it is too late."""
        which = (self._own(LiveTicket), LiveTicket.digest == _digest(plain))
        gone = delete(LiveTicket).where(*which)
        columns = (LiveTicket.principal, LiveTicket.expires_us)
        row = (await self._session.execute(gone.returning(*columns))).one_or_none()
        if row is None or row.expires_us <= now_us:
            return None
        return Holder.read(self._scope.company_id, row.principal)


async def redeem(database: Database, plain: str, now_us: int) -> Holder:
    """Take a ticket and return whose it is.

    Raises:
        Unauthorized: there is no such ticket, it was used, or it is older than thirty seconds.
    """
    # The company is written on it, and counts only because its digest is found there.
    found = _TICKET.fullmatch(plain)
    holder = None
    if found is not None:
        scope = Scope(int(found[1]))
        async with database.write(scope) as session:
            holder = await TicketRepository(session, scope).redeem(plain, now_us)
    if holder is None:
        msg = "this ticket is not known, was used, or is older than 30 s; POST /v1/live/tickets"
        raise Unauthorized(msg)
    return holder


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()
