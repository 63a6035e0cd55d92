"""Routes of live events: a ticket for a WebSocket, and events as server-sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, cast

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from plantroom_cloud.identity.access import CompanyScope, Permit
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.identity.standing import Holder
from plantroom_cloud.kit.parameters import PlainText
from plantroom_cloud.kit.problems import Forbidden, refusals
from plantroom_cloud.kit.responses import secret_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.kit.times import rfc3339
from plantroom_cloud.live.following import Live, TooManyConnections
from plantroom_cloud.live.stream import EventStream
from plantroom_cloud.live.tickets import LIFE_US, TicketRepository

router = APIRouter(tags=["live"])

SOCKET: Final = "/v1/live/socket"
Somebody = Annotated[Principal, Depends(Permit(Permission.OWN, confined=True))]
_MOST_TOPICS: Final = 4000
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events: `ready`, `samples`, `alarms`, `jobs`, `gateways`, "
        "`resync`, `beat`, `bye`",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **refusals(TooManyConnections),
}


class TicketOut(BaseModel):
    """Leave to open one WebSocket."""

    ticket: str = Field(description="For the first message of the socket, once.")
    expires: str
    socket: str = Field(examples=[SOCKET])


@router.post("/live/tickets", response_model=TicketOut, summary="A ticket for a WebSocket")
async def issue_ticket(
    *, request: Request, scope: CompanyScope, who: Somebody, clock: Clock
) -> Response:
    """A ticket opens one WebSocket within thirty seconds, and shows no key to anybody."""
    now_us = clock.now_us()
    async with database(request).write(scope) as session:
        ticket = await TicketRepository(session, scope).issue(Holder.of(who), now_us)
    body = {"ticket": ticket, "expires": rfc3339(now_us + LIFE_US), "socket": SOCKET}
    return secret_response(request, body)


@router.get(
    "/live/events",
    response_class=Response,
    responses=_EVENTS,
    summary="Follow what happens",
)
async def follow_events(
    *,
    request: Request,
    who: Somebody,
    topics: Annotated[
        str,
        Query(
            max_length=_MOST_TOPICS,
            description="With commas between: `samples/{site}`, `alarms`, `jobs`, `gateways`.",
            examples=["alarms,samples/1"],
        ),
    ],
    after: Annotated[
        PlainText | None,
        Query(description="Id of the last event you have, in place of `Last-Event-ID`."),
    ] = None,
    last: Annotated[
        PlainText | None,
        Header(
            alias="Last-Event-ID",
            description="Id of the last event you have: what came since is told first.",
        ),
    ] = None,
) -> Response:
    """Events as they happen, until you go. `resync` says: events are missing, read anew."""
    live = live_of(request.app.state)
    check_origin(live, request.headers)
    names = [name.strip(" ") for name in topics.split(",")]
    connection = await live.open(Holder.of(who), names, last or after)
    return EventStream(connection)


def live_of(state: Any) -> Live:
    """Return what is open in this process."""
    return cast("Live", state.live)


def check_origin(live: Live, headers: Mapping[str, str]) -> None:
    """Raise Forbidden for a page of an origin that is not one of the settings."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in live.origins:
        msg = "pages of this origin may not follow; who runs this service can add it: api.cors"
        raise Forbidden(msg)


def problem_of(error: Any) -> bytes:
    """Return an error as a message of a WebSocket."""
    return orjson.dumps({"error": error.problem_code, "detail": error.detail})
