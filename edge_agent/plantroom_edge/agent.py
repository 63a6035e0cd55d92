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
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plantroom_edge import starts, status
from plantroom_edge.buffer import Buffer
from plantroom_edge.claiming.renewer import Renewer
from plantroom_edge.clock import EdgeClock
from plantroom_edge.config import AgentConfig, MetricsConfig
from plantroom_edge.control import Control
from plantroom_edge.crew import Crew, Register, open_detectors
from plantroom_edge.desired.start import beginning
from plantroom_edge.desk import Desk
from plantroom_edge.detectors import Emit
from plantroom_edge.drivers import Driver, drivers
from plantroom_edge.reach import Reach
from plantroom_edge.sampler import Sampler
from plantroom_edge.sampling.engine import Sampling, wanted_by
from plantroom_edge.sinks import Sink, sinks
from plantroom_edge.starts import Starts
from plantroom_edge.supervise import Supervisor
from plantroom_edge.sync import Sync
from plantroom_edge.timekeeper import Timekeeper
from plantroom_edge.vitals import Vitals
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.errors import ConfigError, Unavailable
from plantroom_shared.model import Finding

if TYPE_CHECKING:  # a gateway that writes nothing does not carry what writes
    from plantroom_edge.commands.service import Commands
    from plantroom_edge.desired.service import Desired

log = logging.getLogger(__name__)

DRAIN: Final = 3.0
"""Seconds that an orderly stop spends on sending what is still held."""

TAKE_BACK: Final = 5.0
"""Seconds before that in which values that were written must have been taken back."""

_ENDING: Final = 5.0
"""Seconds after that in which the connection must have ended."""


async def run(
    config: AgentConfig,
    *,
    clock: Clock | None = None,
    stop: asyncio.Event | None = None,
    file: Path | None = None,
) -> None:
    """Run the agent until SIGTERM, SIGINT or `stop`; returns after an orderly stop.

    Args:
        config: what to do.
        clock: the machine's own if none is given.
        stop: ends it like a signal.
        file: where `config` stands: it can be applied again, by SIGHUP or over the control socket.

    Raises:
        ConfigError: something the file names cannot be used; nothing was started.
    """
    stop = stop or asyncio.Event()
    with _sole_user(config), _signals(stop):
        config = beginning(config, file)
        record = Starts(config.starts_file, starts.config_hash(config))
        record.begin()
        ours = EdgeClock(clock or SystemClock(), config.data / "clock.json")
        try:
            while not stop.is_set():  # once more, with all its parts, when the safe mode ends
                config = await _run(config, ours, record, stop, file)
        except ConfigError:
            record.ended()  # refused in order: nothing crashed
            raise


async def _run(
    config: AgentConfig, clock: EdgeClock, record: Starts, stop: asyncio.Event, file: Path | None
) -> AgentConfig:
    """Run all parts until `stop`; return the configuration that they had at the end."""
    for bus in config.buses:
        drivers.get(bus.driver)  # a driver that there is not is told before anything starts
    watching = {} if record.safe else open_detectors(config.detectors, config, clock)
    outlets = {} if record.safe else _open_sinks(config, clock)
    buffer = await _open_buffer(config, clock)
    try:
        _tell_start(config, buffer, record)
        vitals = Vitals(
            config,
            buffer,
            clock,
            Supervisor(),
            detectors=watching,
            sinks=outlets,
            safe_mode=record.safe,
        )
        keeper = Timekeeper(clock, buffer)
        vitals.commands = _open_commands(config, vitals, clock)
        vitals.sampling = Sampling(
            config.sampling,
            clock,
            wanted=wanted_by(vitals.watching),
            counters_file=config.counters_file,
        )
        register = Register()
        make = partial(_sampler, vitals=vitals, register=register)
        crew = Crew(vitals, record, sampler=make, emit=_emit(buffer))
        vitals.desired = _open_desired(config, vitals, crew, file)
        vitals.sync = _open_sync(config, vitals, keeper)
        vitals.renewer = _open_renewer(config, vitals.sync, clock)
        desk = Desk(file, crew, vitals, register)
        with _reloading(crew, file):
            await _run_parts(vitals, keeper, crew=crew, desk=desk, record=record, stop=stop)
        return vitals.config
    finally:
        await buffer.close()


