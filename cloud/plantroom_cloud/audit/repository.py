"""SQL of the audit, but for what records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, insert, select

from plantroom_cloud.audit.heads import SignedHead
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import AuditHead, AuditRow, AuditSignature

_CHAIN: Final = (
    AuditRow.n,
    AuditRow.at_us,
    AuditRow.actor,
    AuditRow.action,
    AuditRow.subject,
    AuditRow.request_id,
    AuditRow.body,
    AuditRow.prev,
    AuditRow.hash,
)
PIECE: Final = 5000
"""Rows read at a time where a whole chain is read."""
FROM_THE_START: Final = -(2**63)
"""Before every row there can be, those too that should not be there."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which acts; None means: whichever."""

    actor: str | None = None
    action: str | None = None
    """Whole, or with a dot at its end: all of a noun, ``key.``."""
    subject: str | None = None
    """Whole, or with a slash at its end: all of a kind, ``key/``."""
    request: str | None = None
    start: int | None = None
    """At this moment or later, µs."""
    end: int | None = None
    """Before this moment, µs."""


class AuditRepository(Repository):
    """A company's audit."""

    async def page(self, which: AuditFilter, page: Page) -> Sequence[AnyRow]:
        """Return acts, the newest first, one more than the page holds if there are more."""
        statement = select(*_CHAIN).where(self._own(AuditRow), *_conditions(which))
        if page.after:
            statement = statement.where(AuditRow.n < page.after[0])
        order = statement.order_by(AuditRow.n.desc()).limit(page.limit + 1)
        return (await self._session.execute(order)).all()

    async def piece(self, after: int, up_to: int | None = None) -> Sequence[AnyRow]:
        """Return the next rows of the chain after number `after`, not beyond `up_to`."""
        statement = select(*_CHAIN).where(self._own(AuditRow), AuditRow.n > after)
        if up_to is not None:
            statement = statement.where(AuditRow.n <= up_to)
        return (await self._session.execute(statement.order_by(AuditRow.n).limit(PIECE))).all()

    async def count(self) -> int:
        """Return how many rows the chain has."""
        statement = select(func.count()).select_from(AuditRow).where(self._own(AuditRow))
        return (await self._session.execute(statement)).scalar_one()

    async def head(self) -> tuple[int, str] | None:
        """Return number and hash of the last row; None where nothing was recorded yet."""
        statement = select(AuditHead.n, AuditHead.hash).where(self._own(AuditHead))
        row = (await self._session.execute(statement)).one_or_none()
        return None if row is None else (row.n, row.hash)

    async def hash_of(self, n: int) -> str | None:
        """Return the hash of one row; None where there is no such row."""
        statement = select(AuditRow.hash).where(self._own(AuditRow), AuditRow.n == n)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def signed_page(self, page: Page) -> Sequence[AnyRow]:
        """Return signed heads, the newest first, one more than the page holds if there are more."""
        table = AuditSignature
        columns = (table.n, table.at_us, table.body, table.key_id, table.signature)
        statement = select(*columns).where(self._own(table))
        if page.after:
            statement = statement.where(table.n < page.after[0])
        order = statement.order_by(table.n.desc()).limit(page.limit + 1)
        return (await self._session.execute(order)).all()

    async def signed(self, *, after: int = 0) -> list[SignedHead]:
        """Return the signed heads beyond row `after`, the oldest first."""
        table = AuditSignature
        statement = select(table.body, table.key_id, table.signature)
        statement = statement.where(self._own(table), table.n > after).order_by(table.n)
        return [SignedHead(*row) for row in await self._session.execute(statement)]

    async def add_signed(self, head: SignedHead) -> None:
        """Add a signed head; another of the same row stays as it is."""
        content = head.content
        known = select(AuditSignature.n).where(
            self._own(AuditSignature), AuditSignature.n == content["n"]
        )
        if (await self._session.execute(known)).first() is not None:
            return
        row: dict[str, Any] = {
            "company_id": self._scope.company_id,
            "n": content["n"],
            "at_us": content["at_us"],
            "body": head.body,
            "key_id": head.key_id,
            "signature": head.signature,
        }
        await self._session.execute(insert(AuditSignature), [row])


def _conditions(which: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for column, text, end in (
        (AuditRow.actor, which.actor, ":"),
        (AuditRow.action, which.action, "."),
        (AuditRow.subject, which.subject, "/"),
    ):
        if text is None:
            continue
        # Not LIKE, for which SQLite takes capitals and small letters as the same.
        begins = func.substr(column, 1, len(text)) if text.endswith(end) else column
        conditions.append(begins == text)
    if which.request is not None:
        conditions.append(AuditRow.request_id == which.request)
    if which.start is not None:
        conditions.append(AuditRow.at_us >= which.start)
    if which.end is not None:
        conditions.append(AuditRow.at_us < which.end)
    return conditions


async def chain_of(
    repository: AuditRepository, *, after: int = FROM_THE_START, up_to: int | None = None
) -> AsyncIterator[AnyRow]:
    """Yield a company's rows in their order, a piece at a time."""
    while rows := await repository.piece(after, up_to):
        for row in rows:
            yield row
        after = rows[-1].n
