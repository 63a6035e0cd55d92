"""Profiles of Modbus devices: registers that become points."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from plantroom_shared import registers as codec
from plantroom_shared.profile_identify import Factory, Identify, Mark
from plantroom_shared.profile_parts import Frozen, Head, Seconds
from plantroom_shared.profile_register import Register
from plantroom_shared.registers import Order, Space, Type


class Defaults(Frozen):
    """What a register has that does not say otherwise."""

    space: Space = "holding"
    type: Type = "uint16"
    order: Order = "ABCD"
    sentinel: dict[Type, tuple[int, ...]] = Field(default={})
    """By type, the raw values that mean there is no value."""
    interval: Seconds = 5.0
    """Seconds between two reads, where the configuration of the device names none."""


class Limits(Frozen):
    """What the device can take in one request."""

    max_registers: int = Field(default=125, ge=1, le=125)
    max_bits: int = Field(default=2000, ge=1, le=2000)
    gap: int = Field(default=8, ge=0, le=124)
    """How many unused registers to read along rather than to ask twice."""


class Profile(Head):
    """A Modbus device model: its registers and how to ask for them."""

    protocol: Literal["modbus"] = "modbus"
    factory: Factory = Factory()
    identify: Identify = Identify()
    defaults: Defaults = Defaults()
    limits: Limits = Limits()
    registers: tuple[Register, ...] = Field(min_length=1, max_length=4000)

    @cached_property
    def by_id(self) -> dict[str, Register]:
        """The registers by their id."""
        return {register.id: register for register in self.registers}

    @property
    def points(self) -> tuple[Register, ...]:
        """The registers that become points."""
        return tuple(register for register in self.registers if not register.hidden)

    @model_validator(mode="before")
    @classmethod
    def _apply_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("registers"), (list, tuple)):
            return data
        given = data.get("defaults", {})
        given = given if isinstance(given, dict) else {}
        return {**data, "registers": [_with_defaults(row, given) for row in data["registers"]]}

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if len(self.by_id) != len(self.registers):
            ids = [register.id for register in self.registers]
            twice = sorted({one for one in ids if ids.count(one) > 1})
            msg = f"registers: the ids {', '.join(twice)} are used twice: rename one of each"
            raise ValueError(msg)
        for register in self.registers:
            self._check_scale_factor(register)
            if register.type == "string" and register.length > self.limits.max_registers:
                msg = f"registers: {register.id} is longer than limits.max_registers"
                raise ValueError(msg)
        for mark in self.identify.registers:
            self._check_mark(mark)
        return self

    def _check_mark(self, mark: Mark) -> None:
        register, where = self.by_id.get(mark.id), f"identify: {mark.id}"
        if register is None:
            msg = f"{where}: there is no such register: add it, `hidden: true` if it is no point"
        elif mark.text is not None and register.type != "string":
            msg = f"{where}: only a string is compared with `text`"
        elif mark.values and register.type in {"string", "bool", *codec.FLOATS}:
            msg = f"{where}: a {register.type} has no raw `values` to compare"
        elif not (mark.text or mark.values or register.range or register.expect is not None):
            msg = f"{where}: say by what: `text`, `values`, or its `range` or `expect`"
        else:
            return
        raise ValueError(msg)

    def _check_scale_factor(self, register: Register) -> None:
        if register.sf is None:
            return
        factor = self.by_id.get(register.sf)
        if factor is None:
            msg = f"registers: {register.id}.sf: there is no register {register.sf!r}: add it"
            raise ValueError(msg)
        if factor.type not in {"int16", "uint16"} or factor.sf or factor.scale != 1:
            msg = f"registers: {register.sf} scales {register.id}: make it a plain int16"
            raise ValueError(msg)


def _with_defaults(row: Any, given: dict[str, Any]) -> Any:
    if not isinstance(row, dict):
        return row
    base = {key: given[key] for key in ("space", "type", "order") if key in given}
    merged = {**base, **row}
    if "type" not in row and merged.get("space") in codec.BIT_SPACES:
        merged["type"] = "bool"
    sentinels, kind = given.get("sentinel"), merged.get("type", "uint16")
    if isinstance(sentinels, dict) and isinstance(kind, str) and kind in sentinels:
        merged.setdefault("sentinel", sentinels[kind])
    return merged
