"""Whether the database holds companies apart for the role that the service works as."""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.isolation import wall
from plantroom_shared.errors import ConfigError

log = logging.getLogger(__name__)

_ROLE: Final = text("""
SELECT current_user AS role, session_user AS login, r.rolsuper, r.rolbypassrls,
       (SELECT l.rolsuper FROM pg_roles l WHERE l.rolname = session_user) AS login_super,
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
               AND c.relkind IN ('r', 'p') AND pg_has_role(r.oid, c.relowner, 'USAGE')) AS owns
FROM pg_roles r WHERE r.rolname = current_user
""")
_FIX: Final = (
    "log in as a member of plantroom_app that owns nothing, and name the owner's URL in"
    " isolation.owner; or add ?options=-c%20role%3Dplantroom_app to the URL"
    " (docs/isolation.md); or say isolation.unconfined: true"
)


async def check_wall(database: Database, settings: CloudSettings) -> None:
    """Raise ConfigError where the database would not hold companies apart, unless told to go on."""
    if database.is_sqlite:
        return
    try:
        async with database.engine.connect() as connection:
            why = await connection.run_sync(_why_not)
    except SQLAlchemyError as error:
        what = f"the database does not say who we are: {type(error).__name__}"
        raise ConfigError(what, key="database", fix="check the URL (PLANTROOM_DATABASE)") from error
    if why and not settings.isolation.unconfined:
        raise ConfigError(why, key="database", fix=_FIX)
    if why:
        log.warning("companies are held apart by our statements alone", extra={"why": why})


def _why_not(connection: Connection) -> str:
    """Return why policies do not hold for this connection; empty where they do."""
    row = connection.execute(_ROLE).one()
    if row.rolsuper or row.rolbypassrls:
        return f"row-level security does not hold for {row.role!r}: it is a superuser or skips it"
    if row.owns:
        return f"{row.role!r} owns the tables, and could take their policies away"
    if open_tables := wall.gaps(connection):
        return (
            f"tables without a forced policy: {', '.join(open_tables)}; run plantroom-cloud migrate"
        )
    if row.login_super:
        # Whoever could make us say what he likes could become that again.
        extra = {"login": row.login, "role": row.role}
        log.warning(
            "stepped down from a superuser; better log in as a role without power", extra=extra
        )
    return ""
