"""What the agent costs its gateway, and how warm that is: read from the kernel, never from a bus."""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from typing import Final

_WINDOW: Final = 60
"""Looks over which the share of the processor is taken: a minute, at one a second."""

_HOTTEST: Final = 200.0
"""Degrees Celsius; what says more has no sensor behind it."""


def written_bytes(account: Path) -> int | None:
    """Return the bytes that a process has made the disk write; None if unknown.

    Args:
        account: the kernel's account of what the process reads and writes.
    """
    try:
        text = account.read_text(encoding="ascii")
        return int(text.split("\nwrite_bytes:", 1)[1].split("\n", 1)[0])
    except (OSError, ValueError, IndexError):
        return None


class Machine:
    """Looks at this process and at the gateway's own sensors.

    Args:
        process: the kernel's account of the process.
        zones: the kernel's list of thermal zones; a gateway without sensors has none.
    """

    def __init__(
        self, process: Path = Path("/proc/self"), zones: Path = Path("/sys/class/thermal")
    ) -> None:
        self._process, self._zones = process, zones
        self._looks: deque[tuple[float, float]] = deque(maxlen=_WINDOW)
        """(monotonic seconds, processor seconds)."""

    def look(self, now: float) -> dict[str, float]:
        """Return the figures of this moment; what the gateway does not tell is left out.

        Args:
            now: monotonic seconds.

        Returns:
            ``cpu_seconds`` so far, ``cpu_percent`` of one core in the last minute,
            ``resident_bytes``, ``written_bytes`` to the disk, ``temperature_c`` of the hottest zone.
        """
        spent = time.process_time()
        self._looks.append((now, spent))
        since, before = self._looks[0]
        figures = {
            "cpu_seconds": round(spent, 3),
            "resident_bytes": self._resident(),
            "written_bytes": written_bytes(self._process / "io"),
            "temperature_c": self._temperature(),
        }
        if now > since:
            figures["cpu_percent"] = round(100 * (spent - before) / (now - since), 2)
        return {name: value for name, value in figures.items() if value is not None}

    def _resident(self) -> int | None:
        try:
            pages = int((self._process / "statm").read_text(encoding="ascii").split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _temperature(self) -> float | None:
        """Return degrees Celsius of the hottest zone that tells a believable one."""
        degrees = []
        for zone in self._zones.glob("thermal_zone*/temp"):
            try:
                degrees.append(int(zone.read_text(encoding="ascii")) / 1000)
            except (OSError, ValueError):  # a zone may be switched off
                continue
        return max((one for one in degrees if 0 < one < _HOTTEST), default=None)
