"""The audit from the command line, straight on the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from plantroom_cloud.audit.exporting import lines, start_of
from plantroom_cloud.audit.heads import (
    SignedHead,
    heads_file,
    make_head_key,
    public_keys,
    read_heads,
)
from plantroom_cloud.audit.service import sign_heads
from plantroom_cloud.audit.service import verify as verify_chain
from plantroom_cloud.audit.verifying import Finding
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope, open_database
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.isolation import lookups
from plantroom_cloud.migrations import migrate
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """Of one company's chain."""

    company: str
    rows: int
    signed: int
    """Heads that were compared with it."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def line(self) -> str:
        """What is printed of it."""
        result = f"{len(self.findings)} findings" if self.findings else "as it was written"
        return f"company {self.company}: {self.rows} rows, {self.signed} signed heads: {result}"


def verify(
    settings: CloudSettings, company: str, heads: Path | None, keys: Sequence[Path]
) -> list[Report]:
    """Verify the chain of one company, or of all where `company` is empty.

    Raises:
        ConfigError: there is no such company, or a file cannot be read.
    """
    known = public_keys(keys, settings.data)
    kept = read_heads(heads) if heads else []

    async def do(database: Database) -> list[Report]:
        async with database.read(None) as session:
            if company:
                wanted = [((await find_company(session, company)).company_id, company)]
            else:
                found = await lookups.slugs(session)
                wanted = sorted((scope.company_id, slug) for slug, scope in found.items())
        reports = []
        for number, slug in wanted:
            own = [head for head in kept if head.content["company"] == number]
            chain = await verify_chain(database, Scope(number), known, own)
            reports.append(Report(slug, chain.rows, len(chain.heads), chain.findings))
        there = {number for number, _ in wanted}
        return reports if company else [*reports, *_gone(kept, there)]

    return _run(settings, do)


def _gone(heads: Sequence[SignedHead], there: set[int]) -> list[Report]:
    """Return a report of every company that heads speak of and that is not there."""
    rows: dict[tuple[int, str], int] = {}
    for head in heads:
        content = head.content
        if content["company"] not in there:
            name = (content["company"], str(content.get("slug", "")))
            rows[name] = max(rows.get(name, 0), content["n"])
    return [
        Report(slug, 0, 0, [Finding(1, n, "missing", f"company {number} is gone with its chain")])
        for (number, slug), n in rows.items()
    ]


def sign(settings: CloudSettings) -> int:
    """Sign the ends of all chains that have grown; ConfigError if the file cannot be written."""
    key, file = make_head_key(settings.data), heads_file(settings)

    async def do(database: Database) -> int:
        try:
            return await sign_heads(database, SystemClock(), key, file)
        except OSError as error:
            what = f"cannot be written: {error.strerror or error}"
            fix = "make it writable, or set audit.heads to another file"
            raise ConfigError(what, file=str(file), fix=fix) from error

    return _run(settings, do)


def export(settings: CloudSettings, company: str, out: Path, after: int) -> int:
    """Write a company's rows after number `after`, with the proof; return how many rows."""

    async def do(database: Database) -> int:
        async with database.read(None) as session:
            scope = await find_company(session, company)
        prev, up_to = await start_of(database, scope, after)
        try:
            with out.open("wb") as file:
                async for line in lines(database, scope, after=after, prev=prev, up_to=up_to):
                    await asyncio.to_thread(file.write, line)
        except OSError as error:
            what = f"cannot be written: {error.strerror or error}"
            raise ConfigError(what, file=str(out), fix="choose another file") from error
        return up_to - after

    return _run(settings, do)


def _run(settings: CloudSettings, do: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        database = open_database(settings)
        try:
            await migrate(database)
            return await do(database)
        finally:
            await database.close()

    return asyncio.run(run())
