"""``./plantroom bench audit``: a chain of 10^5 rows, changed in every way, 200 times.

Every change is made as whoever owns the database could make it, verified, and taken back. A try
counts as found when the findings name the very row; of those that hash the whole chain anew, when
they name the rows between two signed heads and the row is among them.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.figures import Figure
from plantroom_cloud.audit.heads import HeadKey
from plantroom_cloud.audit.service import verify, verify_in
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.migrations import migrate
from support import audit_tamper
from support.audit_tamper import BY_SIGNED_HEADS, TAMPERS, Case, keys_of, names
from support.servers import as_owner

ROWS = 100_000
HEADS_EVERY = 1_000
TRIES = 200


def measure(seconds: float) -> dict[str, Figure]:
    """Return what was found, and how long that took; `seconds` is of no use here."""
    del seconds
    return asyncio.run(_measure(ROWS, TRIES))


async def _measure(rows: int, tries: int) -> dict[str, Figure]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite+aiosqlite:///{Path(folder) / 'audit.db'}")
        try:
            await migrate(database)
            key = HeadKey(Ed25519PrivateKey.generate())
            chains = [
                await audit_tamper.make_chain(database, slug, rows, key, HEADS_EVERY)
                for slug in ("acme", "rival")
            ]
            return await _all(database, key, chains, tries)
        finally:
            await database.close()


async def _all(
    database: Database, key: HeadKey, chains: list[Scope], tries: int
) -> dict[str, Figure]:
    started = time.perf_counter()
    whole = await verify(database, chains[0], keys_of(key))
    untouched = time.perf_counter() - started
    assert not whole.findings, whole.findings
    found, taken = 0, []
    ways = (*TAMPERS, *BY_SIGNED_HEADS)
    for number in range(tries):
        way = ways[number % len(ways)]
        async with as_owner(database).write() as session:
            await audit_tamper.open_gates(session)
            case = Case(session, chains[0], chains[1], whole.rows, random.Random(number))
            wanted = await way(case)
            started = time.perf_counter()
            chain = await verify_in(session, case.scope, keys_of(key))
            taken.append(time.perf_counter() - started)
            await session.rollback()
        found += names(chain, wanted, exactly=way in TAMPERS)
    return {
        "rows": Figure(whole.rows, "rows"),
        "tries": Figure(tries, "tries"),
        "found_and_named": Figure(100 * found / tries, "%"),
        "verify_untouched": Figure(untouched, "s"),
        "verify_mean": Figure(sum(taken) / len(taken), "s"),
        "verify_longest": Figure(max(taken), "s"),
    }
