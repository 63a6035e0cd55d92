"""Webhooks in the worker: each receiver has a task of its own, so that none waits for another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation import lookups
from plantroom_cloud.kit.outbound import OutboundClient
from plantroom_cloud.kit.times import DAY
from plantroom_cloud.webhooks.claims import Claims, Message, Outcome, Receiver
from plantroom_cloud.webhooks.signing import headers
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import Clock
from plantroom_shared.errors import PlantroomError

log = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""Messages on their way to one receiver."""
_TIMEOUT: Final = 15.0
_LEASE_US: Final = 60_000_000
"""Microseconds after which another takes the messages of a worker that is not heard of."""
_KEPT_US: Final = 30 * DAY
_UPKEEP: Final = 3600.0
_GONE: Final = 410


async def run(db: Database, settings: CloudSettings, clock: Clock) -> None:
    """Send what is due for ever, and forget what ended thirty days ago."""
    async with OutboundClient(settings.outbound) as client:
        dispatcher = Dispatcher(db, client, clock)
        forgotten = -_UPKEEP
        try:
            while True:
                if _now() - forgotten >= _UPKEEP:
                    forgotten = _now()
                    await forget(db, clock.now_us() - _KEPT_US)
                await dispatcher.look()
                await asyncio.sleep(settings.live.webhook_pause)
        finally:
            await dispatcher.close()


async def forget(db: Database, before_us: int) -> None:
    """Remove messages that ended before, of every company."""
    async with db.read(None) as session:
        found = await lookups.companies_with_old_deliveries(session, before_us)
    for scope in found:
        async with db.write(scope) as session:
            await Claims(session, scope).forget(before_us)


class Dispatcher:
    """Gives every receiver that something is due for a task of its own."""

    def __init__(self, db: Database, client: OutboundClient, clock: Clock) -> None:
        self._db, self._client, self._clock = db, client, clock
        self._serving: dict[tuple[Scope, int], asyncio.Task[None]] = {}

    async def look(self) -> None:
        """Start to serve the receivers with work that nobody here serves yet."""
        async with self._db.read(None) as session:
            due = await lookups.webhooks_with_work(session, self._clock.now_us())
        self._serving = {key: task for key, task in self._serving.items() if not task.done()}
        for key in due:
            if key not in self._serving:
                self._serving[key] = asyncio.create_task(self._serve(*key), name=f"webhook {key}")

    async def settled(self) -> None:
        """Wait until everybody who is served now has been."""
        await asyncio.gather(*self._serving.values())

    async def close(self) -> None:
        """Stop; what is under way is sent again by whoever comes."""
        await ended(*self._serving.values())

    async def _serve(self, scope: Scope, webhook: int) -> None:
        """Send what is due until nothing is, or the receiver fails."""
        try:
            while await self._some(scope, webhook):
                pass
        except Exception:  # one receiver's trouble is no other's; it is looked at again
            log.exception("webhook failed", extra={"company": scope.company_id, "webhook": webhook})

    async def _some(self, scope: Scope, webhook: int) -> bool:
        now_us = self._clock.now_us()
        async with self._db.write(scope) as session:
            claims = Claims(session, scope)
            receiver = await claims.receiver(webhook, now_us)
            messages: Sequence[Message] = ()
            if receiver is not None:
                messages = await claims.take(webhook, now_us, now_us + _LEASE_US, AT_ONCE)
        if receiver is None or not messages:
            return False
        sent = await asyncio.gather(*(self._send(receiver, message) for message in messages))
        async with self._db.write(scope) as session:
            outcomes = list(zip(messages, sent, strict=True))
            await Claims(session, scope).finish(webhook, outcomes, self._clock.now_us())
        return any(not outcome.reason for outcome in sent)

    async def _send(self, receiver: Receiver, message: Message) -> Outcome:
        at = self._clock.now_us() // 1_000_000
        given = headers(message.message, at, message.body, receiver.keys)
        try:
            answer = await self._client.request(
                "POST",
                receiver.url,
                headers=given,
                content=message.body,
                max_bytes=0,
                timeout=_TIMEOUT,
            )
        except PlantroomError as error:
            return Outcome(reason=str(error)[:300].replace("\0", ""))
        if answer.is_success:
            return Outcome(answer.status)
        asked = answer.headers.get("retry-after", "")
        return Outcome(
            answer.status,
            f"it answered {answer.status}",
            float(asked) if asked.isdecimal() and len(asked) < 9 else 0.0,
            gone=answer.status == _GONE,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
