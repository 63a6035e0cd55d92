"""How much may be on the way at a time: additive increase, multiplicative decrease, the cloud's word.

The window grows by one message for each window that was acked in time, and is halved when an ack
does not come in time or comes late; then a slow link carries little that newer rows must wait for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

from plantroom_shared.backoff import doubling
from plantroom_shared.wire import MAX_WIRE, Flow

WINDOW: Final = 16
"""Messages that may be unacked at a time, unless the cloud says otherwise."""

START: Final = 8
"""The same on a line of which nothing is known yet."""

MAX_BYTES: Final = 1024 * 1024
"""Bytes that may be unacked at a time."""

LEAST: Final = 2
"""What the gateway itself never goes below: one message of samples and a more urgent one."""

SEND_AGAIN: Final = (10.0, 120.0)
"""Seconds to wait for an ack: the first time at least, and at most."""

LATE: Final = 5.0
"""Seconds over the quickest ack of the connection beyond which one tells of a queue on the way."""

FLOW_FOR: Final = 30.0
"""Seconds for which the cloud's word on the window holds: a cloud that was killed cannot lift it."""


class Window:
    """The room there is for messages of rows.

    Args:
        jitter: draws a number between two, for resends.
    """

    def __init__(self, *, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self._own = float(START)
        self._told: tuple[int, float] | None = None
        self._halved = -math.inf
        self._latency: float | None = None
        self._quickest = math.inf
        self.paused_until = -math.inf
        """When rows may go again, by the caller's clock."""

    def size(self, now: float) -> int:
        """Return how many messages may be unacked at `now`."""
        return max(1, min(int(self._own), self._most(now)))

    def room(self, now: float, *, messages: int, samples: int, size: int, urgent: bool) -> int:
        """Return how many more messages may be sent.

        Args:
            now: by the caller's clock.
            messages: on the way.
            samples: how many of these carry samples.
            size: bytes on the way.
            urgent: whether it is for more urgent rows than samples: one place is kept for those.
        """
        if now < self.paused_until:
            return 0
        limit = self.size(now)
        room = min(limit - messages, (MAX_BYTES - size) // MAX_WIRE)
        return room if urgent else min(room, max(1, limit - 1) - samples)

    def told(self, flow: Flow, now: float) -> None:
        """Take the cloud's word on how fast to send."""
        self.paused_until = now + flow.pause_ms / 1000
        self._told = None if flow.window is None else (flow.window, now + FLOW_FOR)

    def acked(self, now: float, sent: float, *, once: bool) -> None:
        """A message that went out at `sent` was acked; `once` if it went out only once."""
        latency = now - sent
        if once:
            known = self._latency
            self._latency = latency if known is None else known + (latency - known) / 8
            self._quickest = min(self._quickest, latency)
            if latency > LATE + self._quickest:
                self.lost(now, sent)
                return
        self._own = min(self._own + 1 / self._own, max(self._most(now), WINDOW))

    def lost(self, now: float, sent: float) -> None:
        """No ack came in time for what went out at `sent`; one bad moment halves only once."""
        if sent >= self._halved:
            self._own = max(LEAST, self._own / 2)
            self._halved = now

    def patience(self, tries: int) -> float:
        """Return the seconds to wait for an ack of what went out `tries` times."""
        first, most = SEND_AGAIN
        first = max(first, 4 * (self._latency or 0.0))
        return doubling(tries, first=first, most=most) * self._jitter(1.0, 1.25)

    def _most(self, now: float) -> int:
        window, until = self._told or (WINDOW, math.inf)
        return window if now < until else WINDOW
