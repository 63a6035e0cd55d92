"""Hostile devices: malformed Modbus and BACnet replies by the million, beside honest devices."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from simulators.modbus_scripted import Request, Reset, scripted
from support.bacnet_device import Field, real
from support.fault_case import Setting, case
from support.fault_lone import LoneAgent, on_time
from support.fault_report import Figure

REGISTERS = 5
INTERVAL = 1.0
HONEST_UNITS = (1, 2, 3, 4)
HOSTILE_UNIT = 9
HOSTILE_UNITS = (HOSTILE_UNIT, 10, 11)
"""Behind the gateway of honest ones, on one connection with them."""
LEAST_MODBUS = 10
"""Percent of all malformed replies."""
HOSTILE_LINES = 12
UNITS_OF_A_LINE = 4
BURST = 12
"""Datagrams with which a hostile BACnet device answers one request."""
MEMORY = 40.0
"""Megabytes by which the agent may grow between the first replies and the last."""
BESIDE = "beside honest units"
NAME = "hostile devices"


def image(unit: int) -> dict[str, dict[int, int]]:
    """Return what the registers of an honest unit hold: told apart from those of all others."""
    return {"holding": {at: 1000 * unit + at for at in range(REGISTERS)}}


def flip(dice: random.Random, octets: bytearray, most: int) -> None:
    """Flip one to `most` bits."""
    for _ in range(dice.randint(1, most)):
        octets[dice.randrange(len(octets))] ^= 1 << dice.randrange(8)


class Modbus:
    """Malformed replies of Modbus devices, of every kind, by chance."""

    def __init__(self, dice: random.Random, sent: Counter[str]) -> None:
        self._dice, self._sent = dice, sent
        self._old: deque[bytes] = deque([b"\0"], maxlen=20)
        self._pending = b""
        """What a hostile unit behind the gateway says in the turn of an honest one."""

    def line(self, request: Request) -> bytes:
        """Return what a device of its own line answers: any octets at all."""
        right = request.answer(image(HOSTILE_UNIT))
        self._old.append(right)
        chance = self._dice.random()
        if chance < 0.2:
            return right
        self._sent["modbus"] += 1
        if chance < 0.9:  # who says nothing usable at all is soon left alone, and has lost
            return self._another_length(request, right)
        tricks = (
            self._flipped, self._cut, self._longer, self._old_one, self._strange_head,
            self._refusal, self._noise,
        )  # fmt: skip
        return self._dice.choice(tricks)(request, right)

    def unit(self, request: Request) -> bytes:
        """Return what comes through a gateway: whatever its hostile units say, and when they like."""
        if request.unit in HONEST_UNITS:
            late, self._pending = self._pending, b""
            return late + request.answer(image(request.unit))
        right = request.answer(image(HOSTILE_UNIT))
        self._old.append(right)
        chance = self._dice.random()
        if chance < 0.2:
            return right
        self._sent["modbus"] += 1
        self._sent[BESIDE] += 1
        if chance < 0.7:
            return self._another_length(request, right)
        if chance < 0.85:
            return self._framed_rubbish(request, right)
        tricks = (
            self._flipped, self._cut, self._longer, self._old_one, self._strange_head,
            self._refusal, self._noise, self._twice, self._trailing, self._late, self._hung_up,
        )  # fmt: skip
        return self._dice.choice(tricks)(request, right)

    def _framed_rubbish(self, request: Request, right: bytes) -> bytes:
        """Return a unit's own octets in the frame of a gateway that knows what it does."""
        dice = self._dice
        pdu = bytearray(right[7:])
        flip(dice, pdu, 4)
        pdu = pdu[: dice.randint(1, len(pdu))] if dice.random() < 0.3 else pdu
        pdu += dice.randbytes(dice.choice((0, 0, 0, 1, 100, 240)))[: 250 - len(pdu)]
        unit = dice.choice((request.unit, request.unit, *HONEST_UNITS))
        return request.frame(bytes(pdu), unit=unit)

    def _twice(self, _request: Request, right: bytes) -> bytes:
        return 2 * right

    def _trailing(self, _request: Request, right: bytes) -> bytes:
        return right + self._dice.choice((bytes(self._dice.randint(1, 7)), right[:7], b"\0\1\0\0"))

    def _late(self, request: Request, right: bytes) -> bytes:
        """Say nothing, or the right thing, and more in the turn of the next honest unit."""
        more = (right, self._another_length(request, right), self._strange_head(request, right))
        self._pending += self._dice.choice((*more, right[:8], self._dice.randbytes(30)))
        return self._dice.choice((b"", right))

    def _hung_up(self, _request: Request, _right: bytes) -> bytes:
        raise Reset

    def _flipped(self, _request: Request, right: bytes) -> bytes:
        out = bytearray(right)
        flip(self._dice, out, 8)
        return bytes(out)

    def _cut(self, _request: Request, right: bytes) -> bytes:
        return right[: self._dice.randrange(len(right))] + b"\0"

    def _longer(self, _request: Request, right: bytes) -> bytes:
        return right + self._dice.randbytes(self._dice.choice((1, 9, 300, 70_000)))

    def _old_one(self, _request: Request, _right: bytes) -> bytes:
        return self._dice.choice(self._old)

    def _strange_head(self, request: Request, right: bytes) -> bytes:
        lies = (request.tid ^ self._dice.randrange(4), self._dice.choice((0, 0, 7)))
        length = self._dice.choice((0, 1, len(right) - 6, 255, 65_535))
        return struct.pack(">HHHB", *lies, length, self._dice.choice((1, 9, 77))) + right[7:]

    def _refusal(self, request: Request, _right: bytes) -> bytes:
        return request.refuse(self._dice.randrange(256))

    def _noise(self, _request: Request, _right: bytes) -> bytes:
        return self._dice.randbytes(self._dice.choice((1, 7, 40, 5000)))

    def _another_length(self, request: Request, _right: bytes) -> bytes:
        words = self._dice.choice([*range(REGISTERS), *range(REGISTERS + 1, 120)])
        return request.frame(bytes([request.function, 2 * words]) + self._dice.randbytes(2 * words))


