"""The way to points that are to be written: their driver, and whose turn it is with their device."""

from __future__ import annotations

from dataclasses import dataclass

from plantroom_edge.drivers import Driver, PollGroup
from plantroom_edge.turns import Turn


@dataclass(frozen=True, slots=True)
class Reach:
    """How points of an opened bus are reached: one object for all that are reached alike."""

    device: str
    """The key of their device."""
    protocol: str
    """Of the device: ``bacnet``, ``modbus`` ..."""
    driver: Driver
    turn: Turn
    """Of the device: whoever speaks to it has it."""
    group: PollGroup | None = None
    """With which they are read; None where they are not polled."""
    writable: bool | None = None
    """As the driver says it; None where nobody knows."""
    converted: bool = False
    """Whether they are stored in another unit than the device's, which a value to write is in."""
