"""Whatever is done to a chain is found, and the row is named."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, update

from plantroom_cloud.audit.heads import HeadKey
from plantroom_cloud.audit.repository import AuditRepository
from plantroom_cloud.audit.service import verify, verify_in
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.tables import AuditHead, AuditRow, AuditSignature
from support import audit_tamper
from support.api_world import ONE_ENGINE
from support.audit_tamper import BY_SIGNED_HEADS, TAMPERS, Case, Tamper, keys_of, names
from support.servers import as_owner

KEY = HeadKey(Ed25519PrivateKey.generate())
ROWS = 40


@pytest.fixture
async def chains(database: Database) -> tuple[Scope, Scope]:
    """Two companies with a chain each."""
    mine = await audit_tamper.make_chain(database, "acme", ROWS, KEY, 10)
    return mine, await audit_tamper.make_chain(database, "rival", ROWS, KEY, 10)


@asynccontextmanager
async def _case(database: Database, chains: tuple[Scope, Scope], seed: int) -> AsyncIterator[Case]:
    async with as_owner(database).write() as session:
        await audit_tamper.open_gates(session)
        yield Case(session, *chains, ROWS, random.Random(seed))
        await session.rollback()


async def test_an_untouched_chain_is_whole(database: Database, chains: tuple[Scope, Scope]) -> None:
    """Nothing is found where nothing was done."""
    for scope in chains:
        chain = await verify(database, scope, keys_of(KEY))
        assert (chain.rows, len(chain.heads), chain.findings) == (ROWS, ROWS // 10, [])


async def test_every_way_is_found_on_both_engines(
    database: Database, chains: tuple[Scope, Scope]
) -> None:
    """What is found does not hang on the database that holds the chain."""
    for tamper in TAMPERS:
        async with _case(database, chains, 0) as case:
            wanted = await tamper(case)
            chain = await verify_in(case.session, case.scope, keys_of(KEY))
        assert names(chain, wanted), (tamper, wanted, chain.findings)


@ONE_ENGINE
@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
async def test_what_was_done_is_named(
    database: Database, chains: tuple[Scope, Scope], tamper: Tamper
) -> None:
    """Each way to change a chain is found at the very row, at random places, many times."""
    for seed in range(14):
        async with _case(database, chains, seed) as case:
            wanted = await tamper(case)
            chain = await verify_in(case.session, case.scope, keys_of(KEY))
        assert names(chain, wanted), (seed, wanted, chain.findings)
        # The finger points at the row and not at half of the chain.
        innocent = {"remove_renumbered", "splice_inserted"}
        if tamper.__name__ not in innocent:
            assert len(chain.findings) <= 2 * len(wanted) + 1, (seed, wanted, chain.findings)


@ONE_ENGINE
@pytest.mark.parametrize("tamper", BY_SIGNED_HEADS, ids=lambda tamper: tamper.__name__)
async def test_signed_heads_show_what_the_chain_does_not(
    database: Database, chains: tuple[Scope, Scope], tamper: Tamper
) -> None:
    """Who puts the head right too is found by heads signed before, within their distance."""
    for seed in range(10):
        async with _case(database, chains, seed) as case:
            wanted = await tamper(case)
            chain = await verify_in(case.session, case.scope, keys_of(KEY))
        assert names(chain, wanted, exactly=False), (seed, wanted, chain.findings)
        edits = [finding for finding in chain.findings if finding.kind == "edited"]
        assert all(finding.last - finding.first < 10 for finding in edits)


@ONE_ENGINE
async def test_heads_kept_elsewhere_show_what_the_database_does_not(
    database: Database, chains: tuple[Scope, Scope]
) -> None:
    """With the signed heads gone from the database the exported ones still tell."""
    async with as_owner(database).read() as session:
        kept = await AuditRepository(session, chains[0]).signed()
    for tamper in BY_SIGNED_HEADS:
        async with _case(database, chains, 3) as case:
            wanted = await tamper(case)
            await case.session.execute(delete(AuditSignature))
            blind = await verify_in(case.session, case.scope, keys_of(KEY))
            chain = await verify_in(case.session, case.scope, keys_of(KEY), kept)
        assert blind.findings == []
        assert names(chain, wanted, exactly=False)


@ONE_ENGINE
async def test_an_emptied_audit_is_found(database: Database, chains: tuple[Scope, Scope]) -> None:
    """A company all of whose rows are gone is missing them, by its head or by signed ones."""
    for also_head in (False, True):
        async with _case(database, chains, 1) as case:
            await case.drop(0, ROWS)
            if also_head:
                await case.session.execute(delete(AuditHead))
            chain = await verify_in(case.session, case.scope, keys_of(KEY))
        first = chain.findings[0]
        assert (first.kind, first.first, first.last) == ("missing", 1, ROWS)


@ONE_ENGINE
async def test_a_forged_head_is_found(database: Database, chains: tuple[Scope, Scope]) -> None:
    """A head that was changed, or signed by an unknown key, is no proof and is told as such."""
    stranger = HeadKey(Ed25519PrivateKey.generate())
    async with _case(database, chains, 1) as case:
        mine = AuditSignature.company_id == case.scope.company_id
        body = stranger.sign(case.scope.company_id, "acme", 20, "00" * 32, 5).body
        for n, values in ((20, {"body": body}), (30, {"key_id": stranger.id})):
            which = update(AuditSignature).where(mine, AuditSignature.n == n)
            await case.session.execute(which.values(**values))
        chain = await verify_in(case.session, case.scope, keys_of(KEY))
    assert [(finding.kind, finding.first) for finding in chain.findings] == [
        ("signature", 20),
        ("signature", 30),
    ]
    assert "--key" in str(chain.findings[1])


@ONE_ENGINE
async def test_rows_of_a_newer_version_are_told_as_such(
    database: Database, chains: tuple[Scope, Scope]
) -> None:
    """A row of a format that this version does not know is no edit: it says what to do."""
    async with _case(database, chains, 1) as case:
        last = await case.get(ROWS)
        newer = audit_tamper.hashed(audit_tamper.edited(last, format=2))
        await case.set(ROWS, **newer)
        await case.set_head(ROWS, newer["hash"])
        mine = AuditSignature.company_id == case.scope.company_id
        await case.session.execute(delete(AuditSignature).where(mine, AuditSignature.n == ROWS))
        chain = await verify_in(case.session, case.scope, keys_of(KEY))
    assert [(finding.kind, finding.first) for finding in chain.findings] == [("newer", ROWS)]


@ONE_ENGINE
async def test_rubbish_in_a_body_costs_nothing_but_its_row(
    database: Database, chains: tuple[Scope, Scope]
) -> None:
    """Bodies that are no JSON, or none of ours, are findings and never an error."""
    for body in ("", "{", "[]", "7", '{"n":1}', "\ud800".encode("utf-8", "replace").decode(), "ä"):
        async with _case(database, chains, 1) as case:
            await case.set(7, body=body)
            chain = await verify_in(case.session, case.scope, keys_of(KEY))
        assert {finding.first for finding in chain.findings} == {7}, body


@ONE_ENGINE
async def test_a_number_below_the_first_is_found(
    database: Database, chains: tuple[Scope, Scope]
) -> None:
    """A row that stands before the first is one too many."""
    async with _case(database, chains, 1) as case:
        row = audit_tamper.make_row(case.scope, 0, "00" * 32)
        await case.session.execute(insert(AuditRow), [row])
        chain = await verify_in(case.session, case.scope, keys_of(KEY))
    assert ("added", 0) in {(finding.kind, finding.first) for finding in chain.findings}
