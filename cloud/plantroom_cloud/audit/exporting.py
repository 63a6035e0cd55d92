r"""A chain as lines of JSON that prove themselves: rows, signed heads, the end.

::

    {"start": {"company": 1, "hash": "00...", "n": 0}}
    {"hash": "5f...", "row": "{\"action\":...}"}
    {"head": "{\"at_us\":...}", "key": "a-...", "signature": "..."}
    {"end": {"hash": "5f...", "heads": 1, "n": 1}}
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from plantroom_cloud.audit.canonical import FIRST_PREV, to_json
from plantroom_cloud.audit.repository import AuditRepository
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.kit.problems import NotFound

MEDIA_TYPE: Final = "application/x-ndjson"


async def start_of(database: Database, scope: Scope, after: int) -> tuple[str, int]:
    """Return the hash that the first row after number `after` follows, and the last number.

    Raises:
        NotFound: there is no row `after`.
    """
    async with database.read(scope) as session:
        repository = AuditRepository(session, scope)
        head = await repository.head()
        known = FIRST_PREV if after == 0 else await repository.hash_of(after)
    if known is None:
        msg = f"there is no row {after}; GET /v1/audit lists yours"
        raise NotFound(msg)
    return known, head[0] if head else 0


async def lines(
    database: Database, scope: Scope, *, after: int, prev: str, up_to: int
) -> AsyncIterator[bytes]:
    """Yield the lines of the rows after number `after` up to `up_to`.

    Read a piece at a time: rows never change, and a slow reader holds no connection.
    """
    start = {"company": scope.company_id, "hash": prev, "n": after}
    yield _line({"start": start})
    n, last = after, prev
    while n < up_to:
        async with database.read(scope) as session:
            rows = await AuditRepository(session, scope).piece(n, up_to)
        if not rows:
            break
        yield b"".join(_line({"hash": row.hash, "row": row.body}) for row in rows)
        n, last = rows[-1].n, rows[-1].hash
    async with database.read(scope) as session:
        heads = await AuditRepository(session, scope).signed(after=after)
    kept = [head for head in heads if head.content["n"] <= up_to]
    yield "".join(f"{head.line}\n" for head in kept).encode()
    yield _line({"end": {"hash": last, "heads": len(kept), "n": n}})


def _line(content: object) -> bytes:
    return f"{to_json(content)}\n".encode()
