"""Routes of desired configurations."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from plantroom_cloud.configuration.message import Wish
from plantroom_cloud.configuration.schemas import (
    AssignmentDetail,
    AssignmentIn,
    AssignmentPage,
    ConfigurationOut,
    DiffOut,
    VersionDetail,
    VersionIn,
    VersionOut,
    VersionPage,
    show_assignment,
    show_configuration,
    show_detail,
    show_difference,
    show_version,
)
from plantroom_cloud.configuration.service import (
    ConfigurationConflict,
    ConfigurationService,
    NeedsForce,
)
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import GatewayId, PlainText, RowId
from plantroom_cloud.kit.problems import Forbidden, InvalidRequest, refusals
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Clock, database

router = APIRouter(tags=["configuration"])

_HERE: Final = "/gateways/{gateway}/configuration"
AssignmentId = Annotated[PlainText, Path(examples=["a-0011223344556677"])]
Which = Annotated[
    PlainText, Query(description="Number of a version, or `running`.", examples=["running"])
]
READ: Final = [Depends(Permit(Permission.GATEWAY_READ))]
Configurer = Annotated[Principal, Depends(Permit(Permission.GATEWAY_WRITE))]
REFUSALS: Final = refusals(Forbidden, ConfigurationConflict)
FORCED: Final = refusals(Forbidden, NeedsForce)


@router.get(_HERE, response_model=ConfigurationOut, dependencies=READ, summary="At a glance")
async def get_configuration(
    session: Session, scope: CurrentScope, clock: Clock, gateway: GatewayId
) -> Response:
    """What a gateway is to run, what it runs, and what stands between."""
    service = ConfigurationService(session, scope, clock)
    found, rows = await service.gateway(gateway), service.rows
    newest, desired = await rows.newest(gateway), await rows.latest(gateway)
    return json_response(show_configuration(found, newest, desired, await rows.running(gateway)))


# ---------------------------------------------------------------- versions


@router.get(f"{_HERE}/versions", response_model=VersionPage, dependencies=READ, summary="Versions")
async def list_configuration_versions(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    gateway: GatewayId,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Versions of a gateway's configuration, the newest first."""
    service = ConfigurationService(session, scope, clock)
    await service.gateway(gateway)
    listing = listing_of("configuration-versions", gateway=gateway)
    page = read_page(listing, limit, after, (int,))
    rows = await service.rows.versions(gateway, page)
    return page_response(
        request, listing, page, rows, show=show_version, key=lambda row: (row.number,)
    )


@router.get(
    f"{_HERE}/versions/{{version}}",
    response_model=VersionDetail,
    dependencies=READ,
    summary="One version",
)
async def get_configuration_version(
    session: Session, scope: CurrentScope, clock: Clock, gateway: GatewayId, version: RowId
) -> Response:
    """A version with its document."""
    row = await ConfigurationService(session, scope, clock).version(gateway, version)
    return json_response(show_version(row) | {"document": row.document})


@router.post(
    f"{_HERE}/versions", response_model=VersionOut, responses=REFUSALS, summary="A new version"
)
async def add_configuration_version(
    *,
    request: Request,
    scope: CurrentScope,
    who: Configurer,
    clock: Clock,
    gateway: GatewayId,
    asked: VersionIn,
) -> Response:
    """Keep a version; no gateway is told of it until it is staged."""
    async with database(request).write(scope) as session:
        service = ConfigurationService(session, scope, clock)
        document, origin = await _document(service, gateway, asked)
        wish = Wish(who, asked.why)
        number = await service.add(gateway, document, wish, parent=asked.parent, origin=origin)
        row = await service.version(gateway, number)
    return json_response(show_version(row))


