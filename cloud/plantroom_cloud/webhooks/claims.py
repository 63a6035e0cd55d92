"""SQL of who sends: messages claimed with a lease, and what became of them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update

from plantroom_cloud.db import is_sqlite
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.tables import WebhookDelivery, WebhookRow
from plantroom_cloud.webhooks import schedule


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where messages of one webhook go."""

    id: int
    url: str
    keys: tuple[str, ...]
    """Secrets to sign with."""


@dataclass(frozen=True, slots=True)
class Message:
    """One that this worker may send until its lease runs out."""

    id: int
    message: str
    body: bytes
    tries: int
    token: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a try."""

    status: int | None = None
    reason: str = ""
    """What went wrong; empty where nothing did."""
    asked: float = 0.0
    """Seconds that the receiver has asked to be left alone."""
    gone: bool = False
    """Whether it has said that it wants nothing ever again."""


class Claims(Repository):
    """Messages of one company's webhooks, for who sends them."""

    async def forget(self, before_us: int) -> None:
        """Remove messages that ended before."""
        old = (self._own(WebhookDelivery), WebhookDelivery.ended_us < before_us)
        await self._session.execute(delete(WebhookDelivery).where(*old))

    async def receiver(self, webhook: int, now_us: int) -> Receiver | None:
        """Return where messages go; None if nothing may be sent now."""
        columns = (WebhookRow.url, WebhookRow.secret, WebhookRow.old_secret)
        which = (self._own(WebhookRow), WebhookRow.id == webhook, WebhookRow.enabled)
        statement = select(*columns, WebhookRow.old_until_us).where(
            *which, WebhookRow.resume_us <= now_us
        )
        row = (await self._session.execute(statement)).one_or_none()
        if row is None:
            return None
        old = (row.old_secret,) if row.old_secret and row.old_until_us > now_us else ()
        return Receiver(webhook, row.url, (row.secret, *old))

    async def take(self, webhook: int, now_us: int, until_us: int, most: int) -> Sequence[Message]:
        """Claim up to `most` messages that are due, the oldest first; nobody else has them then."""
        due = (
            self._own(WebhookDelivery),
            WebhookDelivery.webhook_id == webhook,
            WebhookDelivery.state == "waiting",
            WebhookDelivery.due_us <= now_us,
        )
        order = (WebhookDelivery.due_us, WebhookDelivery.id)
        chosen = select(WebhookDelivery.id).where(*due).order_by(*order).limit(most)
        if not is_sqlite(self._session):
            chosen = chosen.with_for_update(skip_locked=True)
        ids = list(await self._session.scalars(chosen))
        if not ids:
            return []
        token = secrets.token_hex(16)
        mine = (self._own(WebhookDelivery), WebhookDelivery.id.in_(ids))
        claimed = update(WebhookDelivery).where(*mine).values(due_us=until_us, token=token)
        columns = (
            WebhookDelivery.id,
            WebhookDelivery.message,
            WebhookDelivery.body,
            WebhookDelivery.tries,
        )
        rows = (await self._session.execute(claimed.returning(*columns))).all()
        return [Message(*row, token) for row in sorted(rows, key=lambda row: ids.index(row.id))]

    async def finish(
        self, webhook: int, outcomes: Sequence[tuple[Message, Outcome]], now_us: int
    ) -> None:
        """Enter what became of messages; whose lease was lost are another's."""
        for message, outcome in outcomes:
            values = _after(message, outcome, now_us)
            mine = (self._own(WebhookDelivery), WebhookDelivery.id == message.id)
            statement = update(WebhookDelivery).where(
                *mine, WebhookDelivery.token == message.token, WebhookDelivery.state == "waiting"
            )
            await self._session.execute(statement.values(token="", **values))
        await self._note(webhook, [outcome for _, outcome in outcomes], now_us)

    async def _note(self, webhook: int, outcomes: Sequence[Outcome], now_us: int) -> None:
        """Enter how the receiver does: one that fails is left alone for a while."""
        mine = update(WebhookRow).where(self._own(WebhookRow), WebhookRow.id == webhook)
        if any(outcome.gone for outcome in outcomes):
            why = "the receiver answered 410: it wants nothing more"
            await self._session.execute(mine.values(enabled=False, reason=why))
            return
        if any(not outcome.reason for outcome in outcomes):
            fresh = mine.where(WebhookRow.failures > 0).values(failures=0, resume_us=0)
            await self._session.execute(fresh)
            return
        counted = mine.values(failures=WebhookRow.failures + 1).returning(WebhookRow.failures)
        failures = await self._session.scalar(counted)
        pause_us = round(schedule.pause(failures or 1) * 1e6)
        await self._session.execute(mine.values(resume_us=now_us + pause_us))


def _after(message: Message, outcome: Outcome, now_us: int) -> dict[str, Any]:
    tries = message.tries + 1
    values: dict[str, Any] = {"tries": tries, "status": outcome.status, "reason": outcome.reason}
    if not outcome.reason:
        return values | {"state": "delivered", "ended_us": now_us}
    wait = schedule.delay(tries, outcome.asked)
    if wait is None:
        return values | {"state": "dead", "ended_us": now_us}
    return values | {"due_us": now_us + round(wait * 1e6)}
