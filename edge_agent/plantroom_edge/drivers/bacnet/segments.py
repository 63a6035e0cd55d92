"""An answer in segments, put together again: pure, and bounded whatever a device sends.

Only what a client needs: answers may come in segments, requests always fit one datagram.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MOST_SEGMENTS: Final = 64
"""Of one answer, as every request that allows segments says."""
MOST_OCTETS: Final = 128 * 1024
"""Of one answer, all segments together."""
WINDOW: Final = 16
"""Segments in a row that are taken before one is acknowledged."""
_MOST_STRAYS: Final = 4 * MOST_SEGMENTS
"""Segments that bring nothing new, of one answer, until the device is given up."""


class Overflow(Exception):
    """The answer grows beyond what is taken, or never gets on."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of an answer."""

    number: int
    """0 to 255."""
    window: int
    """How many the device would like to send in a row."""
    more: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What to tell the device."""

    number: int
    """The last segment that came in order."""
    window: int
    refused: bool = False
    """Whether to begin again behind `number`."""


@dataclass(slots=True)
class Assembly:
    """The segments of one answer, in order; the first that it is given is number 0.

    A segment that came before is dropped; one that comes too early is asked for again, once for
    each gap, so that a device that repeats itself is not answered for ever.
    """

    complete: bool = False
    parts: list[bytes] = field(default_factory=list)
    _octets: int = 0
    _window: int = 1
    _unacknowledged: int = 0
    _strays: int = 0
    _complained: bool = False

    @property
    def body(self) -> bytes:
        """The answer, as far as it has come."""
        return b"".join(self.parts)

    def take(self, segment: Segment) -> Receipt | None:
        """Take a segment; return what to tell the device, if anything.

        Raises:
            Overflow: there is too much of it.
        """
        due = len(self.parts)
        if segment.number != due & 0xFF or self.complete:
            return self._stray(segment)
        self._octets += len(segment.body)
        if due >= MOST_SEGMENTS or self._octets > MOST_OCTETS or (due and not segment.body):
            raise Overflow
        if not due:
            self._window = min(max(segment.window, 1), WINDOW)
            self._unacknowledged = self._window - 1  # the first is acknowledged alone
        self.parts.append(segment.body)
        self._complained = False
        self._unacknowledged += 1
        self.complete = not segment.more
        if self.complete or self._unacknowledged >= self._window:
            return self._receipt()
        return None

    def _stray(self, segment: Segment) -> Receipt | None:
        self._strays += 1
        if self._strays > _MOST_STRAYS:
            raise Overflow
        behind = (len(self.parts) - 1 - segment.number) & 0xFF
        if behind < WINDOW:  # it came before: our receipt may be lost
            return self._receipt() if behind == 0 else None
        if self._complained:
            return None
        self._complained = True
        return self._receipt(refused=True)

    def _receipt(self, *, refused: bool = False) -> Receipt:
        self._unacknowledged = 0
        return Receipt((len(self.parts) - 1) & 0xFF, self._window, refused=refused)
