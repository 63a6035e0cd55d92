"""Routes of commands."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from plantroom_cloud.commands.confirming import Confirming, NotYours
from plantroom_cloud.commands.repository import CommandRepository
from plantroom_cloud.commands.rules import RuleService
from plantroom_cloud.commands.schemas import (
    CommandIn,
    CommandOut,
    CommandRuleIn,
    CommandRuleList,
    CommandRuleOut,
    show_command,
    show_rule,
)
from plantroom_cloud.commands.service import CommandService, NotWritable
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.parameters import PlainText, RowId
from plantroom_cloud.kit.problems import Forbidden, NotFound, refusals
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Clock, database

router = APIRouter(tags=["commands"])

CommandId = Annotated[PlainText, Path(examples=["c-0011223344556677"])]
_REFUSALS: Final = refusals(Forbidden, NotWritable)


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
    who: Annotated[Principal, Depends(Permit(Permission.POINT_WRITE))],
    clock: Clock,
    point: RowId,
    asked: CommandIn,
) -> Response:
    """Have a gateway write a point for a while; its own configuration says whether it does.

    The answer comes at once; what became of it is told by GET /v1/commands/{id}.
    """
    async with database(request).write(scope) as session:
        command = await CommandService(session, scope, clock).give(point, asked, who)
        repository = CommandRepository(session, scope)
        row, events = await repository.find(command), await repository.events(command)
    assert row is not None  # noqa: S101 -- entered three lines above
    return json_response(show_command(row, events))


@router.get(
    "/commands/{command}",
    response_model=CommandOut,
    summary="What became of a command",
    dependencies=[Depends(Permit(Permission.POINT_READ))],
)
async def get_command(session: Session, scope: CurrentScope, command: CommandId) -> Response:
    """A command with all that has happened to it."""
    repository = CommandRepository(session, scope)
    row = await repository.find(command)
    if row is None:
        msg = f"there is no command {command}; POST /v1/points/{{point}}/commands gives one"
        raise NotFound(msg)
    return json_response(show_command(row, await repository.events(command)))


@router.post(
    "/commands/{command}/confirm",
    response_model=CommandOut,
    responses=refusals(Forbidden, NotYours),
    summary="Confirm as the second person",
)
async def confirm_command(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.POINT_WRITE))],
    clock: Clock,
    command: CommandId,
) -> Response:
    """Let a command go that waits for a second person: anybody who may write but whoever gave it."""
    async with database(request).write(scope) as session:
        await Confirming(session, scope, clock).confirm(command, who)
        repository = CommandRepository(session, scope)
        row, events = await repository.find(command), await repository.events(command)
    assert row is not None  # noqa: S101 -- confirmed four lines above
    return json_response(show_command(row, events))


# ---------------------------------------------------------------- rules


@router.get(
    "/command-rules",
    response_model=CommandRuleList,
    summary="Which points need two persons",
    dependencies=[Depends(Permit(Permission.POINT_READ))],
)
async def list_command_rules(session: Session, scope: CurrentScope) -> Response:
    """For which points a second person must confirm what is written."""
    rules = await CommandRepository(session, scope).rules()
    return json_response({"items": [show_rule(row) for row in rules]})


@router.post(
    "/command-rules",
    response_model=CommandRuleOut,
    responses=refusals(Forbidden),
    summary="Want two persons",
)
async def add_command_rule(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.COMPANY_WRITE))],
    clock: Clock,
    asked: CommandRuleIn,
) -> Response:
    """Want a second person for points of the company, or for all of them, from now on."""
    async with database(request).write(scope) as session:
        row = await RuleService(session, scope, clock).add(asked, who)
    return json_response(show_rule(row))


@router.delete(
    "/command-rules/{rule}",
    response_model=CommandRuleOut,
    responses=refusals(Forbidden),
    summary="One person will do",
)
async def remove_command_rule(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.COMPANY_WRITE))],
    clock: Clock,
    rule: RowId,
) -> Response:
    """Remove a rule; commands that wait for a second person go on waiting."""
    async with database(request).write(scope) as session:
        row = await RuleService(session, scope, clock).remove(rule, who)
    return json_response(show_rule(row))
