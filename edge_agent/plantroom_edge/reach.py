"""The way to a point that is to be written: its driver, and whose turn it is with its device."""

from __future__ import annotations

from dataclasses import dataclass

from plantroom_edge.drivers import Driver, PollGroup
from plantroom_edge.turns import Turn
from plantroom_shared.model import Point


@dataclass(frozen=True, slots=True)
class Reach:
    """A point on an opened bus."""

    point: Point
    protocol: str
    """Of its device: ``bacnet``, ``modbus`` ..."""
    driver: Driver
    turn: Turn
    """Of its device: whoever speaks to it has it."""
    group: PollGroup | None = None
    """With which it is read; None where it is not polled."""
    converted: bool = False
    """Whether it is stored in another unit than the device's, which a value to write is in."""
