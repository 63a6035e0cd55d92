# ruff: noqa: S608 - the SQL is made of the names below and of nothing else
"""Histories that the database itself keeps from being changed, but for a deletion that was confirmed.

Triggers refuse to change or remove a row of these tables. Here they are made anew after every
migration, so that rows go with their site or company, and names of a person who asks for it, while a
deletion of that kind is confirmed and not at its end. The audit is none of these: nothing opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, inspect, text

HISTORIES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "review_event": (("no_update", "no_delete", "append_only"), ""),
    "alarm_event": (
        ("no_update", "no_delete"),
        (
            "EXISTS (SELECT 1 FROM alarm_keep WHERE alarm_keep.company_id = OLD.company_id "
            "AND alarm_keep.kept_from_us > OLD.entered_us)"
        ),
    ),
}
"""Table → ends of the names of the triggers that its migration made, and what else lets a row go."""
_KINDS: Final = {"UPDATE": "'person'", "DELETE": "'site', 'company'"}
_VERSION: Final = "governance 2"


def install(connection: Connection) -> None:
    """Make the triggers what they should be; nothing is touched where they are."""
    tables = set(inspect(connection).get_table_names())
    if "deletion" not in tables:
        return  # a schema of before
    for table, (former, also) in HISTORIES.items():
        if table not in tables:
            continue
        if connection.dialect.name == "postgresql":
            _on_postgresql(connection, table, former, also)
        else:
            _on_sqlite(connection, table, former, also)


def _allowed(event: str, also: str) -> str:
    confirmed = (
        "EXISTS (SELECT 1 FROM deletion WHERE deletion.company_id = OLD.company_id "
        f"AND deletion.state = 'confirmed' AND deletion.kind IN ({_KINDS[event]}))"
    )
    return f"({confirmed} OR {also})" if also and event == "DELETE" else confirmed


def _on_sqlite(connection: Connection, table: str, former: tuple[str, ...], also: str) -> None:
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
    known = {row.name: row.sql for row in connection.execute(query, {"table": table})}
    for event in _KINDS:
        name = f"{table}_history_{event.lower()}"
        statement = (
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN NOT {_allowed(event, also)} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
        if known.get(name) != statement:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
            connection.exec_driver_sql(statement)
    for end in former:
        if f"{table}_{end}" in known:
            connection.exec_driver_sql(f"DROP TRIGGER {table}_{end}")


def _on_postgresql(connection: Connection, table: str, former: tuple[str, ...], also: str) -> None:
    name = f"{table}_history"
    query = text("SELECT obj_description(to_regproc(:name)::oid, 'pg_proc')")
    there = text(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass(:table) AND tgname = :name"
    )
    made = connection.execute(there, {"table": table, "name": name}).scalar_one()
    if made and connection.execute(query, {"name": name}).scalar() == _VERSION:
        return
    connection.exec_driver_sql(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' AND {_allowed('DELETE', also)} THEN RETURN OLD; END IF; "
        f"IF TG_OP = 'UPDATE' AND {_allowed('UPDATE', also)} THEN RETURN NEW; END IF; "
        f"RAISE EXCEPTION '{table} is append-only' "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for end in (*former, "history", "history_whole"):
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_{end} ON {table}")
    connection.exec_driver_sql(
        f"CREATE TRIGGER {name} BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
    connection.exec_driver_sql(
        f"CREATE TRIGGER {name}_whole BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )
    connection.exec_driver_sql(f"COMMENT ON FUNCTION {name}() IS '{_VERSION}'")
