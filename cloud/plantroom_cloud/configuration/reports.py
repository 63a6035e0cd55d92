"""What gateways say of configurations: from records ``desired.*`` on ``aud`` into the assignments.

A word of the gateway counts whenever it comes: it knows what it did. Of an assignment that we had
given up (superseded, cancelled) it is kept in the history, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.configuration.repository import ConfigurationRepository
from plantroom_cloud.db import Scope
from plantroom_shared.wire import Report

PREFIX: Final = "desired."
_ENDS: Final = ("applied", "refused", "rolled_back")
_RANK: Final = {"waiting": 0, "staged": 0, "sent": 0, "pending": 1}


class Reports:
    """Takes what one gateway says, within the transaction that stores its records."""

    def __init__(self, session: AsyncSession, scope: Scope, gateway: str) -> None:
        self._rows, self._gateway = ConfigurationRepository(session, scope), gateway

    async def take(self, records: Sequence[dict[str, Any]]) -> None:
        """Take new rows of the stream ``aud``: ``at_us``, ``kind`` and ``doc`` of each."""
        for record in records:
            kind = record["kind"]
            if not kind.startswith(PREFIX):
                continue
            try:
                report = Report.model_validate(record["doc"])
            except ValidationError:
                continue  # a record like any other: it stands in the audit
            if kind == "desired.running":
                await self._running(report, record["at_us"])
            elif report.id and "\x00" not in report.id:
                await self._assignment(report, kind, record["doc"], record["at_us"])

    async def greeted(self, now_us: int) -> None:
        """The gateway has said hello: what it has not answered is sent again now."""
        await self._rows.hurry(self._gateway, now_us)

    async def _running(self, report: Report, at_us: int) -> None:
        await self._rows.note_running(
            self._gateway,
            told_us=at_us,
            journal=report.journal,
            n=report.n,
            version=report.version,
            config=report.config.replace("\x00", ""),
            document=report.document,
        )

    async def _assignment(self, report: Report, kind: str, doc: dict[str, Any], at_us: int) -> None:
        row = await self._rows.assignment(report.id)
        if row is None or row.gateway_id != self._gateway:
            return
        event = {"at_us": at_us, "kind": kind, "doc": doc}
        if not await self._rows.note(row.id, (report.journal, report.n), **event):
            return
        state = kind.removeprefix(PREFIX)
        errors = [one.replace("\x00", "") for one in report.errors]
        told = {"reason": report.reason.replace("\x00", ""), "errors": errors}
        if state == "pending" and _RANK.get(row.state, 9) < _RANK["pending"]:
            await self._rows.change(row.id, state=state)
        elif (state in _ENDS and row.state in _RANK) or (
            state == "set_aside" and row.state in {*_RANK, "applied"}
        ):
            await self._rows.change(row.id, state=state, ended_us=at_us, **told)
