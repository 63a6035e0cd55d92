"""The one way to the rows of a company."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Row, Select, and_
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.kit.confined import lies_at

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row whose columns its reader knows by name."""
AnySelect: TypeAlias = Select[*tuple[Any, ...]]


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
        company, sites = self._scope.company_id, self._scope.sites
        mine = [table.company_id == company for table in tables]
        if sites is not None:
            mine += [lies_at(table, company, sites) for table in tables]
        return and_(*mine)
