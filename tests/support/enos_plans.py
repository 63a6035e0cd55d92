"""A site with its worker and its plans, an EnOS that can go away, and a time that is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from demo.enos_sim.app import Simulator
from demo.enos_sim.server import serving
from demo.enos_sim.world import World
from plantroom_cloud.db import Database
from plantroom_cloud.publishing.publishers.enos import EnosPublisher
from plantroom_cloud.publishing.reconcile import Reconciler
from plantroom_cloud.publishing.schemas import show_plan
from plantroom_cloud.publishing.service import PublishingService
from plantroom_cloud.publishing.worker import OutboxWorker
from plantroom_cloud.tables import PublishPlan
from plantroom_shared.errors import Unavailable
from support import enos_site
from support.enos_site import PublishSite
from support.servers import as_owner

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
START = 1_769_860_800_000_000
"""2026-01-31T12:00:00Z."""


@dataclass
class Told:
    """A clock that moves only when told; it stands on a whole millisecond."""

    us: int = START

    def now_us(self) -> int:
        """Return the moment it was set to."""
        return self.us

    def monotonic(self) -> float:
        """Return the same in seconds."""
        return self.us / 1e6


class Enos:
    """A simulated EnOS that can be switched off and on: what it holds stays."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.simulator: Simulator | None = None
        self.http = ""
        self._running = AsyncExitStack()
        self.kept: Counter[tuple[str, str, int]] = Counter()
        """(asset, point, ms) → how often it came."""
        keep = world.store

        def store(device: Any, points: dict[str, Any], time_ms: int, *, realtime: bool) -> None:
            self.kept.update((device.asset_id, name, time_ms) for name in points)
            keep(device, points, time_ms, realtime=realtime)

        world.store = store  # type: ignore[method-assign] # counts, and hands on

    async def on(self) -> None:
        """Switch it on, at the address it had."""
        port = urlsplit(self.http).port or 0
        opened = serving(self.world, port=port, mqtt_port=None)
        self.simulator, addresses = await self._running.enter_async_context(opened)
        self.http = addresses.http

    async def off(self) -> None:
        """Switch it off: nobody answers at its address."""
        self.simulator = None
        await self._running.aclose()

    @property
    def running(self) -> Simulator:
        """The simulator, which must be on."""
        assert self.simulator is not None
        return self.simulator

    def device(self, name: str) -> str:
        """Return the asset of the device of a name."""
        named = [a for a, d in self.world.devices.items() if d.name["defaultValue"] == name]
        assert len(named) == 1, name
        return named[0]

    def values(self) -> dict[tuple[str, str, int], Any]:
        """Return (device name, point, ms) → value, of devices that are there."""
        names = {a: d.name["defaultValue"] for a, d in self.world.devices.items()}
        return {
            (names[asset], point, ms): value
            for (asset, point, ms), value in self.world.values.items()
            if asset in names
        }

    def under(self) -> dict[str, str]:
        """Return device → the device it stands under in the tree, empty for the root."""
        (tree,) = self.world.trees.values()
        names = {a: d.name["defaultValue"] for a, d in self.world.devices.items()}
        return {names[asset]: names.get(parent, "") for asset, parent in tree.parents.items()}


@dataclass
class PlanWay:
    """A site, its worker and its plans."""

    site: PublishSite
    enos: Enos
    clock: Told
    publisher: EnosPublisher
    worker: OutboxWorker
    plans: Reconciler
    ledger: dict[tuple[str, str, int], float] = field(default_factory=dict)
    """(device name, point, ms) → value: what EnOS must hold in the end."""

    async def drain(self) -> dict[str, int]:
        """Publish all there is; return the counters."""
        while await self.worker.round():
            pass
        return await self.site.counters()

    async def try_round(self) -> bool:
        """Do a round; say whether EnOS was there."""
        try:
            await self.drain()
        except Unavailable:
            return False
        return True

    async def ask(self) -> dict[str, Any]:
        """Ask for a plan and have it made."""
        async with as_owner(self.site.database).write() as session:
            service = PublishingService(session, self.site.scope, self.clock)
            row = await service.ask(self.site.site_id, "somebody")
        return await self.served(row.id)

    async def give_word(self, plan: dict[str, Any], left_out: Sequence[str] = ()) -> dict[str, Any]:
        """Approve a plan and have it carried out."""
        async with as_owner(self.site.database).write() as session:
            service = PublishingService(session, self.site.scope, self.clock)
            await service.approve(self.site.site_id, plan["id"], "somebody", left_out)
        return await self.served(plan["id"])

    async def served(self, plan_id: int) -> dict[str, Any]:
        """Have the worker do what is asked for, and return the plan."""
        self.clock.us += 20 * SECOND
        await self.plans.serve()
        return await self.shown(plan_id)

    async def shown(self, plan_id: int) -> dict[str, Any]:
        """Return a plan as it stands."""
        async with as_owner(self.site.database).read() as session:
            row = await session.get_one(PublishPlan, plan_id)
            return show_plan(row)


def ids(plan: dict[str, Any]) -> list[str]:
    """Return the ids of a plan's steps."""
    return [step["id"] for step in plan["steps"]]


@asynccontextmanager
async def opened(
    database: Database, *, world: World | None = None, **more: Any
) -> AsyncIterator[PlanWay]:
    """Yield a site without points, and an empty EnOS that is on."""
    site = await enos_site.add_site(database)
    enos, clock = Enos(world or enos_site.world(skew=1e12)), Told()
    await enos.on()
    settings = {"apigw": enos.http, "integration": enos.http} | more
    target = enos_site.target_of(enos.world, _Address(enos.http), **settings)  # type: ignore[arg-type] # its address is all that is looked at
    publisher = EnosPublisher(database, site.scope, target, clock)
    worker = OutboxWorker(
        database,
        site.scope,
        "enos",
        publisher,
        clock,
        mapping_wait=target.mapping_wait,
        history=target.history_days * 86_400,
        most_waiting=target.most_waiting,
    )
    plans = Reconciler(
        database, site.scope, "enos", publisher=publisher, worker=worker, clock=clock
    )
    try:
        yield PlanWay(site, enos, clock, publisher, worker, plans)
    finally:
        await publisher.close()
        await enos.off()


@dataclass(frozen=True, slots=True)
class _Address:
    http: str
