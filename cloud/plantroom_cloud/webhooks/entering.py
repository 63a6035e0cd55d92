"""What happens is entered for the webhooks that want it, in the transaction in which it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.kit.times import rfc3339
from plantroom_cloud.live.events import pack
from plantroom_cloud.tables import WebhookDelivery, WebhookRow
from plantroom_cloud.webhooks.signing import new_message

_MOST_BODY: Final = 256 * 1024


class Entering(Repository):
    """What is to be sent to one company's webhooks."""

    async def webhooks(self, topic: str) -> list[int]:
        """Return the ids of webhooks that want `topic`."""
        wants = WebhookRow.topics.contains(f" {topic} ", autoescape=True)
        mine = (self._own(WebhookRow), WebhookRow.enabled, wants)
        return list(await self._session.scalars(select(WebhookRow.id).where(*mine)))

    async def put(
        self,
        webhooks: Sequence[int],
        happened: Sequence[tuple[str, Mapping[str, Any]]],
        now_us: int,
    ) -> None:
        """Enter kind and data of what happened, for each of `webhooks`."""
        messages = [
            {"message": new_message(), "kind": kind, "body": _body(kind, now_us, data)}
            for kind, data in happened
        ]
        head: dict[str, Any] = {"company_id": self._scope.company_id, "state": "waiting"}
        head |= {"due_us": now_us, "created_us": now_us, "tries": 0, "token": "", "reason": ""}
        rows = [head | {"webhook_id": one} | message for one in webhooks for message in messages]
        for start in range(0, len(rows), 500):
            await self._session.execute(insert(WebhookDelivery), rows[start : start + 500])


async def enter(
    session: AsyncSession,
    scope: Scope,
    topic: str,
    happened: Sequence[tuple[str, Mapping[str, Any]]],
    now_us: int,
) -> None:
    """Enter kind and data of what happened for the webhooks that want `topic`."""
    entering = Entering(session, scope)
    if happened and (webhooks := await entering.webhooks(topic)):
        await entering.put(webhooks, happened, now_us)


def _body(kind: str, now_us: int, data: Mapping[str, Any]) -> bytes:
    packed = pack(data)
    if len(packed) > _MOST_BODY:
        packed = pack({"kind": kind, "error": "too big"})
    head = {"type": kind, "timestamp": rfc3339(now_us)}
    return orjson.dumps({**head, "data": orjson.Fragment(packed)})
