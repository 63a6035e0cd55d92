"""The small site of a ledger run: one BACnet device and one Modbus device, no physics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from plantroom_shared.profiles import parse_profile

from .entry import Entry
from .ledger import POINTS
from .modbus_devices import ModbusDevice, modbus_entries

INSTANCE = 2001
PROFILE = "ledger/ledger-unit"
"""Name of the profile that is written beside the manifest."""
DEVICE = "ledger-unit"
# Every layout that holds a ledger value exactly; 16-bit registers are too narrow.
_LAYOUTS = (
    ("float32", "ABCD", "holding"), ("float32", "CDAB", "holding"),
    ("uint32", "BADC", "holding"), ("uint32", "DCBA", "input"),
    ("int32", "ABCD", "holding"), ("int32", "CDAB", "input"),
    ("float64", "ABCD", "holding"), ("int64", "CDAB", "holding"),
    ("uint64", "DCBA", "input"), ("float32", "BADC", "input"),
)  # fmt: skip
_WORDS = {"float32": 2, "uint32": 2, "int32": 2, "float64": 4, "int64": 4, "uint64": 4}
_HOLE = 7
"""After so many points a register is left out, so that blocks are not all alike."""


def ledger_entries(points: int) -> list[Entry]:
    """Return the points of a ledger site: a third on BACnet, the rest on Modbus.

    Raises:
        ValueError: `points` is below 2 or beyond what a value can tell apart.
    """
    if not 2 <= points <= POINTS:
        msg = f"a ledger site has 2 to {POINTS} points, not {points}"
        raise ValueError(msg)
    bacnet = max(1, points // 3)
    entries = [_analog(index) for index in range(bacnet)]
    return entries + modbus_entries([ledger_device(points - bacnet)], bacnet)


def ledger_device(points: int) -> ModbusDevice:
    """Return the Modbus unit of a ledger site with `points` points."""
    text = ledger_profile(points)
    return ModbusDevice(DEVICE, DEVICE, 1, PROFILE, parse_profile(text, PROFILE))


def ledger_profile(points: int) -> bytes:
    """Return the profile of that unit, for the agent to read it by."""
    # JSON is YAML, and needs no writer of its own.
    profile = {
        "profile": 1,
        "vendor": "Plantroom",
        "model": "ledger unit",
        "source": "made by the simulated site: every value proves its origin",
        "registers": list(_registers(points)),
    }
    return json.dumps(profile, indent=1).encode()


def write_profile(folder: Path, points: int) -> Path:
    """Write the profile below `folder`, which then serves as a folder of profiles; return it."""
    path = folder / f"{PROFILE}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ledger_profile(points))
    return path


def _registers(points: int) -> Iterator[dict[str, object]]:
    free = {"holding": 0, "input": 100}
    for number in range(points):
        kind, order, space = _LAYOUTS[number % len(_LAYOUTS)]
        yield {
            "id": f"p{number:04d}",
            "name": f"Ledger point {number}",
            "space": space,
            "address": free[space],
            "type": kind,
            "order": order,
        }
        free[space] += _WORDS[kind] + (number % _HOLE == 0)


def _analog(index: int) -> Entry:
    return Entry(
        key=f"bacnet:{INSTANCE}:analog-value:{index + 1}",
        device=f"bacnet:{INSTANCE}",
        name=f"LEDGER-{index:04d}",
        description="",
        unit="",
        object_type="analog-value",
        states=(),
        equipment="ledger",
        equip_class="",
        point_class="",
        enos="",
        signal="",
        true_unit="",
        index=index,
        instance=index + 1,
    )
