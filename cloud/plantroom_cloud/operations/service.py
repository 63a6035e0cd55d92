"""How the service is, for one company: every dependency with its state, age and latency."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.operations.reporting import HEARD
from plantroom_cloud.operations.repository import OperationsRepository, reports
from plantroom_cloud.operations.schemas import DependencyOut, HealthOut, ProcessOut
from plantroom_shared.clock import Clock

EVERYWHERE: Final = ("broker", "llm", "redis")
"""What is the same for all companies; the processes that use it say how it is."""
LATE: Final = 300.0
"""Seconds that a chunk of a job may wait to be taken until that is said."""
_PATIENCE: Final = 3.0
"""Seconds that the database may take here: whoever asks how things are wants to know now."""
_BAD: Final = frozenset({"failing", "left_alone", "late"})
_WORST: Final = ("left_alone", "failing", "ok", "unknown")


async def health(database: Database, scope: Scope, clock: Clock) -> HealthOut:
    """Return how things are; a database that is away is part of the answer and no error."""
    began = clock.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE), database.read(scope) as session:
            told = await reports(session, clock.now_us() - round(HEARD * 1e6))
            repository = OperationsRepository(session, scope)
            targets, outbox = await repository.targets(), await repository.outbox()
            jobs = await repository.jobs()
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        away = DependencyOut(name="database", state="failing", failure=type(error).__name__)
        return HealthOut(status="degraded", dependencies=[away], processes=[])
    now_us = clock.now_us()
    took = (clock.monotonic() - began) * 1000
    found = [DependencyOut(name="database", state="ok", latency_ms=took, age_seconds=0.0)]
    found += [_everywhere(name, told, now_us) for name in EVERYWHERE]
    found.append(_jobs(*jobs, now_us))
    found += [_target(row, outbox.get(row.kind), now_us) for row in targets]
    processes = [ProcessOut(parts=row.parts, age_seconds=_age(now_us, row.at_us)) for row in told]
    bad = any(one.state in _BAD for one in found)
    return HealthOut(status="degraded" if bad else "ok", dependencies=found, processes=processes)


def _everywhere(name: str, told: Sequence[AnyRow], now_us: int) -> DependencyOut:
    """Return how something is by what processes say of it: the worst that one says."""
    said = [one for row in told for one in _said(row.dependencies) if one.get("name") == name]
    if not said:
        return DependencyOut(name=name, state="unused")
    worst = min(said, key=lambda one: _WORST.index(str(one["state"])))
    latency = worst["latency"]
    return DependencyOut(
        name=name,
        state=worst["state"],
        age_seconds=_age(now_us, worst["ok_us"]),
        latency_ms=None if latency is None else latency * 1000,
        failure=worst["failure"],
    )


def _said(dependencies: Any) -> Iterable[Mapping[str, Any]]:
    return [one for one in dependencies if one.get("state") in _WORST]


def _jobs(
    counts: Mapping[str, int], due_us: int | None, ended_us: int | None, now_us: int
) -> DependencyOut:
    waits = _age(now_us, due_us) or 0.0
    return DependencyOut(
        name="jobs",
        state="late" if waits > LATE else "ok",
        age_seconds=_age(now_us, ended_us),
        waiting=sum(counts.values()),
        waiting_seconds=waits,
    )


def _target(row: AnyRow, waiting: tuple[int, int] | None, now_us: int) -> DependencyOut:
    state = "failing" if row.failure else "ok" if row.ok_us is not None else "unknown"
    values, since = waiting or (0, None)
    return DependencyOut(
        name=row.kind,
        state=state if row.enabled else "unused",
        age_seconds=_age(now_us, row.ok_us),
        failure=row.failure,
        waiting=values,
        waiting_seconds=_age(now_us, since) or 0.0,
    )


def _age(now_us: int, at_us: int | None) -> float | None:
    return None if at_us is None else max(0.0, (now_us - at_us) / 1e6)
