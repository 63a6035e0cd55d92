"""Connections that wait in the pool: whether one is still alive is asked where that is in doubt."""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError

IDLE: Final = 1.0
"""Seconds: one that was in use later than that is not asked, which would double a short look-up.

Where the database went away meanwhile, whoever has it fails, and the pool drops all others.
"""
_SINCE: Final = "plantroom_idle_since"


def look_at_idle(engine: Engine) -> None:
    """Have connections of `engine` that were idle asked before they are used again."""

    @event.listens_for(engine, "checkin")
    def _(_connection: Any, record: Any) -> None:
        record.info[_SINCE] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _(connection: Any, record: Any, _proxy: Any) -> None:
        since = record.info.get(_SINCE)
        if since is None or time.monotonic() - since < IDLE:
            return
        try:
            alive = engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            if not engine.dialect.is_disconnect(error, connection, None):
                raise
            alive = False
        if not alive:
            raise DisconnectionError  # the pool makes another
