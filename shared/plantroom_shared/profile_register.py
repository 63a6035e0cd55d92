"""A register of a Modbus profile: where a value is, what it means, and how it is read and shown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, model_validator

from plantroom_shared import registers as codec
from plantroom_shared.model import Value
from plantroom_shared.profile_parts import Entry, Id, Write, write_fault
from plantroom_shared.registers import Encoding, Order, Space, Type
from plantroom_shared.scaling import Convert, converter


class RegisterWrite(Write):
    """What may be written to a register, and how."""

    function: Literal[5, 6, 15, 16, 22] | None = None
    """The function code that the device wants; what suits the register if it is not said."""


class Register(Entry):
    """One value of a device: where it is and what it means."""

    space: Space = "holding"
    address: int = Field(ge=0, le=65535)
    """The protocol address, from 0: the manual's register 3000 is mostly 2999."""
    type: Type = "uint16"
    order: Order = "ABCD"
    length: int = Field(default=1, ge=1, le=125)
    """Registers of a string."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """Which bit of a register a bool is; 0 is the least significant."""
    bits: tuple[int, int] | None = None
    """The lowest and the highest bit that are the value; the others mean something else."""
    encoding: Encoding = "utf-8"
    """Of a string."""
    scale: float = 1
    offset: float = 0
    sf: Id | None = None
    """Id of the register with the power of ten: value = raw x 10^sf."""
    sentinel: tuple[int, ...] = ()
    """Raw values that mean there is no value, as bits: 0x8000 or -32768 for an int16."""
    write: RegisterWrite | None = None
    """What may be written; absent where nothing may."""
    hidden: bool = False
    """Read, but no point: a scale factor."""
    expect: int | None = None
    """What it holds in every device of this model: a model id, a marker. Checks the profile."""

    @property
    def words(self) -> int:
        """How many registers (or coils) it takes."""
        return codec.width(self.type, self.length)

    @property
    def turns_at(self) -> float | None:
        """The value at which a counter is 0 again, where that is known."""
        if not self.counter or self.rollover is not None:
            return self.rollover
        if self.sf is not None or self.bits is not None or self.type not in codec.UNSIGNED:
            return None
        return (1 << 16 * self.words) * self.scale

    @cached_property
    def convert(self) -> Convert | None:
        """Raw value and exponent to (value, reason); None where raw values are values."""
        return converter(
            self.type,
            scale=self.scale,
            offset=self.offset,
            has_exponent=self.sf is not None,
            sentinels=frozenset(codec.signed(self.type, raw) for raw in self.sentinel),
            limits=self.range,
            texts=self.states,
        )

    @cached_property
    def refine(self) -> codec.Refine | None:
        """What `struct` unpacked to the raw value; None where that is the raw value."""
        return codec.refiner(
            self.type, self.order, bit=self.bit or 0, bits=self.bits, encoding=self.encoding
        )

    def encode(self, value: Value, exponent: int = 0) -> list[int]:
        """Return the words of a device that shows `value`: what a simulator serves.

        Args:
            value: in the unit of the point; None is the first sentinel, or NaN.
            exponent: what the scale-factor register of this one holds.

        Raises:
            ValueError: the value does not fit the register, or there is no way to say None.
        """
        if value is None:
            return self.pack(self._nothing())
        if isinstance(value, (str, bool)):
            return self.pack(value)
        raw = value if self.scale == 1 and not self.offset else (value - self.offset) / self.scale
        return self.pack(raw / 10**exponent if exponent >= 0 else raw * 10**-exponent)

    def pack(self, raw: Value) -> list[int]:
        """Return the words that hold a raw value; ValueError if it does not fit."""
        return codec.encode(
            raw, self.type, self.order, self.length,
            bit=self.bit or 0, bits=self.bits, encoding=self.encoding,
        )  # fmt: skip

    def _nothing(self) -> Value:
        if self.sentinel:
            return codec.signed(self.type, self.sentinel[0])
        if self.type in codec.TEXTS:
            return ""
        if self.type in codec.FLOATS:
            return float("nan")
        msg = f"{self.id} has no sentinel, so it cannot show that there is no value"
        raise ValueError(msg)

    def decode(self, words: Sequence[int], exponent: int | None = None) -> tuple[Value, str]:
        """Return the value in `words` and, if it is not good, why."""
        raw = codec.decode(
            words, self.type, self.order, length=self.length,
            bit=self.bit or 0, bits=self.bits, encoding=self.encoding,
        )  # fmt: skip
        return (raw, "") if self.convert is None else self.convert(raw, exponent)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for wrong, what in self._faults():
            if wrong:
                raise ValueError(what)
        return self

    def _faults(self) -> list[tuple[bool, str]]:
        bits, is_bool = self.space in codec.BIT_SPACES, self.type == "bool"
        number = self.type not in {"bool", *codec.TEXTS}
        moved = self.scale != 1 or self.offset != 0 or self.sf or self.range
        top = 1 << 16 * self.words
        return [
            (bits and not is_bool, f"a {self.space} holds one bit: write `type: bool`"),
            (bits and self.bit is not None, f"a {self.space} is a bit already: remove `bit`"),
            (is_bool and not bits and self.bit is None, "say which bit: write `bit: 0` to 15"),
            (not is_bool and self.bit is not None, "only `type: bool` has a `bit`"),
            (self.type != "string" and self.length != 1, "only `type: string` has a `length`"),
            (
                not number and bool(moved or self.sentinel),
                f"a {self.type} is not scaled, ranged or compared",
            ),
            (self.expect is not None and not number, f"a {self.type} cannot be expected"),
            (self.scale == 0, "a scale of 0 loses the value: remove `scale`"),
            (self.address + self.words > 65536, "reaches beyond the last address, 65535"),
            (
                any(not -top // 2 <= raw < top for raw in self.sentinel),
                f"a sentinel does not fit {self.type}",
            ),
            *self._form_faults(),
            *self._write_faults(),
        ]

    def _form_faults(self) -> list[tuple[bool, str]]:
        low, high = self.bits or (0, 0)
        field = self.type in codec.BITFIELDS
        quantity = self.type not in {"bool", *codec.TEXTS} and not field
        return [
            (
                field and bool(self.scale != 1 or self.offset or self.sf or self.range),
                f"a {self.type} is not scaled or ranged",
            ),
            (self.counter and not quantity, f"a {self.type} does not count"),
            (
                self.bits is not None and self.type not in codec.UNSIGNED,
                "only a uint16, uint32 or uint64 has `bits`",
            ),
            (
                not 0 <= low <= high < 16 * self.words,
                f"`bits` are [lowest, highest], from 0 to {16 * self.words - 1}",
            ),
            (
                field and any(not 0 <= bit < 16 * self.words for bit in self.states),
                f"the `states` of a {self.type} are its bits, from 0 to {16 * self.words - 1}",
            ),
            (
                self.order in codec.HALF_ORDERS and self.type not in codec.LONG,
                f"the order {self.order} is for 64-bit types: write `order: {self.order[:4]}`",
            ),
            (
                self.encoding != "utf-8" and self.type != "string",
                "only `type: string` has an `encoding`",
            ),
        ]

    def _write_faults(self) -> list[tuple[bool, str]]:
        write = self.write
        if write is None:
            return []
        wrong = write_fault(write, self, is_number=self.type not in {"bool", *codec.TEXTS})
        allowed = (
            {5, 15} if self.space == "coil" else {6, 16, *({22} if self.bit is not None else ())}
        )
        code = write.function
        return [
            (
                self.space in {"input", "discrete"} or self.hidden,
                "an input, a discrete or a hidden register is not written: remove `write`",
            ),
            (
                self.type in codec.BITFIELDS,
                "a bitfield is not written as a whole: add a bool with `bit` and `write`",
            ),
            (
                self.bits is not None and self.words > 1,
                "some bits of several registers cannot be written alone: remove `write`",
            ),
            (
                self.type in codec.TEXTS and self.type != "string",
                f"a {self.type} is never written: remove `write`",
            ),
            (bool(wrong), wrong),
            (
                code is not None and code not in allowed,
                f"function {code} does not write it: {' or '.join(map(str, sorted(allowed)))} does",
            ),
            (code == 6 and self.words > 1, "function 6 writes one register: write `function: 16`"),
        ]
