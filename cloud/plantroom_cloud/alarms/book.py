"""The one way in which an alarm changes: state, history and who is told, in one transaction.

Whoever makes a book works within a transaction that writes, and takes the alarms under lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.receivers import Happening, read_receiver
from plantroom_cloud.alarms.rules import priority_name, priority_number
from plantroom_cloud.alarms.states import Act, Standing, State, annunciates, step
from plantroom_cloud.db import Scope
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.kit.times import rfc3339
from plantroom_cloud.live.telling import Happening as News
from plantroom_cloud.live.telling import tell
from plantroom_cloud.live.topics import ALARMS
from plantroom_cloud.tables import Alarm, AlarmEvent, AlarmNotice, AlarmReceiver

KINDS: Final[Mapping[Act, str]] = {
    Act.ON: "raised",
    Act.OFF: "returned",
    Act.ACKNOWLEDGE: "acknowledged",
    Act.RESET: "reset",
    Act.SHELVE: "shelved",
    Act.UNSHELVE: "unshelved",
    Act.EXPIRE: "shelf_ended",
    Act.SUPPRESS: "suppressed",
    Act.UNSUPPRESS: "unsuppressed",
    Act.REMOVE: "removed",
    Act.RESTORE: "restored",
}
"""What the history calls what happened."""

_COLUMNS = (
    Alarm.id, Alarm.rule_id, Alarm.site_id, Alarm.gateway_id, Alarm.point_id, Alarm.subject, Alarm.title,
    Alarm.priority, Alarm.latching, Alarm.base, Alarm.active, Alarm.latched,
    Alarm.shelved_until_us, Alarm.suppressed, Alarm.out_of_service, Alarm.guard_point_id,
    Alarm.release_us, Alarm.calls, Alarm.version, Alarm.ended_us,
)  # fmt: skip


@dataclass(slots=True)
class Held:
    """An alarm under lock."""

    row: AnyRow
    state: State
    calls: int
    version: int

    @property
    def id(self) -> int:
        """Return its number."""
        return int(self.row.id)


def state_of(row: AnyRow) -> State:
    """Return the state in a row of alarms."""
    return State(
        Standing(row.base),
        active=row.active,
        latched=row.latched,
        shelved_until=row.shelved_until_us,
        suppressed=row.suppressed,
        out_of_service=row.out_of_service,
    )


class AlarmBook(Repository):
    """A company's alarms, to be changed at one moment."""

    def __init__(self, session: AsyncSession, scope: Scope, now_us: int) -> None:
        super().__init__(session, scope)
        self.now = now_us
        self._receivers: list[tuple[AnyRow, Any]] | None = None

    async def hold(self, alarms: Iterable[int]) -> dict[int, Held]:
        """Lock alarms, in the order of their numbers; those that are not the company's are left out."""
        query = (
            select(*_COLUMNS)
            .where(self._own(Alarm), Alarm.id.in_(sorted(set(alarms))))
            .order_by(Alarm.id)
            .with_for_update()
        )
        rows = (await self._session.execute(query)).all()
        return {row.id: Held(row, state_of(row), row.calls, row.version) for row in rows}

    async def act(
        self,
        held: Held,
        act: Act,
        *,
        at: int | None = None,
        until: int | None = None,
        actor: str = "",
        doc: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> bool:
        """Let something happen to an alarm; say whether that changed it.

        Args:
            held: the alarm.
            act: what happens.
            at: when, microseconds; now where it is left out.
            until: with SHELVE.
            actor: who does it; empty: Plantroom.
            doc: for the history.
            columns: of the alarm's row that change with it.

        Raises:
            NotPossible: the state does not allow it.
        """
        before = held.state
        after = step(before, act, latching=held.row.latching, until=until)
        if after == before:
            return False
        held.state, called = after, annunciates(before, after)
        held.calls += called
        event = await self._enter(
            held, KINDS[act], before, at=at, actor=actor, doc=doc or {}, called=called
        )
        if act is Act.ON:
            columns |= {"raised_us": self.now if at is None else at}
        if before.shown is not after.shown:
            columns |= {"changed_us": self.now}
        await self._save(held, **columns)
        await self._publish(held, KINDS[act], before, at, called=called)
        happening = _happening(act, before, after, called=called)
        if happening is not None:
            await self._tell(held, event, happening)
        return True

    async def note(
        self,
        held: Held,
        kind: str,
        *,
        at: int | None = None,
        actor: str = "",
        doc: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> None:
        """Enter something that leaves the state as it is."""
        await self._enter(held, kind, held.state, at=at, actor=actor, doc=doc or {})
        await self._save(held, **columns)

    async def end(self, held: Held) -> None:
        """Its rule no longer speaks of it: it is normal, and on no list."""
        before, held.state = held.state, State()
        await self._enter(held, "ended", before, at=None, actor="", doc={})
        gone = {"ended_us": self.now, "changed_us": self.now, "reason": "", "release_us": None}
        await self._save(held, **gone)
        await self._publish(held, "ended", before, None, called=False)

    async def _enter(
        self,
        held: Held,
        kind: str,
        before: State,
        *,
        at: int | None,
        actor: str,
        doc: Mapping[str, Any],
        called: bool = False,
    ) -> int:
        values = {
            "company_id": self._scope.company_id,
            "alarm_id": held.id,
            "kind": kind,
            "at_us": self.now if at is None else at,
            "entered_us": self.now,
            "before": before.shown.value,
            "after": held.state.shown.value,
            "called": called,
            "priority": held.row.priority,
            "actor": actor[:200],
            "doc": dict(doc),
        }
        statement = insert(AlarmEvent).values(**values).returning(AlarmEvent.id)
        return int((await self._session.execute(statement)).scalar_one())

    async def _save(self, held: Held, **columns: Any) -> None:
        state = held.state
        held.version += 1
        values = {
            "standing": state.shown.value,
            "base": state.base.value,
            "active": state.active,
            "latched": state.latched,
            "shelved_until_us": state.shelved_until,
            "suppressed": state.suppressed,
            "out_of_service": state.out_of_service,
            "calls": held.calls,
            "version": held.version,
        }
        statement = update(Alarm).where(self._own(Alarm), Alarm.id == held.id)
        await self._session.execute(statement.values(**values | columns))

    # ------------------------------------------------------------ who is told

    async def _publish(
        self, held: Held, kind: str, before: State, at: int | None, *, called: bool
    ) -> None:
        """Tell whoever follows alarms, and webhooks of that topic, when this is committed."""
        row = held.row
        data = {
            "alarm": held.id,
            "rule": row.rule_id,
            "site": row.site_id,
            "gateway": row.gateway_id,
            "point": row.point_id,
            "title": row.title,
            "priority": priority_name(row.priority),
            "at": rfc3339(self.now if at is None else at),
            "before": before.shown.value,
            "after": held.state.shown.value,
            "called": called,
        }
        news = News(ALARMS, f"alarm.{kind}", data, (row.site_id,))
        await tell(self._session, self._scope, self.now, news)

    async def _tell(self, held: Held, event: int, happening: Happening) -> None:
        """Leave word for everybody who wants to know; the notifier tells them after the commit."""
        if self._receivers is None:
            self._receivers = await self._read_receivers()
        head: dict[str, Any] = {
            "company_id": self._scope.company_id,
            "event_id": event,
            "alarm_id": held.id,
        }
        head |= {"created_us": self.now, "state": "waiting", "tries": 0, "why": ""}
        rows = [
            head | {"receiver_id": row.id, "due_us": self.now + round(wish.after_s * 1e6)}
            for row, wish in self._receivers
            if happening in wish.on
            and held.row.priority >= priority_number(wish.least_priority)
            and (wish.sites is None or held.row.site_id in wish.sites)
        ]
        if rows:
            await self._session.execute(insert(AlarmNotice), rows)

    async def _read_receivers(self) -> list[tuple[AnyRow, Any]]:
        query = select(AlarmReceiver.id, AlarmReceiver.config).where(
            self._own(AlarmReceiver), AlarmReceiver.enabled, AlarmReceiver.deleted_us.is_(None)
        )
        rows = (await self._session.execute(query.order_by(AlarmReceiver.id))).all()
        return [(row, read_receiver(row.config)) for row in rows]


def _happening(act: Act, before: State, after: State, *, called: bool) -> Happening | None:
    if called:
        return "raised"
    if act is Act.OFF and not before.hidden:
        return "returned"
    return "acknowledged" if act is Act.ACKNOWLEDGE and after != before else None


def reborn() -> dict[str, Any]:
    """Return the columns of an alarm that is as new."""
    state = State()
    return {
        "standing": state.shown.value, "base": state.base.value, "active": False,
        "latched": False, "shelved_until_us": None, "suppressed": False,
        "out_of_service": False, "reason": "", "release_us": None, "ended_us": None,
    }  # fmt: skip
