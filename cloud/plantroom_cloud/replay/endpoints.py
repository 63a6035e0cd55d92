"""Routes of a replay's consumers; what they get is started by ``plantroom-cloud replay``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from plantroom_cloud import audit
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import PlainText, RowId
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import database
from plantroom_cloud.replay.positions import Positions
from plantroom_cloud.replay.schemas import ConsumerGone, ConsumerPage, show_consumer
from plantroom_cloud.sites.repository import SiteRepository

router = APIRouter(tags=["replay"])

Consumer = Annotated[PlainText, Path(examples=["analytics"])]


@router.get(
    "/sites/{site}/replays",
    response_model=ConsumerPage,
    summary="Consumers of a replay",
    dependencies=[Depends(Permit(Permission.POINT_READ))],
)
async def list_consumers(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    site: RowId,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Named consumers of the site's replay by name, and how far each has come."""
    if await SiteRepository(session, scope).find(site) is None:
        msg = f"there is no site {site}; GET /v1/sites lists yours"
        raise NotFound(msg)
    listing = listing_of("replays", site=site)
    page = read_page(listing, limit, after, (str,))
    behind = str(page.after[0]) if page.after else ""
    rows = await Positions(session, scope).page(site, behind, page.limit + 1)
    return page_response(
        request, listing, page, rows, show=show_consumer, key=lambda row: (row.consumer,)
    )


@router.delete(
    "/replays/{consumer}",
    response_model=ConsumerGone,
    summary="Forget a replay's consumer",
)
async def delete_consumer(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.JOB_WRITE))],
    consumer: Consumer,
) -> Response:
    """Its position is gone: the next replay of that name begins anew; a running one ends."""
    async with database(request).write(scope) as session:
        found = await Positions(session, scope).delete(consumer)
        if found:
            subject = f"replay/{consumer}"
            audit.record(session, scope, who=who, action="replay.forget", subject=subject)
    if not found:
        msg = f"there is no consumer {consumer}; GET /v1/sites/{{site}}/replays lists yours"
        raise NotFound(msg)
    return json_response({"consumer": consumer, "deleted": True})
