"""All that a company owns, handed over: a file of JSON lines per table, and a manifest with their digests.

The files are of one moment: a snapshot of the database. They lie in the data folder, compressed,
until `governance.export_days` are over. Whoever is killed while writing starts again from nothing:
a folder without its manifest is no export.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import Table, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.governance.holdings import HOLDINGS
from plantroom_cloud.governance.service import Conflict
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.kit.times import DAY, rfc3339
from plantroom_cloud.tables import Base, Company, CompanyExport, Membership, User
from plantroom_shared.clock import Clock

WAITING, READY, FAILED, EXPIRED = "waiting", "done", "failed", "expired"
MOST_OPEN: Final = 1
"""Exports of a company that may wait at once."""
PIECE: Final = 5000
"""Rows read at a time."""
SYSTEM: Final = "system:export"
_PEOPLE: Final = "user_account"
_COMPANY: Final = "company"
_CHUNK: Final = 64 * 1024


def folder_of(data: Path, scope: Scope, export: str = "") -> Path:
    """Return where the exports of a company lie, or one of them."""
    folder = data / "exports" / str(scope.company_id)
    return folder / export if export else folder


# ---------------------------------------------------------------- asking


class ExportRows(Repository):
    """The exports of one company."""

    async def find(self, export: str, *, lock: bool = False) -> CompanyExport | None:
        """Return one export, locked where that is said."""
        t = CompanyExport
        query = select(t).where(self._own(t), t.id == export)
        return await self._session.scalar(query.with_for_update() if lock else query)

    async def waiting(self) -> int:
        """Return how many wait."""
        t = CompanyExport
        query = select(t.id).where(self._own(t), t.state == WAITING)
        return len((await self._session.scalars(query)).all())

    async def page(self, page: Page) -> list[CompanyExport]:
        """Return exports, the newest first, one more than the page holds if there are more."""
        t = CompanyExport
        query = select(t).where(self._own(t))
        if page.after:
            query = query.where((t.asked_us < page.after[0]) | (t.id < page.after[1]))
            query = query.where(t.asked_us <= page.after[0])
        query = query.order_by(t.asked_us.desc(), t.id.desc()).limit(page.limit + 1)
        return list(await self._session.scalars(query))


class ExportService:
    """What a company asks of its exports, within a transaction."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope, self._clock = session, scope, clock
        self._rows = ExportRows(session, scope)

    async def ask(self, who: Principal | str) -> CompanyExport:
        """Ask for an export; Conflict while another waits."""
        if await self._rows.waiting() >= MOST_OPEN:
            msg = "an export is under way: GET /v1/governance/exports shows it"
            raise Conflict(msg)
        row = CompanyExport(
            id=f"x-{secrets.token_hex(12)}",
            company_id=self._scope.company_id,
            state=WAITING,
            manifest={},
            reason="",
            asked_us=self._clock.now_us(),
            asked_by=audit.display_name(who)[:200],
        )
        self._session.add(row)
        audit.record(
            self._session,
            self._scope,
            who=who,
            action="export.ask",
            subject=f"export/{row.id}",
        )
        return row

    async def get(self, export: str) -> CompanyExport:
        """Return an export; NotFound if there is none."""
        row = await self._rows.find(export)
        if row is None:
            msg = f"there is no export {export[:40]!r}; GET /v1/governance/exports lists yours"
            raise NotFound(msg)
        return row


# ---------------------------------------------------------------- making


@dataclass(frozen=True, slots=True)
class Exporter:
    """Makes exports, and forgets those that are over.

    Args:
        database: of the service.
        clock: what "now" means.
        data: the data folder.
        days: that an export is kept.
    """

    database: Database
    clock: Clock
    data: Path
    days: float = 7.0

    async def work(self, scope: Scope, export: str) -> None:
        """Make an export that waits, or remove one that is over."""
        async with self.database.read(scope) as session:
            row = await ExportRows(session, scope).find(export)
        if row is None:
            return
        if row.state == WAITING:
            await self._make(scope, export)
        elif row.state == READY and (row.expires_us or 0) < self.clock.now_us():
            folder = folder_of(self.data, scope, export)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            await self._end(scope, export, state=EXPIRED)

    async def _make(self, scope: Scope, export: str) -> None:
        folder = folder_of(self.data, scope, export)
        draft = folder.with_name(f"{export}.{secrets.token_hex(4)}.part")
        try:
            await asyncio.to_thread(_fresh, folder, draft)
            manifest = await self._written(scope, export, draft)
            await asyncio.to_thread(_in_place, draft, folder)
        except OSError as error:
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
            reason = f"it cannot be written: {error.strerror or error}"
            await self._end(scope, export, state=FAILED, reason=reason)
            return
        expires = self.clock.now_us() + round(self.days * DAY)
        await self._end(scope, export, state=READY, manifest=manifest, expires_us=expires)

    async def _written(self, scope: Scope, export: str, draft: Path) -> dict[str, Any]:
        files: dict[str, Any] = {}
        async with self.database.read(scope) as session:
            slug = await session.scalar(select(Company.slug).where(Company.id == scope.company_id))
            for name, batches in _contents(session, scope):
                files[name] = await _write(draft / f"{name}.ndjson.gz", batches)
        manifest = {
            "format": 1,
            "export": export,
            "company": scope.company_id,
            "slug": slug,
            "made": rfc3339(self.clock.now_us()),
            "left_out": {
                name: list(holding.secret)
                for name, holding in sorted(HOLDINGS.items())
                if holding.secret and name in Base.metadata.tables
            }
            | {_PEOPLE: ["password"]},
            "files": files,
        }
        text = json.dumps(manifest, indent=1, sort_keys=True)
        await asyncio.to_thread((draft / "manifest.json").write_text, text)
        return manifest

    async def _end(self, scope: Scope, export: str, **values: Any) -> None:
        async with self.database.write(scope) as session:
            row = await ExportRows(session, scope).find(export, lock=True)
            if row is None or row.state not in {WAITING, READY}:
                return
            for name, value in values.items():
                setattr(row, name, value)
            row.ended_us = self.clock.now_us()
            files = row.manifest.get("files", {})
            after = {"state": row.state, "reason": row.reason, "files": len(files)}
            audit.record(
                session,
                scope,
                who=SYSTEM,
                action="export.end",
                subject=f"export/{export}",
                after=after,
            )


