"""How a domain says that something has happened: within its transaction, told after the commit.

::

    await tell(session, scope, now_us, Happening("jobs", "job.done", {"job": job}))

Followers hear of it when the transaction is committed, and of nothing that is rolled back. What
webhooks are to be sent is entered in the same transaction, so that no crash loses one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import AFTER_COMMIT, BUS, Scope
from plantroom_cloud.live import topics
from plantroom_cloud.live.bus import Bus
from plantroom_cloud.webhooks.entering import enter

_HOOKED: Final = (topics.ALARMS, topics.JOBS, topics.GATEWAYS)
"""Topics that webhooks can be had of: samples are too many, and the history has them."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to a company."""

    topic: str
    kind: str
    """A noun and what became of it: ``job.done``."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """JSON."""
    sites: tuple[int, ...] = ()
    """Which it is about; who may see some sites only hears of no other."""
    hook: bool = True
    """Whether webhooks are sent of it; progress, for instance, is for watchers alone."""


def is_wanted(session: AsyncSession, scope: Scope, topic: str) -> bool:
    """Tell whether somebody follows `topic`: what is only for followers need not be made else."""
    bus = cast("Bus | None", session.info.get(BUS))
    return bus is not None and bus.wants(scope, topic)


def publish(
    session: AsyncSession,
    scope: Scope,
    topic: str,
    data: Mapping[str, Any],
    sites: tuple[int, ...] = (),
) -> None:
    """Tell followers of `topic` when the transaction of `session` is committed."""
    bus = cast("Bus | None", session.info.get(BUS))
    if bus is not None:
        told = session.info.setdefault(AFTER_COMMIT, [])
        told.append(lambda: bus.publish(scope, topic, data, sites))


async def tell(session: AsyncSession, scope: Scope, now_us: int, *happened: Happening) -> None:
    """Tell followers, and webhooks, when the transaction of `session` is committed."""
    hooked: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for one in happened:
        data = {"kind": one.kind, **one.data}
        publish(session, scope, one.topic, data, one.sites)
        if one.hook and one.topic in _HOOKED:
            hooked.setdefault(one.topic, []).append((one.kind, one.data))
    for topic, entries in hooked.items():
        await enter(session, scope, topic, entries, now_us)