class Bacnet(Field):
    """A BACnet device that, from a moment on, answers everything with a burst of rubbish."""

    dice: random.Random
    sent: Counter[str]
    hostile = False

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        at = 6 + (4 + data[8] if data[5] & 0x20 else 0)
        if data[at] in {0x02, 0x00, 0x10}:  # requests: acknowledged segments it does not hear
            super().datagram_received(data, addr)

    def send(self, apdu: bytes, addr: tuple[str, int]) -> None:
        if not self.hostile:
            super().send(apdu, addr)
            return
        assert self._transport is not None
        body = b"\x01\x00" + apdu
        right = struct.pack(">BBH", 0x81, 0x0A, len(body) + 4) + body
        for _ in range(BURST):
            self.sent["bacnet"] += 1
            self._transport.sendto(self._spoilt(right, apdu), addr)
        if self.dice.random() < 0.5:
            self._transport.sendto(right, addr)

    def _spoilt(self, right: bytes, apdu: bytes) -> bytes:
        dice, invoke = self.dice, apdu[1:2]
        flipped = bytearray(right)
        flip(dice, flipped, 8)
        segment = b"\x3c" + invoke + dice.randbytes(2) + apdu[2:3] + dice.randbytes(400)
        refusal = bytes([dice.choice((0x50, 0x60, 0x70))]) + invoke + dice.randbytes(5)
        network = struct.pack(">BBH", 0x81, dice.randrange(13), dice.choice((0, 4, 65_535)))
        kinds = (
            bytes(flipped),
            right[: dice.randrange(1, len(right))],
            right + dice.randbytes(dice.choice((1, 30, 1000))),
            dice.randbytes(dice.choice((1, 4, 20, 1400))),
            self._framed(segment),
            self._framed(refusal),
            network + dice.randbytes(dice.choice((0, 6, 60))),
        )
        return dice.choice(kinds)

    @staticmethod
    def _framed(apdu: bytes) -> bytes:
        return struct.pack(">BBH", 0x81, 0x0A, len(apdu) + 6) + b"\x01\x00" + apdu


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
