"""Fault 33: many gateways renew their certificates as they send, and some are revoked: nothing is lost.

Gateways as light as can be, all in one process: the agent's own buffer, sync and renewal, and one point.
Cloud and broker are processes, as they are in the field.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, cast

import httpx

from plantroom_edge.buffer import Buffer
from plantroom_edge.claiming import flow
from plantroom_edge.claiming.cloud import ProvisionClient
from plantroom_edge.claiming.files import Folder
from plantroom_edge.claiming.renewer import Renewer
from plantroom_edge.clock import EdgeClock
from plantroom_edge.config import load
from plantroom_edge.supervise import Supervisor
from plantroom_edge.sync import STATE_EVERY, Sync
from plantroom_edge.timekeeper import Timekeeper
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import SystemClock
from plantroom_shared.model import Batch, Device, Point
from support.claim_kills import clock_of_1970
from support.claim_site import ClaimSite
from support.cloud_broker import reachable_folder
from support.fault_case import Setting, case
from support.fault_checker import judge
from support.fault_report import Figure

_EVERY: Final = 0.5
"""Seconds between two samples of a gateway."""
_TURN: Final = 1_000_000
_AHEAD_US: Final = int(timedelta(days=61).total_seconds() * 1e6)
_OUT: Final = 60.0
"""Seconds after which nobody may hear a revoked gateway any more."""
_STILL: Final = 3.0
_NAME: Final = "33 renewals under load"


class _Ahead:
    """The gateway's clock, two months on: what it makes of its certificate is that it is due."""

    def __init__(self, clock: EdgeClock) -> None:
        self._clock = clock

    @property
    def state(self) -> str:
        """As the gateway's own."""
        return self._clock.state

    def now_us(self) -> int:
        """Return the time in two months."""
        return self._clock.now_us() + _AHEAD_US


