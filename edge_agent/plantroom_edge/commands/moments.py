"""Time for commands: a clock that steps neither lengthens nor shortens anything. Pure.

Within one start of the machine only the monotonic clock counts. The wall clock counts for what
comes from elsewhere (when an order was issued and when it expires), and across a restart.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plantroom_shared.wire import ClockState

AHEAD_US: Final = 5_000_000
"""Microseconds by which an order may seem to come from the future."""

LONGEST_US: Final = 300_000_000
"""Microseconds that no order is valid for any longer."""

HOLDOVER_US: Final = 5_000_000
"""Microseconds by which a clock that runs free is taken to be wrong, to the worse."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_id(file: Path = _BOOT_ID) -> str:
    """Return what names this start of the machine; where nobody tells, what names this process."""
    try:
        return file.read_text(encoding="ascii").strip()[:64]
    except (OSError, UnicodeDecodeError):
        return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Now:
    """A moment on both clocks."""

    wall_us: int
    mono_us: int
    clock: ClockState = "sync"
    boot: str = ""
    """Of the machine; two moments of different boots have no monotonic time in common."""


@dataclass(frozen=True, slots=True)
class Window:
    """When an order may be carried out, as the gateway sees it when the order comes."""

    expires_us: int
    """By the wall clock."""
    mono_us: int
    """By the monotonic clock: a wall clock that is set back must not give it more time."""

    def left_us(self, now: Now) -> int:
        """Return the microseconds that are left; 0 or less where it is over."""
        margin = HOLDOVER_US if now.clock == "holdover" else 0
        if now.clock == "unset":
            return 0
        return min(self.expires_us - margin - now.wall_us, self.mono_us - now.mono_us)


@dataclass(frozen=True, slots=True)
class LocalWindow:
    """When an order of somebody on site may be carried out: it needs no wall clock."""

    mono_us: int
    boot: str

    def left_us(self, now: Now) -> int:
        """Return the microseconds that are left; 0 or less where it is over."""
        return self.mono_us - now.mono_us if now.boot == self.boot else 0


def open_window(
    issued_us: int, expires_us: int, now: Now, *, longest_us: int, floor_us: int
) -> Window | str:
    """Return when an order may be carried out, or why it never may.

    Args:
        issued_us: as the order says.
        expires_us: as the order says.
        now: when it came.
        longest_us: the longest validity that is accepted.
        floor_us: the latest `issued_us` that was ever accepted: the true time is not before it,
            whatever the clock says.
    """
    if now.clock == "unset":
        return "clock-unset"
    if expires_us - issued_us > longest_us:
        return "valid-too-long"
    if issued_us > now.wall_us + AHEAD_US:
        return "from-the-future"
    left = min(expires_us - max(now.wall_us, floor_us), longest_us)
    window = Window(expires_us, now.mono_us + left)
    return window if left > 0 and window.left_us(now) > 0 else "expired"


@dataclass(frozen=True, slots=True)
class Lease:
    """Until when a value may stand."""

    wall_us: int
    mono_us: int
    boot: str
    length_us: int

    @classmethod
    def begin(cls, seconds: float, now: Now) -> Lease:
        """Return a lease that begins now."""
        length = round(seconds * 1e6)
        return cls(now.wall_us + length, now.mono_us + length, now.boot, length)

    def left_us(self, now: Now) -> int:
        """Return the microseconds that are left; 0 or less where it is over.

        After a restart of the machine with a clock that nobody has set it is over: nobody can tell
        how long the machine was down.
        """
        if now.boot == self.boot:
            return min(self.mono_us - now.mono_us, self.length_us)
        if now.clock == "unset":
            return 0
        return min(self.wall_us - now.wall_us, self.length_us)

    def anchored(self, now: Now) -> Lease:
        """Return the same lease by the monotonic clock of this start of the machine.

        To be called when a process takes a lease over: from then on the wall clock, which may be set
        back by years at any time, has no say in it any more.
        """
        left = max(0, self.left_us(now))
        return Lease(now.wall_us + left, now.mono_us + left, now.boot, self.length_us)

    def sooner(self, other: Lease, now: Now) -> Lease:
        """Return the one of the two that ends first."""
        return self if self.left_us(now) <= other.left_us(now) else other
