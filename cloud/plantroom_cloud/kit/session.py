"""What the composition root hands to the routes: the database and the clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, Request

from plantroom_cloud.db import Database, ReadSession
from plantroom_shared.clock import Clock as ClockProtocol


def database(request: Request) -> Database:
    """Return the database of the service."""
    return cast("Database", request.app.state.db)


async def _read_session(request: Request) -> AsyncIterator[ReadSession]:
    async with database(request).read() as session:
        yield session


async def _clock(request: Request) -> ClockProtocol:
    return cast("ClockProtocol", request.app.state.clock)


# The connection goes back before the answer is sent: a slow reader holds none.
Session = Annotated[ReadSession, Depends(_read_session, scope="function")]
"""One snapshot for the whole request."""
Clock = Annotated[ClockProtocol, Depends(_clock)]
