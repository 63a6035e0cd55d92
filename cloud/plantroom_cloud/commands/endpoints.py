"""Routes of commands."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response

from plantroom_cloud.commands.repository import CommandRepository
from plantroom_cloud.commands.schemas import CommandIn, CommandOut, show_command
from plantroom_cloud.commands.service import CommandService, NotWritable
from plantroom_cloud.identity.access import CurrentScope, Writer
from plantroom_cloud.kit.parameters import PlainText, RowId
from plantroom_cloud.kit.problems import MEDIA_TYPE, Forbidden, NotFound
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Clock, Session, database

router = APIRouter(tags=["commands"])

CommandId = Annotated[PlainText, Path(examples=["c-0011223344556677"])]
_PROBLEM: Final = {"schema": {"$ref": "#/components/schemas/Problem"}}
_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    kind.status: {"description": kind.title, "content": {MEDIA_TYPE: _PROBLEM}}
    for kind in (Forbidden, NotWritable)
}


@router.post(
    "/points/{point}/commands",
    response_model=CommandOut,
    responses=_REFUSALS,
    summary="Write a point",
)
async def give_command(
    *,
    request: Request,
    scope: CurrentScope,
    writer: Writer,
    clock: Clock,
    point: RowId,
    asked: CommandIn,
) -> Response:
    """Have a gateway write a point for a while; its own configuration says whether it does.

    The answer comes at once; what became of it is told by GET /v1/commands/{id}.
    """
    async with database(request).write() as session:
        command = await CommandService(session, scope, clock).give(point, asked, writer)
        repository = CommandRepository(session, scope)
        row, events = await repository.find(command), await repository.events(command)
    assert row is not None  # noqa: S101 -- entered three lines above
    return json_response(show_command(row, events))


@router.get("/commands/{command}", response_model=CommandOut, summary="What became of a command")
async def get_command(session: Session, scope: CurrentScope, command: CommandId) -> Response:
    """A command with all that has happened to it."""
    repository = CommandRepository(session, scope)
    row = await repository.find(command)
    if row is None:
        msg = f"there is no command {command}; POST /v1/points/{{point}}/commands gives one"
        raise NotFound(msg)
    return json_response(show_command(row, await repository.events(command)))
