"""Equipment of a company → devices in EnOS: named, created in batches, remembered."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.publishing.dues import DueRepository
from plantroom_cloud.publishing.enos.devices import (
    NewDevice,
    Refusal,
    create_devices,
    product_for,
)
from plantroom_cloud.publishing.enos.drift import Device, FoundDevice
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.enos.models import target_of
from plantroom_cloud.publishing.past import PastRepository
from plantroom_cloud.publishing.plan import Mapped, Place, Plan
from plantroom_cloud.publishing.repository import EnosDeviceRepository
from plantroom_cloud.tables import EnosDevice
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected
from plantroom_shared.mapping.things import is_raw

log = logging.getLogger(__name__)

KIND: Final = "enos"
"""Of the targets this is for."""
REFUSED_FOR: Final = 600.0
"""Seconds before EnOS is asked again for what it has refused."""
_READ_AGAIN = 15.0
"""Seconds after which the devices are read again: another process may have changed them."""
_CHARSET = re.compile(r"[^A-Za-z0-9\-_.:]")
_LONGEST = 64
_SHORTEST = 4
_IANA = re.compile(r"[A-Za-z_]+(/[A-Za-z0-9_+\-]+)+\Z")


def device_key(site_slug: str, equipment: str) -> str:
    """Return the device key of equipment: the same for ever, 4 to 64 characters EnOS allows.

    Names that had to be changed get a hash, so that two of them never become one key.
    """
    plain = f"{site_slug}:{equipment}"
    clean = _CHARSET.sub("-", plain)
    if clean == plain and ":" not in equipment and _SHORTEST <= len(plain) <= _LONGEST:
        return plain
    digest = hashlib.sha256(f"{site_slug}\0{equipment}".encode()).hexdigest()[:10]
    return f"{clean[: _LONGEST - 11]}-{digest}"


def zone(site: str, default: str) -> str:
    """Return the time zone of a device: the site's if EnOS takes its like, else `default`."""
    return site if _IANA.match(site) else default


@dataclass(slots=True)
class Wanted:
    """Equipment of the plan and the thing model most of its points follow."""

    mapped: Mapped
    models: Counter[str] = field(default_factory=Counter)
    points: dict[str, set[str]] = field(default_factory=dict)
    """Thing model → its points that are published."""
    parent: str = ""

    @property
    def model_id(self) -> str:
        """The model of most points; of equals the first by name."""
        return min(self.models, key=lambda name: (-self.models[name], name))


