"""Telling people: a task for each receiver that has something due, none of which waits for another.

A notice is written with its event, and is done when the receiver has taken it: killed in between,
it is told again, with the same id. So nobody misses a message, and a receiver can tell a copy.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy.exc import DBAPIError

from plantroom_cloud.alarms.notify.letters import Letter, mail_of, request_of
from plantroom_cloud.alarms.notify.mail import Mailer
from plantroom_cloud.alarms.notify.outbox import Due, Outbox
from plantroom_cloud.alarms.notify.planning import Sending, plan
from plantroom_cloud.alarms.notify.ports import Hooks, Mail
from plantroom_cloud.alarms.receivers import read_receiver
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.config_alarms import AlarmSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation.lookups import receivers_with_notices
from plantroom_cloud.kit.outbound import OutboundClient
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.supervise import Backoff
from plantroom_shared.backoff import doubling
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError, PlantroomError, Rejected, Unavailable

log = logging.getLogger(__name__)

IDLE: Final = 1.0
MOST_TASKS: Final = 64
_FIRST_WAIT: Final = 5_000_000
_LONGEST_WAIT: Final = 900_000_000
_DEADLINE: Final = 60.0
"""Seconds that one message may take, whatever it hangs on."""
_CLAIM: Final = 120_000_000
"""Microseconds after which another process may tell a receiver, should this one have died."""
_TAKEN: Final = range(200, 300)
_NOT_NOW: Final = frozenset({408, 425, 429})


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Tell receivers for ever; a database that is away is waited for."""
    smtp = settings.alarms.smtp
    mailer, hooks = None if smtp is None else Mailer(smtp), OutboundClient(settings.outbound)
    notifier = Notifier(database, settings.alarms, clock, hooks, mailer)
    backoff = Backoff("notices")
    try:
        while True:
            try:
                await notifier.round()
            except DBAPIError as error:
                await backoff.wait(error)
                continue
            backoff.recovered()
            await asyncio.sleep(IDLE)
    finally:
        await notifier.stop()
        await hooks.aclose()
        if mailer is not None:
            mailer.close()


@dataclass(slots=True)
class Notifier:
    """Tells the receivers of all companies."""

    database: Database
    settings: AlarmSettings
    clock: Clock
    hooks: Hooks
    mail: Mail | None = None
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def round(self) -> int:
        """Begin to tell whoever has something due and is not being told; return how many."""
        async with self.database.read(None) as session:
            found = await receivers_with_notices(session, self.clock.now_us())
            due = [Due(*one) for one in found]
        begun = 0
        for one in due:
            if one.receiver not in self._tasks and len(self._tasks) < MOST_TASKS:
                task = asyncio.create_task(self._serve(one), name=f"tell {one.receiver}")
                self._tasks[one.receiver] = task
                task.add_done_callback(partial(self._done, one.receiver))
                begun += 1
        return begun

    async def settle(self) -> None:
        """Wait for everything that is under way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def stop(self) -> None:
        """End everything that is under way."""
        await ended(*self._tasks.values())

    def _done(self, receiver: int, task: asyncio.Task[None]) -> None:
        self._tasks.pop(receiver, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("telling failed", extra={"receiver": receiver}, exc_info=error)

    async def _serve(self, due: Due) -> None:
        """Tell one receiver what is due, for as long as it takes it."""
        scope, now = Scope(due.company), self.clock.now_us()
        async with self.database.write(scope) as session:
            outbox = Outbox(session, scope)
            # Others leave it alone for so long: no connection is held while the receiver thinks.
            receiver = await outbox.claim(due.receiver, now, now + _CLAIM)
            if receiver is None:
                return
            sending = await self._plan(outbox, receiver, now)
        for letter in sending.letters:
            if not await self._send(scope, receiver, letter):
                return
        async with self.database.write(scope) as session:
            await Outbox(session, scope).note(receiver.id, next_us=0)

    async def _plan(self, outbox: Outbox, receiver: AnyRow, now: int) -> Sending:
        """Say what goes now, and enter what goes later or never."""
        notices = await outbox.due(receiver, now)
        if not receiver.enabled or receiver.deleted_us is not None:
            gone = [notice.id for notice in notices]
            await outbox.finish(gone, "dropped", "the receiver is switched off", now)
            return Sending()
        wish = read_receiver(receiver.config)
        recent = await outbox.recent(receiver.id, now - round(wish.digest.within_s * 1e6))
        sending = plan(wish, notices, now=now, recent=recent, last_digest=receiver.digest_us)
        await _put_off(outbox, sending, now)
        return sending

    async def _send(self, scope: Scope, receiver: AnyRow, letter: Letter) -> bool:
        """Send one message and enter what came of it; say whether to go on with the next."""
        error: PlantroomError | None = None
        try:
            async with asyncio.timeout(_DEADLINE):
                await self._hand_over(receiver, letter)
        except TimeoutError:
            error = Unavailable("no answer within a minute")
        except PlantroomError as failure:
            error = failure
        async with self.database.write(scope) as session:
            await self._enter(Outbox(session, scope), receiver, letter, error)
        return error is None or isinstance(error, Rejected)

    async def _hand_over(self, receiver: AnyRow, letter: Letter) -> None:
        if receiver.kind == "email":
            if self.mail is None or self.settings.smtp is None:
                what, fix = "no mail server is set", "set alarms.smtp"
                raise ConfigError(what, key="alarms.smtp", fix=fix)
            sender, link = self.settings.smtp.sender, self.settings.link
            await self.mail.send(mail_of(letter, sender=sender, to=receiver.target, link=link))
            return
        body, headers = request_of(letter, receiver.secret, self.clock.now_us())
        status = await self.hooks.post(receiver.target, body, headers)
        if status in _TAKEN:
            return
        msg = f"the receiver answers {status}"
        if status >= 500 or status in _NOT_NOW:
            raise Unavailable(msg)
        raise Rejected(msg, reason="webhook")

    async def _enter(
        self, outbox: Outbox, receiver: AnyRow, letter: Letter, error: PlantroomError | None
    ) -> None:
        now, ids = self.clock.now_us(), [notice.id for notice in letter.notices]
        if error is None:
            digest = {"digest_us": now} if letter.digest else {}
            await outbox.finish(ids, "sent", "", now)
            fine = {"failures": 0, "next_us": now + _CLAIM, "last_error": "", "told_us": now}
            await outbox.note(receiver.id, **fine, **digest)
            return
        if isinstance(error, Rejected):
            await outbox.finish(ids, "failed", str(error), now)
            await outbox.note(receiver.id, last_error=str(error)[:1000], next_us=now + _CLAIM)
            return
        too_old = now - round(self.settings.give_up * 1e6)
        old = [notice.id for notice in letter.notices if notice.created <= too_old]
        await outbox.finish(old, "failed", str(error), now)
        await outbox.retry(set(ids) - set(old), str(error))
        current = await outbox.receiver(receiver.id)
        failures = 1 if current is None else current.failures + 1
        # Never sooner than the first wait: who has just failed is not asked again at once.
        longest = round(doubling(failures, first=2 * _FIRST_WAIT, most=_LONGEST_WAIT))
        wait = random.randint(_FIRST_WAIT, longest)
        waits = {"failures": failures, "next_us": now + wait, "last_error": str(error)[:1000]}
        await outbox.note(receiver.id, **waits)


async def _put_off(outbox: Outbox, sending: Sending, now: int) -> None:
    for notice, due in sending.held:
        await outbox.hold(notice.id, due)
    for notice, why in sending.dropped:
        await outbox.finish([notice.id], "dropped", why, now)
