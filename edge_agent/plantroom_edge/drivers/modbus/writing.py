"""Writing a register: by the right function, all of it at once, and read back."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from plantroom_edge.drivers import Written
from plantroom_edge.drivers.modbus import pdu
from plantroom_edge.drivers.modbus.connection import Asking, Connection
from plantroom_edge.drivers.modbus.pdu import Ask, Fault
from plantroom_edge.drivers.modbus.unit import Unit
from plantroom_shared.model import Value
from plantroom_shared.profiles import Register
from plantroom_shared.registers import BIT_SPACES

_UNKNOWN_FUNCTION = 1
_TO_ALL = "broadcast"
_NEAR = 1e-9
_NEAR_SINGLE = 1e-6
"""By how much, relative to itself, a value may differ from what a register can say."""


@dataclass(frozen=True, slots=True)
class _Image:
    """What is to stand in the registers."""

    words: list[int]
    mask: int = 0xFFFF
    """Which bits of each word are the value's."""


class Writer:
    """Writes and reads single points of one bus, before all polls."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def held(self, unit: Unit, register: Register) -> tuple[Value, str]:
        """Return the value of a register, plausible or not, and why there is none."""
        async with self._connection.urgent() as ask:
            shown = await _show(ask, unit, register)
        if isinstance(shown, Fault):
            return None, shown.reason
        value, reason = shown
        return (None, reason) if value is None else (value, "")

    async def write(
        self, unit: Unit, register: Register, value: Value, *, back: bool = False
    ) -> Written:
        """Write a value, in the unit of the point, and read it back; `back`: it was there before."""
        reason = mistyped(register, value) if back else refused(register, value)
        if unit.id == 0 or reason:
            return Written(ok=False, reason=reason or _TO_ALL, reached=False)
        async with self._connection.urgent() as ask:
            exponent = await _exponent(ask, unit, register)
            if isinstance(exponent, Fault):
                return Written(ok=False, reason=exponent.reason, reached=False)
            try:
                image = _image(register, value, exponent, plausible=not back)
            except ValueError:
                return Written(ok=False, reason="not-representable", reached=False)
            fault = await _put(ask, unit, register, image)
            if fault is not None and (not fault.silent or not fault.sent):
                return Written(ok=False, reason=fault.reason, reached=fault.sent)
            return await _compared(ask, unit, register, image, fault)


def unwritable(unit: Unit, register: Register, value: Value) -> str:
    """Return why a value may not or cannot be written, as far as nobody needs to be asked."""
    if unit.id == 0:
        return _TO_ALL
    if reason := refused(register, value):
        return reason
    if register.sf is not None:  # only the device knows its scale factor
        return ""
    try:
        _image(register, value, None)
    except ValueError:
        return "not-representable"
    return ""


def refused(register: Register, value: Value) -> str:
    """Return why a value may not be written, or nothing."""
    if reason := mistyped(register, value):
        return reason
    limits = register.write
    if limits is None or value is None or isinstance(value, str):
        return ""
    if register.states and limits.min is None and limits.max is None:
        return "" if value in register.states else "no-such-state"
    return limits.refusal(value)


def mistyped(register: Register, value: Value) -> str:
    """Return why a value can never be that of a register, or nothing."""
    if register.write is None:
        return "write-access-denied"
    if value is None or isinstance(value, str) != (register.type == "string"):
        return "wrong-type"
    if isinstance(value, str):
        return ""
    bad = not math.isfinite(value) or (register.type == "bool" and value not in {0, 1})
    return "wrong-type" if bad else ""


def _image(
    register: Register, value: Value, exponent: int | None, *, plausible: bool = True
) -> _Image:
    """Return what to write; ValueError if the register cannot say exactly this value.

    It must lie in the register's range, too, if it is to be `plausible`.
    """
    if register.space in BIT_SPACES:
        return _Image([int(bool(value))], mask=1)
    if register.type == "bool":
        value = bool(value)
    words = register.encode(value, exponent or 0)
    back, reason = register.decode(words, exponent)
    if (reason and plausible) or not _same(back, value, register):
        msg = f"{register.id} would show {back!r} for {value!r}"
        raise ValueError(msg)
    return _Image(words, _mask(register))


def _mask(register: Register) -> int:
    """Return which bits of a lone register are the value's; all, where there is more than one."""
    if register.type == "bool":
        return register.pack(True)[0]
    if register.bits is not None and register.words == 1:
        low, high = register.bits
        return register.pack((1 << high - low + 1) - 1)[0]
    return 0xFFFF


def _same(back: Value, value: Value, register: Register) -> bool:
    if isinstance(back, str) or isinstance(value, str) or back is None or value is None:
        return back == value
    near = _NEAR_SINGLE if register.type == "float32" else _NEAR
    return math.isclose(back, value, rel_tol=near, abs_tol=abs(register.scale) * near)


