"""Composition: which parts run in this process, started together and stopped in order.

``api``, ``ingest`` and ``worker`` are the same code whether they share a process or not. A signal
sets one event; then the ingest finishes what it has read and acknowledges it, the API finishes its
requests, and the worker is cancelled, since all it does survives that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from plantroom_cloud import ready, worker
from plantroom_cloud.app import create_app
from plantroom_cloud.commands.sender import Sender
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, open_database
from plantroom_cloud.gateways.pki import Authority, cloud_files
from plantroom_cloud.gateways.signing import Trust
from plantroom_cloud.identity.keys import NewKey
from plantroom_cloud.identity.setup import first_start
from plantroom_cloud.ingest.consumer import Ingest
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.migrations import migrate
from plantroom_cloud.pipeline import queue
from plantroom_cloud.publishing.jobs import ensure_targets
from plantroom_cloud.supervise import keep_running
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.errors import ConfigError

log = logging.getLogger(__name__)

PARTS = ("api", "ingest", "worker")
_GRACE = 5  # seconds for requests under way


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
    if "worker" in plan.parts:
        queue.check(settings)
    stop, clock = stop or _stop_on_signal(), clock or SystemClock()
    database = open_database(settings)
    try:
        await migrate(database)
        if "api" in plan.parts and (key := await first_start(database, clock)):
            plan.show_key(key)
        await _run(settings, plan, database, stop, clock)
    finally:
        await database.close()


async def _run(
    settings: CloudSettings, plan: Plan, database: Database, stop: asyncio.Event, clock: Clock
) -> None:
    helpers: list[asyncio.Task[None]] = []
    parts: list[asyncio.Task[None]] = []
    facts: dict[str, object] = {}
    try:
        if plan.broker:
            run = _Broker(plan.broker).run
            helpers.append(asyncio.create_task(keep_running("broker", run, most=2.0)))
        if "worker" in plan.parts:
            helpers.append(asyncio.create_task(worker.run(database, settings, clock)))
        if "api" in plan.parts:
            api = _Api(settings, database, clock)
            facts["api"] = api.url
            parts.append(asyncio.create_task(api.run(stop), name="api"))
        if "ingest" in plan.parts:
            # Known before the first sample is stored, or that sample would miss the outbox.
            await ensure_targets(database, settings)
            parts.append(await _start_ingest(settings, database, clock, stop))
        waiting = asyncio.create_task(stop.wait())
        ready.announce("+".join(plan.parts), plan.ready_file, **facts)
        await asyncio.wait((waiting, *parts, *helpers), return_when=asyncio.FIRST_COMPLETED)
        stop.set()  # a part that ends by itself, with an error, ends the process
        for outcome in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
    finally:
        # The broker last: the ingest has said goodbye to it.
        for outcome in await ended(*parts, *reversed(helpers)):
            if isinstance(outcome, Exception):
                log.error("part failed", exc_info=outcome)


async def _start_ingest(
    settings: CloudSettings, database: Database, clock: Clock, stop: asyncio.Event
) -> asyncio.Task[None]:
    """Start the ingest and wait until it takes messages, or the process is told to stop."""
    authority = Authority(settings.data / "pki")
    instance = settings.mqtt.instance
    authority.prepare((settings.mqtt.host,), instance)
    store = Store(database, clock, Trust(authority.ca_pem))
    sender = Sender(database, clock, settings.data)
    ingest = Ingest(store, settings.mqtt, authority.files(cloud_files(instance)), sender=sender)
    task = asyncio.create_task(ingest.run(stop), name="ingest")
    events = [asyncio.create_task(event.wait()) for event in (ingest.ready, stop)]
    await asyncio.wait((task, *events), return_when=asyncio.FIRST_COMPLETED)
    await ended(*events)
    return task


def _stop_on_signal() -> asyncio.Event:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`, which stops all parts in order."""
        yield


class _Api:
    """The API on its socket, bound at once so that a taken port is a clear error."""

    def __init__(self, settings: CloudSettings, database: Database, clock: Clock) -> None:
        host, port = settings.api_host, settings.api_port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=512)
        except OSError as error:
            what = f"the API cannot listen on {host}:{port}: {error}"
            fix = "choose a free port, or 0 for any"
            raise ConfigError(what, key="api_port", fix=fix) from error
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._socket.getsockname()[1]}"
        self._server = _Server(
            uvicorn.Config(
                create_app(settings, database, clock=clock),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE,
            )
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then finish the requests under way."""
        serving = asyncio.create_task(self._server.serve([self._socket]), name="uvicorn")
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            self._server.should_exit = True
            await serving
        finally:
            await ended(stopping, serving)
            self._socket.close()


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
