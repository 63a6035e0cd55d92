"""The WebSocket: a ticket in the first message, events after it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.websockets import WebSocketDisconnect

from plantroom_cloud.kit.problems import ApiError, Forbidden, InvalidRequest
from plantroom_cloud.live.endpoints import SOCKET, check_origin, live_of, problem_of
from plantroom_cloud.live.events import Event, Resync
from plantroom_cloud.live.following import Beat, Bye, Connection, Live, Ready, Told
from plantroom_cloud.live.stream import PATIENCE
from plantroom_cloud.live.tickets import redeem
from plantroom_cloud.live.topics import MOST
from plantroom_shared.cancelling import ended

router = APIRouter()

MAX_MESSAGE: Final = 64 * 1024
"""Bytes of a message to us; for whoever serves the socket."""
_FIRST: Final = 5.0
"""Seconds in which the first message must be here."""
_CODES: Final = {"restart": 1012, "revoked": 4403, "unchecked": 1013}
_REFUSED: Final = 4400
"""Plus what is beyond 400 of the status that an answer of HTTP would have."""

Text = Annotated[str, StringConstraints(max_length=200, pattern=r"\A[^\x00]*\z")]


class Opening(BaseModel):
    """What a client says first."""

    model_config = ConfigDict(extra="forbid")

    ticket: Text
    topics: Annotated[list[Text], Field(min_length=1, max_length=MOST)]
    after: Text | None = None


@router.websocket(SOCKET)
async def socket(websocket: WebSocket) -> None:
    """Tell a client what happens, until it goes."""
    live = live_of(websocket.app.state)
    try:
        check_origin(live, websocket.headers)
    except Forbidden:
        await websocket.close(4403)  # not accepted: the handshake is answered with a 403
        return
    await websocket.accept()
    try:
        connection = await _opened(live, websocket)
    except ApiError as error:
        await websocket.send_text(problem_of(error).decode())
        await websocket.close(_REFUSED + error.status - 400)
    except (WebSocketDisconnect, TimeoutError):
        await _hang_up(websocket, 4408)
    else:
        await _serve(websocket, connection)


async def _opened(live: Live, websocket: WebSocket) -> Connection:
    async with asyncio.timeout(_FIRST):
        message = await websocket.receive()
    if message["type"] != "websocket.receive":
        raise WebSocketDisconnect
    text = message.get("text") or ""
    try:
        said = Opening.model_validate(orjson.loads(text[:MAX_MESSAGE]))
    except (ValidationError, orjson.JSONDecodeError) as error:
        msg = 'say {"ticket": "lt_...", "topics": ["alarms"], "after": null} first'
        raise InvalidRequest(msg) from error
    holder = await redeem(live.database, said.ticket, live.clock.now_us())
    return await live.open(holder, said.topics, said.after)


async def _serve(websocket: WebSocket, connection: Connection) -> None:
    tasks = [
        asyncio.create_task(_until_gone(websocket), name="live gone"),
        asyncio.create_task(_tell(websocket, connection), name="live socket"),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        outcomes = await ended(*tasks)
        await connection.close()
    for outcome in outcomes:
        if isinstance(outcome, TimeoutError):
            await _hang_up(websocket, 1013)
        elif isinstance(outcome, Exception) and not _is_gone(outcome):
            raise outcome


async def _tell(websocket: WebSocket, connection: Connection) -> None:
    async for told in connection.told():
        async with asyncio.timeout(PATIENCE):
            await websocket.send_text(as_text(told))
        if isinstance(told, Bye):
            await websocket.close(_CODES.get(told.why, 1000), told.why)


async def _until_gone(websocket: WebSocket) -> None:
    """Wait until the client goes; what it says meanwhile means nothing."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _hang_up(websocket: WebSocket, code: int) -> None:
    try:
        await websocket.close(code)
    except (RuntimeError, OSError, WebSocketDisconnect):
        return  # it is gone already


def _is_gone(error: Exception) -> bool:
    # RuntimeError: starlette's word for a message behind the end.
    return isinstance(error, WebSocketDisconnect | OSError | RuntimeError)


def as_text(told: Told) -> str:
    """Return what is told as a message of a WebSocket."""
    body: dict[str, Any]
    match told:
        case Event():
            return told.as_text
        case Ready(id=where):
            body = {"id": where, "topic": "ready", "data": {"topics": told.topics}}
        case Beat(id=where):
            body = {"id": where, "topic": "beat", "data": {}}
        case Resync(why=why):
            body = {"topic": "resync", "data": {"why": why}}
        case Bye(why=why):
            body = {"topic": "bye", "data": {"why": why}}
    return orjson.dumps(body).decode()
