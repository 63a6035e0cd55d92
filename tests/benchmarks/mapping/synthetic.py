"""A site of any size to measure speed on: seeded names, of which one in five is a new template."""

from __future__ import annotations

import random
from typing import Final

from benchmarks.mapping.labelled import Labelled

SHARE: Final = 0.2
"""Distinct templates per point; the share of a real site."""
_UNITS: Final = {"Temp": "degC", "Flow": "cfm", "Pressure": "Pa", "Power": "kW", "Pos": "%"}
_EQUIPMENT: Final = (
    "AHU", "VAV", "FCU", "CH", "CHWP", "HWP", "CT", "BLR", "EF", "RTU", "CRAC", "PMP", "MTR", "HX",
    "RM", "FPB", "MAU", "ERV",
)  # fmt: skip
_PLACES: Final = (
    "Zone", "Supply", "Return", "Mixed", "Outside", "Exhaust", "Leaving", "Entering", "Duct",
    "Room", "ZN", "SA", "RA", "OA", "MA", "DA", "CHWS", "CHWR", "HWS", "HWR", "Loop", "Coil",
)  # fmt: skip
_THINGS: Final = (
    "Air", "Water", "Valve", "Damper", "Fan", "Pump", "Filter", "Heating", "Cooling", "Reheat",
    "Bypass", "Min", "Max", "Occ", "Unocc", "Eff", "VFD", "Econ",
)  # fmt: skip
_QUANTITIES: Final = (
    "Temp",
    "Flow",
    "Pressure",
    "Humidity",
    "Speed",
    "Pos",
    "Power",
    "Mode",
    "CO2",
)
_KINDS: Final = ("", "Sp", "Setpoint", "Cmd", "Status", "Alarm", "Enable", "Sensor", "Fbk", "Limit")


def site(points: int, seed: int) -> list[Labelled]:
    """Return a site of so many points, a fifth of them with a template of their own.

    Half as many different point names as templates: each occurs below two kinds of equipment.
    """
    chance = random.Random(f"{seed}:{points}")
    wanted = max(1, round(points * SHARE))
    suffixes = _some_suffixes(max(1, wanted // 2), chance)
    shapes: dict[str, str] = {}
    while len(shapes) < wanted:
        suffix = suffixes[len(shapes) % len(suffixes)]
        wing = chance.choice("ABCDEFGHJKLMNPRSTUVW") + chance.choice("ENSW")
        shapes[f"{wing}.{chance.choice(_EQUIPMENT)}-{{}}.{suffix}"] = suffix
    order = list(shapes)
    return [
        _point(f"SITE.{order[n % wanted].format(1 + n // wanted)}", shapes[order[n % wanted]])
        for n in range(points)
    ]


def _some_suffixes(count: int, chance: random.Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        parts = [
            chance.choice(_PLACES),
            *chance.sample(_THINGS, chance.randint(0, 2)),
            chance.choice(_QUANTITIES),
            chance.choice(_KINDS),
        ]
        found[chance.choice(("_", " ", "-")).join(part for part in parts if part)] = None
    return list(found)


def _point(name: str, suffix: str) -> Labelled:
    unit = next((unit for word, unit in _UNITS.items() if word in suffix), "")
    return Labelled("SITE", name, unit=unit)