def _tell_start(config: AgentConfig, buffer: Buffer, record: Starts) -> None:
    """Enter the start into the audit, and what is unusual about it."""
    software = version("plantroom")
    buffer.audit("agent.start", boot=buffer.boot, version=software, config=record.config)
    if record.earlier_config not in ("", record.config):
        buffer.audit("config.changed", before=record.earlier_config, now=record.config)
    log.info("agent started", extra={"gateway": config.gateway, "epoch": buffer.epoch})
    if record.safe:
        buffer.audit("agent.safe_mode", failed_starts=record.failed)
        log.error(
            "safe mode after failed starts: polls, stores and reports, and does nothing else;"
            " it ends after an hour without a crash, or with a changed configuration",
            extra={"failed_starts": record.failed},
        )


async def _run_parts(
    vitals: Vitals,
    keeper: Timekeeper,
    *,
    crew: Crew,
    desk: Desk,
    record: Starts,
    stop: asyncio.Event,
) -> None:
    keep = vitals.supervisor.keep_running
    control = Control(vitals.config.control_file, desk.handlers())
    with contextlib.suppress(OSError):  # the driver `agent` finds it when it looks first
        status.write(vitals.config.status_file, await vitals.document())
    async with asyncio.TaskGroup() as tasks:
        crew.start(tasks)
        sync = tasks.create_task(keep("sync", vitals.sync.run)) if vitals.sync else None
        others = [
            tasks.create_task(keep("clock", keeper.run), name="clock"),
            tasks.create_task(keep("status", partial(_report, vitals)), name="status"),
        ]
        if vitals.renewer:
            others.append(tasks.create_task(keep("renewal", vitals.renewer.run), name="renewal"))
        if vitals.sampling:
            others.append(tasks.create_task(keep("counters", vitals.sampling.run), name="counters"))
        if vitals.commands:
            others.append(tasks.create_task(keep("commands", vitals.commands.run)))
        wanted = []
        if vitals.desired:
            wanted.append(tasks.create_task(keep("desired", vitals.desired.run), name="desired"))
        if vitals.config.metrics:
            serve = _metrics_server(vitals, vitals.config.metrics)
            others.append(tasks.create_task(keep("metrics", serve), name="metrics"))
        orders = tasks.create_task(keep("control", control.run), name="control")
        outlets = [
            tasks.create_task(keep(f"sink {name}", sink.run), name=f"sink {name}")
            for name, sink in vitals.sinks.items()
        ]
        health = tasks.create_task(_prove_health(record), name="health")
        leaving = tasks.create_task(stop.wait(), name="stop")
        await asyncio.wait(
            {health, leaving} if record.safe else {leaving}, return_when=asyncio.FIRST_COMPLETED
        )
        _tell_stop(vitals, record, stop)
        leaving.cancel()
        await ended(orders, health, *wanted)  # from here on nothing is changed any more
        if vitals.commands:
            await vitals.commands.stop(TAKE_BACK)
        await crew.stop()
        await vitals.buffer.flush()
        if sync and vitals.sync:
            await vitals.sync.stop(DRAIN)
            await asyncio.wait([sync], timeout=_ENDING if vitals.sync.connected else 0)
            await ended(sync)
        await ended(*outlets, *others)
    with contextlib.suppress(OSError):
        status.write(vitals.config.status_file, await vitals.document(stopped=True))


async def _prove_health(record: Starts) -> None:
    """After a while without a crash the start has not failed; after an hour the safe mode ends."""
    await asyncio.sleep(starts.LEAVE_AFTER if record.safe else starts.HEALTHY_AFTER)
    record.recovered()


def _tell_stop(vitals: Vitals, record: Starts, stop: asyncio.Event) -> None:
    if stop.is_set():
        log.info("agent stops")
        vitals.buffer.audit("agent.stop")
        record.ended()
    else:
        log.info("the safe mode ends: the agent runs with all its parts again")
        vitals.buffer.audit("agent.safe_mode_left")


