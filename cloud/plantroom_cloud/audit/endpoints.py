"""Routes of the audit."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from plantroom_cloud.audit import edge, exporting
from plantroom_cloud.audit.edge import EdgeFilter, EdgeRepository
from plantroom_cloud.audit.heads import load_head_key
from plantroom_cloud.audit.repository import AuditFilter, AuditRepository
from plantroom_cloud.audit.schemas import (
    ActPage,
    EdgeActPage,
    EdgeStreamList,
    HeadPage,
    KeyList,
    show_act,
    show_edge_act,
    show_head,
    show_line,
)
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.kit.pages import MAX_INT, After, Limit, Position, listing_of, read_page
from plantroom_cloud.kit.parameters import From, GatewayFilter, PlainText, To
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import database
from plantroom_cloud.kit.times import parse_time

router = APIRouter(tags=["audit"], dependencies=[Depends(Permit(Permission.AUDIT_READ))])

Actor = Annotated[PlainText | None, Query(description="Who: `key:5`, or `key:` for all of a kind.")]
Action = Annotated[
    PlainText | None, Query(description="What: `key.add`, or `key.` for all of a noun.")
]
Subject = Annotated[
    PlainText | None, Query(description="To what: `key/5`, or `key/` for all of a kind.")
]
RequestId = Annotated[PlainText | None, Query(description="Trace id of the request.")]
Kind = Annotated[PlainText | None, Query(description="Only of this kind.")]
_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Lines of JSON.", "content": {exporting.MEDIA_TYPE: {"schema": {}}}}
}


@router.get("/audit", response_model=ActPage, summary="Who did what")
async def list_acts(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    actor: Actor = None,
    action: Action = None,
    subject: Subject = None,
    trace: Annotated[RequestId, Query(alias="request")] = None,
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Everything that was done in the company, the newest first."""
    times = (_us(start, "from"), _us(end, "to"))
    which = AuditFilter(actor, action, subject, trace, *times)
    listing = listing_of("audit", **asdict(which))
    page = read_page(listing, limit, after, (int,))
    rows = await AuditRepository(session, scope).page(which, page)
    return page_response(request, listing, page, rows, show=show_act, key=_number)


@router.get("/audit/heads", response_model=HeadPage, summary="Signed heads")
async def list_heads(
    request: Request,
    session: Session,
    scope: CurrentScope,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Ends of the chain that were signed, the newest first: keep them where nobody of us is."""
    listing = listing_of("audit-heads")
    page = read_page(listing, limit, after, (int,))
    rows = await AuditRepository(session, scope).signed_page(page)
    return page_response(request, listing, page, rows, show=show_head, key=_number)


@router.get("/audit/keys", response_model=KeyList, summary="The key that signs heads")
async def list_audit_keys(request: Request) -> Response:
    """The public half, for whoever verifies: keep it when you get it first.

    The worker makes the key at its first start; the list is empty before, and where this process
    has not the data folder of the worker.
    """
    key = await asyncio.to_thread(load_head_key, request.app.state.settings.data)
    return json_response({"items": [{"key": key.id, "public": key.public_pem}] if key else []})


@router.get("/audit/export", responses=_LINES, summary="The chain with its proof")
async def export_chain(
    request: Request,
    scope: CurrentScope,
    since: Annotated[int, Query(ge=0, le=MAX_INT, description="Rows after this number.")] = 0,
) -> Response:
    """All rows as they were hashed, and the signed heads, a line of JSON each.

    docs/audit.md has the ten lines of code that verify it.
    """
    db = database(request)
    prev, up_to = await exporting.start_of(db, scope, since)
    lines = exporting.lines(db, scope, after=since, prev=prev, up_to=up_to)
    headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"'}
    return StreamingResponse(lines, 200, headers, exporting.MEDIA_TYPE)


@router.get("/audit/edge", response_model=EdgeActPage, summary="What gateways told of themselves")
async def list_edge_acts(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    gateway: GatewayFilter = None,
    kind: Kind = None,
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """The audit of the gateways, a stream of its own, the newest first by their clocks."""
    which = EdgeFilter(gateway, kind, _us(start, "from"), _us(end, "to"))
    listing = listing_of("audit-edge", **asdict(which))
    page = read_page(listing, limit, after, (int, str, str, int))
    rows = await EdgeRepository(session, scope).page(which, page)
    return page_response(request, listing, page, rows, show=show_edge_act, key=_edge_key)


@router.get("/audit/edge/streams", response_model=EdgeStreamList, summary="Are they all there?")
async def list_edge_streams(
    session: Session, scope: CurrentScope, gateway: GatewayFilter = None
) -> Response:
    """Of every start of an agent: which order numbers came, were lost, or are missing."""
    found = await edge.lines(session, scope, gateway)
    return json_response({"items": [show_line(line) for line in found]})


def _us(text: str | None, name: str) -> int | None:
    return None if text is None else parse_time(text, name)


def _number(row: AnyRow) -> Position:
    return (row.n,)


def _edge_key(row: AnyRow) -> Position:
    return (row.at_us, row.gateway_id, row.epoch, row.seq)
