"""From a battery's points to its figures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from plantroom_cloud.battery.analytic import BatteryData, Figure, evaluate
from plantroom_cloud.battery.equipment import Equipment, Role, group
from plantroom_cloud.battery.repository import BatteryRepository
from plantroom_cloud.battery.series import Raw, Series
from plantroom_cloud.db import ReadSession, Scope
from plantroom_cloud.kit.problems import NotFound, invalid
from plantroom_cloud.kit.times import MINUTE
from plantroom_cloud.samples.repository import SampleRepository
from plantroom_cloud.samples.window import Window, check_raw

MAX_SAMPLES: Final = 300_000
"""Of one point in one window: three days of a value per second."""
_BEYOND: Final = 5 * MINUTE
"""How far samples are read beyond the window, so that its edges are known too."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller knows better than the points."""

    rated_kwh: float | None = None
    rated_kw: float | None = None
    charge_positive: bool = False
    """Power of this battery counts charging as positive."""


class BatteryService:
    """Batteries of one company's sites."""

    def __init__(self, session: ReadSession, scope: Scope) -> None:
        self._points = BatteryRepository(session, scope)
        self._samples = SampleRepository(session, scope)

    async def batteries(self, site_id: int) -> list[Equipment]:
        """Return the batteries of a site; none for a site of another company."""
        return group(await self._points.points(site_id))

    async def figures(
        self, site_id: int, key: str, window: Window, asked: Asked
    ) -> tuple[Equipment, list[Figure]]:
        """Return a battery and its figures over `window`.

        Raises:
            NotFound: the company has no such battery.
            InvalidRequest: the window is too long, or holds too many samples.
        """
        check_raw(window)
        battery = next((one for one in await self.batteries(site_id) if one.key == key), None)
        if battery is None:
            msg = f"site {site_id} has no battery {key}; GET /v1/sites/{site_id}/batteries lists it"
            raise NotFound(msg)
        data = await self._data(battery, window, asked)
        # A day of one-second samples takes a good second: too long for the loop.
        return battery, await asyncio.to_thread(evaluate, data)

    async def _data(self, battery: Equipment, window: Window, asked: Asked) -> BatteryData:
        power = await self._series(battery, "power", window)
        if power is not None and asked.charge_positive:
            power = replace(power, scale=-power.scale)
        return BatteryData(
            start=window.start,
            end=window.end,
            power=power,
            soc=await self._series(battery, "soc", window),
            charge_counter=await self._series(battery, "charge_counter", window),
            discharge_counter=await self._series(battery, "discharge_counter", window),
            rated_kwh=asked.rated_kwh or battery.rating("rated_energy"),
            rated_kw=asked.rated_kw or battery.rating("rated_power"),
        )

    async def _series(self, battery: Equipment, role: Role, window: Window) -> Series | None:
        point = battery.roles.get(role)
        if point is None:
            return None
        wider = Window(window.start - _BEYOND, window.end + _BEYOND)
        rows = await self._samples.numbers(point.id, wider, MAX_SAMPLES + 1)
        if len(rows) > MAX_SAMPLES:
            detail = f"point {point.id} has more than {MAX_SAMPLES} samples there: narrow from..to"
            raise invalid(detail, parameter="from")
        samples: list[Raw] = [(row.ts_us, row.value, row.quality) for row in rows]
        return Series(point.id, samples, point.scale)
