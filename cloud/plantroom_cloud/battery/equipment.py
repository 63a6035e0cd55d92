"""Which points of a battery say what: roles from the thing model, the class, or the name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from plantroom_cloud.battery.repository import MODEL
from plantroom_cloud.kit.repository import AnyRow
from plantroom_shared.errors import Rejected
from plantroom_shared.units import convert

Role = Literal["power", "soc", "charge_counter", "discharge_counter", "rated_energy", "rated_power"]

UNITS: Final[dict[Role, str]] = {
    "power": "kW",
    "soc": "%",
    "charge_counter": "kWh",
    "discharge_counter": "kWh",
    "rated_energy": "kWh",
    "rated_power": "kW",
}
"""What each role is reckoned in."""

_MODEL_POINTS: Final[dict[str, Role]] = {
    "BS.ActivePW": "power",
    "BS.Soc": "soc",
    "BS.TotalChargingEng": "charge_counter",
    "BS.TotalCharging": "charge_counter",
    "BS.TotalDischargingEng": "discharge_counter",
    "BS.TotalDischarging": "discharge_counter",
    "BS.MaxDischargePower": "rated_power",
}
_CLASSES: Final[dict[str, Role]] = {
    "Electric_Power_Sensor": "power",
    "Active_Power_Sensor": "power",
}
_NAMES: Final[dict[str, Role]] = {
    r"(wh-?rtg|(nameplate|rated).*(energy|capacity)|rated.?kwh)": "rated_energy",
    r"(\bso-?c\b|state.of.charge)": "soc",
    r"(discharged?.*(energy|kwh)|(energy|kwh).*discharg)": "discharge_counter",
    r"(charged?.*(energy|kwh)|(energy|kwh).*charg)": "charge_counter",
}
_LIMITS: Final = re.compile(
    r"max|min|limit|set.?point|request|reserve|nameplate|rated|today|daily|\bday\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class RolePoint:
    """A point that serves a role."""

    id: int
    role: Role
    name: str
    unit: str
    scale: float
    """What a value is multiplied by to be in the unit of the role."""
    value: float | None
    """Its newest good value, as stored."""
    certainty: float
    """Of several points for one role the highest serves."""


@dataclass(slots=True)
class Equipment:
    """A battery of a site."""

    key: str
    equip_class: str = ""
    model: str = ""
    devices: set[int] = field(default_factory=set)
    roles: dict[Role, RolePoint] = field(default_factory=dict)

    def rating(self, role: Role) -> float | None:
        """Return a nameplate value in the unit of its role; None if unknown or not positive."""
        point = self.roles.get(role)
        if point is None or point.value is None:
            return None
        value = point.value * point.scale
        return value if 0 < value < 1e9 else None


def group(rows: Iterable[AnyRow]) -> list[Equipment]:
    """Return the batteries that the points in `rows` describe, by key."""
    found: dict[str, Equipment] = {}
    rest: list[AnyRow] = []
    for row in rows:
        if not _is_battery(row):
            rest.append(row)
            continue
        key = row.equipment or row.key.rpartition(":")[0]
        battery = found.setdefault(key, Equipment(key))
        battery.equip_class = battery.equip_class or row.equip_class
        battery.model = battery.model or row.model_id
        battery.devices.add(row.device_id)
        _offer(battery, row)
    batteries = [found[key] for key in sorted(found)]
    _add_nameplates(batteries, rest)
    return batteries


def _is_battery(row: AnyRow) -> bool:
    return row.model_id == MODEL or (row.equip_class or "").startswith("Battery")


def _offer(battery: Equipment, row: AnyRow) -> None:
    point = _role_point(row)
    if point is None:
        return
    present = battery.roles.get(point.role)
    if present is None or point.certainty > present.certainty:
        battery.roles[point.role] = point


def _add_nameplates(batteries: Sequence[Equipment], rest: Iterable[AnyRow]) -> None:
    """Give nameplate values without a class to the one battery of their device that has power."""
    for row in rest:
        owners = [one for one in batteries if row.device_id in one.devices and "power" in one.roles]
        point = _role_point(row)
        if len(owners) == 1 and point is not None and point.role == "rated_energy":
            owners[0].roles.setdefault("rated_energy", point)


def _role_point(row: AnyRow) -> RolePoint | None:
    role, certainty = _role(row)
    if role is None:
        return None
    try:
        scale = convert(1.0, row.unit, UNITS[role])
    except Rejected:
        # Without a unit nobody knows whether it is W or kW; a state of charge is in per cent.
        if role != "soc" or row.unit:
            return None
        scale = 1.0
    value = row.value if row.quality == 0 else None
    return RolePoint(row.id, role, row.name, row.unit, scale, value, certainty)


def _role(row: AnyRow) -> tuple[Role | None, float]:
    """Return what a point serves as, and how sure that is: 2..3 by model, 1..2 by class, 1 by name."""
    confidence = row.confidence or 0.0
    if row.model_id == MODEL and (role := _MODEL_POINTS.get(row.model_point)):
        return role, 2 + confidence
    named = f"{row.key.rpartition(':')[2]} {row.name}"
    limited = _LIMITS.search(named) is not None
    if not limited and (role := _CLASSES.get(row.point_class or "")):
        return role, 1 + confidence
    for pattern, role in _NAMES.items():
        if re.search(pattern, named, re.IGNORECASE) and (role == "rated_energy" or not limited):
            return role, 1.0
    return None, 0.0