@dataclass
class Light:
    """One gateway."""

    number: int
    folder: Path
    in_1970: bool
    name: str = ""
    sent: int = 0
    writes: bool = True
    last_connected: float = 0.0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Of its point."""
        return f"light:{self.number}:p"

    def claim(self, site: ClaimSite, token: str) -> None:
        """Become a gateway."""
        clock = clock_of_1970() if self.in_1970 else EdgeClock(SystemClock())
        config, certs = self.folder / "edge.yaml", Folder(self.folder / "certs")
        asked = flow.Asked(config, certs, site.url, site.ca, token)
        client = ProvisionClient(site.url, site.ca, clock)
        self.name = flow.Claim(asked, client, lambda *_: None).run().gateway

    async def start(self) -> None:
        """Connect, and send a sample every now and then."""
        config = load(self.folder / "edge.yaml")
        assert config.cloud is not None
        clock = clock_of_1970() if self.in_1970 else EdgeClock(SystemClock())
        self.buffer = await Buffer.open(self.folder / "buffer.db", commit_s=_EVERY, clock=clock)
        device = Device(key=f"light:{self.number}", name="light", protocol="modbus")
        await self.buffer.add_points([Point(key=self.key, device=device.key, name="p")], [device])
        keeper = Timekeeper(clock, self.buffer)
        self.sync = Sync(config.gateway, config.cloud, self.buffer, keeper=keeper)
        ahead = cast("EdgeClock", _Ahead(clock))
        sync = self.sync
        self.renewer = Renewer(
            config.gateway, config.cloud, ahead, sync.renewed, lambda: sync.connected
        )
        self.clock = clock
        supervisor = Supervisor()
        for name, run in (("sync", self.sync.run), ("clock", keeper.run), ("samples", self._write)):
            self.tasks.append(asyncio.create_task(supervisor.keep_running(name, run)))

    async def _write(self) -> None:
        while True:
            if self.writes:
                value = float(self.number * _TURN + self.sent)
                self.sent += 1
                await self.buffer.append(Batch([0], [self.clock.now_us()], [value]))
            if self.sync.connected:
                self.last_connected = time.monotonic()
            await asyncio.sleep(_EVERY)

    async def renew(self, after: float) -> None:
        """Have the certificate renewed, `after` seconds from now."""
        await asyncio.sleep(after)
        while self.clock.state == "unset":
            await asyncio.sleep(0.1)
        await self.renewer.look()

    async def held(self) -> int:
        """Return how many samples are not confirmed."""
        return (await self.buffer.stats()).held["tel"]

    async def stop(self) -> None:
        """End it."""
        await ended(*self.tasks)
        await self.buffer.close()


@case("renewals", faults="33", pr=4, full=50)
def renewals(setting: Setting) -> Sequence[Figure]:
    """`count` gateways renew their certificates as they send; a tenth of them is revoked then."""
    with reachable_folder() as folder, ClaimSite(folder, "mosquitto").running() as site:
        return asyncio.run(_renewals(setting, site))


async def _renewals(setting: Setting, site: ClaimSite) -> list[Figure]:
    dice = setting.dice("renewals")
    units = [
        Light(number, setting.folder / f"light-{number}", in_1970=number % 5 == 1)
        for number in range(setting.count)
    ]
    with site.client() as client:
        for unit in units:
            unit.folder.mkdir()
            asked = {"site": "tower"}
            token = client.post("/v1/gateways/enrolment-tokens", json=asked).json()["token"]
            await asyncio.to_thread(unit.claim, site, token)
        try:
            for unit in units:
                await unit.start()
            await _until(lambda: all(unit.sync.connected for unit in units), 600)
            window = 1.5 * setting.count
            async with asyncio.timeout(600 + 10 * window), asyncio.TaskGroup() as tasks:
                for unit in units:
                    tasks.create_task(unit.renew(dice.uniform(1, 1 + window)))
            await _until_renewed(client, units, 600)
            await asyncio.sleep(_STILL)
            figures = await _judged(setting.say, site, client, units)
            return figures + await _revoked(site, client, units)
        finally:
            for unit in units:
                await unit.stop()


async def _until_renewed(client: httpx.Client, units: list[Light], seconds: float) -> None:
    """Return when the cloud has heard of all over their renewed certificates, or after `seconds`."""
    waiting, end = units, time.monotonic() + seconds
    while waiting and time.monotonic() < end:
        # In a thread: the gateways go on meanwhile.
        heard = [await asyncio.to_thread(_is_renewed, client, unit) for unit in waiting]
        waiting = [unit for unit, done in zip(waiting, heard, strict=True) if not done]
        await asyncio.sleep(1)


def _is_renewed(client: httpx.Client, unit: Light) -> bool:
    """Say whether the cloud has heard of the gateway over its renewed certificate."""
    listed = client.get(f"/v1/gateways/{unit.name}/certificates").json()["certificates"]
    return bool(listed[0]["how"] == "renewal" and listed[0]["confirmed"])


async def _judged(
    say: Callable[[str], None], site: ClaimSite, client: httpx.Client, units: list[Light]
) -> list[Figure]:
    """Let everything be confirmed, and judge what the cloud has stored."""
    for unit in units:
        unit.writes = False
    await asyncio.sleep(2 * _EVERY)
    end = time.monotonic() + 120
    while sum([await unit.held() for unit in units]) and time.monotonic() < end:
        await asyncio.sleep(0.1)
    left = sum([await unit.held() for unit in units])
    sent = sum(unit.sent for unit in units)
    await asyncio.sleep(STATE_EVERY + 1)  # the gateways' own accounts come with their state
    with closing(_database(site)) as db:
        index_of = {unit.key: unit.number for unit in units}
        verdict = judge(db, index_of, lambda value: divmod(int(value), _TURN), turn=_TURN)
        ((gaps,),) = db.execute("SELECT count(*) FROM gap WHERE stream = 'tel'")
        hour_ago = SystemClock().now_us() - 3_600_000_000
        ((old,),) = db.execute("SELECT count(*) FROM sample WHERE ts_us < ?", (hour_ago,))
    for fault in [*verdict.lost, *verdict.doubled, *verdict.wrong][:50]:
        say(fault)
    missed = sum(not _is_renewed(client, unit) for unit in units)
    waiting = sum((unit.folder / "certs" / "gateway.key.next").exists() for unit in units)
    runs, connects = len(units), max(unit.sync.connects for unit in units)
    return [
        Figure(
            _NAME, "gateways, of these in 1970", runs, sum(unit.in_1970 for unit in units), None
        ),
        Figure(_NAME, "certificates not renewed or not in use", runs, missed + waiting),
        Figure(_NAME, "samples never confirmed", sent, left),
        Figure(_NAME, "samples lost", sent, abs(sent - verdict.samples) + len(verdict.lost)),
        Figure(_NAME, "samples doubled or wrong", sent, len(verdict.doubled) + len(verdict.wrong)),
        Figure(_NAME, "reads between two samples, gaps", sent, verdict.unread + gaps),
        Figure(_NAME, "samples of another time, as of 1970", sent, old),
        Figure(_NAME, "connections of one gateway, at most", runs, connects, None),
    ]


async def _revoked(site: ClaimSite, client: httpx.Client, units: list[Light]) -> list[Figure]:
    """Revoke a tenth of the gateways, and see when they are out."""
    out = units[: max(1, len(units) // 10)]
    for unit in units:
        unit.writes = True
    began, before = dict[str, float](), dict[str, int]()
    for unit in out:
        answer = client.post(f"/v1/gateways/{unit.name}/revoke", json={"reason": "stolen"})
        assert answer.status_code == 200, answer.text
        began[unit.name] = unit.last_connected = time.monotonic()
    await asyncio.sleep(1)  # what was under way as it was revoked
    with closing(_database(site)) as db:
        before = {unit.name: _rows(db, unit) for unit in out}
    await _until(lambda: all(time.monotonic() - unit.last_connected > _STILL for unit in out), 120)
    took = [unit.last_connected - began[unit.name] for unit in out]
    await asyncio.sleep(_STILL)
    with closing(_database(site)) as db:
        more = sum(_rows(db, unit) - before[unit.name] for unit in out)
    others = [unit for unit in units if unit not in out]
    gone = sum(not unit.sync.connected for unit in others)
    return [
        Figure(_NAME, "revoked to out, the slowest", len(out), max(took), _OUT, unit="s"),
        Figure(_NAME, "samples taken of revoked gateways", len(out), more),
        Figure(_NAME, "others that lost their connection for good", len(others), gone),
    ]


def _rows(db: sqlite3.Connection, unit: Light) -> int:
    sql = (
        "SELECT count(*) FROM sample JOIN point ON point.id = sample.point_id"
        " WHERE point.gateway_id = ?"
    )
    return int(db.execute(sql, (unit.name,)).fetchone()[0])


def _database(site: ClaimSite) -> sqlite3.Connection:
    file = site.folder / "cloud" / "plantroom.db"
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Return when `condition` holds, or after `seconds`: what follows judges."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        await asyncio.sleep(0.25)
