"""Routes of alarm rules and of who is told."""

from __future__ import annotations

from typing import Annotated, Final, Literal, cast

from fastapi import APIRouter, Depends, Query, Request, Response

from plantroom_cloud.alarms.designing import (
    ReceiverService,
    RuleService,
    no_receiver,
    no_rule,
)
from plantroom_cloud.alarms.notify.outbox import Outbox
from plantroom_cloud.alarms.receivers import Receiver
from plantroom_cloud.alarms.repository import ReceiverRepository, RuleRepository
from plantroom_cloud.alarms.rules import AlarmRuleIn
from plantroom_cloud.alarms.schemas import (
    NoticePage,
    ReceiverItem,
    ReceiverPage,
    RuleItem,
    RulePage,
    TriedAgain,
)
from plantroom_cloud.alarms.showing import show_notice, show_receiver, show_rule
from plantroom_cloud.conventions.etags import Changed, IfMatch, IfMatchNeeded, MustMatch
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.outbound import Rules
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import RowId, SiteFilter
from plantroom_cloud.kit.problems import Forbidden, refusals
from plantroom_cloud.kit.responses import json_response, page_response, secret_response
from plantroom_cloud.kit.session import Clock, database

router = APIRouter(tags=["alarms"])

_READ: Final = Depends(Permit(Permission.ALARM_READ, confined=True))
_DESIGN: Final = Depends(Permit(Permission.ALARM_DESIGN))
Designer = Annotated[Principal, _DESIGN]
NoticeState = Annotated[
    Literal["waiting", "sent", "dropped", "failed"] | None, Query(description="Only these.")
]
_REFUSED: Final = refusals(Forbidden)
_STALE: Final = refusals(Forbidden, Changed)
_UNSEEN: Final = refusals(Forbidden, Changed, MustMatch)


def _rules(request: Request) -> Rules:
    return cast("Rules", request.app.state.outbound)


