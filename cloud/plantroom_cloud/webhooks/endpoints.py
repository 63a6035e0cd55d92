"""Routes of webhooks."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query, Request, Response

from plantroom_cloud.conventions.etags import STALE, IfMatch
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.outbound import Rules
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import RowId
from plantroom_cloud.kit.problems import refusals
from plantroom_cloud.kit.responses import json_response, page_response, secret_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.webhooks.repository import WebhookRepository
from plantroom_cloud.webhooks.schemas import (
    DeliveryPage,
    ReplayIn,
    ReplayOut,
    WebhookChange,
    WebhookDeleted,
    WebhookIn,
    WebhookList,
    WebhookMade,
    WebhookOut,
    show_delivery,
    show_webhook,
)
from plantroom_cloud.webhooks.service import TooManyWebhooks, WebhookService, no_webhook

router = APIRouter(tags=["webhooks"])

Reader = Annotated[Principal, Depends(Permit(Permission.WEBHOOK_READ))]
Changer = Annotated[Principal, Depends(Permit(Permission.WEBHOOK_WRITE))]


def _rules(request: Request) -> Rules:
    return cast("Rules", request.app.state.outbound)


@router.get("/webhooks", response_model=WebhookList, summary="Webhooks")
async def list_webhooks(session: Session, scope: CurrentScope, _: Reader) -> Response:
    """All addresses that are told what happens, by id."""
    repository = WebhookRepository(session, scope)
    rows, counts = await repository.rows(), await repository.counts()
    return json_response({"items": [show_webhook(row, counts) for row in rows]})


@router.post(
    "/webhooks",
    response_model=WebhookMade,
    responses=refusals(TooManyWebhooks),
    summary="Add a webhook",
)
async def add_webhook(
    *, request: Request, scope: CurrentScope, who: Changer, clock: Clock, asked: WebhookIn
) -> Response:
    """Tell an https address what happens. The secret in the answer is shown this once."""
    async with database(request).write(scope) as session:
        service = WebhookService(session, scope, clock, who)
        webhook, secret = await service.make(asked, _rules(request))
        shown = await service.shown(webhook)
    return secret_response(request, shown | {"secret": secret})


@router.get("/webhooks/{webhook}", response_model=WebhookOut, summary="One webhook")
async def get_webhook(session: Session, scope: CurrentScope, _: Reader, webhook: RowId) -> Response:
    """One address, and how it does."""
    repository = WebhookRepository(session, scope)
    row = await repository.find(webhook)
    if row is None:
        raise no_webhook(webhook)
    return json_response(show_webhook(row, await repository.counts()))


@router.patch(
    "/webhooks/{webhook}", response_model=WebhookOut, responses=STALE, summary="Change a webhook"
)
async def change_webhook(
    *,
    request: Request,
    scope: CurrentScope,
    who: Changer,
    clock: Clock,
    webhook: RowId,
    seen: IfMatch,
    asked: WebhookChange,
) -> Response:
    """Change what is given; what is left out stays."""
    async with database(request).write(scope) as session:
        service = WebhookService(session, scope, clock, who)
        seen.check(await service.shown(webhook))
        await service.change(webhook, asked, _rules(request))
        shown = await service.shown(webhook)
    return json_response(shown)


@router.delete("/webhooks/{webhook}", response_model=WebhookDeleted, summary="Delete a webhook")
async def delete_webhook(
    *, request: Request, scope: CurrentScope, who: Changer, clock: Clock, webhook: RowId
) -> Response:
    """Tell an address nothing more; what was to be sent to it is gone, too."""
    async with database(request).write(scope) as session:
        await WebhookService(session, scope, clock, who).delete(webhook)
    return json_response({"deleted": str(webhook)})


@router.post("/webhooks/{webhook}/secret", response_model=WebhookMade, summary="A new secret")
async def renew_secret(
    *, request: Request, scope: CurrentScope, who: Changer, clock: Clock, webhook: RowId
) -> Response:
    """Make a new secret, shown this once. For a day messages are signed with the old one as well."""
    async with database(request).write(scope) as session:
        service = WebhookService(session, scope, clock, who)
        secret = await service.renew(webhook)
        shown = await service.shown(webhook)
    return secret_response(request, shown | {"secret": secret})


@router.post("/webhooks/{webhook}/test", response_model=ReplayOut, summary="Try a webhook")
async def try_webhook(
    *, request: Request, scope: CurrentScope, who: Changer, clock: Clock, webhook: RowId
) -> Response:
    """Send a message of the kind `webhook.test`; its fate is among the deliveries."""
    async with database(request).write(scope) as session:
        await WebhookService(session, scope, clock, who).test(webhook)
    return json_response({"messages": 1})


@router.get(
    "/webhooks/{webhook}/deliveries", response_model=DeliveryPage, summary="Messages of a webhook"
)
async def list_deliveries(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    _: Reader,
    webhook: RowId,
    state: Annotated[
        Literal["waiting", "delivered", "dead"] | None,
        Query(description="`dead`: given up after three days.", examples=[None]),
    ] = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What was sent or is yet to be sent, newest first."""
    repository = WebhookRepository(session, scope)
    if await repository.find(webhook) is None:
        raise no_webhook(webhook)
    listing = listing_of("deliveries", webhook=webhook, state=state)
    page = read_page(listing, limit, after, (int,))
    rows = await repository.page(webhook, state, page)
    return page_response(
        request, listing, page, rows, show=show_delivery, key=lambda row: (row.id,)
    )


@router.post("/webhooks/{webhook}/replay", response_model=ReplayOut, summary="Send again")
async def replay_deliveries(
    *,
    request: Request,
    scope: CurrentScope,
    who: Changer,
    clock: Clock,
    webhook: RowId,
    asked: ReplayIn,
) -> Response:
    """Send what was given up (or delivered) again, under its ids: receivers know repetitions."""
    async with database(request).write(scope) as session:
        messages = await WebhookService(session, scope, clock, who).replay(webhook, asked)
    return json_response({"messages": messages})


@router.post(
    "/webhooks/{webhook}/deliveries/{delivery}/replay",
    response_model=ReplayOut,
    summary="Send one message again",
)
async def replay_delivery(
    *,
    request: Request,
    scope: CurrentScope,
    who: Changer,
    clock: Clock,
    webhook: RowId,
    delivery: RowId,
) -> Response:
    """Send one message again, whatever became of it."""
    async with database(request).write(scope) as session:
        await WebhookService(session, scope, clock, who).replay_one(webhook, delivery)
    return json_response({"messages": 1})