def _emit(buffer: Buffer) -> Emit:
    async def emit(finding: Finding) -> None:
        await buffer.append_findings([finding])

    return emit


def _metrics_server(vitals: Vitals, config: MetricsConfig) -> Callable[[], Awaitable[None]]:
    # Imported here: who is not asked for metrics needs no memory for their format.
    from plantroom_edge.metrics import MetricsServer  # noqa: PLC0415

    document = partial(getattr, vitals, "latest")
    clock, traffic = vitals.clock, vitals.traffic
    return MetricsServer(*config.address, document=document, traffic=traffic, clock=clock).run


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


async def _open_buffer(config: AgentConfig, clock: Clock) -> Buffer:
    return await Buffer.open(
        config.buffer_file,
        limit_bytes=config.buffer.limit_mb * 1024 * 1024,
        commit_s=config.buffer.commit_ms / 1000,
        clock=clock,
        retain_s=config.buffer.retain_hours * 3600,
        shares=config.buffer.shares,
    )


def _sampler(
    name: str, opener: Callable[[], Driver], *, vitals: Vitals, register: Register
) -> Sampler:
    return Sampler(
        name,
        opener,
        vitals.buffer,
        detectors=vitals.watching,
        sinks=[register, *vitals.sinks.values()],
        supervisor=vitals.supervisor,
        clock=vitals.clock,
        sampling=vitals.sampling,
    )


def _open_sinks(config: AgentConfig, clock: Clock) -> dict[str, Sink]:
    return {entry.name: sinks.get(entry.sink).open(entry, clock) for entry in config.sinks}


def _open_commands(config: AgentConfig, vitals: Vitals, clock: EdgeClock) -> Commands | None:
    """Return what carries out commands; it takes back old values though writes are off now."""
    if not config.writes.enabled and not config.writes_folder.exists():
        return None
    # Imported here: who writes nothing needs no memory for what writes.
    from plantroom_edge.commands.service import Commands  # noqa: PLC0415

    def find(point: str) -> Reach | None:
        ways = (sampler.reach(point) for sampler in vitals.samplers)
        return next((way for way in ways if way is not None), None)

    return Commands(
        config.gateway,
        config.writes,
        config.writes_folder,
        clock=clock,
        buffer=vitals.buffer,
        find=find,
        safe_mode=vitals.safe_mode,
    )


def _open_sync(config: AgentConfig, vitals: Vitals, keeper: Timekeeper) -> Sync | None:
    if config.cloud is None:
        log.warning("no cloud is configured: the agent buffers and sends nothing")
        return None
    return Sync(
        config.gateway,
        config.cloud,
        vitals.buffer,
        keeper=keeper,
        figures=vitals.counters,
        commands=vitals.commands,
        desired=vitals.desired,
    )


def _open_renewer(config: AgentConfig, sync: Sync | None, clock: EdgeClock) -> Renewer | None:
    """Return what has the certificate renewed; None where somebody else does."""
    if sync is None or config.cloud is None or not config.cloud.provision:
        return None
    connected = partial(getattr, sync, "connected")
    return Renewer(config.gateway, config.cloud, clock, sync.renewed, connected)


def _open_desired(
    config: AgentConfig, vitals: Vitals, crew: Crew, file: Path | None
) -> Desired | None:
    """Return what applies what the cloud wants; None where the site lets nobody."""
    if file is None or not config.desired.keys:
        return None
    # Imported here: as with commands.
    from plantroom_edge.desired.service import Desired  # noqa: PLC0415

    return Desired(file, crew, vitals)


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


@contextlib.contextmanager
def _reloading(crew: Crew, file: Path | None) -> Iterator[None]:
    """Let SIGHUP apply the file as it is now."""
    if file is None:
        yield
        return
    loop = asyncio.get_running_loop()
    under_way: set[asyncio.Task[None]] = set()

    def reload() -> None:
        if len(under_way) < 2:  # one that waits for another has read the file after it
            task = loop.create_task(crew.reload(file), name="reload")
            under_way.add(task)
            task.add_done_callback(under_way.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        for task in under_way:
            task.cancel()
