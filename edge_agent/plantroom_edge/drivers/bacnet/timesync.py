"""Telling devices the time: only while ours is known to be right. Pure but for the clock."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Final, Protocol, runtime_checkable

from plantroom_edge.drivers.bacnet.vocabulary import (
    TIME_SYNCHRONIZATION,
    UTC_TIME_SYNCHRONIZATION,
)
from plantroom_shared.clock import Clock

_FIRST_YEAR: Final = 1900
_DATE, _TIME = 0xA4, 0xB4


@runtime_checkable
class _Judged(Protocol):
    """A clock that knows what it is worth, as the agent's does."""

    @property
    def state(self) -> str: ...


def trusted(clock: Clock) -> bool:
    """Say whether somebody vouches for the time of `clock`."""
    return isinstance(clock, _Judged) and clock.state == "sync"


def encode_time(moment: datetime) -> bytes:
    """Return date and time of day as both services carry them."""
    hundredths = moment.microsecond // 10_000
    day = struct.pack(
        ">5B", _DATE, moment.year - _FIRST_YEAR, moment.month, moment.day, moment.isoweekday()
    )
    return day + struct.pack(">5B", _TIME, moment.hour, moment.minute, moment.second, hundredths)


def announcement(now_us: int, kind: str) -> tuple[int, bytes]:
    """Return service and body that tell a device the time, as ``utc`` or as ``local``."""
    moment = datetime.fromtimestamp(now_us / 1e6, UTC)
    if kind == "utc":
        return UTC_TIME_SYNCHRONIZATION, encode_time(moment)
    return TIME_SYNCHRONIZATION, encode_time(moment.astimezone())


class TimeSync:
    """Tells each device the time when it is read, at first and every `hours`."""

    def __init__(self, clock: Clock, kind: str, hours: float) -> None:
        self._clock, self._kind, self._pause = clock, kind, hours * 3600
        self._due: dict[str, float] = {}
        self.told = 0

    def due(self, device: str) -> tuple[int, bytes] | None:
        """Return what to tell `device` now; None if nothing."""
        now = self._clock.monotonic()
        if self._kind == "off" or now < self._due.get(device, now) or not trusted(self._clock):
            return None
        self._due[device] = now + self._pause
        self.told += 1
        return announcement(self._clock.now_us(), self._kind)
