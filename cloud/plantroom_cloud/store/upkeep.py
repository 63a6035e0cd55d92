"""Upkeep of one company's samples over a database."""

from __future__ import annotations

from collections.abc import AsyncIterator

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.samples.window import Window
from plantroom_cloud.store.export import Chunk, read_samples
from plantroom_cloud.store.retention import retain
from plantroom_cloud.store.rollups import roll_up


class Upkeep:
    """`port.StoreUpkeep` over SQLite or PostgreSQL."""

    def __init__(self, database: Database, scope: Scope) -> None:
        self._database, self._scope = database, scope

    async def roll_up(self) -> int:
        """Sum up what is due; return how many batches were."""
        return await roll_up(self._database, self._scope)

    async def retain(self, now_us: int) -> int:
        """Delete what is rolled up and kept no longer; return how many rows went."""
        return await retain(self._database, self._scope, now_us)

    def export(self, site_id: int, window: Window) -> AsyncIterator[Chunk]:
        """Yield a site's samples in order of point and time, a bounded number at once."""
        return read_samples(self._database, self._scope, site_id, window.start, window.end)
