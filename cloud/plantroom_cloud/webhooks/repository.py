"""SQL of webhooks as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update

from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, AnySelect, Repository
from plantroom_cloud.tables import WebhookDelivery, WebhookRow

_WEBHOOK: Final = (
    WebhookRow.id, WebhookRow.url, WebhookRow.name, WebhookRow.topics, WebhookRow.enabled,
    WebhookRow.reason, WebhookRow.failures, WebhookRow.created_us, WebhookRow.created_by,
)  # fmt: skip
_DELIVERY: Final = (
    WebhookDelivery.id, WebhookDelivery.webhook_id, WebhookDelivery.message, WebhookDelivery.kind,
    WebhookDelivery.state, WebhookDelivery.tries, WebhookDelivery.due_us, WebhookDelivery.status,
    WebhookDelivery.reason, WebhookDelivery.created_us, WebhookDelivery.ended_us,
)  # fmt: skip


class WebhookRepository(Repository):
    """A company's webhooks and what was sent to them."""

    async def rows(self) -> Sequence[AnyRow]:
        """Return all webhooks, by id."""
        statement = select(*_WEBHOOK).where(self._own(WebhookRow)).order_by(WebhookRow.id)
        return (await self._session.execute(statement)).all()

    async def find(self, webhook: int) -> AnyRow | None:
        """Return one webhook, or None if the company has none of this id."""
        statement = select(*_WEBHOOK).where(self._own(WebhookRow), WebhookRow.id == webhook)
        return (await self._session.execute(statement)).one_or_none()

    async def secret(self, webhook: int) -> str | None:
        """Return the secret of a webhook, or None if the company has none of this id."""
        statement = select(WebhookRow.secret).where(self._own(WebhookRow), WebhookRow.id == webhook)
        return await self._session.scalar(statement)

    async def add(self, **values: Any) -> int:
        """Insert a webhook and return its id."""
        row = {"company_id": self._scope.company_id, "enabled": True, "reason": ""}
        row |= {"old_secret": "", "old_until_us": 0, "failures": 0, "resume_us": 0}
        statement = insert(WebhookRow).values(**row, **values).returning(WebhookRow.id)
        return int((await self._session.execute(statement)).scalar_one())

    async def change(self, webhook: int, **values: Any) -> None:
        """Change a webhook."""
        mine = (self._own(WebhookRow), WebhookRow.id == webhook)
        await self._session.execute(update(WebhookRow).where(*mine).values(**values))

    async def delete(self, webhook: int) -> bool:
        """Remove a webhook with what was to be sent to it; False if there is none."""
        sent = (self._own(WebhookDelivery), WebhookDelivery.webhook_id == webhook)
        await self._session.execute(delete(WebhookDelivery).where(*sent))
        mine = (self._own(WebhookRow), WebhookRow.id == webhook)
        gone = await self._session.execute(delete(WebhookRow).where(*mine).returning(WebhookRow.id))
        return gone.first() is not None

    # ------------------------------------------------------------ deliveries

    async def page(self, webhook: int, state: str | None, page: Page) -> Sequence[AnyRow]:
        """Return deliveries of a webhook, the newest first, one more if there are more."""
        statement: AnySelect = select(*_DELIVERY).where(
            self._own(WebhookDelivery), WebhookDelivery.webhook_id == webhook
        )
        if state is not None:
            statement = statement.where(WebhookDelivery.state == state)
        if page.after:
            statement = statement.where(WebhookDelivery.id < page.after[0])
        ordered = statement.order_by(WebhookDelivery.id.desc()).limit(page.limit + 1)
        return (await self._session.execute(ordered)).all()

    async def counts(self) -> dict[tuple[int, str], int]:
        """Return (webhook, state) → deliveries, of those that wait or are dead."""
        statement = (
            select(WebhookDelivery.webhook_id, WebhookDelivery.state, func.count())
            .where(self._own(WebhookDelivery), WebhookDelivery.state.in_(("waiting", "dead")))
            .group_by(WebhookDelivery.webhook_id, WebhookDelivery.state)
        )
        rows = await self._session.execute(statement)
        return {(webhook, state): count for webhook, state, count in rows}

    async def replay(
        self,
        webhook: int,
        now_us: int,
        *,
        delivery: int | None = None,
        states: Sequence[str] = ("dead",),
        since_us: int = 0,
        until_us: int = 2**62,
    ) -> int:
        """Let messages be sent again, under their ids; return how many they are."""
        which = [self._own(WebhookDelivery), WebhookDelivery.webhook_id == webhook]
        if delivery is None:
            span = WebhookDelivery.created_us.between(since_us, until_us)
            which += [WebhookDelivery.state.in_(states), span]
        else:
            which += [WebhookDelivery.id == delivery]
        fresh: dict[str, Any] = {"state": "waiting", "tries": 0, "token": "", "ended_us": None}
        statement = update(WebhookDelivery).where(*which).values(due_us=now_us, **fresh)
        again = await self._session.execute(statement.returning(WebhookDelivery.id))
        return len(again.all())
