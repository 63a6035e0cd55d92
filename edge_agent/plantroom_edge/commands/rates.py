"""How often points, devices and the whole gateway may be written. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

_MINUTE_US: Final = 60_000_000


@dataclass(slots=True)
class Rates:
    """Remembers when what was written, by the monotonic clock.

    Args:
        per_minute: commands in any minute.
        device_us: microseconds between two commands for one device.
    """

    per_minute: int
    device_us: int
    _all: deque[int] = field(default_factory=deque)
    _last: dict[str, int] = field(default_factory=dict)

    def refusal(self, points: Mapping[str, int], devices: Iterable[str], now_us: int) -> str:
        """Return why a command must not be carried out now; empty if it may.

        Args:
            points: point → microseconds between two commands for it.
            devices: whom the points belong to.
            now_us: by the monotonic clock.
        """
        while self._all and self._all[0] <= now_us - _MINUTE_US:
            self._all.popleft()
        if len(self._all) >= self.per_minute:
            return "rate-gateway"
        if any(self._since(f"point {one}", now_us) < least for one, least in points.items()):
            return "rate-point"
        if any(self._since(f"device {one}", now_us) < self.device_us for one in devices):
            return "rate-device"
        return ""

    def note(self, points: Iterable[str], devices: Iterable[str], at_us: int) -> None:
        """A command is carried out."""
        self._all.append(at_us)
        for name in (*(f"point {one}" for one in points), *(f"device {one}" for one in devices)):
            self._last[name] = max(at_us, self._last.get(name, at_us))

    def _since(self, name: str, now_us: int) -> int:
        last = self._last.get(name)
        return 2**62 if last is None else now_us - last
