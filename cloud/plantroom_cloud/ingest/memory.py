"""What an ingest process remembers between transactions; all of it may be forgotten at any time."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence


class Dictionaries:
    """Committed dictionaries of the epochs in use, so that they are not read for every message.

    They are of the gateway's `dictionary_stamp`, which every change of a dictionary renews. So what
    another process has changed, or a restored backup has taken back, is never taken for known.
    """

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._several: OrderedDict[tuple[str, str], tuple[tuple[str, int], frozenset[int]]] = (
            OrderedDict()
        )
        self._known: OrderedDict[tuple[str, str], tuple[str, list[int]]] = OrderedDict()

    def get(self, gateway: str, epoch: str, stamp: str) -> list[int]:
        """Return the point ids that were known at `stamp`, alias by alias."""
        then, points = self._known.get((gateway, epoch), ("", []))
        return points if then == stamp else []

    def several(
        self, gateway: str, epoch: str, stamp: str, points: Sequence[int]
    ) -> frozenset[int]:
        """Return which of `points`, by alias, have several aliases: they changed since the start."""
        mark = (stamp, len(points))
        then, found = self._several.get((gateway, epoch), (("", -1), frozenset[int]()))
        if then != mark:
            counts = Counter(points) if len(set(points)) < len(points) else {}
            found = frozenset(point for point, count in counts.items() if count > 1)
            self._several[gateway, epoch] = (mark, found)
            while len(self._several) > self._most:
                self._several.popitem(last=False)
        return found

    def learn(self, gateway: str, stamp: str, epochs: Mapping[str, list[int]]) -> None:
        """Remember what was read or written under `stamp`, now that it is committed."""
        for epoch, points in epochs.items():
            self._known[gateway, epoch] = (stamp, points)
            self._known.move_to_end((gateway, epoch))
        while len(self._known) > self._most:
            self._known.popitem(last=False)


class Patience:
    """How often, and how long, a message has been sent back for a dictionary that never came.

    Args:
        tries: requests before the aliases may be taken for damaged ...
        seconds: ... and since the first one: another process may just be storing the dictionary.
        most: messages that are remembered.
    """

    def __init__(self, tries: int = 5, seconds: float = 5.0, most: int = 1000) -> None:
        self._tries, self._seconds, self._most = tries, seconds, most
        self._asked: OrderedDict[tuple[str, str, int, int], tuple[int, float]] = OrderedDict()

    def is_over(self, gateway: str, epoch: str, s0: int, have: int, now: float) -> bool:
        """Count one more request at `now`; say whether the aliases must be taken for damaged."""
        key = (gateway, epoch, s0, have)
        asked, since = self._asked.pop(key, (0, now))
        self._asked[key] = (asked + 1, since)
        while len(self._asked) > self._most:
            self._asked.popitem(last=False)
        return asked >= self._tries and now - since >= self._seconds
