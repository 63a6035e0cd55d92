"""The second person: a command goes once somebody else has confirmed it."""

from __future__ import annotations

from typing import ClassVar, Final

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.commands.repository import CommandRepository
from plantroom_cloud.commands.service import check_writable, ident, named
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import ApiError, NotFound
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import AuditRow
from plantroom_shared.clock import Clock

_MADE: Final = ("key.add", "service.add", "service.secret")
"""Acts after which whoever did them has what a credential needs."""
_CREDENTIALS: Final = ("key", "service")


class NotYours(ApiError):
    """It cannot be confirmed by whoever asks, or not any more."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "not_confirmable"
    title: ClassVar[str] = "This is not to be confirmed"


class Holders(Repository):
    """Who may have a credential in hand: the audit knows who made it."""

    async def behind(self, who: str) -> set[str]:
        """Return `who`, and where that is a key or a program whoever made it, and so on."""
        found, todo = {who}, [who]
        while todo:
            kind, _, number = todo.pop().partition(":")
            if kind not in _CREDENTIALS:
                continue
            query = select(AuditRow.actor).where(
                self._own(AuditRow),
                AuditRow.subject == f"{kind}/{number}",
                AuditRow.action.in_(_MADE),
            )
            made = set(await self._session.scalars(query.distinct()))
            # The command line is nobody's: whoever has it has the database.
            new = {actor for actor in made - found if not actor.startswith("cli:")}
            found |= new
            todo += new
        return found


class Confirming:
    """What the second person does, within one transaction."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope, self._clock = session, scope, clock
        self._commands, self._holders = CommandRepository(session, scope), Holders(session, scope)

    async def confirm(self, command: str, who: Principal) -> None:
        """Let a command go.

        Its time begins now: how long it is valid stays as it was asked for.

        Raises:
            NotFound: the company has no such command.
            NotYours: it waits for nobody, its time is over, or whoever gave it confirms it.
            NotWritable: meanwhile the gateway takes no commands, or the point none.
        """
        row, now = await self._waiting(command), self._clock.now_us()
        await self._check_second(row.given_by, ident(who))
        target = await self._commands.target(row.point_id)
        if target is None:
            msg = f"there is no point {row.point_id} any more"
            raise NotFound(msg)
        check_writable(target)
        body = orjson.loads(row.body)
        valid = body["expires"] - body["issued"]
        both = f"{body['actor'][:90]}, confirmed by {named(who)[:90]}"
        body |= {"issued": now, "expires": now + valid, "actor": both}
        values = {"body": orjson.dumps(body).decode(), "expires_us": body["expires"]}
        if not await self._commands.confirm(command, confirmed_by=who.name[:200], **values):
            msg = f"command {command} waits for nobody any more"
            raise NotYours(msg)
        doc = {"actor": who.name, "given_by": row.actor}
        event = {"at_us": now, "kind": "command.confirmed", "doc": doc}
        await self._commands.note(command, ("cloud", 1), **event)
        audit.record(
            self._session,
            self._scope,
            who=who,
            action="command.confirm",
            subject=f"command/{command}",
            after={"given_by": row.given_by, "order": body},
        )

    async def _waiting(self, command: str) -> AnyRow:
        row = await self._commands.find(command)
        if row is None:
            msg = f"there is no command {command}"
            raise NotFound(msg)
        over = row.expires_us <= self._clock.now_us()
        if row.state != "unconfirmed" or over:
            state = "expired" if row.state == "unconfirmed" else row.state
            msg = f"command {command} waits for nobody: it is {state}"
            raise NotYours(msg)
        return row

    async def _check_second(self, first: str, second: str) -> None:
        if not first or first == second:
            msg = "whoever gave a command cannot confirm it; ask somebody else who may write"
            raise NotYours(msg)
        if await self._holders.behind(first) & await self._holders.behind(second):
            msg = (
                "one person may stand behind both: whoever made a key or a program counts as it; "
                "let somebody else log in and confirm"
            )
            raise NotYours(msg)
