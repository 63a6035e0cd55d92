"""Fault 32: devices and the cloud are killed as devices are claimed and renew their certificates."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from plantroom_edge.claiming import files, renewal
from plantroom_edge.claiming.cloud import ProvisionClient
from plantroom_edge.clock import EdgeClock
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Unavailable
from support.claim_kills import COMPANIES, PATIENCE, Office, Unit, forked
from support.fault_case import Setting, case
from support.fault_report import Figure

_CLAIM: Final = 34
"""Steps of a claim, before and after which it can be killed; a few more than there are."""
_RENEWAL: Final = 20
_TRIES: Final = 4
"""Most kills of one way."""
_RENEWALS: Final = 9
"""Of one gateway: the cloud allows no more than a dozen certificates a day."""
_DUE: Final = timedelta(days=61)


@dataclass
class _Run:
    office: Office
    dice: random.Random
    units: list[Unit] = field(default_factory=list)
    of_devices: int = 0
    of_cloud: int = 0
    stuck: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """All so far."""
        return self.of_devices + self.of_cloud

    def claim(self) -> None:
        """Claim a device, killed on its way."""
        number = len(self.units)
        folder = self.office.folder / f"unit-{number}"
        folder.mkdir()
        unit = Unit(self.office, folder, COMPANIES[number % 2], in_1970=self.dice.random() < 0.3)
        self.units.append(unit)
        self._torment(_CLAIM, unit.claim, lambda: bool(unit.name))
        self.judge(unit)

    def renew(self) -> None:
        """Have a gateway's certificate renewed, killed on its way."""
        unit = self.dice.choice(self.units)
        if unit.renewals >= _RENEWALS:
            self.claim()
            return
        unit.renewals += 1
        cloud = unit.config.cloud
        assert cloud is not None
        old, clock = cloud.cert.read_bytes(), EdgeClock(SystemClock())
        due = clock.now_us() + int(_DUE.total_seconds() * 1e6)
        asked = renewal.Renewal(
            unit.name, cloud.ca, cloud.cert, cloud.key, cloud.provision, cloud.provision_ca, due
        )

        def run() -> None:
            client = ProvisionClient(cloud.provision, cloud.provision_ca, clock)
            while not renewal.renew(asked, client)["staged"]:
                time.sleep(0.1)
            files.promote(asked.cert, asked.key)  # the cloud has answered over it

        def usable() -> bool:
            files.recover(asked.cert, asked.key)
            return files.fits(asked.cert, asked.key)

        self._torment(_RENEWAL, _patient(run), lambda: usable() and cloud.cert.read_bytes() != old)
        self.judge(unit)

    def _torment(self, steps: int, run: Callable[[], None], through: Callable[[], bool]) -> None:
        if self.dice.random() < 0.1:
            self._kill_cloud(run)
        else:
            for _ in range(self.dice.randint(1, _TRIES)):
                if through():
                    break
                ended = forked(self.dice.randint(1, steps), run)
                self.of_devices += ended == -signal.SIGKILL
                self.stuck += ended not in {0, -signal.SIGKILL}
        if not through():
            self.stuck += forked(0, run) != 0

    def _kill_cloud(self, run: Callable[[], None]) -> None:
        def kill() -> None:
            time.sleep(self.dice.uniform(0, 0.6))
            self.office.child.kill()
            self.office.child.start().wait_ready(PATIENCE)
            self.of_cloud += 1

        self.stuck += forked(0, run, kill) != 0

    def judge(self, unit: Unit) -> None:
        if fault := unit.fault():
            self.faults.append(f"{unit.folder.name}: {fault}")


def _patient(run: Callable[[], None]) -> Callable[[], None]:
    """Return what runs again while the cloud is away, as the agent does every now and then."""

    def running() -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return run()
            except Unavailable:
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)

    return running


@case("claims", faults="32", pr=12, full=500)
def claims(setting: Setting) -> Sequence[Figure]:
    """`count` kills -9: of the device before or after any of its steps, of the cloud at any moment."""
    office = Office(setting.folder)
    office.child.start().wait_ready(PATIENCE)
    run = _Run(office, setting.dice("claims"))
    try:
        while run.kills < setting.count:
            if len(run.units) < 2 or run.dice.random() < 0.5:
                run.claim()
            else:
                run.renew()
            setting.say(f"{run.kills} kills, {len(run.units)} devices, {len(run.faults)} faults")
        # What a kill did to one device must not have hurt another.
        for unit in run.units:
            run.judge(unit)
        told = {each: office.gateways(each) for each in COMPANIES}
    finally:
        office.child.stop()
    for fault in run.faults:
        setting.say(fault)
    wanted = {each: {u.name for u in run.units if u.company == each} for each in COMPANIES}
    wrong = sum(len(told[each] ^ wanted[each]) for each in COMPANIES)
    name, runs = "32 claims and renewals", run.kills
    renewals = sum(each.renewals for each in run.units)
    in_1970 = sum(each.in_1970 for each in run.units)
    return [
        Figure(name, "kills of a device", run.of_devices, run.of_devices, None, seed=setting.seed),
        Figure(name, "kills of the cloud", run.of_cloud, run.of_cloud, None),
        Figure(name, "claims, and of these in 1970", len(run.units), in_1970, None),
        Figure(name, "renewals", renewals, renewals, None),
        Figure(name, "ways that did not end", runs, run.stuck),
        Figure(name, "gateways unusable, or another's", runs, len(run.faults)),
        Figure(name, "gateways too many, too few or of the wrong company", runs, wrong),
    ]
