"""Listens to the SQL of the API and says which statement could see another company's rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import BinaryExpression, BooleanClauseList, Join, Select, Table, Update, event
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BindParameter, ClauseElement, Grouping

from plantroom_cloud.db import Database


@contextmanager
def listening(db: Database) -> Iterator[list[ClauseElement]]:
    """Yield a list that fills with every statement that `db` executes."""
    heard: list[ClauseElement] = []

    def hear(_connection: Any, statement: Any, *_rest: Any) -> None:
        heard.append(statement)

    event.listen(db.engine.sync_engine, "before_execute", hear)
    try:
        yield heard
    finally:
        event.remove(db.engine.sync_engine, "before_execute", hear)


def unscoped(statement: ClauseElement, company: int) -> list[str]:
    """Return the tenant tables that a statement reads or changes without naming `company`.

    The one exception is the look-up of a key by its digest: it is what finds the company.
    """
    found: list[str] = []
    for part in visitors.iterate(statement):
        if isinstance(part, Select):
            tables: list[Any] = []
            conditions = list(_anded(part.whereclause))
            for source in part.get_final_froms():
                _flatten(source, tables, conditions)
            found += _missing(tables, conditions, company)
        elif isinstance(part, Update):
            found += _missing([part.table], list(_anded(part.whereclause)), company)
    return found


def _flatten(source: Any, tables: list[Any], conditions: list[Any]) -> None:
    if isinstance(source, Join):
        conditions += _anded(source.onclause)
        _flatten(source.left, tables, conditions)
        _flatten(source.right, tables, conditions)
    elif isinstance(source, Table):
        tables.append(source)


def _anded(clause: Any) -> Iterator[Any]:
    """Yield the conditions that all must hold."""
    if isinstance(clause, Grouping):
        yield from _anded(clause.element)
    elif isinstance(clause, BooleanClauseList) and clause.operator is operators.and_:
        for part in clause.clauses:
            yield from _anded(part)
    elif clause is not None:
        yield clause


def _missing(tables: list[Any], conditions: list[Any], company: int) -> list[str]:
    equal = [
        (part.left.table.name, part.left.name, part.right.value)
        for part in conditions
        if isinstance(part, BinaryExpression)
        and part.operator is operators.eq
        and isinstance(part.right, BindParameter)
    ]
    names = [table.name for table in tables if "company_id" in table.c]
    by_digest = names == ["api_key"] and any(column == "digest" for _, column, _ in equal)
    return [] if by_digest else [n for n in names if (n, "company_id", company) not in equal]
