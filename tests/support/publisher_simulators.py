"""By publisher, a platform to publish to. A publisher without an entry fails the contract suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from demo.enos_sim.app import Simulator
from demo.enos_sim.faults import Fault
from plantroom_cloud.publishing.publishers import Publisher
from plantroom_cloud.publishing.publishers.enos import EnosPublisher
from support import enos_site

DEADLINE = 0.5
"""Seconds a publisher under test waits for an answer."""


class Platform(Protocol):
    """A simulated platform and the settings that lead to it."""

    params: Any
    """What `PublisherSpec.open` takes."""
    targets: tuple[tuple[str, str], ...]
    """Three thing-model points of one model that take plain numbers, the last undefined there."""
    faults: tuple[str, ...]
    """Names of faults it can play."""

    def stored(self) -> dict[tuple[str, int], Any]:
        """Return (model point, ms) → value of all that the platform holds."""
        ...

    def fail(self, fault: str, count: int) -> None:
        """Play a fault on the next requests that publish."""
        ...

    def hurry(self, publisher: Publisher) -> None:
        """Make a publisher give up on an answer within `DEADLINE`."""
        ...


@dataclass
class _Enos:
    params: Any
    simulator: Simulator
    targets: tuple[tuple[str, str], ...] = (
        (enos_site.AHU, "AHU_raw_supply_air_temp"),
        (enos_site.AHU, "AHU_raw_return_air_temp"),
        (enos_site.AHU, "AHU_raw_no_such_point"),
    )
    faults: tuple[str, ...] = (
        "401", "403", "429", "500", "503", "garbage", "unclear", "silent", "lost",
    )  # fmt: skip

    def stored(self) -> dict[tuple[str, int], Any]:
        """Return what EnOS holds."""
        values = self.simulator.world.values
        return {(point, ms): value for (_, point, ms), value in values.items()}

    def fail(self, fault: str, count: int) -> None:
        """Play a fault on the integration channel."""
        # The model says what the strings are; a wrong one fails there.
        spoil = Fault.model_validate({"mode": fault, "count": count, "path": "/integration"})
        self.simulator.faults.waiting.append(spoil)

    def hurry(self, publisher: Publisher) -> None:
        """Shorten the deadline of the client."""
        assert isinstance(publisher, EnosPublisher)
        publisher._gateway._transport._deadline = DEADLINE


@asynccontextmanager
async def _enos() -> AsyncIterator[Platform]:
    async with enos_site.running() as (simulator, addresses):
        yield _Enos(enos_site.target_of(simulator.world, addresses), simulator)


simulators: dict[str, Callable[[], AbstractAsyncContextManager[Platform]]] = {"enos": _enos}
