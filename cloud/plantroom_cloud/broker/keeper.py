"""Keeps brokers in step with what is revoked: lists, access, and connections that must end.

A job of the worker. Every two seconds it asks the database what is revoked. Where that has changed
it writes the revocation list and ``denied.json``; a Mosquitto beside us gets list and access file
and is told to read them, and then each connection of a gateway that is revoked is taken over with a
certificate of five minutes: Mosquitto knows no other way to end one. The embedded broker watches
the files and does all of that itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiomqtt

from plantroom_cloud.broker import denied, mosquitto
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.gateways.claim import upkeep
from plantroom_cloud.gateways.pki import (
    GRACE,
    LIFE,
    PROBE,
    Authority,
    TlsFiles,
    client_context,
    write_private,
)
from plantroom_cloud.isolation.lookups import revoked_certificates, revoked_gateways
from plantroom_cloud.kit.times import DAY, SECOND
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

EVERY: Final = 2.0
"""Seconds between two looks: with Mosquitto's own, and the take-over, far below a minute."""
KICKS: Final = (0.5, 3.0, 10.0, 30.0)
"""Seconds after a reload at which connections are taken over: one may come back while it reloads."""
PROOF_EVERY: Final = 30.0
"""Seconds between two tries whether the broker still forbids anything, however it was reloaded."""
_PROOF: Final = 1.0
_AT_ONCE: Final = 20
"""Connections that are taken over at one time."""
_DESCRIPTORS: Final = 8
"""Descriptors that a reload needs, and some."""
_RENEW: Final = 86_400.0
"""Seconds after which the list is written anew though nothing has changed."""
_UPKEEP: Final = 600.0
_PATIENCE: Final = 5.0
_LONGEST_US: Final = int((LIFE + GRACE).total_seconds()) * SECOND


class Keeper:
    """Keeps the brokers of one data folder in step.

    Args:
        database: says what is revoked.
        settings: where the files and the broker are.
        clock: the present.
    """

    def __init__(self, database: Database, settings: CloudSettings, clock: Clock) -> None:
        self._database, self._settings, self._clock = database, settings, clock
        self._authority = Authority(settings.data / "pki")
        self._known: tuple[tuple[str, int], ...] | None = None
        self._gateways: frozenset[str] | None = None
        self._written = 0.0
        self._kicks: list[tuple[float, str]] = []
        """When, by the monotonic clock, and whom."""
        self._proof_due = 0.0
        self._pid: int | None = None
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def look(self) -> bool:
        """Bring the brokers in step; say whether there was something to do."""
        if not (self._authority.folder / "ca.pem").exists():
            return False  # the authority is on another machine, and so are the brokers
        now, pid = self._clock.monotonic(), mosquitto.running(self._settings.data / "broker")
        async with self._database.read(None) as session:
            us = self._clock.now_us()
            rows = await revoked_certificates(session, us - DAY)
            gateways = frozenset(await revoked_gateways(session, us - _LONGEST_US))
        known = tuple((row.serial, row.revoked_us) for row in rows)
        # One that has started meanwhile may have read the lists right before they changed.
        news = (known, gateways, pid) != (self._known, self._gateways, self._pid)
        if news or now - self._written >= _RENEW:
            await asyncio.to_thread(self._write, known, gateways)
            fresh = gateways - (self._gateways or frozenset())
            self._kicks += [(now + delay, one) for one in sorted(fresh) for delay in KICKS]
            self._known, self._gateways, self._written = known, gateways, now
            self._pid = pid
        await self._kick(now)
        if news or now >= self._proof_due:
            self._proof_due = now + (EVERY if news else PROOF_EVERY)  # a reload takes a moment
            await self._prove()
        return news

    async def _prove(self) -> None:
        """End a Mosquitto that allows what it must forbid; whoever started it starts it again.

        2.0 allows everybody everything once it could not open its access list while reloading.
        """
        pid = mosquitto.running(self._settings.data / "broker")
        if pid is not None and await self._is_open():
            log.critical("the broker forbids nothing any more: it is ended", extra={"pid": pid})
            os.kill(pid, signal.SIGTERM)

    async def _is_open(self) -> bool:
        """Say whether the broker delivers to the probe what the probe may not publish."""
        topic = f"sv1/{PROBE}/down/probe"
        try:
            async with self._client(PROBE) as client:
                await client.subscribe(topic, qos=1)
                await client.publish(topic, b"?", qos=1)
                async with asyncio.timeout(_PROOF):
                    async for _ in client.messages:
                        return True
        except (TimeoutError, aiomqtt.MqttError):
            pass  # it is closed, or not there
        return False

    def _write(self, known: Iterable[tuple[str, int]], gateways: Iterable[str]) -> None:
        """Write all files, then tell Mosquitto; the lists first, so that nothing comes back."""
        if not self._authority.crl_file.exists():
            self._authority.prepare((self._settings.mqtt.host,))
        serials = list(known)
        entries = [(int(one, 16), datetime.fromtimestamp(at / 1e6, UTC)) for one, at in serials]
        self._authority.write_crl(entries)
        denied.write(self._authority, gateways, [one for one, _ in serials])
        reload_mosquitto(self._settings.data / "broker", self._authority)

    async def _kick(self, now: float) -> None:
        due = {name for at, name in self._kicks if at <= now}
        self._kicks = [(at, name) for at, name in self._kicks if at > now]
        if due:
            await asyncio.gather(*(self._take_over(name) for name in sorted(due)))

    async def _take_over(self, gateway: str) -> None:
        """End the connection of a gateway, if it has one."""
        try:
            async with self._room, self._client(gateway):
                log.info("connection of a revoked gateway ended", extra={"gateway": gateway})
        except aiomqtt.MqttError as error:
            # An embedded broker refuses, and has ended the connection itself.
            log.debug("no take-over", extra={"gateway": gateway, "cause": str(error)})

    def _client(self, gateway: str) -> aiomqtt.Client:
        """Return a client with a certificate of five minutes."""
        issued = self._authority.impersonate(gateway)
        with tempfile.TemporaryDirectory() as folder:
            files = TlsFiles(
                self._authority.folder / "ca.pem", Path(folder) / "c.pem", Path(folder) / "c.key"
            )
            write_private(files.certificate, issued.certificate)
            write_private(files.key, issued.key)
            context = client_context(files)
        mqtt = self._settings.mqtt
        return aiomqtt.Client(
            mqtt.host,
            mqtt.port,
            identifier=gateway,
            protocol=aiomqtt.ProtocolVersion.V311,
            tls_context=context,
            timeout=_PATIENCE,
        )


