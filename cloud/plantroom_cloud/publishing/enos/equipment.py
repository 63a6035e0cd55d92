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
from plantroom_cloud.publishing.enos.devices import (
    NewDevice,
    Refusal,
    create_devices,
    product_for,
)
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.enos.models import target_of
from plantroom_cloud.publishing.plan import Mapped, Plan
from plantroom_cloud.publishing.repository import EnosDeviceRepository
from plantroom_cloud.tables import EnosDevice
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected
from plantroom_shared.mapping.things import is_raw

log = logging.getLogger(__name__)

Key = tuple[int, str]
"""Site id and equipment."""
REFUSED_FOR: Final = 600.0
"""Seconds before EnOS is asked again for what it has refused."""
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
class _Wanted:
    """Equipment of the plan and the thing model most of its points follow."""

    mapped: Mapped
    models: Counter[str] = field(default_factory=Counter)

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
        self._devices: dict[Key, EnosDevice] = {}
        self._wanted: dict[Key, _Wanted] = {}
        self._plan: Plan | None = None
        self._refused: dict[Key, float] = {}
        self._revived: dict[str, float] = {}

    def get(self, mapped: Mapped) -> EnosDevice | None:
        """Return the confirmed device of a point's equipment; None where EnOS will not have it."""
        device = self._devices.get((mapped.site_id, mapped.equipment))
        return device if device is not None and device.asset_id else None

    async def ensure(self, plan: Plan) -> None:
        """Create the devices that `plan` needs and EnOS does not have.

        Raises:
            Unavailable: EnOS is away; what was created so far is remembered.
        """
        if plan is not self._plan:
            async with self._database.read() as session:
                self._devices = await EnosDeviceRepository(session, self._scope).all()
            self._wanted = _wanted(plan)
        wanted = {key: want for key, want in self._wanted.items() if self._lacks(key, want)}
        if wanted:
            await self._create(wanted)
        self._plan = plan

    def _lacks(self, key: Key, want: _Wanted) -> bool:
        if self._refused.get(key, 0.0) > self._clock.monotonic():
            return False
        device = self._devices.get(key)
        # A device keeps its model while any point follows it: history stays in one place.
        return device is None or not device.asset_id or device.model_id not in want.models

    async def _create(self, wanted: Mapping[Key, _Wanted]) -> None:
        new: dict[NewDevice, EnosDevice] = {}
        by_model: defaultdict[str, list[Key]] = defaultdict(list)
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

    def _row(self, key: Key, want: _Wanted, product_key: str) -> EnosDevice:
        site_id, equipment = key
        return EnosDevice(
            company_id=self._scope.company_id,
            site_id=site_id,
            equipment=equipment,
            model_id=want.model_id,
            product_key=product_key,
            device_key=device_key(want.mapped.site_slug, equipment),
            asset_id="",
            created_us=self._clock.now_us(),
        )

    async def _remember(self, devices: list[EnosDevice]) -> None:
        async with self._database.write() as session:
            await EnosDeviceRepository(session, self._scope).put(devices)

    def _refuse(self, keys: list[Key], why: str) -> None:
        until = self._clock.monotonic() + REFUSED_FOR
        for key in keys:
            self._refused[key] = until
        names = ", ".join(equipment for _, equipment in keys[:5])
        log.warning(
            "EnOS will not have equipment; its values are counted as refused",
            extra={"equipment": names, "count": len(keys), "why": why},
        )

    async def lost(self, asset_id: str) -> bool:
        """Note that EnOS does not know a device any more; False if it was made anew just now."""
        now = self._clock.monotonic()
        for key, device in self._devices.items():
            if device.asset_id != asset_id:
                continue
            if self._revived.get(device.device_key, 0.0) > now:
                self._refuse([key], "the device is unknown again right after it was made")
                return False
            self._revived[device.device_key] = now + REFUSED_FOR
        async with self._database.write() as session:
            await EnosDeviceRepository(session, self._scope).forget_asset(asset_id)
        self._plan = None
        return True


def _wanted(plan: Plan) -> dict[Key, _Wanted]:
    wanted: dict[Key, _Wanted] = {}
    for mapped in plan.published.values():
        if mapped.equipment and target_of(mapped) and is_raw(mapped.model_point):
            want = wanted.setdefault((mapped.site_id, mapped.equipment), _Wanted(mapped))
            want.models[mapped.model_id] += 1
    return wanted


def _new_device(device: EnosDevice, want: _Wanted, default_zone: str) -> NewDevice:
    return NewDevice(
        device.product_key,
        device.device_key,
        device.equipment[:200],
        zone(want.mapped.timezone, default_zone),
    )
