"""An ingest process that kills itself right after a commit, before anybody hears of it.

Run as ``python cloud_ingest_child.py CONFIG DATABASE_URL N``: the N-th transaction that stores rows
is its last.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from plantroom_cloud.config import load_settings
from plantroom_cloud.db import Database
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.consumer import Ingest
from plantroom_cloud.ingest.store import Item, Store
from plantroom_shared.clock import SystemClock


class LastWords(Store):
    """Dies when so many transactions with rows are committed."""

    left = 0

    async def store(self, items: Sequence[Item]) -> Answers:
        """Commit, then perhaps die."""
        answers = await super().store(items)
        if any(stream == "tel" for _, _, stream in answers.acks):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return answers


async def main(config: str, url: str, transactions: str) -> None:
    """Take messages until that transaction."""
    settings = load_settings(Path(config))
    store = LastWords(Database(url), SystemClock())
    store.left = int(transactions)
    tls = Authority(settings.data / "pki").files("cloud")
    await Ingest(store, settings.mqtt, tls).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
