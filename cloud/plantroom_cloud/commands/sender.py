"""Sending commands: signed here, once the gateway is there; whatever is too late expires here.

Nothing is queued anywhere: the broker is told when a message is worth nothing any more, and a
gateway that is offline gets none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import select, update

from plantroom_cloud.commands.results import NOT_ANSWERED, NOT_CONFIRMED, NOT_SENT
from plantroom_cloud.commands.signing import load_signer
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation.lookups import companies_with_commands
from plantroom_cloud.kit.repository import AnyRow, Repository
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
        late = [(state, at) for state, at, _ in _late(now)]
        async with self._database.read(None) as session:
            scopes = await companies_with_commands(session, late, now)
        for scope in scopes:
            async for due in self._due_of(scope, now):
                yield due

    async def _due_of(self, scope: Scope, now: int) -> AsyncIterator[Due]:
        async with self._database.read(scope) as session:
            rows = await _Commands(session, scope).pending(now)
        signer = load_signer(self._data) if rows else None
        for row in rows if signer else ():
            now_us = self._clock.now_us()
            async with self._database.write(scope) as session:
                mine = await _Commands(session, scope).take(row.id, now_us)
            if mine:
                left = max(1, -(-(row.expires_us - self._clock.now_us()) // 1_000_000))
                payload = signer.sign(row.body) if signer else b""
                yield Due(row.id, topics.down(row.gateway_id, "cmd"), payload, left)
        async with self._database.write(scope) as session:
            await _Commands(session, scope).expire(now)


class _Commands(Repository):
    """Commands of one company, for who sends them."""

    async def pending(self, now: int) -> Sequence[AnyRow]:
        """Return what waits for a gateway that is there."""
        query = (
            select(CommandRow.id, CommandRow.gateway_id, CommandRow.body, CommandRow.expires_us)
            .join(Gateway, Gateway.id == CommandRow.gateway_id)
            .where(self._own(CommandRow, Gateway))
            .where(CommandRow.state == "pending", CommandRow.expires_us > now)
            .where(Gateway.online.is_(True), Gateway.writes.is_(True))
            .where(Gateway.takes.contains("cmd"))
            .order_by(CommandRow.created_us)
            .limit(_MOST)
        )
        return (await self._session.execute(query)).all()

    async def take(self, command: str, now: int) -> bool:
        """Enter that a command is sent; False if somebody else does, or it ended meanwhile."""
        statement = (
            update(CommandRow)
            .where(self._own(CommandRow), CommandRow.id == command, CommandRow.state == "pending")
            .where(CommandRow.expires_us > now)
            .values(state="sent", sent_us=now)
            .returning(CommandRow.id)
        )
        return (await self._session.execute(statement)).first() is not None

    async def expire(self, now: int) -> None:
        """End commands that nobody will answer any more."""
        for state, at, reason in _late(now):
            over = (CommandRow.state == state, CommandRow.expires_us <= at)
            statement = update(CommandRow).where(self._own(CommandRow), *over)
            values = {"state": "expired", "reason": reason, "ended_us": now}
            ended = await self._session.scalars(statement.values(**values).returning(CommandRow.id))
            for command in ended.all():
                self._session.add(
                    CommandEvent(
                        company_id=self._scope.company_id, command_id=command, journal="cloud",
                        n=now, at_us=now, kind="command.expired", doc={"reason": reason},
                    )
                )  # fmt: skip


def _late(now: int) -> list[tuple[str, int, str]]:
    """Return states, when a command in it must have expired to be too late, and the reason."""
    return [
        ("unconfirmed", now, NOT_CONFIRMED),
        ("pending", now, NOT_SENT),
        ("sent", now - GRACE_US, NOT_ANSWERED),
        ("accepted", now - _ANSWERED_US, NOT_ANSWERED),
    ]
