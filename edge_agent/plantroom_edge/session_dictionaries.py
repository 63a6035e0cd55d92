"""Which dictionaries went out within a session, how far the cloud knows them, and when they go again."""

from __future__ import annotations

from typing import Final

from plantroom_edge.session_actions import Action, SendDictionary
from plantroom_edge.session_flight import HURRIES

DICTIONARY_AGAIN: Final = 1.0
"""Seconds within which several requests for one dictionary count as one ..."""

DICTIONARY_RARELY: Final = 30.0
"""... and the most that this grows to where it is asked for without end."""


def again_after(tries: int) -> float:
    """Return the seconds for which a dictionary is not sent again, after so many tries of a message."""
    return min(DICTIONARY_AGAIN * 2.0 ** max(0, tries - HURRIES), DICTIONARY_RARELY)


class Dictionaries:
    """The dictionaries of a session, by epoch."""

    def __init__(self) -> None:
        self.sent: dict[str, int] = {}
        """How many aliases of an epoch went out, or were known to the cloud before."""
        self.acked: dict[str, int] = {}
        """How many the cloud has."""
        self.current: tuple[str, int] | None = None
        """The epoch of this process, and how many aliases it has."""
        self._not_before: dict[str, float] = {}

    def up_to(self, ep: str, size: int) -> list[Action]:
        """Return what brings the dictionary of `ep` to `size` aliases; it counts as sent."""
        known = self.sent.setdefault(ep, 0)
        if known >= size:
            return []
        self.sent[ep] = size
        return [SendDictionary(ep, known)]

    def went(self, ep: str, size: int) -> None:
        """The dictionary of `ep` went out up to alias `size`."""
        self.sent[ep] = max(self.sent.get(ep, 0), size)

    def ack(self, ep: str, size: int) -> None:
        """The cloud has the dictionary of `ep` up to alias `size`."""
        self.acked[ep] = max(self.acked.get(ep, 0), size)

    def again(self, ep: str, have: int, now: float, pause: float) -> list[Action]:
        """The cloud has only `have` aliases: return the rest of them, unless they went just now.

        Args:
            ep: whose.
            have: how many it has.
            now: by the caller's clock, seconds.
            pause: seconds for which it is not sent once more.
        """
        if now < self._not_before.get(ep, 0.0):
            return []
        self._not_before[ep] = now + pause
        return [SendDictionary(ep, have)]