def _fresh(folder: Path, draft: Path) -> None:
    """Make the draft's folder, and remove what an earlier try has left."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in folder.parent.glob(f"{folder.name}*"):
        shutil.rmtree(old)
    draft.mkdir(mode=0o700)


def _in_place(draft: Path, folder: Path) -> None:
    draft.rename(folder)


def _contents(
    session: AsyncSession, scope: Scope
) -> Iterator[tuple[str, AsyncIterator[Sequence[Any]]]]:
    """Yield name and rows of every file."""
    own: list[str] = [name for name, holding in HOLDINGS.items() if holding.handed_over]
    for name in sorted(name for name in own if name in Base.metadata.tables):
        yield name, _rows(session, scope, Base.metadata.tables[name])
    yield _COMPANY, _one(session, select(Company).where(Company.id == scope.company_id))
    mine = select(Membership.user_id).where(Membership.company_id == scope.company_id)
    columns = (User.id, User.email, User.name, User.created_us, User.disabled_us)
    yield _PEOPLE, _one(session, select(*columns).where(User.id.in_(mine)).order_by(User.id))


async def _one(session: AsyncSession, statement: Any) -> AsyncIterator[Sequence[Any]]:
    """Yield the rows of a statement at once, as mappings."""
    table = statement.subquery()
    found = (await session.execute(select(*table.c))).mappings().all()
    if found:
        yield found


async def _rows(session: AsyncSession, scope: Scope, table: Table) -> AsyncIterator[Sequence[Any]]:
    """Yield a company's rows of a table by their key, a piece at a time."""
    keys = list(table.primary_key.columns)
    secret = set(HOLDINGS[table.name].secret)
    columns = [column for column in table.columns if column.name not in secret]
    query = select(*columns).where(table.c.company_id == scope.company_id).order_by(*keys)
    place: tuple[Any, ...] | None = None
    while True:
        step = query if place is None else query.where(tuple_(*keys) > tuple_(*place))
        found = (await session.execute(step.limit(PIECE))).mappings().all()
        if found:
            yield found
        if len(found) < PIECE:
            return
        place = tuple(found[-1][key.name] for key in keys)


async def _write(file: Path, batches: AsyncIterator[Sequence[Any]]) -> dict[str, Any]:
    """Write rows as lines of JSON; return how many, and size and SHA-256 of the lines."""
    digest, rows, size = hashlib.sha256(), 0, 0
    with gzip.open(file, "wb", compresslevel=5) as out:
        async for batch in batches:
            text = await asyncio.to_thread(_lines, batch)
            await asyncio.to_thread(out.write, text)
            digest.update(text)
            rows, size = rows + len(batch), size + len(text)
    return {"rows": rows, "bytes": size, "sha256": digest.hexdigest()}


def _lines(batch: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(_plain(row), option=orjson.OPT_APPEND_NEWLINE) for row in batch)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in row.items()
    }


# ---------------------------------------------------------------- reading


def open_file(data: Path, scope: Scope, export: str, name: str) -> Iterator[bytes]:
    """Yield the lines of one file of an export, piece by piece.

    Raises:
        NotFound: this process has no such file.
    """
    file = folder_of(data, scope, export) / f"{name}.ndjson.gz"
    try:
        opened = gzip.open(file, "rb")  # noqa: SIM115 - closed by the generator that reads it
    except OSError as error:
        msg = "the file is not here: it is over, or lies with another process; ask for the export anew"
        raise NotFound(msg) from error
    return _pieces(opened)


def _pieces(opened: gzip.GzipFile) -> Iterator[bytes]:
    with opened:
        while piece := opened.read(_CHUNK):
            yield piece
