"""Whether a unit is there, and what its profile says."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable

from plantroom_edge.drivers.modbus.connection import Connection
from plantroom_edge.drivers.modbus.pdu import Fault
from plantroom_edge.drivers.modbus.sunspec_unit import SunSpecUnit
from plantroom_edge.drivers.modbus.unit import Unit
from plantroom_shared.clock import Clock
from plantroom_shared.model import Value
from plantroom_shared.profiles import Register
from plantroom_shared.registers import decode

PROBE_SECONDS = 10.0
"""How long `missing_units` may wait for units that do not answer, all together."""
_UNREACHABLE = "unreachable"


def address(connection: Connection, unit: Unit) -> str:
    """Return where a unit is, for a person."""
    return f"{connection.wire.address}, unit {unit.id}"


Explore = Callable[[Unit, SunSpecUnit], Awaitable[str]]
"""Finds out what a SunSpec device has; returns what is wrong, or nothing."""


async def missing_units(
    connection: Connection, units: list[Unit], clock: Clock, explore: Explore
) -> list[str]:
    """Ask every unit that has not answered yet; return those that do not, and why."""
    missing: list[str] = []
    trouble = ""
    started = clock.monotonic()
    for unit in units:
        if (unit.seen and unit.sunspec is None) or clock.monotonic() - started > PROBE_SECONDS:
            continue
        # Where nobody takes the connection, asking for each unit would only take longer.
        if not trouble.startswith(f"no answer ({_UNREACHABLE}"):
            trouble = (
                await _probe(connection, unit)
                if unit.sunspec is None
                else await explore(unit, unit.sunspec)
            )
        if trouble:
            where = f"{address(connection, unit)}, {unit.config.profile}"
            missing.append(f"{unit.config.name} ({where}): {trouble}")
    return missing


async def _probe(connection: Connection, unit: Unit) -> str:
    """Ask a unit for one register; return what is wrong, or nothing."""
    expected = [one for one in unit.profile.registers if one.expect is not None]
    for register in expected or unit.profile.registers[:1]:
        data = await connection.ask(unit.id, register.space, register.address, register.words)
        if isinstance(data, Fault) and data.silent:
            why = f": {connection.trouble}" if data.reason == _UNREACHABLE else ""
            return f"no answer ({data.reason}{why})"
        found = data.reason if isinstance(data, Fault) else _number(data, register)
        if expected and found != register.expect:
            where = f"{register.name} at {register.address}"
            return f"is no {unit.profile.model}: {where} is {found}, not {register.expect}"
    unit.seen = True
    return ""


def _number(data: bytes, register: Register) -> Value:
    """Return the raw value of a register; None if the reply is too short or too long for it."""
    if len(data) != 2 * register.words:
        return None
    words = struct.unpack(f">{register.words}H", data)
    return decode(words, register.type, register.order, length=register.length, bits=register.bits)
