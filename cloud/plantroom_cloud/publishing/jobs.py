"""The publishing job: one loop per company and platform, none of which stops another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope, act_for
from plantroom_cloud.isolation.lookups import enabled_targets, find_company
from plantroom_cloud.kit import figures
from plantroom_cloud.publishing.publishers import PublisherSpec, publishers
from plantroom_cloud.publishing.reconcile import Reconciler
from plantroom_cloud.publishing.repository import PublishingRepository
from plantroom_cloud.publishing.worker import OutboxWorker, TakenElsewhere
from plantroom_cloud.supervise import AWAY, side_by_side
from plantroom_shared.backoff import doubling, full
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected, Unavailable

log = logging.getLogger(__name__)

IDLE: Final = 1.0
"""Seconds between two looks at an empty outbox."""
GRACE: Final = 5.0
"""Seconds that a round under way may take to end when the process is told to stop."""
NOTED: Final = 10.0
"""Seconds between two notes that publishing goes well."""
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0


async def ensure_targets(database: Database, settings: CloudSettings) -> set[str]:
    """Make the targets of the settings known, so that ingest fills their outbox; stop the others.

    Returns:
        Slugs of companies that the settings name and the database does not know (yet).

    Raises:
        ConfigError: the settings contradict themselves.
    """
    missing: set[str] = set()
    for kind, spec in publishers:
        wanted = spec.targets(settings)
        async with database.write(None) as session:
            for company_id, slug in (await enabled_targets(session, kind)).items():
                if slug not in wanted:
                    await _set_target(session, Scope(company_id), kind, enabled=False)
            for slug in wanted:
                scope = await find_company(session, slug)
                if scope is None:
                    missing.add(slug)
                    continue
                await _set_target(session, scope, kind, enabled=True)
    return missing


async def _set_target(session: AsyncSession, scope: Scope, kind: str, *, enabled: bool) -> None:
    await act_for(session, scope)
    await PublishingRepository(session, scope).set_target(kind, enabled=enabled)


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Publish for ever what the outbox holds, to every target of the settings.

    Raises:
        ConfigError: the settings contradict themselves; raised before anything runs.
    """
    await ensure_targets(database, settings)
    parts = {
        f"publish {kind} {slug}": partial(
            _serve, kind, slug, spec, params,
            database=database, clock=clock, settings=settings,
        )
        for kind, spec in publishers
        for slug, params in spec.targets(settings).items()
    }  # fmt: skip
    await side_by_side(parts)


async def _serve(
    kind: str,
    slug: str,
    spec: PublisherSpec,
    params: Any,
    *,
    database: Database,
    settings: CloudSettings,
    clock: Clock,
) -> None:
    """Publish one company's outbox to one platform."""
    scope = await _company(database, settings, slug)
    publisher = spec.open(database, scope, params, clock)
    try:
        worker = OutboxWorker(
            database,
            scope,
            kind,
            publisher,
            clock,
            mapping_wait=spec.mapping_wait(params),
            history=spec.history(params),
            most_waiting=spec.most_waiting(params),
        )
        plans = Reconciler(database, scope, kind, publisher=publisher, worker=worker, clock=clock)
        await _loop(
            worker, plans, database=database, scope=scope, kind=kind, slug=slug, clock=clock
        )
    finally:
        await publisher.close()


async def _company(database: Database, settings: CloudSettings, slug: str) -> Scope:
    """Return the company's scope, as soon as there is such a company."""
    warned = False
    while True:
        async with database.read(None) as session:
            scope = await find_company(session, slug)
        if scope is not None:
            if warned:
                await ensure_targets(database, settings)
            return scope
        if not warned:
            log.warning("no company to publish for yet", extra={"company": slug})
            warned = True
        await asyncio.sleep(IDLE)


async def _loop(
    worker: OutboxWorker,
    plans: Reconciler,
    *,
    database: Database,
    scope: Scope,
    kind: str,
    slug: str,
    clock: Clock,
) -> None:
    """Publish round by round; say once that the platform is away, once that it is back."""
    failures, noted = 0, float("-inf")
    while True:
        try:
            busy = await _whole(worker.round)
            busy |= await _whole(plans.serve)
            if failures or clock.monotonic() - noted >= NOTED:
                await _note(database, scope, kind, clock)
                noted = clock.monotonic()
        except TakenElsewhere as error:
            log.info("published elsewhere", extra={"company": slug, "why": str(error)})
            busy = True
        except (Unavailable, Rejected, DBAPIError) as error:
            failures += 1
            if failures == 1:
                log.warning("publishing waits", extra={"company": slug, "why": str(error)})
            figures.PUBLISH_FAILURES.labels(kind).inc()
            await _note(database, scope, kind, clock, error)
            await asyncio.sleep(wait_after(failures, error))
            continue
        if failures:
            log.info("publishing goes on", extra={"company": slug, "after": failures})
            failures = 0
        if not busy:
            await asyncio.sleep(IDLE)


async def _whole(work: Callable[[], Awaitable[bool]]) -> bool:
    """Do one round, and end it also when told to stop: what a platform has taken is counted."""
    doing = asyncio.ensure_future(work())
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait({doing}, timeout=GRACE)
        await ended(doing)
        raise


async def _note(
    database: Database, scope: Scope, kind: str, clock: Clock, error: Exception | None = None
) -> None:
    """Write down how a round went, for who asks; a failed one is counted."""
    try:
        async with database.write(scope) as session:
            repository = PublishingRepository(session, scope)
            await repository.note(kind, clock.now_us(), type(error).__name__ if error else "")
            if error is not None:
                await repository.count({f"{kind}.retries": 1})
    except DBAPIError:
        log.debug("the round is not noted: the database is away as well")


def wait_after(failures: int, error: Exception) -> float:
    """Return seconds to wait after the `failures`-th failure in a row.

    Full jitter up to a minute, of our own database up to two seconds; never less than the platform
    has asked for.
    """
    longest = AWAY if isinstance(error, DBAPIError) else _LONGEST_WAIT
    asked = getattr(error, "retry_after", None) or 0.0
    return max(doubling(failures, first=_FIRST_WAIT, most=longest, jitter=full), asked)
