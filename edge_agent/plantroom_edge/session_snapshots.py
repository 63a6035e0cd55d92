"""When a session shows what all points say now, ahead of what waits: dashboards come first."""

from __future__ import annotations

from typing import Final

from plantroom_edge.session_actions import Action, SendSnapshot
from plantroom_edge.session_dictionaries import Dictionaries

SNAPSHOT_WITHIN: Final = 2.0
"""Seconds that the snapshot waits for the cloud to know the dictionary it is written in."""

BEHIND: Final = 5.0
"""Seconds without having sent all that is new, from which on there is a snapshot again ..."""

SNAPSHOT_AGAIN: Final = 10.0
"""... but not more often than so many seconds apart."""


class Snapshots:
    """When the next one is due."""

    def __init__(self) -> None:
        self.taken = False
        """Whether the cloud takes them."""
        self.due: float | None = None
        """When it goes at the latest; None: none is wanted."""
        self.fresh_at = 0.0
        """When all that is new had last been sent."""
        self._shown_at = 0.0

    def want(self, now: float) -> None:
        """Old rows wait: have one sent before them, soon."""
        if self.taken:
            self.due = now + SNAPSHOT_WITHIN

    def freshen(self, now: float, last_ack: float | None) -> None:
        """Have one sent where a slow line lets new rows wait.

        Nobody is there to see it where nothing was acked since the last one.
        """
        heard = last_ack is not None and last_ack > self._shown_at
        late = min(now - self.fresh_at - BEHIND, now - self._shown_at - SNAPSHOT_AGAIN) >= 0
        if self.taken and heard and late:
            self.due = now

    def give(self, now: float, dictionaries: Dictionaries) -> list[Action]:
        """Return the snapshot once the cloud can read it, or has had the time to."""
        if self.due is None or dictionaries.current is None:
            return []
        ep, size = dictionaries.current
        if now < self.due and dictionaries.acked.get(ep, 0) < size:
            return []
        self.due, self._shown_at = None, now
        return [SendSnapshot()] if size else []
