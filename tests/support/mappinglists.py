"""Two small made-up sites with their truth, as the mapping benchmark reads them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

from benchmarks.mapping.labelled import Labelled

_POINTS: Final = (
    ("AHU", "Air_Handling_Unit", "Supply Air Temp", "Supply_Air_Temperature_Sensor"),
    ("AHU", "Air_Handling_Unit", "Return Air Temp", "Return_Air_Temperature_Sensor"),
    ("AHU", "Air_Handling_Unit", "Fan Speed Cmd", "Speed_Command"),
    ("VAV", "Variable_Air_Volume_Box", "Zone Temp", "Zone_Air_Temperature_Sensor"),
    ("VAV", "Variable_Air_Volume_Box", "Damper Cmd", "Damper_Command"),
    ("VAV", "Variable_Air_Volume_Box", "Remark", ""),
)
_COLUMNS: Final = (
    "dataset",
    "building",
    "point_name",
    "units",
    "point_type",
    "equip_id",
    "equip_class",
)


def _site(name: str, separator: str) -> list[Labelled]:
    return [
        Labelled(
            building=name,
            name=f"{name}{separator}{kind}-{number}{separator}{what}",
            unit="degC" if "Temp" in what else "",
            point_type=point_type,
            equip_id=f"{kind}{number}",
            equip_class=equip_class,
            dataset=f"{name} list",
        )
        for number in range(1, 5)
        for kind, equip_class, what, point_type in _POINTS
    ]


SITES: Final = {"north": _site("north", "."), "south": _site("south", "_")}


def write(folder: Path) -> Path:
    """Write one file per site; return the folder."""
    for name, rows in SITES.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(
                (
                    row.dataset,
                    row.building,
                    row.name,
                    row.unit,
                    row.point_type,
                    row.equip_id,
                    row.equip_class,
                )
                for row in rows
            )
    return folder
