"""The one way to the rows of a company."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from plantroom_cloud.db import Scope
from plantroom_cloud.kit.confined import lies_at

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row whose columns its reader knows by name."""
AnySelect: TypeAlias = Select[*tuple[Any, ...]]
Own: TypeAlias = Callable[..., ColumnElement[bool]]
"""`Repository._own`, or what stands for it in a statement that is made once."""

_COMPANY: Final = "company_id"
"""The parameter of such a statement that says whose rows it reads."""


class Repository:
    """SQL of one domain within one company: every statement names `_own` for every table it reads.

    A test listens to every statement of the API and fails for one that does not.
    """

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session, self._scope = session, scope

    def _own(self, *tables: Any) -> ColumnElement[bool]:
        """Return the condition that the rows of all `tables` are the company's own.

        For whoever is confined to some sites: and that they lie at one of these.
        """
        return _own(self._scope, *tables)

    async def _read(self, query: Query) -> Sequence[AnyRow]:
        """Return what a query finds, past the ORM: it would find no objects in columns."""

        def read(session: Session) -> Sequence[AnyRow]:
            session.flush()  # as the ORM would: what is made here is seen
            return query.all(session.connection())

        return await self._session.run_sync(read)


@dataclass(frozen=True, slots=True)
class Query:
    """A select of columns and its values."""

    statement: AnySelect
    values: Mapping[str, Any]

    def all(self, connection: Connection) -> Sequence[AnyRow]:
        """Return all rows."""
        return connection.execute(self.statement, self.values).all()


def query(scope: Scope, make: Callable[..., AnySelect], *shape: bool, **values: Any) -> Query:
    """Return the query ``make(own, *shape)`` for `scope`; its other values are parameters.

    To put a select together costs more than to execute it, so it is made once for everybody. One
    for somebody who is confined to some sites names them, and is made anew.

    Args:
        scope: whose rows it reads.
        make: makes the select; names `own` for every table that it reads.
        shape: which conditions it has.
        values: of its parameters.
    """
    values[_COMPANY] = scope.company_id
    if scope.sites is None:
        return Query(_made(make, *shape), values)
    return Query(make(partial(_own, scope), *shape), values)


def _own(scope: Scope, *tables: Any) -> ColumnElement[bool]:
    company, sites = scope.company_id, scope.sites
    mine = [table.company_id == company for table in tables]
    if sites is not None:
        mine += [lies_at(table, company, sites) for table in tables]
    return and_(*mine)


@lru_cache(maxsize=256)
def _made(make: Callable[..., AnySelect], *shape: bool) -> AnySelect:
    return make(_own_by_parameter, *shape)


def _own_by_parameter(*tables: Any) -> ColumnElement[bool]:
    return and_(*(table.company_id == bindparam(_COMPANY) for table in tables))