async def _exponent(ask: Asking, unit: Unit, register: Register) -> int | Fault | None:
    """Return the power of ten that scales a register now; None where nothing does."""
    if register.sf is None:
        return None
    shown = await _show(ask, unit, unit.profile.by_id[register.sf])
    if isinstance(shown, Fault):
        return shown
    return shown[0] if isinstance(shown[0], int) else Fault("bad-scale-factor", sent=False)


async def _show(ask: Asking, unit: Unit, register: Register) -> tuple[Value, str] | Fault:
    """Return value and reason of a register."""
    exponent = await _exponent(ask, unit, register)
    if isinstance(exponent, Fault):
        return exponent
    words = await _words(ask, unit, register)
    return words if isinstance(words, Fault) else register.decode(words, exponent)


async def _words(ask: Asking, unit: Unit, register: Register) -> list[int] | Fault:
    """Return what stands in the registers of a point; a coil is a word of 0 or 1."""
    request = pdu.read(register.space, register.address, register.words)
    reply = await ask(unit.id, request)
    if isinstance(reply, Fault):
        return reply
    if len(reply) != request.size:
        return Fault("short-reply")
    if register.space in BIT_SPACES:
        return [reply[2] & 1]
    return list(struct.unpack(f">{register.words}H", reply[2:]))


async def _put(ask: Asking, unit: Unit, register: Register, image: _Image) -> Fault | None:
    """Write an image; return why that failed, or None."""
    address, words = register.address, image.words
    if register.space in BIT_SPACES:
        on = bool(words[0])
        one, several = pdu.write_coil(address, on), pdu.write_coils(address, on)
        return await _either(ask, unit, register, one, several)
    if image.mask != 0xFFFF:
        return await _put_bits(ask, unit, register, image)
    many = pdu.write_registers(address, words)
    if len(words) > 1:
        return await _send(ask, unit, many)
    return await _either(ask, unit, register, pdu.write_register(address, words[0]), many)


async def _put_bits(ask: Asking, unit: Unit, register: Register, image: _Image) -> Fault | None:
    """Write some bits of a register: by mask where the device can, else read, change, write."""
    address, keep = register.address, 0xFFFF & ~image.mask
    wanted = _wanted(register)
    if wanted == pdu.MASK_WRITE or (wanted is None and pdu.MASK_WRITE not in unit.lacks):
        fault = await _send(ask, unit, pdu.mask_write(address, keep, image.words[0]))
        if wanted is not None or fault is None or fault.code != _UNKNOWN_FUNCTION:
            return fault
        unit.lacks.add(pdu.MASK_WRITE)
    held = await _words(ask, unit, register)
    if isinstance(held, Fault):
        return Fault(held.reason, held.code, sent=False)
    word = held[0] & keep | image.words[0]
    one, several = pdu.write_register(address, word), pdu.write_registers(address, [word])
    return await _either(ask, unit, register, one, several)


def _wanted(register: Register) -> int | None:
    """Return the function code that the profile names for writing."""
    return register.write.function if register.write is not None else None


async def _either(
    ask: Asking, unit: Unit, register: Register, first: Ask, second: Ask
) -> Fault | None:
    """Send the write that the profile names.

    Where it names none, one of both, or the other if the device does not know the first.
    """
    wanted = _wanted(register)
    if wanted is not None:
        return await _send(ask, unit, first if first.function == wanted else second)
    if first.function not in unit.lacks:
        fault = await _send(ask, unit, first)
        if fault is None or fault.code != _UNKNOWN_FUNCTION:
            return fault
        unit.lacks.add(first.function)
    return await _send(ask, unit, second)


async def _send(ask: Asking, unit: Unit, request: Ask) -> Fault | None:
    reply = await ask(unit.id, request)
    if isinstance(reply, Fault):
        return reply
    return None if pdu.confirmed(request, reply) else Fault("bad-reply")


async def _compared(
    ask: Asking, unit: Unit, register: Register, image: _Image, fault: Fault | None
) -> Written:
    """Read back what was written and compare it, word by word.

    After a write without an answer, too: what stands there then is told, but not called a success.
    """
    words = await _words(ask, unit, register)
    if isinstance(words, Fault):
        return Written(ok=False, reason=fault.reason if fault else f"read-back-{words.reason}")
    shows = await _value(ask, unit, register, words)
    same = [word & image.mask for word in words] == [word & image.mask for word in image.words]
    reason = fault.reason if fault is not None else "" if same else "read-back"
    return Written(ok=not reason, reason=reason, shows=shows)


async def _value(ask: Asking, unit: Unit, register: Register, words: list[int]) -> Value:
    exponent = await _exponent(ask, unit, register)
    return None if isinstance(exponent, Fault) else register.decode(words, exponent)[0]
