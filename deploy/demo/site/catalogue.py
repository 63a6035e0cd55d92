"""The point list of the simulated office building, and the truth about every point of it.

Pure: the same seed gives the same list. The seed decides which descriptions and units the
integrators left out; names, keys and meaning never change.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .entry import Entry, Spec
from .modbus_devices import modbus_entries, site_devices

FLOOR_1_BOXES = 14
FLOOR_2_BOXES = 8
PLANT, AHU_1, AHU_2, FLOOR_1, FLOOR_2, WEATHER = 1001, 1101, 1102, 1201, 1300, 1401
"""BACnet device instances; the boxes of floor 2 are 1301, 1302 ..."""

OBJECT_TYPES = {
    "ai": "analog-input",
    "ao": "analog-output",
    "av": "analog-value",
    "bi": "binary-input",
    "bo": "binary-output",
    "bv": "binary-value",
    "mv": "multi-state-value",
}
WATCHED = (
    "t_chws",
    "t_chwr",
    "t_cws",
    "t_cwr",
    "t_evap",
    "t_cond",
    "flow_chw",
    "fla",
    "load",
    "power",
)
"""What of a chiller moves with its load: its set-points, switches, counters and
its constant condenser flow say nothing."""
_UNIT_NEEDED = ("fahrenheit", "cubic", "inches", "tons", "hours")
"""Units that no reader could guess are never left out: a missing one would be a wrong value."""
_NO_DESCRIPTION, _NO_UNIT = 0.3, 0.12


@dataclass(frozen=True, slots=True)
class Controller:
    """One BACnet device of the site."""

    instance: int
    name: str
    vendor: str
    model: str
    first: int
    """The first object instance of each type; every vendor counts from somewhere else."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """A machine, where it hangs, and which table describes its points."""

    key: str
    """``chiller-1``: also the prefix of its physics signals."""
    controller: int
    table: str
    naming: str
    """The name of a point: this with ``{}`` filled in."""
    brick: str
    model: str = ""
    """EnOS thing model."""


def controllers() -> list[Controller]:
    """Return every BACnet device of the site."""
    boxes = [
        Controller(FLOOR_2 + n, f"VAV-2-{n:02d}", "Plainfield Controls", "VAV-U", 1)
        for n in range(1, FLOOR_2_BOXES + 1)
    ]
    return [
        Controller(PLANT, "B1'ChPlt'AS01", "Hohenfels Building", "PX-200", 0),
        Controller(AHU_1, "NAE-01/FC-1.AHU-1", "Lakeshore Controls", "FEC-2611", 3000001),
        Controller(AHU_2, "AHU 2", "Prairie Air Systems", "UC-600", 10001),
        Controller(FLOOR_1, "Floor1_Controller", "Granite Automation", "JACE-like 8", 1),
        *boxes,
        Controller(WEATHER, "OutdoorWeather", "Granite Automation", "WX-1", 1),
    ]


def equipment() -> list[Equipment]:
    """Return every machine behind the BACnet devices."""
    plant = [
        Equipment(f"{key}-{n}", PLANT, table, f"B1'{mark}{n:02d}'{{}}", brick, model)
        for key, mark, brick, model, table in (
            ("chiller", "Ch", "Chiller", "EnOS_HVAC_CH", "chiller"),
            ("chwp", "ChwPu", "Chilled_Water_Pump", "EnOS_HVAC_CHWP", "pump"),
            ("cwp", "CwPu", "Condenser_Water_Pump", "EnOS_HVAC_CWP", "pump"),
            ("tower", "ClgTwr", "Cooling_Tower", "EnOS_HVAC_CT", "tower"),
        )
        for n in (1, 2)
    ]
    ahu, vav = "Air_Handling_Unit", "Variable_Air_Volume_Box_With_Reheat"
    return [
        *plant,
        Equipment("plant", PLANT, "plant", "B1'ChPlt'{}", "Chilled_Water_System", "EnOS_HVAC_CHPL"),
        Equipment("ahu-1", AHU_1, "ahu_abbreviated", "NAE-01/FC-1.AHU-1.{}", ahu, "EnOS_HVAC_AHU"),
        Equipment("ahu-2", AHU_2, "ahu_spelled", "AHU 2 {}", ahu, "EnOS_HVAC_AHU"),
        *(
            Equipment(f"vav-1-{n:02d}", FLOOR_1, "vav_words", f"VAV_1_{n:02d}.{{}}", vav)
            for n in range(1, FLOOR_1_BOXES + 1)
        ),
        *(
            Equipment(f"vav-2-{n:02d}", FLOOR_2 + n, "vav_abbreviated", f"VAV-2-{n:02d} {{}}", vav)
            for n in range(1, FLOOR_2_BOXES + 1)
        ),
        Equipment("weather", WEATHER, "weather", "{}", "Weather_Station", "EnOS_CITY_WST"),
    ]


def bacnet_entries(seed: int) -> list[Entry]:
    """Return the BACnet part of the site, device by device."""
    rng = random.Random(f"catalogue-{seed}")
    first = {controller.instance: controller.first for controller in controllers()}
    counts: Counter[tuple[int, str]] = Counter()
    entries: list[Entry] = []
    for machine in equipment():
        for spec in tables()[machine.table]:
            place = (machine.controller, spec.kind)
            instance = first[machine.controller] + counts[place]
            counts[place] += 1
            entries.append(_entry(machine, spec, instance, len(entries), rng))
    return entries


def keys_of(entries: list[Entry], machine: str) -> list[str]:
    """Return the keys of the points of `machine` that move with its load."""
    wanted = {f"{machine}.{signal}" for signal in WATCHED}
    return [entry.key for entry in entries if entry.signal in wanted]


@cache
def tables() -> dict[str, tuple[Spec, ...]]:
    """Return the point tables of ``points.csv`` by name."""
    found: dict[str, list[Spec]] = {}
    with Path(__file__).with_name("points.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            spec = Spec(
                row["name"],
                row["description"],
                row["unit"],
                row["kind"],
                row["signal"],
                row["brick"],
                row["enos"],
                tuple(row["states"].split("|")) if row["states"] else (),
            )
            found.setdefault(row["table"], []).append(spec)
    return {name: tuple(specs) for name, specs in found.items()}


def _entry(machine: Equipment, spec: Spec, instance: int, index: int, rng: random.Random) -> Entry:
    object_type = OBJECT_TYPES[spec.kind]
    left_out = list(_left_out(spec, rng))
    return Entry(
        key=f"bacnet:{machine.controller}:{object_type}:{instance}",
        device=f"bacnet:{machine.controller}",
        name=machine.naming.format(spec.name),
        description="" if "description" in left_out else spec.text,
        unit="" if "unit" in left_out else spec.unit,
        object_type=object_type,
        states=spec.states,
        equipment=machine.key,
        equip_class=machine.brick,
        point_class=spec.brick,
        enos=f"{machine.model}/{spec.enos}" if spec.enos else "",
        signal=f"{machine.key}.{spec.signal}",
        true_unit=spec.unit,
        index=index,
        instance=instance,
    )


def _left_out(spec: Spec, rng: random.Random) -> Iterator[str]:
    if rng.random() < _NO_DESCRIPTION:
        yield "description"
    if rng.random() < _NO_UNIT and not any(word in spec.unit for word in _UNIT_NEEDED):
        yield "unit"


def catalogue(seed: int) -> list[Entry]:
    """Return every point of the site, BACnet before Modbus; `Entry.index` is the position."""
    bacnet = bacnet_entries(seed)
    return bacnet + modbus_entries(site_devices(), len(bacnet))
