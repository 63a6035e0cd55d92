"""Hostile devices: malformed Modbus and BACnet replies by the million, beside honest devices."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from simulators.modbus_scripted import scripted
from support.bacnet_device import real
from support.fault_case import Setting, case
from support.fault_lone import LoneAgent, on_time
from support.fault_report import Figure
from support.fault_rubbish import (
    BESIDE,
    HONEST_UNITS,
    HOSTILE_UNITS,
    REGISTERS,
    Bacnet,
    Modbus,
    image,
)

INTERVAL = 1.0
LEAST_MODBUS = 10
"""Percent of all malformed replies."""
HOSTILE_LINES = 12
UNITS_OF_A_LINE = 4
MEMORY = 40.0
"""Megabytes by which the agent may grow between the first replies and the last."""
NAME = "hostile devices"


def _itself(station: Bacnet) -> Bacnet:
    return station


@asynccontextmanager
async def _stations(dice: random.Random, sent: Counter[str]) -> AsyncIterator[list[Bacnet]]:
    """Run two honest devices on one host and two hostile ones on hosts of their own."""
    loop, stations, transports = asyncio.get_running_loop(), [], []
    for number, host in enumerate(("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3"), start=1):
        station = Bacnet(instance=number)
        station.dice, station.sent = dice, sent
        for index in range(REGISTERS):
            station.add(0, index, real(1000 * number + index), f"AI {index}")
        transport, _ = await loop.create_datagram_endpoint(
            partial(_itself, station), local_addr=(host, 0)
        )
        stations.append(station)
        transports.append(transport)
    try:
        yield stations
    finally:
        for transport in transports:
            transport.close()


def write_profile(folder: Path) -> None:
    """Write the profile `fault/registers`: `REGISTERS` holding registers from 0 on."""
    file = folder / "fault" / "registers.yaml"
    file.parent.mkdir()
    registers = [{"id": f"r{at}", "name": f"R {at}", "address": at} for at in range(REGISTERS)]
    head = {"profile": 1, "vendor": "Fault", "model": "Registers", "source": "tests"}
    file.write_text(yaml.safe_dump({**head, "registers": registers}))


def modbus_bus(
    folder: Path, name: str, port: int, units: dict[int, float], **more: Any
) -> dict[str, Any]:
    """Return a bus of units with `REGISTERS` registers each: unit → seconds between two reads."""
    devices = [
        {
            "name": f"{name}-{unit}",
            "unit": unit,
            "profile": "fault/registers",
            "profile_dir": str(folder),
            "interval": interval,
        }
        for unit, interval in units.items()
    ]
    bus = {"name": name, "driver": "modbus", "host": "127.0.0.1", "port": port, "devices": devices}
    return bus | more


def _shown() -> dict[str, float]:
    """Return what the points of the honest devices show."""
    out: dict[str, float] = {}
    for line, units in (("honest", HONEST_UNITS), ("shared", HONEST_UNITS)):
        out |= {
            f"modbus:{line}-{unit}:r{at}": 1000 * unit + at
            for unit in units
            for at in range(REGISTERS)
        }
    for number in (1, 2):
        out |= {f"bacnet:{number}:analog-input:{at}": 1000 * number + at for at in range(REGISTERS)}
    return out


@case("hostile-devices", faults="30", pr=10_000, full=1_000_000)
def hostile_devices(setting: Setting) -> Sequence[Figure]:
    """`count` malformed replies, Modbus and BACnet; honest devices beside and behind one gateway."""
    return asyncio.run(_hostile(setting))


async def _hostile(setting: Setting) -> list[Figure]:
    sent: Counter[str] = Counter()
    spoiler = Modbus(setting.dice("modbus"), sent)
    folder = setting.folder
    write_profile(folder)
    async with AsyncExitStack() as far_ends:
        stations = await far_ends.enter_async_context(_stations(setting.dice("bacnet"), sent))
        gateway = await far_ends.enter_async_context(scripted(spoiler.unit))
        honest = await far_ends.enter_async_context(scripted(lambda r: r.answer(image(r.unit))))
        lines = [
            await far_ends.enter_async_context(scripted(spoiler.line)) for _ in range(HOSTILE_LINES)
        ]
        units = dict.fromkeys(HONEST_UNITS, INTERVAL)
        agent = LoneAgent(
            folder,
            [
                modbus_bus(folder, "honest", honest.port, units),
                modbus_bus(
                    folder, "shared", gateway.port, units | dict.fromkeys(HOSTILE_UNITS, 0.2)
                ),
                *(
                    modbus_bus(
                        folder,
                        f"line{at}",
                        line.port,
                        dict.fromkeys(range(1, 1 + UNITS_OF_A_LINE), 0.05),
                        timeout=0.2,
                    )
                    for at, line in enumerate(lines)
                ),
                {
                    "name": "ip",
                    "driver": "bacnet",
                    "bind": "127.0.0.1:0",
                    "who_is": [
                        f"127.0.0.{max(1, number - 1)}:{station.port}"
                        for number, station in enumerate(stations, start=1)
                    ],
                    "interval": INTERVAL,
                    "timeout": 0.3,
                    "devices": {3: {"interval": 0.05}, 4: {"interval": 0.05}},
                },
            ],
        )
        return await _besieged(setting, agent, stations, sent)


async def _besieged(
    setting: Setting, agent: LoneAgent, stations: Sequence[Bacnet], sent: Counter[str]
) -> list[Figure]:
    with agent.running():
        async with asyncio.timeout(60):
            while min(agent.polls(bus) for bus in ("honest", "shared", "ip")) < 8:
                await asyncio.sleep(0.1)
        for station in stations[2:]:
            station.hostile = True
        memory, began = agent.resident_mb, time.time()
        while _replies(sent) < setting.count and agent.child.running:
            await asyncio.sleep(0.2)
        await asyncio.sleep(max(0.0, 10 - (time.time() - began)))
        ended, alive = time.time(), agent.child.running
        grown = agent.resident_mb - memory if alive else 0.0
        said = agent.says()
    setting.say(f"{dict(sent)} in {ended - began:.0f} s; {said['counters']}")
    rows = await agent.rows()
    hostile = [bus for name, bus in said["buses"].items() if name != "honest"]
    runs = _replies(sent)
    share = 100 * sent["modbus"] / runs
    uncounted = sum(not bus["counters"].get("bad") for bus in hostile)
    figures = [
        Figure(NAME, "buses of hostile devices that counted nothing", len(hostile), uncounted),
        Figure(NAME, "malformed Modbus replies", sent["modbus"], sent["modbus"], None),
        Figure(NAME, "of them behind a gateway of honest units", sent[BESIDE], sent[BESIDE], None),
        Figure(NAME, "malformed BACnet replies", sent["bacnet"], sent["bacnet"], None),
        Figure(NAME, "Modbus among them", runs, share, LEAST_MODBUS, least=True, unit="%"),
        Figure(NAME, "agents that ended", 1, float(not alive)),
        Figure(NAME, "tasks that ended in a defect", runs, len(said["tasks"])),
        Figure(NAME, "reads that did", runs, said["counters"].get("reads_failed", 0)),
        Figure(NAME, "megabytes more", runs, grown, MEMORY, unit="MB"),
    ]
    return figures + _verdict(rows, began, ended, runs)


def _replies(sent: Counter[str]) -> int:
    return sent["modbus"] + sent["bacnet"]


def _verdict(rows: dict[str, list[Any]], began: float, ended: float, runs: int) -> list[Figure]:
    """Judge the honest devices: every value, and the slots of each place."""
    shown, figures = _shown(), []
    wrong = sum(
        value != shown[key] for key in shown for _, value, quality in rows[key] if quality == 0
    )
    figures.append(Figure(NAME, "wrong values of honest devices", runs, wrong))
    places = {
        "on a line of their own": "modbus:honest-",
        "behind the gateway of a hostile unit": "modbus:shared-",
        "on the BACnet network of hostile ones": "bacnet:",
    }
    for words, prefix in places.items():
        slots = [
            on_time(rows[key], began, ended, INTERVAL) for key in shown if key.startswith(prefix)
        ]
        good, due = (sum(part) for part in zip(*slots, strict=True))
        what = f"honest polls on time, {words}"
        share = 100 * good / due
        figures.append(Figure(NAME, what, due, share, 99, least=True, unit="%", timing=True))
    return figures