@router.get(
    "/alarm-rules",
    response_model=RulePage,
    summary="Alarm rules",
    dependencies=[_READ],
)
async def list_alarm_rules(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    site: SiteFilter = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What is an alarm, by number."""
    listing = listing_of("alarm-rules", site=site)
    page = read_page(listing, limit, after, (int,))
    rows = await RuleRepository(session, scope).page(site, page)
    return page_response(request, listing, page, rows, show=show_rule, key=lambda row: (row.id,))


@router.get(
    "/alarm-rules/{rule}",
    response_model=RuleItem,
    summary="One alarm rule",
    dependencies=[_READ],
)
async def get_alarm_rule(session: Session, scope: CurrentScope, rule: RowId) -> Response:
    """A rule as it holds."""
    row = await RuleRepository(session, scope).find(rule)
    if row is None:
        raise no_rule(rule)
    return json_response(show_rule(row))


@router.post(
    "/alarm-rules", response_model=RuleItem, responses=_REFUSED, summary="Add an alarm rule"
)
async def add_alarm_rule(
    request: Request, scope: CurrentScope, who: Designer, clock: Clock, asked: AlarmRuleIn
) -> Response:
    """Say what is an alarm. Evaluation begins with the newest samples."""
    async with database(request).write(scope) as session:
        row = await RuleService(session, scope, clock, who).add(asked)
    return json_response(show_rule(row))


@router.put(
    "/alarm-rules/{rule}", response_model=RuleItem, responses=_UNSEEN, summary="Change a rule"
)
async def change_alarm_rule(
    *,
    request: Request,
    scope: CurrentScope,
    who: Designer,
    clock: Clock,
    rule: RowId,
    asked: AlarmRuleIn,
    seen: IfMatchNeeded,
) -> Response:
    """Replace what a rule says; what is on and still beyond its limit calls nobody again."""
    async with database(request).write(scope) as session:
        service = RuleService(session, scope, clock, who)
        seen.check(show_rule(await service.find(rule)))
        row = await service.change(rule, asked)
    return json_response(show_rule(row))


@router.delete(
    "/alarm-rules/{rule}", response_model=RuleItem, responses=_STALE, summary="Delete a rule"
)
async def delete_alarm_rule(
    *,
    request: Request,
    scope: CurrentScope,
    who: Designer,
    clock: Clock,
    rule: RowId,
    seen: IfMatch,
) -> Response:
    """End its alarms; their history stays."""
    async with database(request).write(scope) as session:
        service = RuleService(session, scope, clock, who)
        seen.check(show_rule(await service.find(rule)))
        row = await service.delete(rule)
    return json_response(show_rule(row))


# ---------------------------------------------------------------- who is told


@router.get(
    "/alarm-receivers",
    response_model=ReceiverPage,
    summary="Who is told of alarms",
    dependencies=[_DESIGN],
)
async def list_alarm_receivers(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Mailboxes and webhooks, by number."""
    listing = listing_of("alarm-receivers")
    page = read_page(listing, limit, after, (int,))
    rows = await ReceiverRepository(session, scope).page(page)
    return page_response(
        request, listing, page, rows, show=show_receiver, key=lambda row: (row.id,)
    )


@router.get(
    "/alarm-receivers/{receiver}",
    response_model=ReceiverItem,
    summary="One receiver",
    dependencies=[_DESIGN],
)
async def get_alarm_receiver(session: Session, scope: CurrentScope, receiver: RowId) -> Response:
    """A receiver, and how it takes its messages."""
    row = await ReceiverRepository(session, scope).find(receiver)
    if row is None:
        raise no_receiver(receiver)
    return json_response(show_receiver(row))


@router.post(
    "/alarm-receivers", response_model=ReceiverItem, responses=_REFUSED, summary="Add a receiver"
)
async def add_alarm_receiver(
    request: Request, scope: CurrentScope, who: Designer, clock: Clock, asked: Receiver
) -> Response:
    """Have somebody told. The secret of a webhook is shown now and never again."""
    async with database(request).write(scope) as session:
        row, secret = await ReceiverService(session, scope, clock, who, _rules(request)).add(asked)
    shown = show_receiver(row, secret)
    return secret_response(request, shown) if secret else json_response(shown)


@router.put(
    "/alarm-receivers/{receiver}",
    response_model=ReceiverItem,
    responses=_STALE,
    summary="Change a receiver",
)
async def change_alarm_receiver(
    *,
    request: Request,
    scope: CurrentScope,
    who: Designer,
    clock: Clock,
    receiver: RowId,
    asked: Receiver,
    seen: IfMatch,
) -> Response:
    """Replace what a receiver wants; what waits for it is tried at once."""
    async with database(request).write(scope) as session:
        service = ReceiverService(session, scope, clock, who, _rules(request))
        seen.check(show_receiver(await service.find(receiver)))
        row = await service.change(receiver, asked)
    return json_response(show_receiver(row))


@router.get(
    "/alarm-receivers/{receiver}/notices",
    response_model=NoticePage,
    summary="A receiver's notices",
    dependencies=[_DESIGN],
)
async def list_alarm_notices(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    receiver: RowId,
    state: NoticeState = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What it was told and is to be told, the newest first; `failed` is what nobody took."""
    if await ReceiverRepository(session, scope).find(receiver) is None:
        raise no_receiver(receiver)
    listing = listing_of("alarm-notices", receiver=receiver, state=state)
    page = read_page(listing, limit, after, (int,))
    rows = await Outbox(session, scope).page(receiver, state, page)
    return page_response(request, listing, page, rows, show=show_notice, key=lambda row: (row.id,))


@router.post(
    "/alarm-receivers/{receiver}/retry",
    response_model=TriedAgain,
    responses=_REFUSED,
    summary="Try failed notices again",
)
async def retry_alarm_notices(
    request: Request, scope: CurrentScope, who: Designer, clock: Clock, receiver: RowId
) -> Response:
    """Have what has failed told after all."""
    async with database(request).write(scope) as session:
        count = await ReceiverService(session, scope, clock, who, _rules(request)).retry(receiver)
    return json_response({"notices": count})


@router.delete(
    "/alarm-receivers/{receiver}",
    response_model=ReceiverItem,
    responses=_STALE,
    summary="Delete a receiver",
)
async def delete_alarm_receiver(
    *,
    request: Request,
    scope: CurrentScope,
    who: Designer,
    clock: Clock,
    receiver: RowId,
    seen: IfMatch,
) -> Response:
    """Tell it no more; what waits for it is dropped."""
    async with database(request).write(scope) as session:
        service = ReceiverService(session, scope, clock, who, _rules(request))
        seen.check(show_receiver(await service.find(receiver)))
        row = await service.delete(receiver)
    return json_response(show_receiver(row))
