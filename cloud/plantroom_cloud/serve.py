"""Composition: which parts run in this process, started together and stopped in order.

``api``, ``ingest`` and ``worker`` are the same code whether they share a process or not. A signal
sets one event: the process says that it is not ready, serves on for as long as a load balancer needs
to hear it, and ends. The ingest finishes what it has read and acknowledges it, the API finishes its
requests, and the worker is cancelled: what it has claimed it gives back, and what a platform has
taken it counts.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from plantroom_cloud import ready, worker
from plantroom_cloud.app import create_app
from plantroom_cloud.commands.sender import Sender
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.configuration.sender import ConfigurationSender, Senders
from plantroom_cloud.db import Database, open_database
from plantroom_cloud.gateways.pki import Authority, cloud_files
from plantroom_cloud.gateways.signing import Trust
from plantroom_cloud.identity.keys import NewKey
from plantroom_cloud.identity.setup import first_start
from plantroom_cloud.ingest.consumer import Ingest
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.isolation.check import check_wall
from plantroom_cloud.kit.draining import Draining
from plantroom_cloud.kit.tracing import tracing
from plantroom_cloud.listening import Listening
from plantroom_cloud.live.endpoints import live_of
from plantroom_cloud.live.opening import open_bus
from plantroom_cloud.live.socket import MAX_MESSAGE
from plantroom_cloud.migrations import migrate
from plantroom_cloud.operations.probes import Check, Probes
from plantroom_cloud.operations.reporting import AWAY, Reporter, look
from plantroom_cloud.pipeline import queue
from plantroom_cloud.publishing.jobs import ensure_targets
from plantroom_cloud.supervise import keep_running
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import Clock, SystemClock

log = logging.getLogger(__name__)

PARTS = ("api", "ingest", "worker")
_LOOK = 2.0  # seconds that the database may take to show that it is there


@dataclass(frozen=True, slots=True)
class Plan:
    """What a process shall do."""

    parts: tuple[str, ...] = PARTS
    ready_file: Path | None = None
    broker: Sequence[str] = ()
    """Command line of a broker to run beside; empty means somebody else runs it."""
    show_key: Callable[[NewKey], None] = lambda _: None
    """Called with the first key, once in the life of a database."""


async def serve(
    settings: CloudSettings,
    plan: Plan,
    *,
    stop: asyncio.Event | None = None,
    clock: Clock | None = None,
) -> None:
    """Run the parts of `plan` until a signal, or `stop`.

    Raises:
        ConfigError: a port is taken, the database cannot be opened, a certificate or an extra is
            missing.
    """
    ready.forget(plan.ready_file)
    with tracing(settings.watching, "-".join(plan.parts)):
        await _serve(settings, plan, stop or _stop_on_signal(), clock or SystemClock())


async def _serve(settings: CloudSettings, plan: Plan, stop: asyncio.Event, clock: Clock) -> None:
    if "worker" in plan.parts:
        queue.check(settings)
    database = open_database(settings)
    try:
        await migrate(database)
        await check_wall(database, settings)
        if "api" in plan.parts and (key := await first_start(database, clock)):
            plan.show_key(key)
        database.bus = bus = open_bus(settings)
        try:
            await _run(settings, plan, database, stop=stop, clock=clock)
        finally:
            await bus.close()
    finally:
        await database.close()


async def _run(
    settings: CloudSettings, plan: Plan, database: Database, *, stop: asyncio.Event, clock: Clock
) -> None:
    process = _Process(settings, plan, database, clock)
    try:
        await process.start(stop)
        ready.announce("+".join(plan.parts), plan.ready_file, **process.facts)
        tasks = (*process.parts, *process.helpers)
        await _until_told(stop, tasks, process.draining, settings.resilience.drain)
        process.ending.set()  # a part that ends by itself, with an error, ends the process
        for outcome in await asyncio.gather(*process.parts, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
    finally:
        await process.end()


class _Process:
    """The parts of one process: started, and ended in order."""

    def __init__(
        self, settings: CloudSettings, plan: Plan, database: Database, clock: Clock
    ) -> None:
        self._settings, self._plan = settings, plan
        self._database, self._clock = database, clock
        self.draining, self.ending = Draining(), asyncio.Event()
        self.facts: dict[str, object] = {}
        self.parts: list[asyncio.Task[None]] = []
        """End by themselves once `ending` is set."""
        self.helpers: list[asyncio.Task[None]] = []
        """Are cancelled afterwards."""
        self._app: FastAPI | None = None
        self._checks: dict[str, Check] = {"database": partial(_answers, database)}

    async def start(self, stop: asyncio.Event) -> None:
        """Start what the plan names, or as much of it as there is until `stop`."""
        plan, settings, database = self._plan, self._settings, self._database
        if plan.broker:
            run = _Broker(plan.broker).run
            self._help("broker", keep_running("broker", run, most=2.0))
        if "worker" in plan.parts:
            self._help("worker", worker.run(database, settings, self._clock))
        if "api" in plan.parts:
            lonely = "ingest" not in plan.parts
            api = _Api(settings, database, self._clock, self.draining, lonely=lonely)
            self.facts["api"], self._app = api.url, api.app
            self.parts.append(asyncio.create_task(api.run(self.ending), name="api"))
        if settings.watching.listen:
            probes = _probes(settings, self._checks, self.draining)
            self.facts["probes"] = probes.url
            self._help("probes", probes.run(asyncio.Event()))
        if "ingest" in plan.parts:
            # Known before the first sample is stored, or that sample would miss the outbox.
            await ensure_targets(database, settings)
            await self._start_ingest(stop)
        pings = [self._app.state.caches.ping] if self._app is not None else []
        reporter = Reporter(database, plan.parts, self._clock, pings)
        self._help("reports", keep_running("reports", reporter.run))

    def _help(self, name: str, doing: Coroutine[None, None, None]) -> None:
        self.helpers.append(asyncio.create_task(doing, name=name))

    async def _start_ingest(self, stop: asyncio.Event) -> None:
        """Start the ingest and wait until it takes messages, or the process is told to stop."""
        settings, clock = self._settings, self._clock
        authority = Authority(settings.data / "pki")
        instance = settings.mqtt.instance
        authority.prepare((settings.mqtt.host,), instance)
        store = Store(self._database, clock, Trust(authority.issuer_pem))
        sender = Senders(
            Sender(self._database, clock, settings.data),
            ConfigurationSender(self._database, clock, settings.data),
            clock,
        )
        ingest = Ingest(store, settings.mqtt, authority.files(cloud_files(instance)), sender=sender)
        self._checks["broker"] = partial(_is_set, ingest.ready)
        task = asyncio.create_task(ingest.run(self.ending), name="ingest")
        self.parts.append(task)
        events = [asyncio.create_task(event.wait()) for event in (ingest.ready, stop)]
        await asyncio.wait((task, *events), return_when=asyncio.FIRST_COMPLETED)
        await ended(*events)

    async def end(self) -> None:
        """End everything. The broker last: the ingest has said goodbye to it."""
        for outcome in await ended(*self.parts, *reversed(self.helpers)):
            if isinstance(outcome, Exception):
                log.error("part failed", exc_info=outcome)
        if self._app is not None:
            await self._app.state.requests.close()
            await self._app.state.caches.close()


async def _until_told(
    stop: asyncio.Event,
    tasks: Sequence[asyncio.Task[None]],
    draining: Draining,
    seconds: float,
) -> None:
    """Wait until `stop`, or until one of `tasks` ends; then say that we go, and serve on so long."""
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((waiting, *tasks), return_when=asyncio.FIRST_COMPLETED)
        draining.begin()
        if stop.is_set() and seconds:
            log.info("draining", extra={"seconds": seconds})
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await ended(waiting)


async def _answers(database: Database) -> bool:
    try:
        async with asyncio.timeout(_LOOK):
            await look(database)
    except (*AWAY, TimeoutError):
        return False
    return True


async def _is_set(event: asyncio.Event) -> bool:
    return event.is_set()


def _stop_on_signal() -> asyncio.Event:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


class _Api(Listening):
    """The API on its socket."""

    def __init__(
        self,
        settings: CloudSettings,
        database: Database,
        clock: Clock,
        draining: Draining,
        *,
        lonely: bool,
    ) -> None:
        self.app = create_app(settings, database, clock=clock, draining=draining, lonely=lonely)
        super().__init__(
            self.app,
            settings.api_host,
            settings.api_port,
            what="the API",
            key="api_port",
            grace=settings.resilience.grace,
            proxies=settings.api.trusted_proxies,
            tls=_tls(settings),
            largest=MAX_MESSAGE,
            # Before requests end: live connections never do by themselves.
            before_end=live_of(self.app.state).drain,
        )


def _probes(settings: CloudSettings, checks: dict[str, Check], draining: Draining) -> Listening:
    host, _, port = settings.watching.listen.rpartition(":")
    return Listening(
        Probes(draining, checks),
        host.strip("[]"),
        int(port),
        what="metrics",
        key="watching.listen",
        grace=1,
    )


def _tls(settings: CloudSettings) -> tuple[Path, Path] | None:
    """Return what lets the API itself speak TLS, with the broker's certificate."""
    if not settings.claim.tls:
        return None
    authority = Authority(settings.data / "pki")
    authority.prepare((settings.mqtt.host, settings.api_host))
    files = authority.files("server")
    return files.certificate, files.key


class _Broker:
    """A broker as a child process, for `serve --with-broker`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    async def run(self) -> None:
        """Run it until cancelled; RuntimeError when it ends by itself."""
        process = await asyncio.create_subprocess_exec(*self._command)
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        msg = f"the broker ended with code {code}"
        raise RuntimeError(msg)
