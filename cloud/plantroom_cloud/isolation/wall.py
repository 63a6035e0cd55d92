"""Row-level security on PostgreSQL: roles, policies and rights, made from what tables there are.

Nothing here names a table that has a company: every one there is gets its policy after each
migration, so that none can be forgotten. A table without a company is open to the service and
must be named in `SHARED` or `KEYS`, or a test fails by its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from plantroom_cloud.isolation import lookups

APP: Final = "plantroom_app"
"""The role that the service works as: it owns nothing and no policy lets it through."""
COMPANY: Final = "(SELECT nullif(current_setting('plantroom.company', true), '')::bigint)"
"""The company that the transaction acts for; null, which equals nothing, where none is set.

In a sub-select the planner asks once per statement and not once per row.
"""
KEYS: Final[Mapping[str, str]] = {"company": "id"}
"""Table → where its company stands, other than in ``company_id``."""
_ALL: Final = "SELECT, INSERT, UPDATE, DELETE"
SHARED: Final[Mapping[str, str]] = {
    "alembic_version": "SELECT",
    "login_backoff": _ALL,
    "oidc_flow": "SELECT, INSERT, DELETE",
    "oidc_identity": _ALL,
    "pending_gateway": _ALL,
    "process_report": _ALL,
    "signing_key": "SELECT, INSERT, UPDATE",
    "user_account": _ALL,
}
"""Tables that belong to no company → what the service may do with them."""
RIGHTS: Final[Mapping[str, str]] = {
    "audit_row": "SELECT, INSERT",
    "audit_signature": "SELECT, INSERT",
}
"""Tables of companies → what the service may do with them, where that is less than `_ALL`."""
_FUNCTIONS: Final = ("plantroom_add_month(int, int)", "plantroom_drop_month(int, int)")

_TABLES: Final = text("""
SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
               AND a.attname = 'company_id' AND NOT a.attisdropped) AS tenant,
       EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'own'
               AND p.polcmd = '*' AND p.polpermissive AND p.polroles = '{0}'
               AND pg_get_expr(p.polqual, p.polrelid) LIKE '%plantroom.company%'
               AND pg_get_expr(p.polwithcheck, p.polrelid)
                   = pg_get_expr(p.polqual, p.polrelid))
       AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname <> 'own'
               AND p.polpermissive
               AND p.polroles <> ARRAY[to_regrole('plantroom_lookup')::oid]) AS own
FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname
""")
_MARK: Final = (
    "SELECT obj_description(oid, 'pg_policy') FROM pg_policy"
    " WHERE polrelid = to_regclass('company') AND polname = 'own'"
)


class Found(NamedTuple):
    """A table as it is."""

    name: str
    forced: bool
    """Whether policies hold on it, for its owner, too."""
    tenant: bool
    """Whether it has the column ``company_id``."""
    own: bool
    """Whether it has the policy, for reading and writing, and none that opens it to others."""

    @property
    def key(self) -> str:
        """The column that says whose a row is; empty where it belongs to nobody."""
        return KEYS.get(self.name, "company_id" if self.tenant else "")


def found_tables(connection: Connection) -> list[Found]:
    """Return the tables of the schema; partitions go with their table."""
    return [Found(*row) for row in connection.execute(_TABLES)]


def gaps(connection: Connection) -> list[str]:
    """Return the tables of companies whose rows the database would show to anybody."""
    return [t.name for t in found_tables(connection) if t.key and not (t.forced and t.own)]


def relax(connection: Connection) -> None:
    """Let the owner see all rows until `confine`: a migration that moves rows must find them."""
    for table in found_tables(connection):
        if table.forced:
            connection.exec_driver_sql(f'ALTER TABLE "{table.name}" NO FORCE ROW LEVEL SECURITY')


def confine(connection: Connection) -> None:
    """Make roles, policies and rights what they should be; nothing is touched where they are.

    Raises:
        sqlalchemy.exc.ProgrammingError: the owner may not make roles, and they are not there.
    """
    script = ";\n".join(_script(found_tables(connection)))
    mark = f"isolation {hashlib.sha256(script.encode()).hexdigest()}"
    if mark == connection.exec_driver_sql(_MARK).scalar() and not gaps(connection):
        return
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    for statement in _roles(version):
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(script)
    connection.exec_driver_sql(f"COMMENT ON POLICY own ON company IS '{mark}'")


def _roles(version: int) -> Iterator[str]:
    """Yield what makes the roles; they are the server's, and other databases may have made them."""
    for role in (APP, lookups.ROLE):
        # It has the rights of no role that it can become: a look-up is a step of its own.
        yield (
            f"DO $$ BEGIN IF to_regrole('{role}') IS NULL"
            f" THEN CREATE ROLE {role} NOLOGIN NOINHERIT; END IF;"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    how = " WITH INHERIT FALSE, SET TRUE" if version >= 160_000 else ""
    may = "SET" if version >= 160_000 else "MEMBER"
    yield (
        f"DO $$ BEGIN IF NOT pg_has_role('{APP}', '{lookups.ROLE}', '{may}')"
        f" THEN GRANT {lookups.ROLE} TO {APP}{how}; END IF; END $$"
    )
    # Who migrates may step down, where the same login serves; where that is another one's to
    # grant, it is another one's to want.
    yield (
        f"DO $$ BEGIN IF NOT pg_has_role(current_user, '{APP}', '{may}')"
        f" THEN GRANT {APP} TO CURRENT_USER{how}; END IF;"
        " EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
    )


def _script(tables: list[Found]) -> Iterator[str]:
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {APP}, {lookups.ROLE}"
    yield f"GRANT USAGE ON SCHEMA public TO {APP}, {lookups.ROLE}"
    yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {APP}"
    for table in tables:
        yield from _confined(table) if table.key else _shared(table)
    for function in _FUNCTIONS:
        yield f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC"
        yield f"GRANT EXECUTE ON FUNCTION {function} TO {APP}"


def _shared(table: Found) -> Iterator[str]:
    yield f'GRANT {SHARED.get(table.name, _ALL)} ON "{table.name}" TO {APP}'


def _confined(table: Found) -> Iterator[str]:
    name, own = f'"{table.name}"', f"{table.key} = {COMPANY}"
    yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY"
    for policy in ("own", "lookup", "lock"):
        yield f"DROP POLICY IF EXISTS {policy} ON {name}"
    yield f"CREATE POLICY own ON {name} USING ({own}) WITH CHECK ({own})"
    yield f"GRANT {RIGHTS.get(table.name, _ALL)} ON {name} TO {APP}"
    if columns := lookups.COLUMNS.get(table.name):
        yield f"CREATE POLICY lookup ON {name} FOR SELECT TO {lookups.ROLE} USING (true)"
        yield f"GRANT SELECT ({', '.join(columns)}) ON {name} TO {lookups.ROLE}"
    if table.name in lookups.LOCKED:
        # A lock needs the right to change; what would be changed is then refused.
        yield (
            f"CREATE POLICY lock ON {name} FOR UPDATE TO {lookups.ROLE}"
            " USING (true) WITH CHECK (false)"
        )
        yield f"GRANT UPDATE (id) ON {name} TO {lookups.ROLE}"
