"""A device of a bus, and what is known about it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from plantroom_edge.drivers import PollGroup
from plantroom_edge.drivers.modbus.config import ModbusDevice
from plantroom_edge.drivers.modbus.learning import Lessons
from plantroom_edge.drivers.modbus.sunspec_unit import SunSpecUnit
from plantroom_shared.profiles import Profile, Register


@dataclass(slots=True)
class Unit:
    """One unit."""

    config: ModbusDevice
    profile: Profile
    lessons: Lessons = field(default_factory=Lessons)
    seen: bool = False
    """It has answered once and is what its profile says."""
    data_at: float = float("-inf")
    """Monotonic seconds of the last right answer."""
    split_from: float = float("-inf")
    """Monotonic seconds before which a refused block is not taken apart again."""
    lacks: set[int] = field(default_factory=set)
    """Functions for writing that it does not know."""
    sunspec: SunSpecUnit | None = None
    """Set where the profile is what the device says."""
    groups: list[PollGroup] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The device's key."""
        return f"modbus:{self.config.name}"

    @property
    def id(self) -> int:
        """The unit id on the bus."""
        return self.config.unit

    def point(self, register: Register) -> str:
        """Return the key of a register's point: one object, wherever it is kept."""
        return sys.intern(f"{self.key}:{register.id}")