class Equipment:
    """The devices of one company in EnOS.

    Args:
        database: keeps which equipment is which device.
        scope: the company.
        gateway: the way to EnOS.
        timezone: of devices whose site names no zone EnOS takes.
        clock: for how long a refusal holds.
    """

    def __init__(
        self, database: Database, scope: Scope, gateway: Gateway, timezone: str, clock: Clock
    ) -> None:
        self._database, self._scope, self._gateway = database, scope, gateway
        self._timezone, self._clock = timezone, clock
        self._devices: dict[Place, EnosDevice] = {}
        self._wanted: dict[Place, Wanted] = {}
        self._plan: Plan | None = None
        self._read_at = 0.0
        self._refused: dict[Place, float] = {}

    def get(self, mapped: Mapped) -> EnosDevice | None:
        """Return the confirmed device of a point's equipment; None where EnOS has none for it.

        Equipment that is only called otherwise keeps the device it had.
        """
        renamed = self._plan.renamed if self._plan else {}
        for place in (renamed.get(mapped.place), mapped.place):
            device = self._devices.get(place) if place else None
            if device is not None:
                return device if device.asset_id and device.gone_us is None else None
        return None

    async def ensure(self, plan: Plan) -> None:
        """Create the devices that `plan` needs and EnOS never had.

        Raises:
            Unavailable: EnOS is away; what was created so far is remembered.
        """
        if plan is not self._plan or self._clock.monotonic() >= self._read_at:
            await self.read(plan)
        wanted = {key: want for key, want in self._wanted.items() if self._lacks(key, want)}
        if wanted:
            await self._create(wanted)

    async def read(self, plan: Plan) -> None:
        """Read which equipment is which device."""
        async with self._database.read(self._scope) as session:
            self._devices = await EnosDeviceRepository(session, self._scope).all()
        self._wanted, self._plan = wanted_equipment(plan), plan
        self._read_at = self._clock.monotonic() + _READ_AGAIN

    def of_site(self, site_id: int) -> tuple[dict[str, Wanted], dict[str, EnosDevice]]:
        """Return a site's equipment that is wanted, and what is known of its devices."""
        wanted = {name: want for (site, name), want in self._wanted.items() if site == site_id}
        known = {name: row for (site, name), row in self._devices.items() if site == site_id}
        return wanted, known

    def key_of(self, site_slug: str, place: Place) -> str:
        """Return the device key of equipment; one that was renamed keeps its key to itself."""
        row = self._devices.get(place)
        if row is not None:
            return row.device_key
        site_id, equipment = place
        taken = {row.device_key for (site, _), row in self._devices.items() if site == site_id}
        names = (equipment, *(f"{equipment} ({n})" for n in range(2, len(taken) + 3)))
        return next(key for name in names if (key := device_key(site_slug, name)) not in taken)

    def _lacks(self, key: Place, want: Wanted) -> bool:
        if self._refused.get(key, 0.0) > self._clock.monotonic():
            return False
        before = self._plan.renamed.get(key) if self._plan else None
        if before is not None and before in self._devices:
            return False  # it has a device; that it is to be called otherwise is for a plan
        device = self._devices.get(key)
        if device is not None and device.gone_us is not None:
            return False  # somebody has deleted it there: making it again is for a plan
        # A device keeps its model while any point follows it: history stays in one place.
        return device is None or not device.asset_id or device.model_id not in want.models

    def forgive(self) -> None:
        """Ask EnOS again at once for what it has refused."""
        self._refused.clear()

    async def _create(self, wanted: Mapping[Place, Wanted]) -> None:
        new: dict[NewDevice, EnosDevice] = {}
        by_model: defaultdict[str, list[Place]] = defaultdict(list)
        for key in sorted(wanted):
            by_model[wanted[key].model_id].append(key)
        for model_id, keys in by_model.items():
            try:
                product_key = await product_for(self._gateway, model_id)
            except Rejected as error:
                self._refuse(keys, str(error))
                continue
            for key in keys:
                device = self._row(key, wanted[key], product_key)
                new[_new_device(device, wanted[key], self._timezone)] = device
        await self._remember(list(new.values()))
        for request, result in (await create_devices(self._gateway, list(new))).items():
            device = new[request]
            key = (device.site_id, device.equipment)
            if isinstance(result, Refusal):
                self._refuse([key], f"{result.code}: {result.text}")
                continue
            device.asset_id = result
            self._devices[key] = device
        await self._remember(list(new.values()))

    def _row(self, key: Place, want: Wanted, product_key: str) -> EnosDevice:
        site_id, equipment = key
        return EnosDevice(
            company_id=self._scope.company_id,
            site_id=site_id,
            equipment=equipment,
            model_id=want.model_id,
            product_key=product_key,
            device_key=self.key_of(want.mapped.site_slug, key),
            asset_id="",
            created_us=self._clock.now_us(),
            name=device_name(equipment),
        )

    async def _remember(self, devices: list[EnosDevice]) -> None:
        async with self._database.write(self._scope) as session:
            await EnosDeviceRepository(session, self._scope).put(devices)

    def _refuse(self, keys: list[Place], why: str) -> None:
        until = self._clock.monotonic() + REFUSED_FOR
        for key in keys:
            self._refused[key] = until
        names = ", ".join(equipment for _, equipment in keys[:5])
        log.warning(
            "EnOS will not have equipment; its values wait",
            extra={"equipment": names, "count": len(keys), "why": why},
        )

    async def lost(self, asset_id: str) -> None:
        """Note that EnOS does not know a device any more: its values wait for a plan."""
        now_us = self._clock.now_us()
        for device in self._devices.values():
            if device.asset_id == asset_id and device.gone_us is None:
                device.gone_us = now_us
                extra = {"equipment": device.equipment, "asset": asset_id}
                log.warning("EnOS knows a device no more; its values wait for a plan", extra=extra)
        async with self._database.write(self._scope) as session:
            await EnosDeviceRepository(session, self._scope).note_gone(asset_id, now_us)

    # ------------------------------------------------------------ by plan

    async def make(self, place: Place, device: Device, history_us: int) -> FoundDevice:
        """Create a device, or find it; where it was there before, its history is due again.

        Args:
            place: the equipment, under the name by which we know it.
            device: as it should be.
            history_us: how much of its history is due.

        Raises:
            Unavailable: EnOS is away.
            Rejected: EnOS will not have it.
        """
        product_key = await product_for(self._gateway, device.model_id)
        new = NewDevice(product_key, device.device_key, device.name, device.timezone)
        result = (await create_devices(self._gateway, [new]))[new]
        if isinstance(result, Refusal):
            msg = f"EnOS refuses the device with {result.code or 'no code'}: {result.text}"
            raise Rejected(msg, reason=result.code or "refused")
        found = FoundDevice(
            result, product_key, new.device_key, device.model_id, new.name, new.timezone
        )
        await self.adopt(place, found, history_us)
        return found

    async def adopt(self, place: Place, found: FoundDevice, history_us: int) -> None:
        """Know equipment by the device that EnOS has for it; its history is due."""
        site_id, equipment = place
        now_us, was = self._clock.now_us(), self._devices.get(place)
        row = EnosDevice(
            company_id=self._scope.company_id,
            site_id=site_id,
            equipment=equipment,
            model_id=found.model_id,
            product_key=found.product_key,
            device_key=found.device_key,
            asset_id=found.asset_id,
            created_us=was.created_us if was else now_us,
            name=found.name,
            gone_us=None,
        )
        async with self._database.write(self._scope) as session:
            await EnosDeviceRepository(session, self._scope).put([row])
            if was is not None and was.asset_id:
                dues = DueRepository(session, self._scope)
                await PastRepository(session, self._scope).emptied(KIND, site_id, equipment)
                points = await dues.points_of(KIND, site_id, equipment)
                span = [(now_us - history_us, now_us)]
                await dues.add(KIND, dict.fromkeys(points, span) if history_us else {})
        self._refused.pop(place, None)
        self._devices[place] = row

    async def rename(self, site_id: int, before: str, after: str) -> None:
        """Know a device by another equipment; what it holds stays published."""
        async with self._database.write(self._scope) as session:
            await EnosDeviceRepository(session, self._scope).rename(site_id, before, after)
            await DueRepository(session, self._scope).rename(KIND, site_id, before, after)
            await PastRepository(session, self._scope).rename(KIND, site_id, before, after)
        row = self._devices.pop((site_id, before))
        row.equipment = after
        self._devices[site_id, after] = row

    async def note_name(self, place: Place, name: str) -> None:
        """Note what a device is called in EnOS now."""
        self._devices[place].name = name
        await self._remember([self._devices[place]])


def device_name(equipment: str) -> str:
    """Return what the device of `equipment` is called."""
    return equipment[:200]


def wanted_equipment(plan: Plan) -> dict[Place, Wanted]:
    """Return the equipment that `plan` publishes, with the points of each."""
    wanted: dict[Place, Wanted] = {}
    for mapped in plan.published.values():
        if mapped.equipment and target_of(mapped) and is_raw(mapped.model_point):
            want = wanted.setdefault(mapped.place, Wanted(mapped))
            want.models[mapped.model_id] += 1
            want.points.setdefault(mapped.model_id, set()).add(mapped.model_point)
            want.parent = want.parent or mapped.parent
    return wanted


def _new_device(device: EnosDevice, want: Wanted, default_zone: str) -> NewDevice:
    return NewDevice(
        device.product_key,
        device.device_key,
        device.name,
        zone(want.mapped.timezone, default_zone),
    )
