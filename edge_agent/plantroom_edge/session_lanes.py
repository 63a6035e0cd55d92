"""In which order rows leave: urgent ones first, then new and old samples, turn by turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from plantroom_edge.buffer_db import Frame
from plantroom_edge.session_actions import URGENT, Lane, Mark, Want
from plantroom_shared.wire import Stream

_STREAM: Final[dict[Lane, Stream]] = {
    "cmd": "cmd",
    "evt": "evt",
    "aud": "aud",
    "live": "tel",
    "fill": "tel",
}

_CHANNELS: Final[dict[Lane, str]] = {
    "cmd": "cmd",
    "evt": "evt",
    "aud": "aud",
    "live": "tel",
    "fill": "fill",
}


class Lanes:
    """Where each lane stands in the buffer.

    Args:
        mark: what had been accepted when the session began: samples up to there are the backlog.
    """

    def __init__(self, mark: Mark) -> None:
        self.mark = mark
        self._after: dict[Lane, Mark] = dict.fromkeys(_STREAM, (0, 0))
        self._after["live"] = mark
        self._turn: Lane = "live"
        self._refused_by_cloud: frozenset[str] = frozenset()
        self.fill_done = False
        """Whether the backlog has been sent."""

    def taken(self, channels: Iterable[str]) -> None:
        """The cloud reads these of the channels that not every cloud reads."""
        self._refused_by_cloud = frozenset({"cmd", "aud", "fill"} - set(channels))

    def channel(self, lane: Lane) -> str:
        """Return the channel on which `lane` goes up."""
        channel = _CHANNELS[lane]
        return "tel" if channel in self._refused_by_cloud else channel

    def urgent(self) -> Iterator[Lane]:
        """Yield the lanes that go before all samples, but for those the cloud does not read."""
        return (lane for lane in URGENT if lane not in self._refused_by_cloud)

    def samples(self) -> tuple[Lane, Lane]:
        """Return the two lanes of samples, the one whose turn it is first."""
        return ("live", "fill") if self._turn == "live" else ("fill", "live")

    def want(self, lane: Lane, limit: int) -> Want:
        """Return what to ask the buffer for."""
        until = self.mark if lane == "fill" else None
        return Want(lane, _STREAM[lane], self._after[lane], until, limit)

    def took(self, want: Want, frames: list[Frame]) -> None:
        """The buffer gave out `frames` for `want`."""
        if frames:
            self._after[want.lane] = (frames[-1].order, frames[-1].last)
            if want.lane == self._turn:
                self._turn = "fill" if want.lane == "live" else "live"
        elif want.lane == "fill":
            self.fill_done = True

    def rewind(self, mark: Mark) -> None:
        """Begin at the beginning: rows have come back that the lanes have passed."""
        self.mark = max(self.mark, mark)
        self._after |= {lane: (0, 0) for lane in _STREAM if lane != "live"}
        self._after["live"] = max(self._after["live"], self.mark)
        self.fill_done = False
