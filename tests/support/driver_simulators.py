"""By driver, a far end to read: what to configure, and what each of its points shows.

A driver brings its far end in its own test file: `far_end` of ``tests/edge/test_driver_<name>.py``.
Those of Modbus and BACnet stand here, as several files test these. A driver that has none fails the
contract suite.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from plantroom_shared.model import Value
from plantroom_shared.profiles import load_profile
from simulators import modbus_pymodbus
from support import bacnet_peers
from support.modbus_image import Image, filled, solid

Simulator = Callable[[], AbstractAsyncContextManager[tuple[dict[str, Any], dict[str, Value]]]]
"""Yields the bus's configuration and, by point key, the value of every point."""


@asynccontextmanager
async def _modbus() -> AsyncIterator[tuple[dict[str, Any], dict[str, Value]]]:
    names = {
        "main-meter": "meter/schneider-pm5560",
        "pv": "inverter/sunspec-103",
        "plant-meter": "meter/carlo-gavazzi-em24",
    }
    images: dict[int, Image] = {}
    shown: dict[str, Value] = {}
    for unit, (name, profile) in enumerate(names.items(), start=1):
        image, values = filled(load_profile(profile), seed=unit)
        images[unit] = solid(image)
        shown |= {f"modbus:{name}:{one}": value for one, value in values.items()}
    async with modbus_pymodbus.serving(images) as port:
        devices = [
            {"name": name, "unit": unit, "profile": profile}
            for unit, (name, profile) in enumerate(names.items(), start=1)
        ]
        yield {"driver": "modbus", "host": "127.0.0.1", "port": port, "devices": devices}, shown


@asynccontextmanager
async def _bacnet() -> AsyncIterator[tuple[dict[str, Any], dict[str, Value]]]:
    shown: dict[str, Value] = {f"analog-input:{number}": number + 0.5 for number in range(30)}
    shown |= {"binary-input:1": True, "binary-output:2": False, "multi-state-value:4": 2}
    with bacnet_peers.simulator("bacnet_bacpypes3", instance=1001, analog=30) as address:
        yield (
            {
                "driver": "bacnet",
                "bind": "127.0.0.1:0",
                "who_is": [address],
                # It is out of service, and so not good.
                "devices": {1001: {"ignore": ["analog-value:7"]}},
            },
            {f"bacnet:1001:{one}": value for one, value in shown.items()},
        )


def _brought() -> dict[str, Simulator]:
    """Return the far ends that drivers bring in their own test files."""
    files = sorted((Path(__file__).parents[1] / "edge").glob("test_driver_*.py"))
    return {
        file.stem.removeprefix("test_driver_"): import_module(f"edge.{file.stem}").far_end
        for file in files
    }


simulators: dict[str, Simulator] = {"bacnet": _bacnet, "modbus": _modbus, **_brought()}