def reload_mosquitto(folder: Path, authority: Authority) -> bool:
    """Give a Mosquitto that runs in `folder` its lists anew; say whether there is one.

    Each file is replaced whole, and belongs to whom it belonged to.
    """
    if not (folder / "mosquitto.conf").exists():
        return False
    gateways = denied.read(authority).gateways
    _replace(folder / "crl.pem", authority.crl_file.read_bytes(), 0o644)
    _replace(folder / "acl", mosquitto.acl(gateways).encode(), 0o600)
    pid = mosquitto.running(folder)
    if pid is None:
        return False
    if fault := _unreadable(pid, (folder / "acl", folder / "crl.pem", folder / "ca.pem")):
        # Told to reload, it would allow everybody everything. Started again, it does not start.
        log.critical("the broker cannot read its files: it is ended", extra={"cause": fault})
        os.kill(pid, signal.SIGTERM)
        return True
    os.kill(pid, signal.SIGHUP)
    return True


def _unreadable(pid: int, files: Iterable[Path]) -> str:
    """Return why process `pid` could not open one of `files` now; empty if it could."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        limits = Path(f"/proc/{pid}/limits").read_text()
        lines = [line.split() for line in status.splitlines()]
        ids = {parts[0]: parts[2] for parts in lines if parts[:1] in (["Uid:"], ["Gid:"])}
        user, group = int(ids["Uid:"]), int(ids["Gid:"])
        most = next(line.split()[3] for line in limits.splitlines() if "open files" in line)
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except (OSError, ValueError, KeyError, IndexError, StopIteration):
        return ""  # another system than Linux, or it has just ended: the probe tells
    if most.isdecimal() and used + _DESCRIPTORS > int(most):
        return f"{used} of {most} descriptors are in use"
    closed = (
        path for file in files for path in (file, *file.parents) if not _may(path, user, group)
    )
    return next((f"{path} is closed to user {user}" for path in closed), "")


def _may(path: Path, user: int, group: int) -> bool:
    """Say whether a user may read a file, or pass through a folder."""
    try:
        facts = path.stat()
    except OSError:
        return False
    wanted = 0o1 if path.is_dir() else 0o4
    if user == 0:
        return True
    if facts.st_uid == user:
        return bool(facts.st_mode >> 6 & wanted)
    return bool(facts.st_mode >> (3 if facts.st_gid == group else 0) & wanted)


def _replace(path: Path, content: bytes, mode: int) -> None:
    owner = path.stat() if path.exists() else None
    draft = path.with_name(f"{path.name}.draft")
    write_private(draft, content, mode=mode)
    if owner is not None and os.geteuid() == 0:
        os.chown(draft, owner.st_uid, owner.st_gid)
    draft.replace(path)


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Keep the brokers in step until cancelled: a job of the worker."""
    keeper, cleaned = Keeper(database, settings, clock), -_UPKEEP
    while True:
        if clock.monotonic() - cleaned >= _UPKEEP:
            cleaned = clock.monotonic()
            await upkeep.prune(database, clock.now_us())
        await keeper.look()
        await asyncio.sleep(EVERY)
