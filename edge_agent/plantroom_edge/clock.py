"""The gateway's clock, and what it is worth: it may start in 1970, step by years, or drift for weeks.

Time comes from one of two sources::

    the system's wall clock ◀──▶ our own: a known instant + the monotonic clock since
      while it is believable       while the wall clock is not

The system's clock is never set. While nobody knows the time (``unset``) our own counts from the
machine's start, so that what it stamps lies in 1970 and can be told, and put right, later.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from plantroom_shared.clock import Clock
from plantroom_shared.wire import ClockState

BUILT_US: Final = 1_735_689_600_000_000
"""2025-01-01: no build of this agent is older, so no clock that says less is right."""

LATEST_US: Final = 4_102_444_800_000_000
"""2100-01-01, beyond which nobody is believed."""

STEP_US: Final = 1_000_000
"""Microseconds by which wall and monotonic clock must drift apart between two looks to be a step."""

SKEW_US: Final = 2_000_000
"""Microseconds by which the gateway may differ from the cloud before the cloud is believed more."""

SLACK_US: Final = 60_000_000
"""Microseconds by which the wall clock may be behind the last good time and still be believed."""

CONFIRMED_FOR: Final = 3600.0
"""Seconds for which the cloud's word keeps the clock in state ``sync``."""

SLOWEST: Final = 30.0
"""Seconds after which an answer of the cloud says nothing about the time any more."""

SAVE_EVERY_US: Final = 600_000_000
"""Microseconds between two notes of the last good time."""

_UNSYNC: Final = 0x40


class _Timex(ctypes.Structure):
    """The head of the kernel's ``struct timex``, and more room than the rest of it takes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def kernel_synced() -> bool:
    """Say whether the kernel's clock is steered (by NTP, PTP, GPS); False where nobody can tell."""
    if not sys.platform.startswith("linux"):
        return False
    timex = _Timex()
    verdict = _libc().adjtimex(ctypes.byref(timex))
    return bool(verdict >= 0 and not timex.status & _UNSYNC)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


