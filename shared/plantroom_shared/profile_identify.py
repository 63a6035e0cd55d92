"""How a scan recognises a Modbus device, and how that leaves the factory."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from plantroom_shared.profile_parts import Frozen, Id, Pattern


class Mark(Frozen):
    """A register by which a device is recognised.

    With neither `text` nor `values` it must hold what it is expected to (`expect`), or be in its
    `range`, which is weak evidence.
    """

    id: Id
    """Of a register of this profile."""
    text: Pattern | None = None
    """What a string holds, with ``*`` and ``?``."""
    values: tuple[int, ...] = ()
    """The raw values that it may hold."""


class Identification(Frozen):
    """What the device answers to "read device identification" (function 43/14)."""

    vendor: Pattern | None = None
    product: Pattern | None = None
    """The product code."""
    revision: Pattern | None = None
    model: Pattern | None = None


class Identify(Frozen):
    """How a scan recognises the device."""

    registers: tuple[Mark, ...] = Field(default=(), max_length=16)
    device_id: Identification | None = None


class Factory(Frozen):
    """How the device is set when it leaves the factory."""

    unit: int | None = Field(default=None, ge=0, le=255)
    port: int | None = Field(default=None, ge=1, le=65535)
    baud: int | None = Field(default=None, ge=300, le=1_000_000)
    parity: Literal["none", "even", "odd"] | None = None
    stop_bits: Literal[1, 2] | None = None
