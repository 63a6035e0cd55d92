"""SQL of notices: what is due of a receiver, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, update

from plantroom_cloud.alarms.notify.letters import Notice
from plantroom_cloud.alarms.receivers import read_receiver
from plantroom_cloud.alarms.rules import read_rule
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import (
    Alarm,
    AlarmEvent,
    AlarmNotice,
    AlarmReceiver,
    AlarmRule,
    Site,
)

MOST: Final = 500
"""Notices of a receiver that are dealt with at once."""


class Due(NamedTuple):
    """A receiver with something to tell it."""

    company: int
    receiver: int


class Outbox(Repository):
    """A company's notices."""

    async def receiver(self, receiver: int) -> AnyRow | None:
        """Return one receiver."""
        mine = (self._own(AlarmReceiver), AlarmReceiver.id == receiver)
        query = select(AlarmReceiver.__table__).where(*mine)
        return (await self._session.execute(query)).one_or_none()

    async def claim(self, receiver: int, now_us: int, until_us: int) -> AnyRow | None:
        """Return a receiver that is nobody else's until then; None where it is."""
        mine = (self._own(AlarmReceiver), AlarmReceiver.id == receiver)
        claim = update(AlarmReceiver).where(*mine, AlarmReceiver.next_us <= now_us)
        result: Any = await self._session.execute(claim.values(next_us=until_us))
        return await self.receiver(receiver) if result.rowcount else None

    async def due(self, receiver: AnyRow, now_us: int) -> list[Notice]:
        """Return the notices of a receiver whose time has come, the oldest first."""
        query = (
            select(
                AlarmNotice.id, AlarmNotice.event_id, AlarmNotice.alarm_id, AlarmNotice.created_us,
                AlarmNotice.due_us, AlarmEvent.kind, AlarmEvent.called, AlarmEvent.at_us,
                AlarmEvent.actor, AlarmEvent.doc, Alarm.priority, Alarm.title, Alarm.standing,
                AlarmRule.config, Site.name,
            )
            .join(AlarmEvent, AlarmEvent.id == AlarmNotice.event_id)
            .join(Alarm, Alarm.id == AlarmNotice.alarm_id)
            .join(AlarmRule, AlarmRule.id == Alarm.rule_id)
            .join(Site, Site.id == Alarm.site_id)
            .where(self._own(AlarmNotice, AlarmEvent, Alarm, AlarmRule, Site))
            .where(AlarmNotice.receiver_id == receiver.id, AlarmNotice.state == "waiting")
            .where(AlarmNotice.due_us <= now_us)
            .order_by(AlarmNotice.id)
            .limit(MOST)
        )  # fmt: skip
        escalates = read_receiver(receiver.config).after_s > 0
        rows = (await self._session.execute(query)).all()
        return [_notice(row, escalates=escalates) for row in rows]

    async def recent(self, receiver: int, since_us: int) -> int:
        """Return how many notices came for a receiver since then."""
        query = select(func.count()).where(
            self._own(AlarmNotice),
            AlarmNotice.receiver_id == receiver,
            AlarmNotice.created_us >= since_us,
        )
        return await self._session.scalar(query) or 0

    async def hold(self, notice: int, due_us: int) -> None:
        """Put a notice off."""
        await self._change([notice], due_us=due_us)

    async def finish(self, notices: Iterable[int], state: str, why: str, now_us: int) -> None:
        """Enter what became of notices."""
        await self._change(notices, state=state, why=why[:1000], done_us=now_us)

    async def retry(self, notices: Iterable[int], why: str) -> None:
        """Enter that a try has failed; they wait on."""
        await self._change(notices, tries=AlarmNotice.tries + 1, why=why[:1000])

    async def _change(self, notices: Iterable[int], **values: Any) -> None:
        which = (self._own(AlarmNotice), AlarmNotice.id.in_(list(notices)))
        waiting = update(AlarmNotice).where(*which, AlarmNotice.state == "waiting")
        await self._session.execute(waiting.values(**values))

    async def note(self, receiver: int, **values: Any) -> None:
        """Change what is known of how a receiver takes its messages."""
        mine = (self._own(AlarmReceiver), AlarmReceiver.id == receiver)
        await self._session.execute(update(AlarmReceiver).where(*mine).values(**values))

    async def page(self, receiver: int, state: str | None, page: Page) -> Sequence[AnyRow]:
        """Return notices of a receiver, the newest first, one more than the page holds."""
        query = (
            select(AlarmNotice.__table__)
            .where(self._own(AlarmNotice), AlarmNotice.receiver_id == receiver)
            .order_by(AlarmNotice.id.desc())
            .limit(page.limit + 1)
        )
        if state is not None:
            query = query.where(AlarmNotice.state == state)
        if page.after:
            query = query.where(AlarmNotice.id < page.after[0])
        return (await self._session.execute(query)).all()

    async def again(self, receiver: int, now_us: int) -> int:
        """Have what has failed tried again; return how many notices that are."""
        failed = update(AlarmNotice).where(
            self._own(AlarmNotice),
            AlarmNotice.receiver_id == receiver,
            AlarmNotice.state == "failed",
        )
        values = {"state": "waiting", "due_us": now_us, "created_us": now_us, "done_us": None}
        result: Any = await self._session.execute(failed.values(**values))
        await self.note(receiver, failures=0, next_us=0)
        return int(result.rowcount)


def _notice(row: AnyRow, *, escalates: bool) -> Notice:
    # What called may have another name: an alarm that comes off the shelf calls as well.
    kind = "raised" if row.called else row.kind
    value = row.doc.get("value")
    return Notice(
        row.id, row.event_id, row.alarm_id, kind, row.at_us, row.priority, row.title, row.name,
        row.standing, read_rule(row.config).response,
        float(value) if isinstance(value, int | float) else None,
        row.actor, row.created_us, row.due_us, escalates and kind == "raised",
    )  # fmt: skip
