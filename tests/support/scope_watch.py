"""Hears every statement of a database and tells those that could see or change another's rows.

What a session acts for stands in its connection (`db.ACTING`): a company, nobody, or everybody
while one of the look-ups of `isolation.lookups` is under way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    Alias,
    BinaryExpression,
    BooleanClauseList,
    Column,
    Delete,
    Insert,
    Join,
    ScalarSelect,
    Select,
    Table,
    TextClause,
    Update,
    event,
)
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BindParameter, ClauseElement, Grouping

from plantroom_cloud.db import ACTING, Database
from plantroom_cloud.isolation import lookups, wall
from plantroom_cloud.tables import Base

_NAMED: Final = re.compile(r"\b(?:FROM|INTO|UPDATE|JOIN)\s+\"?(\w+)", re.IGNORECASE)
_Params = Sequence[Mapping[str, Any]]


@dataclass
class Watch:
    """What was heard."""

    statements: int = 0
    """Those that touch a table of companies."""
    escaped: list[str] = field(default_factory=list)
    """Those that were not confined to whom their session acts for, and why."""


@contextmanager
def watching(db: Database) -> Iterator[Watch]:
    """Yield what is heard of `db` meanwhile."""
    watch = Watch()

    def hear(connection: Any, statement: Any, many: Any, params: Any, _options: Any) -> None:
        given = many or [params or {}]
        _note(watch, str(statement), escapes(statement, connection.info.get(ACTING), given))

    def hear_plain(
        connection: Any, _cursor: Any, statement: str, values: Any, context: Any, many: bool
    ) -> None:
        if getattr(context, "compiled", None) is None:
            acting = connection.info.get(ACTING)
            _note(watch, statement, _plain(statement, acting, values if many else [values]))

    engine = db.engine.sync_engine
    heard = (("before_execute", hear), ("before_cursor_execute", hear_plain))
    for name, listener in heard:
        event.listen(engine, name, listener)
    try:
        yield watch
    finally:
        for name, listener in heard:
            event.remove(engine, name, listener)


def _note(watch: Watch, statement: str, why: list[str] | None) -> None:
    if why is None:
        return
    watch.statements += 1
    watch.escaped += [f"{one}: {statement}" for one in why]


def escapes(statement: ClauseElement, acting: Any, given: _Params = ({},)) -> list[str] | None:
    """Return why `statement` is not confined; None where it touches no company's table."""
    if isinstance(statement, TextClause):
        return _text(str(statement), acting, given)
    tables = {name for part in visitors.iterate(statement) if (name := _tenant(part))}
    if not tables:
        return None
    if isinstance(acting, lookups.Across):
        return list(_beyond(statement))
    if isinstance(statement, Insert) and tables == {"company"} and acting is None:
        return []  # a new one, which the database numbers; PostgreSQL's policy asks for more
    if acting is None:
        return [f"{name} without a company" for name in sorted(tables)]
    return [f"{name} not of company {acting}" for name in unscoped(statement, acting, given)]


def unscoped(statement: ClauseElement, company: int, given: _Params = ({},)) -> list[str]:
    """Return the tables of companies that `statement` touches without naming `company`."""
    found: list[str] = []
    around = _around(statement)
    for part in visitors.iterate(statement):
        if isinstance(part, Select):
            tables, conditions = _sources(part)
            here = [table for table in tables if table not in around.get(id(part), ())]
            found += _missing(here, conditions, company, given)
        elif isinstance(part, Update | Delete) and not _is_flushed(part):
            found += _missing([part.table], list(_anded(part.whereclause)), company, given)
        elif isinstance(part, Insert):
            found += _foreign(part, company, given)
    return found


def _sources(select: Select[Any]) -> tuple[list[Any], list[Any]]:
    """Return the tables of companies that a select reads, and the conditions that all must hold."""
    tables: list[Any] = []
    conditions = list(_anded(select.whereclause))
    for source in select.get_final_froms():
        _flatten(source, tables, conditions)
    return tables, conditions


def _around(statement: ClauseElement) -> dict[int, list[Any]]:
    """Return for each select that is a value the tables around it: those it does not read itself."""
    found: dict[int, list[Any]] = {}
    for outer in visitors.iterate(statement):
        if isinstance(outer, Select):
            tables, _ = _sources(outer)
            for part in visitors.iterate(outer):
                if isinstance(part, ScalarSelect) and part.element is not outer:
                    found.setdefault(id(part.element), []).extend(tables)
    return found


