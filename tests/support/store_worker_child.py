"""A worker that rolls up, deletes and is killed: ``store_worker_child.py URL COMPANY NOW N``.

Its N-th statement that writes is its last.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from sqlalchemy import event

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.store.retention import retain
from plantroom_cloud.store.rollups import roll_up


async def main(url: str, company: int, now_us: int, left: int) -> None:
    """Work until there is nothing left to do, or until killed."""
    database, writes = Database(url), 0

    def count(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal writes
        writes += statement.startswith(("INSERT", "UPDATE", "DELETE"))
        if writes == left:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(database.engine.sync_engine, "after_cursor_execute", count)
    while await roll_up(database, Scope(company)):
        pass
    await retain(database, Scope(company), now_us)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