async def _document(
    service: ConfigurationService, gateway: str, asked: VersionIn
) -> tuple[dict[str, Any], str]:
    given = [asked.document is not None, asked.version is not None, asked.running]
    if given.count(True) != 1:
        msg = "give one of `document`, `version` and `running`"
        raise InvalidRequest(msg)
    if asked.document is not None:
        await service.gateway(gateway)
        return asked.document, "edited"
    which = "running" if asked.running else str(asked.version)
    origin = "running" if asked.running else f"version {asked.version}"
    return dict(await service.document(gateway, which)), origin


@router.get(f"{_HERE}/diff", response_model=DiffOut, dependencies=READ, summary="What differs")
async def diff_configurations(
    *,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    gateway: GatewayId,
    old: Which = "running",
    new: Annotated[
        Which | None, Query(description="As `old`; its newest version where left out.")
    ] = None,
) -> Response:
    """What lies between two configurations of a gateway, in words of the field.

    Where nothing else is asked: between what it runs and its newest version.
    """
    service = ConfigurationService(session, scope, clock)
    await service.gateway(gateway)
    if new is None:
        newest = await service.rows.newest(gateway)
        new = str(newest.number) if newest else "1"
    before, after = await service.document(gateway, old), await service.document(gateway, new)
    found, dropped, of = await service.compare(gateway, before, after)
    items = [show_difference(one) for one in found]
    return json_response({"items": items, "points_dropped": dropped, "points": of})


# ---------------------------------------------------------------- stages


@router.post(
    "/configuration-assignments/{assignment}/cancel",
    response_model=AssignmentDetail,
    responses=REFUSALS,
    summary="Not any more",
)
async def cancel_configuration_assignment(
    *,
    request: Request,
    scope: CurrentScope,
    who: Configurer,
    clock: Clock,
    assignment: AssignmentId,
) -> Response:
    """Have a gateway not get what has not reached it; 409 where it is tried, or has ended."""
    async with database(request).write(scope) as session:
        service = ConfigurationService(session, scope, clock)
        await service.cancel(assignment, Wish(who))
        row, events = await service.assignment(assignment), await service.rows.events(assignment)
    return json_response(show_detail(row, events))


@router.post(
    f"{_HERE}/assignments", response_model=AssignmentDetail, responses=FORCED, summary="Stage"
)
async def stage_configuration(
    *,
    request: Request,
    scope: CurrentScope,
    who: Configurer,
    clock: Clock,
    gateway: GatewayId,
    asked: AssignmentIn,
) -> Response:
    """Have a gateway get a version; it checks it, tries it, and says what became of it.

    What was staged for it before and is not in force yet is superseded. To go back, stage a former
    version.
    """
    async with database(request).write(scope) as session:
        service = ConfigurationService(session, scope, clock)
        wish = Wish(who, asked.why, asked.force)
        ident = await service.stage(gateway, asked.version, wish)
        row, events = await service.assignment(ident), await service.rows.events(ident)
    return json_response(show_detail(row, events))


@router.get(
    f"{_HERE}/assignments", response_model=AssignmentPage, dependencies=READ, summary="Stages"
)
async def list_configuration_assignments(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    gateway: GatewayId,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What a gateway was to have, the newest first, and what became of it."""
    service = ConfigurationService(session, scope, clock)
    await service.gateway(gateway)
    listing = listing_of("configuration-assignments", gateway=gateway)
    page = read_page(listing, limit, after, (int,))
    rows = await service.rows.assignments(gateway, page)
    return page_response(
        request, listing, page, rows, show=show_assignment, key=lambda row: (row.serial,)
    )


@router.get(
    "/configuration-assignments/{assignment}",
    response_model=AssignmentDetail,
    dependencies=READ,
    summary="One stage",
)
async def get_configuration_assignment(
    session: Session, scope: CurrentScope, clock: Clock, assignment: AssignmentId
) -> Response:
    """An assignment with its history."""
    service = ConfigurationService(session, scope, clock)
    row = await service.assignment(assignment)
    return json_response(show_detail(row, await service.rows.events(assignment)))
