"""The port of the sample store: all that the rest of the cloud wants of it.

Two halves, as they differ in what a transaction is: within one that others fill as well (ingest)
or look through (the API), and upkeep, which makes its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from plantroom_cloud.ingest.rows import Column
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.samples.window import Window
from plantroom_cloud.store.export import Chunk
from plantroom_cloud.store.history import Sums


class SampleSink(Protocol):
    """Takes one company's samples, within a transaction."""

    async def add(self, column: Column) -> int:
        """Store the rows that are not there yet and note what is due; return how many were new.

        Free of order, and harmless when repeated: a row is known by (point, time, tie).
        """
        ...

    async def advance_latest(self, column: Column) -> None:
        """Move the latest values forward, by (time, tie), never back."""
        ...


class SampleSource(Protocol):
    """Reads one company's samples, in one snapshot."""

    async def latest_of(self, point_id: int) -> AnyRow | None:
        """Return the newest sample of a point."""
        ...

    async def raw(self, point_id: int, window: Window, page: Page) -> Sequence[AnyRow]:
        """Return samples by (time, tie), one more than the page holds if there are more."""
        ...

    async def buckets(self, point_id: int, window: Window, interval: int) -> Sequence[Sums]:
        """Return sums of intervals: exactly those of the samples, whatever is rolled up."""
        ...


class StoreUpkeep(Protocol):
    """What a worker and an operator do to one company's samples; each call its own transactions."""

    async def roll_up(self) -> int:
        """Sum up what is due; return how many batches were."""
        ...

    async def retain(self, now_us: int) -> int:
        """Delete what is rolled up and kept no longer; return how many rows went."""
        ...

    def export(self, site_id: int, window: Window) -> AsyncIterator[Chunk]:
        """Yield a site's samples in order of point and time, a bounded number at once."""
        ...