class EdgeClock:
    """A `Clock` that knows how far it can be trusted.

    Args:
        system: the machine's wall and monotonic time.
        file: where the last good time is kept over restarts; None keeps it nowhere.
        synced: says whether somebody steers the system's clock.
    """

    def __init__(
        self, system: Clock, file: Path | None = None, *, synced: Callable[[], bool] = kernel_synced
    ) -> None:
        self._system, self._file, self._synced = system, file, synced
        self.floor_us = max(BUILT_US, _load(file))
        """The true time is not before this."""
        self._saved_us = self.floor_us
        self._base: int | None = None
        """Microseconds to add to the monotonic clock; None while the wall clock is followed."""
        self._unset = False
        self._confirmed: float | None = None
        self._apart = self._system_apart()
        self.skew_us: int | None = None
        """Gateway minus cloud when it was last measured; None if it never was."""
        self.counters: Counter[str] = Counter()
        if not self._steered() and self._system.now_us() < self.floor_us - SLACK_US:
            self._base, self._unset = 0, True

    # ------------------------------------------------------------ the clock

    def now_us(self) -> int:
        """Return microseconds since 1970-01-01 UTC; since the machine's start while `state` is unset."""
        if self._base is None:
            self._watch()  # what is stamped right after a step must not wait for the next look
        if self._base is None:
            return self._system.now_us()
        return self._base + self._mono_us()

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return self._system.monotonic()

    @property
    def state(self) -> ClockState:
        """What the time is worth: steered or confirmed, running free since, or unknown."""
        if self._unset:
            return "unset"
        if self._base is None and self._steered():
            return "sync"
        fresh = self._confirmed is not None and self.monotonic() - self._confirmed < CONFIRMED_FOR
        return "sync" if fresh else "holdover"

    @property
    def follows_system(self) -> bool:
        """Whether this clock is the system's: what others read there is right."""
        return self._base is None

    @property
    def since_start_us(self) -> int:
        """What turns a time that was stamped while unset into the true one, microseconds to add."""
        return self.now_us() - self._mono_us()

    # ------------------------------------------------------------ looking and listening

    def look(self) -> int | None:
        """Compare wall and monotonic clock; to be called about once a second.

        Returns:
            The microseconds by which what was stamped so far must be moved, if the clock was unset
            and has just been set; else None.
        """
        shift = None
        if self._base is None:
            self._watch()
        else:
            shift = self._look_at_own()
        self._note()
        return shift

    def hear(self, cloud_us: int, waited: float) -> int | None:
        """The cloud said what time it is, `waited` seconds after it was asked.

        Returns:
            As `look`.
        """
        if not (BUILT_US <= cloud_us < LATEST_US and 0 <= waited <= SLOWEST):
            self.counters["clock_answers_useless"] += 1
            return None
        half = round(waited * 5e5)
        true_us = cloud_us + half
        before = self.now_us()
        if self._unset:
            self._run_from(true_us)
            self._confirmed, self.skew_us = self.monotonic(), 0
            self._note()
            return true_us - before
        self.skew_us = before - true_us
        if self._base is None and self._steered():
            return None
        limit = half if self._base is not None else SKEW_US + half
        if abs(self.skew_us) > limit:
            self.counters["clock_corrected"] += 1
            self._run_from(true_us)
            self.skew_us = 0
        self._confirmed = self.monotonic()
        self._note()
        return None

    # ------------------------------------------------------------ within

    def _look_at_own(self) -> int | None:
        """Follow the system again if its clock has become believable."""
        wall, own = self._system.now_us(), self.now_us()
        stepped = abs(self._system_apart() - self._apart) > STEP_US
        set_now = stepped and self._unset and self.floor_us - SLACK_US <= wall < LATEST_US
        agrees = not self._unset and abs(wall - own) <= STEP_US
        if not (self._steered() or set_now or agrees):
            return None
        self._base, self._apart = None, self._system_apart()
        if not self._unset:
            return None
        self._unset = False
        return wall - own

    def _watch(self) -> None:
        """See whether the system's clock was set while it was followed, and is to be believed."""
        apart = self._system_apart()
        if abs(apart - self._apart) > STEP_US:
            self.counters["clock_steps"] += 1
            if self._confirmed is not None and not self._steered():
                # What was right and ran on is more credible than a jump nobody vouches for.
                self._base = self._apart
                return
        self._apart = apart

    def _run_from(self, true_us: int) -> None:
        self._base, self._unset = true_us - self._mono_us(), False

    def _mono_us(self) -> int:
        return round(self._system.monotonic() * 1e6)

    def _system_apart(self) -> int:
        return self._system.now_us() - self._mono_us()

    def _steered(self) -> bool:
        """Whether somebody steers the system's clock, and to a time that can be."""
        return BUILT_US <= self._system.now_us() < LATEST_US and self._synced()

    def _note(self) -> None:
        """Remember the last good time; on the disk only now and then."""
        if self.state != "sync":
            return
        if self._base is None and self._confirmed is None:
            self._confirmed = self.monotonic()
        self.floor_us = max(BUILT_US, self.now_us())
        if self._file and not 0 <= self.floor_us - self._saved_us < SAVE_EVERY_US:
            self._saved_us = self.floor_us
            try:
                _save(self._file, self.floor_us)
            except OSError:
                self.counters["clock_file_errors"] += 1


def _load(file: Path | None) -> int:
    """Return the last good time in `file`; 0 where there is none that can be."""
    try:
        noted = json.loads(file.read_bytes())["last_good_us"] if file else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return noted if type(noted) is int and BUILT_US <= noted < LATEST_US else 0


def _save(file: Path, last_good_us: int) -> None:
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps({"last_good_us": last_good_us}) + "\n", encoding="utf-8")
    draft.replace(file)
