"""What gateways say of commands: from the stream ``cmd`` into the command's state.

A result is believed whenever it comes; of several the first that ends the command counts, and it
counts more than our own word that the command has expired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.commands.repository import OPEN, CommandRepository
from plantroom_cloud.db import Scope

_ENDS: Final = ("executed", "checked", "failed", "refused", "expired")
_PREFIX: Final = "command."
NOT_CONFIRMED: Final = "not-confirmed"
NOT_SENT: Final = "not-sent"
NOT_ANSWERED: Final = "not-answered"
"""Our own reasons for ``expired``: a later word of the gateway is better."""


class Results:
    """Takes what one gateway says of commands, within the transaction that stores its records."""

    def __init__(self, session: AsyncSession, scope: Scope, gateway: str) -> None:
        self._commands, self._gateway = CommandRepository(session, scope), gateway

    async def take(self, records: Sequence[dict[str, Any]]) -> None:
        """Take new rows of the stream ``cmd``: ``at_us``, ``kind`` and ``doc`` of each."""
        for record in records:
            doc, kind = record["doc"], record["kind"]
            ident = doc.get("id")
            if not kind.startswith(_PREFIX) or not isinstance(ident, str) or len(ident) > 64:
                continue
            row = await self._commands.find(ident.replace("\x00", ""))
            if row is not None and row.gateway_id == self._gateway:
                await self._one(row, kind, doc, record["at_us"])

    async def _one(self, row: Any, kind: str, doc: dict[str, Any], at_us: int) -> None:
        journal, n = doc.get("journal"), doc.get("n")
        if not isinstance(journal, str) or not isinstance(n, int) or not 0 <= n < 2**63:
            return
        event = {"at_us": at_us, "kind": kind, "doc": doc}
        if not await self._commands.note(row.id, (journal[:16].replace("\x00", ""), n), **event):
            return
        state = kind.removeprefix(_PREFIX)
        ours = row.state == "expired" and row.reason in {NOT_ANSWERED, NOT_SENT}
        if state == "released":
            await self._commands.change(row.id, released_us=at_us)
        elif state in _ENDS and (row.state in OPEN or ours):
            reason = str(doc.get("reason", ""))[:200].replace("\x00", "")
            await self._commands.change(row.id, state=state, reason=reason, ended_us=at_us)
        elif state == "accepted" and (row.state in {"pending", "sent"} or ours):
            await self._commands.change(row.id, state="accepted", reason="", ended_us=None)
