"""Listens to the SQL of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.sql.elements import ClauseElement

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
