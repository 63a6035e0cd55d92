"""The composition root: builds the agent's parts and runs them side by side.

::

    driver ─▶ sampler ─▶ buffer ─▶ sync ─▶ cloud
                 └▶ detector ─▲
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import signal
from collections.abc import Iterator
from functools import partial
from typing import Final

from plantroom_edge import status
from plantroom_edge.buffer import Buffer
from plantroom_edge.config import AgentConfig
from plantroom_edge.detectors import Detector, Emit, detectors
from plantroom_edge.drivers import BusConfig, Driver, drivers
from plantroom_edge.sampler import Sampler
from plantroom_edge.supervise import Supervisor
from plantroom_edge.sync import Sync
from plantroom_edge.vitals import Vitals
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.errors import ConfigError, Unavailable
from plantroom_shared.model import Finding

log = logging.getLogger(__name__)

DRAIN: Final = 3.0
"""Seconds that an orderly stop spends on sending what is still held."""

_ENDING: Final = 5.0
"""Seconds after that in which the connection must have ended."""


async def run(
    config: AgentConfig, *, clock: Clock | None = None, stop: asyncio.Event | None = None
) -> None:
    """Run the agent until SIGTERM, SIGINT or `stop`; returns after an orderly stop.

    Raises:
        ConfigError: something the file names cannot be used; nothing was started.
    """
    clock = clock or SystemClock()
    stop = stop or asyncio.Event()
    with _sole_user(config), _signals(stop):
        samplers_of = [_bus_opener(bus, clock) for bus in config.buses]
        watching = _open_detectors(config, clock)
        buffer = await Buffer.open(
            config.buffer_file,
            limit_bytes=config.buffer.limit_mb * 1024 * 1024,
            commit_s=config.buffer.commit_ms / 1000,
            clock=clock,
        )
        try:
            vitals = Vitals(config, buffer, clock, Supervisor(), detectors=watching)
            vitals.sync = _open_sync(config, vitals)
            vitals.samplers = [
                Sampler(
                    bus.name,
                    opener,
                    buffer,
                    detectors=list(watching.values()),
                    supervisor=vitals.supervisor,
                    clock=clock,
                )
                for bus, opener in zip(config.buses, samplers_of, strict=True)
            ]
            await _run_parts(vitals, stop)
        finally:
            await buffer.close()


async def _run_parts(vitals: Vitals, stop: asyncio.Event) -> None:
    keep = vitals.supervisor.keep_running
    log.info(
        "agent started",
        extra={"gateway": vitals.config.gateway, "epoch": vitals.buffer.epoch},
    )
    async with asyncio.TaskGroup() as tasks:
        pollers = [
            tasks.create_task(keep(f"bus {sampler.name}", sampler.run), name=sampler.name)
            for sampler in vitals.samplers
        ]
        watchers = [
            tasks.create_task(keep(f"detector {name}", partial(detector.run, _emit(vitals.buffer))))
            for name, detector in vitals.detectors.items()
        ]
        sync = tasks.create_task(keep("sync", vitals.sync.run)) if vitals.sync else None
        reporter = tasks.create_task(keep("status", partial(_report, vitals)), name="status")
        await stop.wait()
        log.info("agent stops")
        for task in (*pollers, *watchers):
            task.cancel()
        await asyncio.gather(*pollers, *watchers, return_exceptions=True)
        await vitals.buffer.flush()
        if sync and vitals.sync:
            await vitals.sync.stop(DRAIN)
            await asyncio.wait([sync], timeout=_ENDING if vitals.sync.connected else 0)
            sync.cancel()
        reporter.cancel()
    with contextlib.suppress(OSError):
        status.write(vitals.config.status_file, await vitals.document(stopped=True))


def _emit(buffer: Buffer) -> Emit:
    async def emit(finding: Finding) -> None:
        await buffer.append_findings([finding])

    return emit


async def _report(vitals: Vitals) -> None:
    """Write the status file every second."""
    while True:
        document = await vitals.document()
        try:
            status.write(vitals.config.status_file, document)
        except OSError as error:
            msg = f"status file {vitals.config.status_file}: {error}"
            raise Unavailable(msg) from error
        await asyncio.sleep(1.0)


# ---------------------------------------------------------------- building the parts


def _bus_opener(bus: BusConfig, clock: Clock) -> partial[Driver]:
    return partial(drivers.get(bus.driver).open, bus, clock)


def _open_detectors(config: AgentConfig, clock: Clock) -> dict[str, Detector]:
    folder = config.data / "detectors"
    if config.detectors:
        folder.mkdir(parents=True, exist_ok=True)
    return {
        entry.name: detectors.get(entry.detector).open(entry, clock, folder)
        for entry in config.detectors
    }


def _open_sync(config: AgentConfig, vitals: Vitals) -> Sync | None:
    if config.cloud is None:
        log.warning("no cloud is configured: the agent buffers and sends nothing")
        return None
    return Sync(
        config.gateway,
        config.cloud,
        vitals.buffer,
        clock=vitals.clock,
        figures=vitals.counters,
    )


@contextlib.contextmanager
def _sole_user(config: AgentConfig) -> Iterator[None]:
    """Make the data folder and hold it for this process alone."""
    try:
        config.data.mkdir(parents=True, exist_ok=True)
        lock = (config.data / "agent.lock").open("w")
    except OSError as error:
        what = f"{config.data} cannot be written: {error.strerror or error}"
        raise ConfigError(what, key="data", fix="name a folder the agent may write to") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            what = f"another agent is using {config.data}"
            fix = "stop it, or give this one a folder of its own"
            raise ConfigError(what, key="data", fix=fix) from error
        yield


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT ask for an orderly stop."""
    loop = asyncio.get_running_loop()
    wanted = (signal.SIGTERM, signal.SIGINT)
    for number in wanted:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)
