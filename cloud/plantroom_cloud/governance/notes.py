# ruff: noqa: S608 - the SQL is made of the names below and of nothing else
"""Triggers that note, in the transaction of a change, that a site is to be checked.

They stand in the database and not beside each statement: whoever changes something, by whatever
way, leaves the note or changes nothing. They are made anew after every migration, since SQLite
loses them where a table is copied.

SQLite: a trigger per row, which leaves a note only where none waits. PostgreSQL: one per statement,
which leaves its own notes always, so that nobody waits for anybody and none is taken for seen by a
worker that could not see what it is about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, inspect, text


@dataclass(frozen=True, slots=True)
class Watched:
    """A table whose changes are noted."""

    columns: tuple[str, ...]
    """Those whose change counts; all count where a row comes or goes."""
    key: tuple[str, ...] = ("id",)
    """Primary key."""
    site: str = "site_id"
    """Column with the site; empty: all sites of the company; ``gateway_id``: that of the gateway;
    ``?site_id``: the site, or all where it is null."""


WATCHED: Final[Mapping[str, Watched]] = {
    "site": Watched(("name", "slug", "timezone"), site="id"),
    "gateway": Watched(("name", "site_id", "writes")),
    "device": Watched(("name", "site_id", "address", "vendor", "model", "description")),
    "point": Watched(
        ("name", "site_id", "device_id", "description", "unit", "object_type", "states", "writable")
    ),
    "mapping": Watched(
        (
            "equipment",
            "equip_class",
            "parent",
            "point_class",
            "model_id",
            "model_point",
            "confidence",
            "source",
            "state",
        ),
        key=("point_id",),
    ),
    "mapping_override": Watched(("ended_us",), site="?site_id"),
    "thing_model": Watched(("ended_us",), site=""),
    "governance_rule": Watched(
        ("enabled", "severity", "given", "condition", "text", "fix"),
        key=("company_id", "rule"),
        site="",
    ),
    "governance_site": Watched(("location", "naming"), key=("site_id",)),
    "governance_waiver": Watched(("ended_us",)),
    "configuration_running": Watched(("document",), key=("gateway_id",), site="gateway_id"),
}
"""Table → what of it is noted. One that is not there yet is passed over."""
_EVENTS: Final = ("INSERT", "UPDATE", "DELETE")


def install(connection: Connection) -> None:
    """Make the triggers what they should be; nothing is touched where they are."""
    tables = set(inspect(connection).get_table_names())
    if "governance_due" not in tables:
        return  # a schema of before
    there = {name: watched for name, watched in WATCHED.items() if name in tables}
    if connection.dialect.name == "postgresql":
        _on_postgresql(connection, there)
    else:
        _on_sqlite(connection, there)


def name_of(table: str, event: str) -> str:
    """Return the name of a trigger."""
    return f"governance_{table}_{event.lower()}"


# ---------------------------------------------------------------- SQLite


def _on_sqlite(connection: Connection, there: Mapping[str, Watched]) -> None:
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    known = {row.name: row.sql for row in connection.execute(query)}
    for table, watched in there.items():
        for event in _EVENTS:
            name, statement = name_of(table, event), _sqlite_trigger(table, watched, event)
            if known.get(name) == statement:
                continue
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
            connection.exec_driver_sql(statement)


def _sqlite_trigger(table: str, watched: Watched, event: str) -> str:
    row = "OLD" if event == "DELETE" else "NEW"
    when = ""
    if event == "UPDATE":
        changed = " OR ".join(f"NEW.{c} IS NOT OLD.{c}" for c in watched.columns)
        when = f" OF {', '.join(watched.columns)} ON {table} FOR EACH ROW WHEN {changed}"
    else:
        when = f" ON {table} FOR EACH ROW"
    sites = _sites_of(watched.site, row)
    if watched.site in {"site_id", "id"} and event == "UPDATE" and "site_id" in watched.columns:
        sites += f" UNION {_sites_of(watched.site, 'OLD')}"  # what has moved was somewhere before
    return (
        f"CREATE TRIGGER {name_of(table, event)} AFTER {event}{when} BEGIN "
        "INSERT INTO governance_due (company_id, site_id, taken) "
        f"SELECT company_id, site_id, 0 FROM ({sites}) AS changed WHERE NOT EXISTS "
        "(SELECT 1 FROM governance_due AS known WHERE known.company_id = changed.company_id "
        "AND known.site_id = changed.site_id AND known.taken = 0); END"
    )


def _sites_of(site: str, row: str) -> str:
    """Return the query of (company_id, site_id) that a changed row is about."""
    all_sites = f"SELECT company_id, id AS site_id FROM site WHERE company_id = {row}.company_id"
    if site == "":
        return all_sites
    if site == "?site_id":
        return f"{all_sites} AND ({row}.site_id IS NULL OR id = {row}.site_id)"
    if site == "gateway_id":
        return f"SELECT company_id, site_id FROM gateway WHERE id = {row}.gateway_id"
    return f"SELECT {row}.company_id AS company_id, {row}.{site} AS site_id"


# ---------------------------------------------------------------- PostgreSQL


def _on_postgresql(connection: Connection, there: Mapping[str, Watched]) -> None:
    script = [part for name, watched in there.items() for part in _script(name, watched)]
    mark = f"notes {hashlib.sha256(';'.join(script).encode()).hexdigest()}"
    known = connection.exec_driver_sql(
        "SELECT obj_description(to_regproc('governance_site_insert')::oid, 'pg_proc'), "
        "(SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'governance\\_%%')"
    ).one()
    if tuple(known) == (mark, len(there) * len(_EVENTS)):
        return
    for statement in script:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    connection.exec_driver_sql(f"COMMENT ON FUNCTION governance_site_insert() IS '{mark}'")


def _script(table: str, watched: Watched) -> Iterator[str]:
    for event in _EVENTS:
        name = name_of(table, event)
        yield (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO governance_due (company_id, site_id, taken) "
            f"SELECT DISTINCT company_id, site_id, 0 FROM ({_changed(watched, event)}) AS changed; "
            "RETURN NULL; END $$"
        )
        yield f"DROP TRIGGER IF EXISTS {name} ON {table}"
        named = {"INSERT": "NEW TABLE AS now", "DELETE": "OLD TABLE AS was"}
        both = "OLD TABLE AS was NEW TABLE AS now"
        yield (
            f"CREATE TRIGGER {name} AFTER {event} ON {table} REFERENCING {named.get(event, both)} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )


def _changed(watched: Watched, event: str) -> str:
    """Return the query of (company_id, site_id) that the changed rows of a statement are about."""
    if event != "UPDATE":
        return _sites_of_all(watched.site, "was" if event == "DELETE" else "now", "")
    same = " AND ".join(f"was.{c} = now.{c}" for c in watched.key)
    # Through text: JSON has no equality there.
    new, old = (", ".join(f"{t}.{c}::text" for c in watched.columns) for t in ("now", "was"))
    where = f"JOIN {{other}} ON {same} WHERE ({new}) IS DISTINCT FROM ({old})"
    found = _sites_of_all(watched.site, "now", where.format(other="was"))
    if watched.site == "site_id" and "site_id" in watched.columns:
        found += f" UNION {_sites_of_all(watched.site, 'was', where.format(other='now'))}"
    return found


def _sites_of_all(site: str, rows: str, where: str) -> str:
    if site in {"", "?site_id"}:
        mine = "" if site == "" else f" AND ({rows}.site_id IS NULL OR s.id = {rows}.site_id)"
        join = f"JOIN site AS s ON s.company_id = {rows}.company_id{mine}"
        head, _, tail = where.partition(" WHERE ")
        rest = f" WHERE {tail}" if tail else ""
        return f"SELECT s.company_id, s.id AS site_id FROM {rows} {head} {join}{rest}"
    if site == "gateway_id":
        head, _, tail = where.partition(" WHERE ")
        rest = f" WHERE {tail}" if tail else ""
        join = f"JOIN gateway AS g ON g.id = {rows}.gateway_id"
        return f"SELECT g.company_id, g.site_id FROM {rows} {head} {join}{rest}"
    return f"SELECT {rows}.company_id, {rows}.{site} AS site_id FROM {rows} {where}"
