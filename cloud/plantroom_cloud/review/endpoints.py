"""Routes of the review."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from plantroom_cloud.conventions.etags import Changed, IfMatchNeeded, MustMatch
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import RowId
from plantroom_cloud.kit.problems import Forbidden, refusals
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.review.repository import ReviewRepository
from plantroom_cloud.review.schemas import (
    AnswersIn,
    DoneOut,
    HistoryPage,
    OverviewOut,
    RulesIn,
    RulesOut,
    TemplatePage,
    UndoIn,
    WhyOut,
)
from plantroom_cloud.review.service import Conflict, ReviewService, no_site
from plantroom_cloud.review.show import show_event

router = APIRouter(tags=["review"])

State = Annotated[
    Literal["open", "deferred", "decided", "all"],
    Query(description="open: nobody has decided, those put off at the end."),
]
TemplateId = Annotated[str, Path(pattern=r"\A[0-9a-f]{16}\z", examples=["00112233aabbccdd"])]
_REFUSALS: Final = refusals(Forbidden, Conflict)
_STALE: Final = refusals(Changed, MustMatch)


@router.get(
    "/sites/{site}/review",
    response_model=OverviewOut,
    summary="How far it has come",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def get_overview(
    *, session: Session, scope: CurrentScope, clock: Clock, site: RowId
) -> Response:
    """What is open, and what share of it can be accepted at which precision, before anybody does."""
    return json_response(await ReviewService(session, scope, clock).overview(site))


@router.get(
    "/sites/{site}/review/queue",
    response_model=TemplatePage,
    summary="What to decide",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def get_queue(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    site: RowId,
    state: State = "open",
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Templates by points covered times uncertainty: one answer decides all points of one."""
    listing = listing_of("review", site=site, state=state)
    page = read_page(listing, limit, after, (int, int, int, str))
    service = ReviewService(session, scope, clock)
    groups = await service.queue(site, state)
    rest = [g for g in groups if page.after is None or g.position > page.after]
    rows = rest[: limit + 1]
    shown = dict(zip((g.id for g in rows), await service.shown(rows), strict=True))
    return page_response(
        request, listing, page, rows, show=lambda g: shown[g.id], key=lambda g: g.position
    )


@router.get(
    "/sites/{site}/review/templates/{template}",
    response_model=WhyOut,
    summary="Why it is so",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def get_why(
    *, session: Session, scope: CurrentScope, clock: Clock, site: RowId, template: TemplateId
) -> Response:
    """The evidence, the classes to choose from, points with their values, and what was decided."""
    return json_response(await ReviewService(session, scope, clock).why(site, template))


@router.post(
    "/sites/{site}/review/answers", response_model=DoneOut, responses=_REFUSALS, summary="Decide"
)
async def post_answers(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.MAPPING_WRITE))],
    clock: Clock,
    site: RowId,
    asked: AnswersIn,
) -> Response:
    """Accept, correct, reject or put off, many at once; rules that follow are applied with it.

    All answers are taken or none. Sent again under the same name, a request is answered again and
    nothing happens.
    """
    async with database(request).write(scope) as session:
        done = await ReviewService(session, scope, clock).answer(site, asked, who)
    return json_response(done)


@router.post(
    "/sites/{site}/review/undo", response_model=DoneOut, responses=_REFUSALS, summary="Take back"
)
async def post_undo(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.MAPPING_WRITE))],
    clock: Clock,
    site: RowId,
    asked: UndoIn,
) -> Response:
    """Take the last request back, or the one that is named; the history keeps both."""
    async with database(request).write(scope) as session:
        done = await ReviewService(session, scope, clock).undo(site, asked, who)
    return json_response(done)


@router.get(
    "/sites/{site}/review/rules",
    response_model=RulesOut,
    summary="Rules",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def get_rules(
    *, session: Session, scope: CurrentScope, clock: Clock, site: RowId
) -> Response:
    """What was learned from answers, and what people have written: a line each."""
    return json_response(await ReviewService(session, scope, clock).rules(site))


@router.put(
    "/sites/{site}/review/rules",
    response_model=DoneOut,
    responses=_REFUSALS | _STALE,
    summary="Edit rules",
)
async def put_rules(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.MAPPING_WRITE))],
    clock: Clock,
    site: RowId,
    seen: IfMatchNeeded,
    asked: RulesIn,
) -> Response:
    """Take all rules as they are sent, and apply them; a learned rule left out is not learned again.

    `If-Match` is the ETag of the rules that were read: if they have changed since, nothing is done.
    """
    async with database(request).write(scope) as session:
        service = ReviewService(session, scope, clock)
        done = await service.set_rules(site, asked, who, seen)
    return json_response(done)


@router.get(
    "/sites/{site}/review/history",
    response_model=HistoryPage,
    summary="Who decided what",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def get_history(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    site: RowId,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Every decision with who, when and what stood there before, the newest first."""
    repository = ReviewRepository(session, scope)
    if not await repository.exists(site):
        raise no_site(site)
    listing = listing_of("review-history", site=site)
    page = read_page(listing, limit, after, (int,))
    rows = await repository.history(site, page)
    gone = await repository.undone(site)
    return page_response(
        request,
        listing,
        page,
        rows,
        show=lambda row: show_event(row, gone),
        key=lambda row: (row.id,),
    )
