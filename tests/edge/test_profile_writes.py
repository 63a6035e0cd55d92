"""What a profile says of writing is what the driver does: the states, the function code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulators.modbus_scripted import scripted
from support.modbus_bus import bus, write_profile
from support.modbus_writable import Writable

REGISTERS: list[dict[str, Any]] = [
    {"id": "mode", "address": 0, "states": {0: "Off", 2: "Heat"}, "write": {}},
    {"id": "many", "address": 1, "write": {"min": 0, "max": 9, "function": 16}},
    {"id": "one", "address": 2, "write": {"min": 0, "max": 9, "function": 6}},
    {"id": "mask", "address": 3, "type": "bool", "bit": 2, "write": {"function": 22}},
    {"id": "whole", "address": 3, "type": "bool", "bit": 4, "write": {"function": 16}},
    {"id": "coil", "address": 0, "space": "coil", "write": {"function": 15}},
]


@pytest.mark.parametrize(
    ("point", "value", "functions"),
    [
        ("mode", 2, [6, 3]),
        ("many", 5, [16, 3]),
        ("one", 5, [6, 3]),
        ("mask", True, [22, 3]),
        ("whole", True, [3, 16, 3]),
        ("coil", True, [15, 1]),
    ],
)
async def test_the_function_is_that_of_the_profile(
    tmp_path: Path, point: str, value: int, functions: list[int]
) -> None:
    """A device that wants a certain function gets that one and no other."""
    device = Writable({"holding": dict.fromkeys(range(5), 0), "coil": {0: 0}})
    profile = write_profile(tmp_path, REGISTERS)
    async with scripted(device) as server, bus(server.port, profile) as driver:
        written = await driver.write(f"modbus:bench:{point}", value, None)
    assert (written.ok, written.shows) == (True, value)
    assert [function for function, _ in device.asked] == functions


@pytest.mark.parametrize(
    ("point", "value", "lacks", "reason"),
    [("mode", 1, 99, "no-such-state"), ("many", 5, 16, "exception-1"), ("mask", True, 22, "exc")],
)
async def test_nothing_else_is_tried(
    tmp_path: Path, point: str, value: int, lacks: int, reason: str
) -> None:
    """A number that is no state never leaves; where the function is named, no other one does."""
    knows = {1, 2, 3, 4, 5, 6, 15, 16, 22} - {lacks}
    device = Writable({"holding": dict.fromkeys(range(5), 0), "coil": {0: 0}}, knows=knows)
    profile = write_profile(tmp_path, REGISTERS)
    async with scripted(device) as server, bus(server.port, profile) as driver:
        written = await driver.write(f"modbus:bench:{point}", value, None)
    assert not written.ok
    assert written.reason.startswith(reason)
    assert [one for one in device.image["holding"].values() if one] == []
    assert len(device.asked) <= 1
