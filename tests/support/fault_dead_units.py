"""Dead units behind one address, through the whole agent: what they cost the units that are well."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from support.fault_case import Setting, case
from support.fault_hostile import modbus_bus, write_profile
from support.fault_lone import LoneAgent, Row, on_time
from support.fault_report import Figure
from support.fault_rubbish import REGISTERS

UNITS = range(1, 11)
INTERVAL = 1.0
SERVE = 0.01
"""Seconds that the gateway takes for a request, one at a time: as the serial line behind it."""
GATEWAY_WAITS = 0.5
"""Seconds for which it keeps its line waiting for a unit that is dead."""
SETTLE = 6.0
"""Seconds in which it must have been found out who is dead; judged apart from what follows."""
REFUSED = 2
"""Register that a unit of the last gateway refuses, alone and in any block."""
NAME = "dead units"


@dataclass(slots=True)
class Gateway:
    """Serves ten units, one request at a time."""

    name: str
    dead: frozenset[int] = frozenset()
    """They die when the agent polls all of them."""
    says_so: bool = False
    """It answers for a dead unit with exception 11, instead of not at all."""
    refusing: frozenset[int] = frozenset()
    down: set[int] = field(default_factory=set)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        try:
            while True:
                head = await reader.readexactly(12)
                tid, unit, function, start, count = struct.unpack(">H4xBBHH", head)
                body = self._body(unit, function, start, count)
                await asyncio.sleep(GATEWAY_WAITS if unit in self.down else SERVE)
                if body:
                    writer.write(struct.pack(">HHHB", tid, 0, len(body) + 1, unit) + body)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    def _body(self, unit: int, function: int, start: int, count: int) -> bytes:
        if unit in self.down:
            return bytes([function | 0x80, 11]) if self.says_so else b""
        if unit in self.refusing and start <= REFUSED < start + count:
            return bytes([function | 0x80, 2])
        words = [1000 * unit + at for at in range(start, start + count)]
        return struct.pack(f">BB{count}H", function, 2 * count, *words)


def gateways() -> list[Gateway]:
    """Return the gateways of a run, one bus each."""
    half = frozenset({2, 4, 6, 8, 10})
    return [
        Gateway("all-well"),
        Gateway("one-silent", frozenset({7})),
        Gateway("one-told", frozenset({7}), says_so=True),
        Gateway("half-silent", half),
        Gateway("half-told", half, says_so=True),
        Gateway("refusing", refusing=frozenset({3})),
    ]


@case("dead-units", faults="31", pr=15, full=300)
def dead_units(setting: Setting) -> Sequence[Figure]:
    """One and five of ten units behind one address die, for `count` seconds; one refuses a register."""
    return asyncio.run(_dead_units(setting))


async def _dead_units(setting: Setting) -> list[Figure]:
    write_profile(setting.folder)
    sites = gateways()
    async with AsyncExitStack() as servers:
        for site in sites:
            server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
            servers.push_async_callback(_close, server)
            site.port = server.sockets[0].getsockname()[1]
        units = dict.fromkeys(UNITS, INTERVAL)
        buses = [modbus_bus(setting.folder, site.name, site.port, units) for site in sites]
        agent = LoneAgent(setting.folder, buses)
        with agent.running():
            async with asyncio.timeout(60):
                while min(agent.polls(site.name) for site in sites) < 2 * len(UNITS):
                    await asyncio.sleep(0.1)
            for site in sites:
                site.down.update(site.dead)
            began = time.time()
            await asyncio.sleep(setting.count)
            ended, alive = time.time(), agent.child.running
        rows = await agent.rows()
    lost = {site.name: _lost(site, rows, began, ended) for site in sites}
    later = {site.name: _lost(site, rows, began + SETTLE, ended) for site in sites}
    return [
        Figure(NAME, "agents that ended", 1, float(not alive)),
        *_figures(lost, later, setting.count),
        *_refused(rows, began, setting.count),
    ]


async def _close(server: asyncio.Server) -> None:
    server.close()


def _lost(site: Gateway, rows: dict[str, list[Row]], began: float, ended: float) -> tuple[int, int]:
    """Return how many slots of the units that are well were lost, and how many there were."""
    slots = [
        on_time(rows[f"modbus:{site.name}-{unit}:r0"], began, ended, INTERVAL)
        for unit in UNITS
        if unit not in site.dead
    ]
    return sum(due - good for good, due in slots), sum(due for _, due in slots)


Lost = dict[str, tuple[int, int]]


def _figures(lost: Lost, later: Lost, runs: int) -> list[Figure]:
    def percent(what: tuple[int, int]) -> float:
        return 100 * what[0] / what[1]

    figures = [
        Figure(
            NAME, "slots lost while all are well", runs, percent(lost["all-well"]), None, unit="%"
        )
    ]
    for name, words in (("one-silent", "silent"), ("one-told", "told by the gateway")):
        what = f"1 of 10 dies, {words}: slots lost by the other nine"
        figures.append(Figure(NAME, what, runs, percent(lost[name]), 5, unit="%", timing=True))
    for name, words in (("half-silent", "silent"), ("half-told", "told by the gateway")):
        what = f"5 of 10 die at once, {words}: slots lost by each other until that is known"
        each = (lost[name][0] - later[name][0]) / (len(UNITS) / 2)
        figures.append(Figure(NAME, what, runs, each, 3, timing=True))
        what = f"5 of 10 dead, {words}: polls of the healthy on time"
        share = 100 - percent(later[name])
        figures.append(Figure(NAME, what, runs, share, 99, least=True, unit="%", timing=True))
    return figures


def _refused(rows: dict[str, list[Row]], began: float, runs: int) -> list[Figure]:
    """Judge the bus on which one unit refuses one register: only that one is bad, always."""
    bad = good = wrong = told = 0
    for unit in UNITS:
        for at in range(REGISTERS):
            late = [row for row in rows[f"modbus:refusing-{unit}:r{at}"] if row[0] > began * 1e6]
            if (unit, at) == (3, REFUSED):
                good += sum(quality == 0 for _, _, quality in late)
                continue
            told += sum(quality == 0 for _, _, quality in late)
            bad += sum(quality != 0 for _, _, quality in late)
            wrong += sum(value != 1000 * unit + at for _, value, quality in late if quality == 0)
    due = (len(UNITS) * REGISTERS - 1) * (runs - 3)
    what = "refused register: good rows of others"
    return [
        Figure(NAME, what, runs, told, due, least=True, timing=True),
        Figure(NAME, "refused register: bad rows of others", runs, bad),
        Figure(NAME, "refused register: good rows of its own", runs, good),
        Figure(NAME, "refused register: values under another address", runs, wrong),
    ]
