"""Routes of deletions and exports: what only who runs a company may do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from plantroom_cloud.governance.deleting import DeletionRows, DeletionService
from plantroom_cloud.governance.exporting import ExportRows, ExportService, open_file
from plantroom_cloud.governance.schemas_data import (
    ConfirmIn,
    DeletionIn,
    DeletionOut,
    DeletionPage,
    ExportOut,
    ExportPage,
    show_deletion,
    show_export,
)
from plantroom_cloud.governance.service import Conflict
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import PlainText
from plantroom_cloud.kit.problems import NotFound, refusals
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Clock, database

router = APIRouter(prefix="/governance", tags=["governance"])

Owner = Annotated[Principal, Depends(Permit(Permission.COMPANY_WRITE))]
MAY: Final = [Depends(Permit(Permission.COMPANY_WRITE))]
DeletionId = Annotated[PlainText, Path(examples=["d-5f3a9c0177aa55ee00112233"])]
ExportId = Annotated[PlainText, Path(examples=["x-5f3a9c0177aa55ee00112233"])]
FileName = Annotated[PlainText, Path(description="Of `files`.", examples=["site"])]
_CONFLICT: Final = refusals(Conflict)
_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Lines of JSON.", "content": {"application/x-ndjson": {"schema": {}}}}
}

# ---------------------------------------------------------------- deletions


@router.post(
    "/deletions", response_model=DeletionOut, responses=_CONFLICT, summary="Plan a deletion"
)
async def plan_deletion(
    request: Request, scope: CurrentScope, who: Owner, clock: Clock, asked: DeletionIn
) -> Response:
    """Count what of a site, a person or the company would go; nothing does before it is confirmed."""
    async with database(request).write(scope) as session:
        row = await DeletionService(session, scope, clock).plan(asked.kind, asked.id, who)
        shown = show_deletion(row)
    return json_response(shown)


@router.get("/deletions", response_model=DeletionPage, summary="Deletions", dependencies=MAY)
async def list_deletions(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What was planned, goes, or has gone, the newest first."""
    listing = listing_of("deletions")
    page = read_page(listing, limit, after, (int, str))
    rows = await DeletionRows(session, scope).page(page)
    return page_response(
        request, listing, page, rows, show=show_deletion, key=lambda row: (row.asked_us, row.id)
    )


@router.get(
    "/deletions/{deletion}", response_model=DeletionOut, summary="One deletion", dependencies=MAY
)
async def get_deletion(
    session: Session, scope: CurrentScope, clock: Clock, deletion: DeletionId
) -> Response:
    """How far a deletion is, and at its end the certificate."""
    return json_response(show_deletion(await DeletionService(session, scope, clock).get(deletion)))


@router.post(
    "/deletions/{deletion}/confirm",
    response_model=DeletionOut,
    responses=_CONFLICT,
    status_code=202,
    summary="Confirm a deletion",
)
async def confirm_deletion(
    *,
    request: Request,
    scope: CurrentScope,
    who: Owner,
    clock: Clock,
    deletion: DeletionId,
    asked: ConfirmIn,
) -> Response:
    """Have the worker delete what was planned. Nothing brings it back.

    A company is closed at once: its keys, accounts and members get in no more, this one too; whoever
    runs the service has the certificate then.
    """
    async with database(request).write(scope) as session:
        row = await DeletionService(session, scope, clock).confirm(deletion, asked.word, who)
        shown = show_deletion(row)
    return _accepted(shown, f"/v1/governance/deletions/{shown['id']}")


@router.delete(
    "/deletions/{deletion}",
    response_model=DeletionOut,
    responses=_CONFLICT,
    summary="Take a plan back",
)
async def cancel_deletion(
    request: Request, scope: CurrentScope, who: Owner, clock: Clock, deletion: DeletionId
) -> Response:
    """Take a plan back that nobody has confirmed."""
    async with database(request).write(scope) as session:
        row = await DeletionService(session, scope, clock).cancel(deletion, who)
        shown = show_deletion(row)
    return json_response(shown)


# ---------------------------------------------------------------- exports


@router.post(
    "/exports",
    response_model=ExportOut,
    responses=_CONFLICT,
    status_code=202,
    summary="Export everything",
)
async def ask_for_company_export(
    request: Request, scope: CurrentScope, who: Owner, clock: Clock
) -> Response:
    """Have the worker write all that the company owns, as of one moment; secrets are left out."""
    async with database(request).write(scope) as session:
        shown = show_export(await ExportService(session, scope, clock).ask(who))
    return _accepted(shown, f"/v1/governance/exports/{shown['id']}")


@router.get("/exports", response_model=ExportPage, summary="Exports", dependencies=MAY)
async def list_company_exports(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What was exported, the newest first."""
    listing = listing_of("company-exports")
    page = read_page(listing, limit, after, (int, str))
    rows = await ExportRows(session, scope).page(page)
    return page_response(
        request, listing, page, rows, show=show_export, key=lambda row: (row.asked_us, row.id)
    )


@router.get("/exports/{export}", response_model=ExportOut, summary="One export", dependencies=MAY)
async def get_company_export(
    session: Session, scope: CurrentScope, clock: Clock, export: ExportId
) -> Response:
    """How far an export is, and its files with their SHA-256: the manifest."""
    return json_response(show_export(await ExportService(session, scope, clock).get(export)))


@router.get(
    "/exports/{export}/files/{file}",
    responses=_LINES,
    summary="A file of an export",
    dependencies=MAY,
)
async def get_company_export_file(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    export: ExportId,
    file: FileName,
) -> Response:
    """The rows of one table, a line of JSON each; the SHA-256 of the manifest is of these bytes."""
    row = await ExportService(session, scope, clock).get(export)
    if row.state != "done" or file not in row.manifest.get("files", {}):
        msg = (
            f"this export has no file {file[:64]!r}; GET /v1/governance/exports/{row.id} lists them"
        )
        raise NotFound(msg)
    pieces: Iterator[bytes] = await asyncio.to_thread(
        open_file, request.app.state.settings.data, scope, row.id, file
    )
    headers = {"Content-Disposition": f'attachment; filename="{file}.ndjson"'}
    return StreamingResponse(pieces, 200, headers, "application/x-ndjson")


def _accepted(shown: dict[str, Any], location: str) -> Response:
    answer = json_response(shown, {"Location": location})
    answer.status_code = 202
    return answer
