"""The Celery side: one kind of message, which says only that there is work.

What is to be done, and who may do it, stands in the database. A message that is lost is sent
again, and one that comes twice finds nothing to do: Redis need not keep anything.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from dataclasses import dataclass
from typing import Any, Final, Protocol

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope, open_database
from plantroom_cloud.live.opening import open_bus
from plantroom_cloud.mapping.llm import Asker
from plantroom_cloud.pipeline.claims import Claims, companies_with_work
from plantroom_cloud.pipeline.searching import targets_of
from plantroom_cloud.pipeline.steps import Means
from plantroom_cloud.pipeline.work import Worker
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.errors import ConfigError, Unavailable

log = logging.getLogger(__name__)

QUEUE: Final = "plantroom-jobs"
TASK: Final = "plantroom.chunk"
_MOST_SENT: Final = 64
"""Messages for one company at a time: a portfolio must not fill the queue before others."""
_AGAIN: Final = 30.0
"""Seconds after which a worker is woken again for a chunk that nobody has taken."""
_PATIENCE: Final = 5.0
"""Seconds that Redis may take to be reached."""


def check(settings: CloudSettings) -> None:
    """Raise ConfigError if the settings want Celery and it is not installed."""
    if settings.jobs == "celery" and importlib.util.find_spec("celery") is None:
        what = "Celery is not installed"
        fix = "install plantroom[cloud,celery], or say jobs: embedded"
        raise ConfigError(what, key="jobs", fix=fix)


def celery_app(settings: CloudSettings) -> Any:
    """Return the Celery application of the settings, with no task in it.

    Raises:
        ConfigError: Celery is not installed.
    """
    check(settings)
    from celery import Celery  # noqa: PLC0415 - an extra

    app = Celery("plantroom", broker=settings.redis.get_secret_value(), set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # A message is done with when its chunk is; that a chunk is not lost does not rest on it.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "global_keyprefix": "plantroom:",
            "socket_connect_timeout": _PATIENCE,
            "socket_timeout": 60.0,
        },
    )
    return app


async def unsent(db: Database, now_us: int) -> int:
    """Note that workers are woken now for what is due and nobody was woken for; return how many."""
    async with db.read(None) as session:
        companies = await companies_with_work(session, now_us)
    count = 0
    for company in companies:
        async with db.write(Scope(company)) as session:
            claims = Claims(session, Scope(company))
            count += await claims.unsent(now_us, now_us - round(_AGAIN * 1e6), _MOST_SENT)
    return count


async def wake(db: Database, now_us: int, sender: Wakes) -> int:
    """Wake workers for what is due; return how many.

    Raises:
        Unavailable: Redis does not answer; they will be woken at the next look.
    """
    count = await unsent(db, now_us)
    if count:
        try:
            # In a thread: the client blocks.
            await asyncio.to_thread(sender.wake, count)
        except Unavailable:
            await _not_sent(db, now_us)
            raise
    return count


async def _not_sent(db: Database, now_us: int) -> None:
    async with db.read(None) as session:
        companies = await companies_with_work(session, now_us)
    for company in companies:
        async with db.write(Scope(company)) as session:
            await Claims(session, Scope(company)).not_sent(now_us)


class Wakes(Protocol):
    """Who wakes workers."""

    def wake(self, count: int) -> None:
        """Send `count` messages; blocks, `Unavailable` if that cannot be done."""
        ...


@dataclass
class Sender:
    """Wakes Celery workers.

    Args:
        app: see `celery_app`.
    """

    app: Any

    def wake(self, count: int) -> None:
        """Send `count` messages; blocks, `Unavailable` if Redis does not answer."""
        from kombu.exceptions import OperationalError  # noqa: PLC0415 - an extra

        try:
            with self.app.connection_for_write(connect_timeout=_PATIENCE) as connection:
                connection.ensure_connection(max_retries=1, timeout=_PATIENCE)
                for _ in range(count):
                    self.app.send_task(TASK, connection=connection, retry=False)
        except (OperationalError, OSError) as error:
            what = f"Redis does not answer: {type(error).__name__}"
            raise Unavailable(what) from error


class Inside:
    """What a Celery worker's process has open: a loop, a database, an LLM; made at its first task.

    Args:
        settings: of the service.
        sender: wakes others for what becomes due.
    """

    def __init__(self, settings: CloudSettings, sender: Wakes, clock: Clock | None = None) -> None:
        self._settings, self._sender, self._clock = settings, sender, clock or SystemClock()
        self._runner = asyncio.Runner()
        self._db = open_database(settings)
        self._bus = self._db.bus = open_bus(settings)
        self._asker = Asker(self._db, settings.llm, self._clock) if settings.llm else None
        means = Means(self._db, self._clock, self._asker, targets_of(settings))
        self._worker = Worker(means, settings.job_lease)

    def chunk(self) -> bool:
        """Do one chunk, and wake workers for what it has made due; False if there was none."""
        return self._runner.run(self._chunk())

    async def _chunk(self) -> bool:
        done = await self._worker.step()
        if done:
            await wake(self._db, self._clock.now_us(), self._sender)
            await self._bus.flush()  # between two chunks the loop stands still
        return done

    def close(self) -> None:
        """Close all of it."""
        self._runner.run(self._end())
        self._runner.close()

    async def _end(self) -> None:
        if self._asker is not None:
            await self._asker.close()
        await self._bus.close()
        await self._db.close()
