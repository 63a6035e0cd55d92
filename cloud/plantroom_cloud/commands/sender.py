"""Sending commands: signed here, once the gateway is there; whatever is too late expires here.

Nothing is queued anywhere: the broker is told when a message is worth nothing any more, and a
gateway that is offline gets none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import ColumnElement, and_, or_, select, update

from plantroom_cloud.commands.results import NOT_ANSWERED, NOT_SENT
from plantroom_cloud.commands.signing import load_signer
from plantroom_cloud.db import Database
from plantroom_cloud.tables import CommandEvent, CommandRow, Gateway
from plantroom_shared import topics
from plantroom_shared.clock import Clock

EVERY: Final = 0.25
"""Seconds between two looks."""

GRACE_US: Final = 15_000_000
"""Microseconds after its expiry that a command's answer is waited for."""

_MOST: Final = 100
_ANSWERED_US: Final = 90_000_000


@dataclass(frozen=True, slots=True)
class Due:
    """A command that is to be published now."""

    id: str
    topic: str
    payload: bytes
    expires_in: int
    """Seconds, at least 1."""


class Sender:
    """Finds what is to be sent, of all companies.

    Args:
        database: with the commands.
        clock: says when they expire.
        data: folder with the key that signs.
    """

    def __init__(self, database: Database, clock: Clock, data: Path) -> None:
        self._database, self._clock, self._data = database, clock, data

    async def due(self) -> AsyncIterator[Due]:
        """Yield what is to be published, each entered as sent before it is."""
        now = self._clock.now_us()
        async with self._database.read() as session:
            over = or_(*(and_(*late) for late, _ in _late(now)))
            late = (await session.execute(select(CommandRow.id).where(over).limit(1))).first()
            query = (
                select(CommandRow.id, CommandRow.gateway_id, CommandRow.body, CommandRow.expires_us)
                .join(Gateway, Gateway.id == CommandRow.gateway_id)
                .where(CommandRow.state == "pending", CommandRow.expires_us > now)
                .where(Gateway.online.is_(True), Gateway.writes.is_(True))
                .where(Gateway.takes.contains("cmd"))
                .order_by(CommandRow.created_us)
                .limit(_MOST)
            )
            rows = (await session.execute(query)).all()
        signer = load_signer(self._data) if rows else None
        for row in rows if signer else ():
            if await self._sent(row.id):
                left = max(1, -(-(row.expires_us - self._clock.now_us()) // 1_000_000))
                payload = signer.sign(row.body) if signer else b""
                yield Due(row.id, topics.down(row.gateway_id, "cmd"), payload, left)
        if late:
            await self._expire(now)

    async def _sent(self, command: str) -> bool:
        """Enter that a command is sent; False if somebody else does, or it ended meanwhile."""
        now = self._clock.now_us()
        async with self._database.write() as session:
            statement = (
                update(CommandRow)
                .where(CommandRow.id == command, CommandRow.state == "pending")
                .where(CommandRow.expires_us > now)
                .values(state="sent", sent_us=now)
                .returning(CommandRow.id)
            )
            return (await session.execute(statement)).first() is not None

    async def _expire(self, now: int) -> None:
        """End commands that nobody will answer any more."""
        async with self._database.write() as session:
            for over, reason in _late(now):
                ended = (
                    await session.execute(
                        update(CommandRow)
                        .where(*over)
                        .values(state="expired", reason=reason, ended_us=now)
                        .returning(CommandRow.id, CommandRow.company_id)
                    )
                ).all()
                for row in ended:
                    session.add(
                        CommandEvent(
                            company_id=row.company_id, command_id=row.id, journal="cloud", n=now,
                            at_us=now, kind="command.expired", doc={"reason": reason},
                        )
                    )  # fmt: skip


def _late(now: int) -> list[tuple[tuple[ColumnElement[bool], ...], str]]:
    """Return conditions for commands that are too late, and the reason to give."""
    limits = (
        ("pending", 0, NOT_SENT),
        ("sent", GRACE_US, NOT_ANSWERED),
        ("accepted", _ANSWERED_US, NOT_ANSWERED),
    )
    return [
        ((CommandRow.state == state, CommandRow.expires_us <= now - grace), reason)
        for state, grace, reason in limits
    ]
