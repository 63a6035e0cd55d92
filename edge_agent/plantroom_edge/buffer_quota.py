"""Which rows go when the buffer is full, in this order and each loss declared.

1. Confirmed rows that were only retained; nothing is lost with them.
2. The oldest samples are thinned: of each quarter of an hour so many messages stay that every point
   has a reading, the others become one gap with cause ``thinned``.
3. The oldest samples are dropped, with cause ``quota``.

Findings, commands and audit have room of their own that samples cannot take, and no more than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from plantroom_edge import buffer_account as account
from plantroom_edge import buffer_retain as retain
from plantroom_edge.buffer_ledger import Head, Ledger, is_proven
from plantroom_shared import ranges
from plantroom_shared.wire import Samples, Stream, decode_rows

SLOT_US: Final = 900_000_000
"""Thinned samples keep one reading of each point in so many microseconds."""

_EVICT: Final = 64
"""Frames given up at once when the limit is reached, so that it is not hit at every commit."""

_THIN_STEPS: Final = 8
"""Times `_EVICT` frames that may be looked at in one transaction to thin them."""

_LEAST_SHARE: Final = 16 * 1024

_LATELY: Final = 600.0

SHARES: Final[Mapping[Stream, float]] = {"cmd": 0.02, "evt": 0.05, "aud": 0.02}
"""Parts of the whole that belong to one stream alone."""


@dataclass(slots=True)
class Quota:
    """How much there may be, and what goes first.

    Args:
        limit: bytes of the file's content.
        shares: part of `limit` that belongs to each stream but ``tel``.
    """

    limit: int
    shares: Mapping[Stream, float] = field(default_factory=lambda: dict(SHARES))
    gave_up: tuple[str, float] = ("", 0.0)
    """How samples were given up last, ``thinned`` or ``quota``, and when by the monotonic clock."""
    _slot: tuple[int, int] = (0, 0)
    _seen: set[int] = field(default_factory=set)

    def room_of(self, lane: Stream) -> int:
        """Return the bytes that belong to `lane` alone."""
        return max(int(self.limit * self.shares.get(lane, 0.0)), _LEAST_SHARE)

    def evict(self, ledger: Ledger, current: int) -> None:
        """Bring the file within its limits.

        Args:
            ledger: the books.
            current: the epoch that is being written.
        """
        for lane, size in list(ledger.lane_bytes().items()):
            if size > self.room_of(lane):
                self._evict_lane(ledger, lane, current)
        steps = 0
        while account.used_bytes(ledger.db) + self._kept_free(ledger) > self.limit:
            steps += 1
            if not self.give_up(ledger, current, thin=steps <= _THIN_STEPS):
                break
        while account.used_bytes(ledger.db) > self.limit:
            lanes: tuple[Stream, ...] = ("evt", "aud", "cmd")
            if not any(self._give_up_of(ledger, lane, current) for lane in lanes):
                return

    def _kept_free(self, ledger: Ledger) -> int:
        """Return the bytes that samples must leave to the other streams."""
        used = ledger.lane_bytes()
        if self.limit < 8 * _LEAST_SHARE * len(used):
            return 0  # a toy: its pages are too few to be divided
        return sum(max(0, self.room_of(lane) - size) for lane, size in used.items())

    def give_up(self, ledger: Ledger, current: int, *, thin: bool = True) -> bool:
        """Give up the samples that are worth the least, a few; say whether there were any."""
        if retain.drop_oldest(ledger, "tel", current):
            return True
        if thin and self._thin(ledger):
            self.gave_up = ("thinned", ledger.clock.monotonic())
            return True
        self.gave_up = ("quota", ledger.clock.monotonic())
        return _drop_oldest(ledger, "tel")

    def room(self, ledger: Ledger, held: int, retained: int) -> int:
        """Return the bytes that samples may still take before one that is held must go.

        Args:
            ledger: the books.
            held: how many samples are not confirmed.
            retained: how many are confirmed and still in the file.
        """
        used = account.used_bytes(ledger.db)
        samples = max(0, used - sum(ledger.lane_bytes().values()))
        spare = samples * retained // max(1, held + retained)
        return max(0, self.limit - used - self._kept_free(ledger) + spare)

    def giving_up(self, now: float) -> str:
        """Return how samples have been given up in the last minutes; empty if they were not."""
        how, at = self.gave_up
        return how if how and now - at < _LATELY else ""

    def _evict_lane(self, ledger: Ledger, lane: Stream, current: int) -> None:
        while ledger.lane_bytes()[lane] > self.room_of(lane):
            if not self._give_up_of(ledger, lane, current):
                return

    def _give_up_of(self, ledger: Ledger, lane: Stream, current: int) -> bool:
        return retain.drop_oldest(ledger, lane, current) or _drop_oldest(ledger, lane)

    # ------------------------------------------------------------ thinning

    def _thin(self, ledger: Ledger) -> bool:
        """Thin the next few of the oldest samples; say whether there were any left to look at."""
        for epoch, head in self._next_raw(ledger):
            heads = [head]
            for other_epoch, other in self._next_raw(ledger, (epoch, head.last)):
                if other_epoch != epoch or len(heads) == _EVICT:
                    break
                heads.append(other)
            self._thin_these(ledger, epoch, heads)
            return True
        return False

    def _next_raw(
        self, ledger: Ledger, after: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, Head]]:
        """Yield the oldest messages of samples that were not thinned and are not fresh."""
        place = (account.counter(ledger.db, "thin_epoch"), account.counter(ledger.db, "thin_seq"))
        until = ledger.clock.now_us() - SLOT_US
        for epoch, head in _data(ledger, "tel", after or place):
            if head.accepted_us > until:
                return
            yield epoch, head

    def _thin_these(self, ledger: Ledger, epoch: int, heads: list[Head]) -> None:
        drop = [head for head in heads if not self._is_wanted(ledger, epoch, head)]
        ledger.delete("tel", [head.id for head in drop])
        _declare(ledger, epoch, "tel", drop, "thinned")
        for name, value in (("thin_epoch", epoch), ("thin_seq", heads[-1].last)):
            ledger.db.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (name, value))

    def _is_wanted(self, ledger: Ledger, epoch: int, head: Head) -> bool:
        """Say whether a message has a point of which its quarter of an hour has no reading yet."""
        (frame,) = ledger.frames(epoch, "tel", (head.s0, head.s0), 1)
        if not is_proven(epoch, "tel", frame):
            return True  # found and declared lost when it is given out
        message = decode_rows(frame[7])
        if not isinstance(message, Samples):
            return True
        slot = (epoch, message.batch.times[0] // SLOT_US)
        if slot != self._slot:
            self._slot, self._seen = slot, set()
        new = set(message.batch.points) - self._seen
        self._seen |= new
        return bool(new)


def _data(
    ledger: Ledger, stream: Stream, after: tuple[int, int] = (0, 0)
) -> Iterator[tuple[int, Head]]:
    """Yield the messages of data that are held, oldest first: (epoch, header)."""
    for epoch in ledger.epochs(stream):
        if epoch < after[0]:
            continue
        beyond = after[1] if epoch == after[0] else 0
        for lo, hi in ranges.subtract(ledger.held(epoch, stream), [(0, beyond)]):
            start = lo
            while heads := ledger.heads(epoch, stream, (start, hi), 2 * _EVICT):
                yield from ((epoch, head) for head in heads if head.kind == "data")
                if (start := heads[-1].last + 1) > hi:
                    break


def _drop_oldest(ledger: Ledger, stream: Stream) -> bool:
    heads: list[Head] = []
    oldest = 0
    for epoch, head in _data(ledger, stream):
        if (heads and epoch != oldest) or len(heads) == _EVICT:
            break
        oldest = epoch
        heads.append(head)
    ledger.delete(stream, [head.id for head in heads])
    _declare(ledger, oldest, stream, heads, "quota", absorbs=("thinned",))
    return bool(heads)


def _declare(
    ledger: Ledger,
    epoch: int,
    stream: Stream,
    heads: list[Head],
    cause: str,
    *,
    absorbs: tuple[str, ...] = (),
) -> None:
    """Declare the rows of `heads` lost, run by run."""
    run: list[Head] = []
    for head in [*heads, None]:
        if run and (head is None or head.s0 != run[-1].last + 1):
            span = (
                min(entry.accepted_us for entry in run),
                max(entry.accepted_us for entry in run),
            )
            rows = (run[0].s0, run[-1].last)
            ledger.declare_lost(epoch, stream, rows, cause, span=span, absorbs=absorbs)
            run = []
        if head is not None:
            run.append(head)
