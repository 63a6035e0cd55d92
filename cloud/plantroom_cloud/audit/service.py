"""Verifying a company's chain, and signing the ends of all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.audit.heads import HeadKey, SignedHead, add_to_file
from plantroom_cloud.audit.repository import AuditRepository, chain_of
from plantroom_cloud.audit.verifying import Chain
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation import lookups
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)


async def verify(
    database: Database,
    scope: Scope,
    keys: Mapping[str, Ed25519PublicKey],
    heads: Sequence[SignedHead] = (),
) -> Chain:
    """Look at every row of a company's chain and return what was found.

    Args:
        database: looked at as it is at one moment.
        scope: whose chain.
        keys: by name, of those who signed heads.
        heads: kept elsewhere, beside those in the database; of this company.
    """
    async with database.read(scope) as session:
        return await verify_in(session, scope, keys, heads)


async def verify_in(
    session: AsyncSession,
    scope: Scope,
    keys: Mapping[str, Ed25519PublicKey],
    heads: Sequence[SignedHead] = (),
) -> Chain:
    """Do as `verify` does, in a session that is there."""
    repository = AuditRepository(session, scope)
    head = await repository.head()
    kept = [*await repository.signed(), *heads]
    chain = Chain(scope.company_id, list(dict.fromkeys(kept)))
    async for row in chain_of(repository):
        chain.add(row)
    chain.end(head, keys)
    if more := await repository.count() - chain.rows:
        chain.twice(more)
    return chain


async def sign_heads(database: Database, clock: Clock, key: HeadKey, file: Path) -> int:
    """Sign the end of every chain that has grown since; return how many those are.

    A head goes to the file first: what the database says can then never be more than what stands
    outside of it. The log has it too, for whoever collects that elsewhere.

    Raises:
        OSError: the file cannot be written; nothing is signed in the database either.
    """
    async with database.read(None) as session:
        due = await lookups.unsigned_heads(session)
    now = clock.now_us()
    heads = [key.sign(row.company_id, row.slug, row.n, row.hash, now) for row in due]
    if heads:
        await asyncio.to_thread(add_to_file, file, heads)
    for head, row in zip(heads, due, strict=True):
        scope = Scope(row.company_id)
        async with database.write(scope) as session:
            await AuditRepository(session, scope).add_signed(head)
        about = {"company": row.slug, "n": row.n, "hash": row.hash, "key": head.key_id}
        log.info("audit head signed", extra=about | {"signature": head.signature})
    return len(heads)
