"""The Modbus devices of the site: which profile, which unit, behind which TCP port."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from plantroom_shared.model import Value
from plantroom_shared.profiles import Profile, Register, load_profile

from .entry import Entry


@dataclass(frozen=True, slots=True)
class ModbusDevice:
    """One Modbus unit."""

    name: str
    host: str
    """Which TCP server answers for it: devices of one `host` share a port."""
    unit: int
    profile_name: str
    profile: Profile


_SITE = (
    ("main-meter", "main-meter", 1, "meter/schneider-pm5560"),
    ("pv-inverter", "pv-inverter", 126, "inverter/sunspec-103"),
    ("battery", "battery", 1, "battery/sunspec-802-803"),
    ("plant-meter", "meter-gateway", 11, "meter/eastron-sdm630"),
    ("floors-meter", "meter-gateway", 12, "meter/carlo-gavazzi-em24"),
)
EXPONENTS = {
    "A_SF": -1, "V_SF": -1, "W_SF": 1, "Hz_SF": -2, "VA_SF": 1, "VAr_SF": 1, "PF_SF": -1,
    "WH_SF": 0, "DCA_SF": -1, "DCV_SF": -1, "DCW_SF": 1, "Tmp_SF": -1,
    "802-AHRtg_SF": 0, "802-WHRtg_SF": 2, "802-WChaDisChaMax_SF": 1, "802-DisChaRte_SF": -1,
    "802-SoC_SF": -2, "802-DoD_SF": -2, "802-SoH_SF": -1, "802-V_SF": -1, "802-CellV_SF": -3,
    "802-A_SF": -1, "802-AMax_SF": -1, "802-W_SF": 1,
    "803-CellV_SF": -3, "803-ModTmp_SF": -1, "803-A_SF": -1, "803-SoH_SF": -1,
    "803-SoC_SF": -2, "803-V_SF": -1,
}  # fmt: skip
"""What the scale-factor registers hold: so large that nothing overflows, no larger."""


@cache
def site_devices() -> tuple[ModbusDevice, ...]:
    """Return the Modbus devices of the office building."""
    return tuple(
        ModbusDevice(name, host, unit, profile, load_profile(profile))
        for name, host, unit, profile in _SITE
    )


def modbus_entries(devices: Iterable[ModbusDevice], first_index: int) -> list[Entry]:
    """Return the points of `devices` as the edge names them."""
    pairs = [(device, register) for device in devices for register in device.profile.points]
    return [
        _entry(device, register, index)
        for index, (device, register) in enumerate(pairs, start=first_index)
    ]


def raw_value(register: Register, values: dict[str, Value]) -> list[int]:
    """Return the words that `register` shows, given what the device reads in point units.

    A register nobody gives a value shows its `expect`, its scale factor, or false or nothing.
    """
    if register.expect is not None:
        return register.encode(register.expect)
    if register.id in EXPONENTS and register.hidden:
        return register.encode(EXPONENTS[register.id])
    value = values.get(register.id)
    if register.type == "bool":
        return register.encode(bool(value))
    return register.encode(value, EXPONENTS[register.sf] if register.sf else 0)


def _entry(device: ModbusDevice, register: Register, index: int) -> Entry:
    return Entry(
        key=f"modbus:{device.name}:{register.id}",
        device=f"modbus:{device.name}",
        name=register.name,
        description=register.description,
        unit=register.unit,
        object_type=register.space,
        states=tuple(register.states.values()),
        equipment=device.name,
        equip_class=device.profile.equip_class,
        point_class=register.point_class,
        enos=register.enos,
        signal=f"{device.name}.{register.id}",
        true_unit=register.unit,
        index=index,
    )
