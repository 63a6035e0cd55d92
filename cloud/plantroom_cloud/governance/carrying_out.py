"""Carrying a deletion out: in pieces, again and again until nothing is left, then the proof.

Every piece is a transaction that notes what it took. Whoever is killed between two of them goes on
where it was; two workers at once take turns at the deletion's row. The last transaction lets nothing
come in, takes what has come meanwhile, looks whether anything is left, and writes the certificate.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.governance.certificates import signed
from plantroom_cloud.governance.deleting import CONFIRMED, DONE, DeletionRows
from plantroom_cloud.governance.deletion_sql import (
    ANCHORS,
    BY_POINT,
    COMPANY,
    PERSON,
    SITE,
    DeletionRepository,
    Person,
    What,
)
from plantroom_cloud.governance.exporting import folder_of
from plantroom_cloud.governance.holdings import HOLDINGS, OUTSIDE
from plantroom_cloud.isolation.lookups import members_elsewhere
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.tables import AuditRow, CommandRow, Company, Deletion
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

SYSTEM: Final = "system:deletion"
_PASSES: Final = 1000
"""Rounds after which a deletion gives up until it is its turn again."""


class SomethingIsLeft(RuntimeError):
    """Rows are left after all were deleted: nothing is certified, and the transaction is undone."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What carries deletions out.

    Args:
        database: of the service.
        clock: what "now" means.
        key: signs certificates: that of the audit's heads.
        data: the data folder.
        rows: at most so many go in one transaction but the last.
    """

    database: Database
    clock: Clock
    key: Ed25519PrivateKey
    data: Path
    rows: int = 2000

    async def carry_out(self, scope: Scope, deletion: str) -> bool:
        """Carry a deletion out to its end; False where it is at its end already, or not confirmed."""
        async with self.database.read(scope) as session:
            row = await DeletionRows(session, scope).find(deletion)
        if row is None or row.state != CONFIRMED:
            return False
        job = _Job(self, scope, deletion, What(row.kind, row.subject))
        for _ in range(_PASSES):
            if await job.round():
                log.info("deletion done", extra={"deletion": deletion, "kind": row.kind})
                return True
        return False


class _Job:
    """One deletion under way in this process."""

    def __init__(self, worker: Worker, scope: Scope, deletion: str, what: What) -> None:
        self._worker, self._scope, self._id, self._what = worker, scope, deletion, what

    async def round(self) -> bool:
        """Take all that is there, piece by piece, then try to come to the end."""
        if self._what.kind == PERSON:
            await self._rename()
        else:
            if self._what.kind == COMPANY:
                folder = folder_of(self._worker.data, self._scope)
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            await self._take_tables()
        return await self._end()

    # ------------------------------------------------------------ pieces

    async def _take_tables(self) -> None:
        async with self._worker.database.read(self._scope) as session:
            rows = DeletionRepository(session, self._scope, self._what)
            tables = [table for table in rows.tables() if table.name not in ANCHORS]
            points = await rows.points()
        for table in tables:
            for point in points if table.name in BY_POINT else [None]:
                while await self._piece(table, point):
                    pass

    async def _piece(self, table: Table, point: int | None) -> bool:
        """Take some rows of a table; False when there are no more."""
        async with self._worker.database.write(self._scope) as session:
            row = await self._locked(session)
            if row is None:
                return False
            rows = DeletionRepository(session, self._scope, self._what)
            gone = await rows.drop(table, self._worker.rows, point)
            if gone:
                row.gone = _added(row.gone, {str(table.name): gone})
        return gone == self._worker.rows

    async def _rename(self) -> None:
        async with self._worker.database.read(self._scope) as session:
            rows = DeletionRepository(session, self._scope, self._what)
            person = await rows.person()
            named = [] if person is None else list(rows.named())
        for table, column in named:
            while person is not None:
                async with self._worker.database.write(self._scope) as session:
                    row = await self._locked(session)
                    if row is None:
                        return
                    rows = DeletionRepository(session, self._scope, self._what)
                    most = self._worker.rows
                    done = await rows.rename(table, column, person.name, row.pseudonym, most)
                    if done:
                        # The deletion's own row may have been one of them.
                        row = await self._locked(session) or row
                        name = f"{table.name}.{column.name}"
                        row.rewritten = _added(row.rewritten, {name: done})
                if done < most:
                    break

    async def _locked(self, session: AsyncSession) -> Deletion | None:
        """Return the deletion, locked; None where somebody has brought it to its end meanwhile."""
        row = await DeletionRows(session, self._scope).find(self._id, lock=True)
        return row if row is not None and row.state == CONFIRMED else None

    # ------------------------------------------------------------ the end

    async def _end(self) -> bool:
        """Take what is left in one transaction and certify it; False where that is too much yet."""
        async with self._worker.database.write(self._scope) as session:
            row = await self._locked(session)
            if row is None:
                return True
            rows = DeletionRepository(session, self._scope, self._what)
            if self._what.kind == PERSON:
                kept = await self._end_person(session, rows, row)
            else:
                kept = await self._end_rows(session, rows, row)
            if kept is None:
                return False
            await self._certify(session, rows, row, kept)
        return True

    async def _end_rows(
        self, session: AsyncSession, rows: DeletionRepository, row: Deletion
    ) -> dict[str, int] | None:
        await rows.lock_gateways()
        tables = rows.tables()
        early = [table for table in tables if table.name not in ANCHORS]
        waiting = {str(t.name): await rows.count(t) for t in early if t.name != "governance_due"}
        if sum(waiting.values()) > 5 * self._worker.rows:
            return None  # much has come in meanwhile: another round, in pieces
        users = await rows.members() if self._what.kind == COMPANY else []
        gone: dict[str, int] = {}
        for table in tables:
            if table.name not in ANCHORS and not waiting.get(table.name):
                continue
            gone[str(table.name)] = await self._all_of(rows, table)
            if left := await rows.count(table):
                msg = f"{left} rows of {table.name} are left"
                raise SomethingIsLeft(msg)
        kept: dict[str, int] = {}
        if self._what.kind == COMPANY:
            gone["user_account"], kept = await self._end_company(session, rows, users)
        # Notes to check what has gone: they come of the deletion itself.
        due = next((table for table in tables if table.name == "governance_due"), None)
        if due is not None:
            await self._all_of(rows, due)
        row.gone = _added(row.gone, gone)
        return kept

    async def _all_of(self, rows: DeletionRepository, table: Table) -> int:
        total = 0
        while True:
            gone = await rows.drop(table, self._worker.rows)
            total += gone
            if gone < self._worker.rows:
                return total

    async def _end_company(
        self, session: AsyncSession, rows: DeletionRepository, users: list[int]
    ) -> tuple[int, dict[str, int]]:
        """Make the company a tombstone; delete the persons that nobody else knows."""
        elsewhere = await members_elsewhere(session, self._scope, users)
        gone = await rows.drop_users([user for user in users if user not in elsewhere])
        company = self._scope.company_id
        tombstone = {"slug": f"deleted-{company}", "name": "(deleted)"}
        await session.execute(update(Company).where(Company.id == company).values(tombstone))
        nobody = {"asked_by": "(deleted)", "confirmed_by": "(deleted)"}
        mine = Deletion.company_id == company
        await session.execute(
            update(Deletion).where(mine).values(nobody).execution_options(synchronize_session=False)
        )
        query = select(func.count()).select_from(AuditRow).where(AuditRow.company_id == company)
        return gone, {"audit_row": (await session.execute(query)).scalar_one()}

    async def _end_person(
        self, session: AsyncSession, rows: DeletionRepository, row: Deletion
    ) -> dict[str, int] | None:
        person = await rows.person()
        if person is None:
            return {}
        elsewhere = await members_elsewhere(session, self._scope, [person.id])
        person = replace(person, elsewhere=person.id in elsewhere)
        if await rows.mentions(person.name):
            return None  # somebody wrote the name meanwhile
        gone = await rows.drop_own(person)
        if not person.elsewhere:
            gone["user_account"] = await rows.drop_users([person.id])
        row.gone = _added(row.gone, gone)
        if left := await rows.count_own(person):
            msg = f"rows of the person are left: {left}"
            raise SomethingIsLeft(msg)
        return await self._kept_of(session, person)

    async def _kept_of(self, session: AsyncSession, person: Person) -> dict[str, int]:
        """Return what names a person and stays: the audit, and orders that were signed."""
        company = self._scope.company_id
        acts = select(func.count()).where(
            AuditRow.company_id == company, AuditRow.actor == f"user:{person.id}"
        )
        orders = select(func.count()).where(
            CommandRow.company_id == company,
            CommandRow.body.contains(f"key:{person.name}", autoescape=True),
        )
        return {
            "audit_row": (await session.execute(acts)).scalar_one(),
            "command.body": (await session.execute(orders)).scalar_one(),
        }

    async def _certify(
        self,
        session: AsyncSession,
        rows: DeletionRepository,
        row: Deletion,
        kept: Mapping[str, int],
    ) -> None:
        """Look whether anything is left, then write and sign that nothing is."""
        await session.flush()
        left = {} if row.kind == PERSON else await rows.left()
        if any(left.values()):
            msg = f"rows are left: { {name: n for name, n in left.items() if n} }"
            raise SomethingIsLeft(msg)
        now = self._worker.clock.now_us()
        content: dict[str, Any] = {
            "id": row.id,
            "company": row.company_id,
            "kind": row.kind,
            "subject": row.subject,
            "planned": rfc3339(row.asked_us),
            "confirmed": rfc3339_or_none(row.confirmed_us),
            "ended": rfc3339(now),
            "gone": dict(sorted(row.gone.items())),
            "rewritten": dict(sorted(row.rewritten.items())),
            "left": left,
            "kept": {name: {"rows": n, "why": _why(name)} for name, n in kept.items() if n},
            "not_reached": list(OUTSIDE),
        }
        certificate = signed(content, self._worker.key)
        row.state, row.ended_us, row.trouble = DONE, now, ""
        row.certificate, row.key_id = certificate.body, certificate.key_id
        row.signature = certificate.signature
        audit.record(
            session,
            self._scope,
            who=SYSTEM,
            action="deletion.done",
            subject=f"deletion/{row.id}",
            after={"certificate": certificate.body, "signature": certificate.signature},
        )


def _why(name: str) -> str:
    if name == "command.body":
        return "orders are kept as they were signed; they go with their site"
    return HOLDINGS[name].kept


def _added(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    both = dict(counts)
    for name, rows in more.items():
        if rows:
            both[name] = both.get(name, 0) + rows
    return both


__all__ = ["SITE", "SomethingIsLeft", "Worker"]
