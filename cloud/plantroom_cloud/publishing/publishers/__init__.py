"""Publishers: what a publisher is, and the registry of them.

A publisher is one module in this folder that registers a `PublisherSpec` under the kind that
stands in `Target.kind`. It converts and sends; the worker reads the outbox, retries, backs off,
deletes and counts. A publisher never loops on retries and never sleeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.publishing.plan import Mapped, Plan
from plantroom_cloud.publishing.steps import Step
from plantroom_shared.clock import Clock
from plantroom_shared.model import Value
from plantroom_shared.registry import Registry


@dataclass(frozen=True, slots=True)
class MappedValue:
    """A stored value and what it means."""

    mapped: Mapped
    ts_us: int
    """Microseconds since 1970-01-01 UTC."""
    value: Value
    quality: int
    """`Quality` as a number."""


def _nothing() -> None:
    """Do nothing."""


@dataclass(slots=True)
class Receipt:
    """What became of the values: each is published, counted under a reason, or held."""

    published: int = 0
    """Values that the platform now holds, each (thing, point, time) once."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason → values that the platform will never take."""
    held: list[MappedValue] = field(default_factory=list)
    """Values that the platform cannot take until somebody has put something right there."""
    on_commit: Callable[[], None] = _nothing
    """Called once the outbox rows are gone: what to remember of these values."""


class Publisher(Protocol):
    """One company's way to one platform, opened."""

    async def prepare(self, plan: Plan) -> None:
        """Make the platform ready for all that `plan` maps; cheap where nothing is new.

        Raises:
            Unavailable: the platform is away.
        """
        ...

    async def publish(self, values: Sequence[MappedValue]) -> Receipt:
        """Send values, in their order, and return when the platform has confirmed all.

        Sending the same values again must not make the platform hold any of them twice: after an
        `Unavailable` nobody knows which of them it has taken.

        Raises:
            Unavailable: the platform is away; the same values come again.
        """
        ...

    def accepts(self, mapped: Mapped) -> bool:
        """Say, after `prepare`, whether values of `mapped` would not be held."""
        ...

    async def survey(self, plan: Plan, site_id: int) -> list[Step]:
        """Return what would have to be done on the platform for a site, in order.

        Raises:
            Unavailable: the platform is away.
            Rejected: the platform will not tell.
        """
        ...

    async def carry_out(self, step: Step) -> None:
        """Do a step of the last survey; doing it again must not harm.

        Raises:
            Unavailable: the platform is away.
            Rejected: the platform will not have it.
        """
        ...

    async def close(self) -> None:
        """Release sockets; no method is called after it."""
        ...


@dataclass(frozen=True, slots=True)
class PublisherSpec:
    """How to find a kind's targets in the settings, and how to open one."""

    targets: Callable[[CloudSettings], Mapping[str, Any]]
    """Company slug → parameters, for `open`; ConfigError where they contradict each other."""
    open: Callable[[Database, Scope, Any, Clock], Publisher]
    """Must not block: connections open on first use."""
    mapping_wait: Callable[[Any], float]
    """Seconds that values wait for the mapper, from the parameters."""
    history: Callable[[Any], float] = lambda _: 0.0
    """Seconds of history that a point sends which is published for the first time."""
    most_waiting: Callable[[Any], int] = lambda _: 1_000_000
    """Values that the outbox may hold; older ones stay in the store alone until they are due."""


publishers: Registry[PublisherSpec] = Registry("publisher", "plantroom_cloud.publishing.publishers")
