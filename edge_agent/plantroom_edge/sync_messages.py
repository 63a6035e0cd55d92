"""The messages that the rim builds out of the buffer: accounts, and what the points say now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from plantroom_shared.errors import Rejected
from plantroom_shared.model import Batch
from plantroom_shared.wire import MAX_ROWS, Hello, Holding, State, encode, encode_snapshot

M = TypeVar("M", Hello, State)


def fitting(epochs: list[Holding], build: Callable[[list[Holding]], M]) -> M:
    """Build a message with as many epochs as fit: the newest one and the oldest."""
    while True:
        message = build(epochs)
        try:
            encode(message)
        except Rejected:
            if len(epochs) <= 1:
                return build([])
            epochs = [*epochs[: (len(epochs) - 1) // 2], epochs[-1]]
        else:
            return message


def snapshots(ep: str, batch: Batch, order: list[int]) -> Iterator[bytes]:
    """Yield what points say now as messages that are each small enough.

    A value too big to travel with others is left out: its row comes by its own way.
    """
    for start in range(0, len(batch), MAX_ROWS):
        stop = min(start + MAX_ROWS, len(batch))
        yield from _snapshot(ep, _part(batch, start, stop), order[start:stop])


def _snapshot(ep: str, batch: Batch, order: list[int]) -> Iterator[bytes]:
    try:
        yield encode_snapshot(ep, batch, order)
    except Rejected:
        if half := len(batch) // 2:
            yield from _snapshot(ep, _part(batch, 0, half), order[:half])
            yield from _snapshot(ep, _part(batch, half, len(batch)), order[half:])


def _part(batch: Batch, start: int, stop: int) -> Batch:
    quality = {row - start: entry for row, entry in batch.quality.items() if start <= row < stop}
    columns = (batch.points[start:stop], batch.times[start:stop], batch.values[start:stop])
    return Batch(*columns, quality)
