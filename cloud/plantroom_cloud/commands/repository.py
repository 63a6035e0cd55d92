"""SQL of commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import delete, insert, select, update

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import CommandEvent, CommandRow, CommandRule, Gateway, Point

OPEN: Final = ("unconfirmed", "pending", "sent", "accepted")
"""States of a command that has not ended."""

_COLUMNS = (
    CommandRow.id, CommandRow.gateway_id, CommandRow.point_id, CommandRow.kind, CommandRow.actor,
    CommandRow.body, CommandRow.state, CommandRow.reason, CommandRow.created_us,
    CommandRow.expires_us, CommandRow.sent_us, CommandRow.ended_us, CommandRow.released_us,
    CommandRow.given_by, CommandRow.confirmed_by,
)  # fmt: skip
_EVENT = (CommandEvent.at_us, CommandEvent.kind, CommandEvent.doc)
_MOST_EVENTS = 200
_RULE = (
    CommandRule.id, CommandRule.points, CommandRule.within_s, CommandRule.actor,
    CommandRule.created_us,
)  # fmt: skip
MOST_RULES: Final = 1000
"""Rules that a company may have."""


class CommandRepository(Repository):
    """A company's commands."""

    async def target(self, point: int) -> AnyRow | None:
        """Return key and writable of a point, and what its gateway allows; None where it is not the company's."""
        statement = (
            select(Point.key, Point.writable, Point.gateway_id, Gateway.writes, Gateway.takes)
            .join(Gateway, Gateway.id == Point.gateway_id)
            .where(self._own(Point, Gateway), Point.id == point)
        )
        return (await self._session.execute(statement)).one_or_none()

    async def find(self, command: str) -> AnyRow | None:
        """Return one command, or None if the company has none of this id."""
        statement = select(*_COLUMNS).where(self._own(CommandRow), CommandRow.id == command)
        return (await self._session.execute(statement)).one_or_none()

    async def events(self, command: str) -> Sequence[AnyRow]:
        """Return what happened to a command, in order."""
        statement = (
            select(*_EVENT)
            .where(self._own(CommandEvent), CommandEvent.command_id == command)
            .order_by(CommandEvent.id)
            .limit(_MOST_EVENTS)
        )
        return (await self._session.execute(statement)).all()

    async def add(self, **values: Any) -> None:
        """Insert a command that is yet to be sent."""
        row = {"company_id": self._scope.company_id, "state": "pending", "reason": ""} | values
        await self._session.execute(insert(CommandRow).values(**row))

    async def note(self, command: str, source: tuple[str, int], **event: Any) -> bool:
        """Add something that happened; False if it was told before.

        Args:
            command: its id.
            source: journal, and number of the event there.
            event: ``at_us``, ``kind`` and ``doc``.
        """
        row = {"company_id": self._scope.company_id, "command_id": command}
        row |= {"journal": source[0], "n": source[1]} | event
        statement = (
            insert_into(self._session, CommandEvent)
            .values(**row)
            .on_conflict_do_nothing(index_elements=["command_id", "journal", "n"])
            .returning(CommandEvent.id)
        )
        return (await self._session.execute(statement)).first() is not None

    async def change(self, command: str, **values: Any) -> None:
        """Change what is known of a command."""
        statement = update(CommandRow).where(self._own(CommandRow), CommandRow.id == command)
        await self._session.execute(statement.values(**values))

    async def confirm(self, command: str, **values: Any) -> bool:
        """Let a command go that waits for a second person; False if it does not any more."""
        statement = (
            update(CommandRow)
            .where(self._own(CommandRow), CommandRow.id == command)
            .where(CommandRow.state == "unconfirmed")
            .values(state="pending", **values)
            .returning(CommandRow.id)
        )
        return (await self._session.execute(statement)).first() is not None

    # ------------------------------------------------------------ rules

    async def rules(self) -> Sequence[AnyRow]:
        """Return for which points a second person must confirm."""
        query = select(*_RULE).where(self._own(CommandRule)).order_by(CommandRule.id)
        return (await self._session.execute(query.limit(MOST_RULES + 1))).all()

    async def add_rule(self, **values: Any) -> int:
        """Insert a rule and return its id."""
        row = {"company_id": self._scope.company_id} | values
        statement = insert(CommandRule).values(**row).returning(CommandRule.id)
        return int((await self._session.execute(statement)).scalar_one())

    async def remove_rule(self, rule: int) -> AnyRow | None:
        """Remove a rule and return it; None if the company has none such."""
        mine = self._own(CommandRule), CommandRule.id == rule
        found = (await self._session.execute(select(*_RULE).where(*mine))).one_or_none()
        if found is not None:
            await self._session.execute(delete(CommandRule).where(*mine))
        return found

    async def allow(self, gateway: str, *, writes: bool) -> bool:
        """Say whether commands may be given to a gateway; False if the company has none such."""
        statement = update(Gateway).where(self._own(Gateway), Gateway.id == gateway)
        result = await self._session.execute(statement.values(writes=writes).returning(Gateway.id))
        return result.first() is not None
