"""What the composition root hands to the routes: the database and the clock."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from plantroom_cloud.db import Database
from plantroom_shared.clock import Clock as ClockProtocol


def database(request: Request) -> Database:
    """Return the database of the service."""
    return cast("Database", request.app.state.db)


async def _clock(request: Request) -> ClockProtocol:
    return cast("ClockProtocol", request.app.state.clock)


Clock = Annotated[ClockProtocol, Depends(_clock)]