def _tenant(part: Any) -> str:
    """Return the name of the table of companies that `part` is; empty where it is none."""
    if isinstance(part, Update | Delete | Insert):
        part = part.table
    return str(part.name) if isinstance(part, Table) and _key(part) else ""


def _key(table: Any) -> str:
    """Return the column of `table` that says whose a row is."""
    if isinstance(table, Alias):
        table = table.element
    if not isinstance(table, Table):
        return ""
    return wall.KEYS.get(table.name, "company_id" if "company_id" in table.c else "")


def _beyond(statement: ClauseElement) -> Iterator[str]:
    """Yield what a look-up does that the role of look-ups may not."""
    for part in visitors.iterate(statement):
        if isinstance(part, Update | Delete | Insert):
            yield f"a look-up changes {_tenant(part)}"
        if isinstance(part, Column) and isinstance(part.table, Table):
            table = part.table
            if _key(table) and part.name not in lookups.COLUMNS.get(table.name, ()):
                yield f"a look-up reads {table.name}.{part.name}"


def _flatten(source: Any, tables: list[Any], conditions: list[Any]) -> None:
    if isinstance(source, Join):
        conditions += _anded(source.onclause)
        _flatten(source.left, tables, conditions)
        _flatten(source.right, tables, conditions)
    elif _key(source):
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


def _missing(tables: list[Any], conditions: list[Any], company: int, given: _Params) -> list[str]:
    equal = {
        (str(part.left.table.name), part.left.name)
        for part in conditions
        if isinstance(part, BinaryExpression)
        and part.operator is operators.eq
        and isinstance(part.left, Column)
        and isinstance(part.right, BindParameter)
        and all(_value(part.right, one) == company for one in given)
    }
    return [str(t.name) for t in tables if _key(t) and (str(t.name), _key(t)) not in equal]


def _value(bound: BindParameter[Any], given: Mapping[str, Any]) -> Any:
    return given.get(bound.key, bound.effective_value)


def _is_flushed(statement: Update | Delete) -> bool:
    """Tell the ORM's way to write back a row that it has loaded: by its key, and nothing else."""
    conditions = list(_anded(statement.whereclause))
    keys = {column.name for column in statement.table.primary_key}
    return (
        bool(conditions)
        and {
            part.left.name
            for part in conditions
            if isinstance(part, BinaryExpression)
            and isinstance(part.right, BindParameter)
            and part.right.required
        }
        == keys
    )


def _foreign(statement: Insert, company: int, given: _Params) -> list[str]:
    table = statement.table
    key = _key(table)
    if not key:
        return []
    if statement.select is not None:
        names = statement._select_names or ()
        return [] if key in names else [table.name]
    said: list[Any] = [one[key] for one in given if key in one]
    for rows in statement._multi_values:
        said += [_said(row, table, key) for row in rows]
    if statement._values:
        said += [v for c, v in statement._values.items() if getattr(c, "name", c) == key]
    plain = [one.effective_value if isinstance(one, BindParameter) else one for one in said]
    return [] if plain and set(plain) == {company} else [table.name]


def _said(row: Any, table: Any, key: str) -> Any:
    return row.get(table.c[key], row.get(key)) if isinstance(row, Mapping) else None


def _text(statement: str, acting: Any, given: _Params) -> list[str] | None:
    tables = _tables_in(statement)
    if not tables:
        return None
    if isinstance(acting, int) and all(one.get("company_id") == acting for one in given):
        return []
    return [f"{name} in a text without :company_id" for name in sorted(tables)]


def _plain(statement: str, acting: Any, rows: Sequence[Any]) -> list[str] | None:
    if statement.startswith("EXPLAIN "):  # shows a plan, and no rows
        return None
    tables = _tables_in(statement)
    if not tables:
        return None
    if isinstance(acting, int) and "company_id" in statement and all(acting in row for row in rows):
        return []
    return [f"{name} in a plain statement" for name in sorted(tables)]


def _tables_in(statement: str) -> set[str]:
    known = Base.metadata.tables
    return {name for name in _NAMED.findall(statement) if name in known and _key(known[name])}
