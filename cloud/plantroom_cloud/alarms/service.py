"""What people do with alarms; each call within one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.book import AlarmBook, Held
from plantroom_cloud.alarms.repository import AlarmRepository
from plantroom_cloud.alarms.rules import read_rule
from plantroom_cloud.alarms.showing import show_alarm
from plantroom_cloud.alarms.states import Act, NotPossible
from plantroom_cloud.audit import display_name, record
from plantroom_cloud.conventions.etags import ANY, Precondition
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import ApiError, InvalidRequest, NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_shared.clock import Clock


class NotNow(ApiError):
    """The alarm's state does not allow what is asked for."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "alarm_state"
    title: ClassVar[str] = "The alarm's state does not allow this"


class AlarmService:
    """Acts on alarms.

    Args:
        session: of a transaction that writes.
        scope: whose they are.
        clock: ours.
        who: acts.
        seen: the states of an alarm that it may be done to.
    """

    def __init__(
        self,
        session: AsyncSession,
        scope: Scope,
        clock: Clock,
        who: Principal | str,
        seen: Precondition = ANY,
    ) -> None:
        self._session, self._scope, self._who, self._seen = session, scope, who, seen
        self._actor = display_name(who)
        # Whoever acts for some sites has everybody told who is told of the company's alarms.
        self._book = AlarmBook(session, Scope(scope.company_id), clock.now_us())
        self._alarms = AlarmRepository(session, scope)

    async def act(
        self, alarm: int, act: Act, *, reason: str = "", seconds: float | None = None
    ) -> AnyRow:
        """Do something with an alarm and return it as it is then.

        Args:
            alarm: its number.
            act: what to do.
            reason: why; with SHELVE and REMOVE it stays with the alarm.
            seconds: with SHELVE: for how long.

        Raises:
            NotFound: the company has no such alarm.
            NotNow: its state does not allow it.
            Changed: it is not as it was seen.
            InvalidRequest: it may not be shelved for so long.
        """
        held = await self._hold(alarm)
        until = None
        if seconds is not None:
            row = await self._alarms.find(alarm)
            longest = read_rule(row.config).longest_shelf_s if row is not None else 0
            if seconds > longest:
                msg = f"its rule lets it be shelved for at most {longest:g} seconds"
                raise InvalidRequest(msg)
            until = self._book.now + round(seconds * 1e6)
        await self._do(held, act, reason, until)
        return await self._show(alarm)

    async def acknowledge(self, alarms: Sequence[int], reason: str) -> list[dict[str, Any]]:
        """Acknowledge several alarms, and return what became of each."""
        seen = await self._alarms.seen(alarms)
        held = await self._book.hold(seen)
        out: list[dict[str, Any]] = []
        for alarm in dict.fromkeys(alarms):
            if alarm not in held:
                out.append({"alarm": alarm, "done": False, "why": f"there is no alarm {alarm}"})
                continue
            try:
                await self._do(held[alarm], Act.ACKNOWLEDGE, reason, None)
            except NotNow as error:
                out.append({"alarm": alarm, "done": False, "why": error.detail})
            else:
                out.append({"alarm": alarm, "done": True, "why": ""})
        return out

    async def assign(self, alarm: int, to: str, reason: str) -> AnyRow:
        """Say who looks after an alarm; empty: nobody."""
        held = await self._hold(alarm)
        doc = {"to": to} | _because(reason)
        await self._book.note(held, "assigned", actor=self._actor, doc=doc, assignee=to)
        self._record(held, "assign", doc)
        return await self._show(alarm)

    async def note(self, alarm: int, text: str) -> AnyRow:
        """Add a note to the history of an alarm."""
        held = await self._hold(alarm)
        await self._book.note(held, "note", actor=self._actor, doc={"text": text})
        self._record(held, "note", {"text": text})
        return await self._show(alarm)

    async def _do(self, held: Held, act: Act, reason: str, until: int | None) -> None:
        before, doc = held.state.shown.value, _because(reason)
        if until is not None:
            doc["until"] = until
        columns = {}
        if act in {Act.SHELVE, Act.REMOVE, Act.UNSHELVE, Act.RESTORE}:
            columns = {"reason": reason if act in {Act.SHELVE, Act.REMOVE} else ""}
        try:
            await self._book.act(
                held,
                act,
                until=until,
                actor=self._actor,
                doc=doc,
                **columns,  # type: ignore[arg-type] # columns of the row
            )
        except NotPossible as error:
            msg = f"alarm {held.id}: {error}"
            raise NotNow(msg) from error

        self._record(held, act.value, doc, before)

    def _record(
        self, held: Held, act: str, doc: Mapping[str, Any], before: str | None = None
    ) -> None:
        shown = held.state.shown.value
        record(
            self._session,
            self._scope,
            who=self._who,
            action=f"alarm.{act}",
            subject=f"alarm/{held.id}",
            before={"state": before or shown},
            after={"state": shown, **doc},
        )

    async def _hold(self, alarm: int) -> Held:
        if not await self._alarms.seen([alarm]) or not (held := await self._book.hold([alarm])):
            raise no_alarm(alarm)
        if self._seen.tags is not None:
            self._seen.check(show_alarm(await self._show(alarm)))
        return held[alarm]

    async def _show(self, alarm: int) -> AnyRow:
        row = await self._alarms.find(alarm)
        if row is None:
            raise no_alarm(alarm)
        return row


def no_alarm(alarm: int) -> NotFound:
    """Return the error of an alarm that the company does not have."""
    return NotFound(f"there is no alarm {alarm}; GET /v1/alarms lists yours")


def _because(reason: str) -> dict[str, Any]:
    return {"reason": reason} if reason else {}
