"""Routes of API keys and service accounts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from plantroom_cloud.conventions.etags import STALE, IfMatch
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.credentials import Credentials
from plantroom_cloud.identity.endpoints_me import gate
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.identity.schemas import (
    AccountChange,
    AccountIn,
    AccountMade,
    AccountOut,
    AccountPage,
    KeyChange,
    KeyIn,
    KeyMade,
    KeyOut,
    KeyPage,
    RotateIn,
    show_account,
    show_key,
)
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import RowId
from plantroom_cloud.kit.responses import json_response, page_response, secret_response
from plantroom_cloud.kit.session import Clock, database

router = APIRouter(tags=["identity"])

Reader = Annotated[Principal, Depends(Permit(Permission.KEY_READ))]
Writer = Annotated[Principal, Depends(Permit(Permission.KEY_WRITE))]
Ended = Annotated[bool, Query(description="Those that are over as well.")]


@router.get("/api-keys", response_model=KeyPage, summary="API keys")
async def list_keys(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    _: Reader,
    ended: Ended = False,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """The company's keys, oldest first; nothing can show a key itself again."""
    listing = listing_of("api-keys", ended=ended)
    page = read_page(listing, limit, after, (int,))
    rows = await IdentityRepository(session, scope).keys(page, ended=ended, now_us=clock.now_us())
    return page_response(request, listing, page, rows, show=show_key, key=lambda row: (row.id,))


@router.post("/api-keys", response_model=KeyMade, summary="Make an API key")
async def add_key(
    *, request: Request, scope: CurrentScope, clock: Clock, who: Writer, asked: KeyIn
) -> Response:
    """A key that may what you say, and no more than you may; it is shown only now."""
    async with database(request).write(scope) as session:
        service = Credentials(session, scope, clock, who)
        row, plain = await service.add_key(asked.name, asked.scopes, asked.sites, asked.days)
    return secret_response(request, show_key(row) | {"key": plain})


@router.get("/api-keys/{key_id}", response_model=KeyOut, summary="One API key")
async def get_key(
    *, session: Session, scope: CurrentScope, clock: Clock, who: Reader, key_id: RowId
) -> Response:
    """A key with its scopes, and when it was last used."""
    return json_response(show_key(await Credentials(session, scope, clock, who).key(key_id)))


@router.patch(
    "/api-keys/{key_id}", response_model=KeyOut, responses=STALE, summary="Change an API key"
)
async def change_key(
    *,
    request: Request,
    scope: CurrentScope,
    clock: Clock,
    who: Writer,
    key_id: RowId,
    seen: IfMatch,
    asked: KeyChange,
) -> Response:
    """Another name, other scopes or sites; effective within seconds."""
    async with database(request).write(scope) as session:
        service = Credentials(session, scope, clock, who)
        seen.check(show_key(await service.key(key_id)))
        row = await service.change_key(key_id, asked.changes())
    gate(request).forget()
    return json_response(show_key(row))


@router.post("/api-keys/{key_id}/rotate", response_model=KeyMade, summary="Replace an API key")
async def rotate_key(
    *,
    request: Request,
    scope: CurrentScope,
    clock: Clock,
    who: Writer,
    key_id: RowId,
    asked: RotateIn,
) -> Response:
    """Another key that may the same; the old one opens for some hours more."""
    async with database(request).write(scope) as session:
        row, plain = await Credentials(session, scope, clock, who).rotate_key(key_id, asked.hours)
    gate(request).forget()
    return secret_response(request, show_key(row) | {"key": plain})


@router.delete("/api-keys/{key_id}", response_model=KeyOut, summary="Revoke an API key")
async def revoke_key(
    *, request: Request, scope: CurrentScope, clock: Clock, who: Writer, key_id: RowId
) -> Response:
    """It opens nothing any more: here at once, in other processes within seconds."""
    async with database(request).write(scope) as session:
        row = await Credentials(session, scope, clock, who).revoke_key(key_id)
    gate(request).forget()
    return json_response(show_key(row))


# ---------------------------------------------------------------- service accounts


@router.get("/service-accounts", response_model=AccountPage, summary="Service accounts")
async def list_accounts(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    _: Reader,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Programs that get tokens by client id and secret, oldest first."""
    listing = listing_of("service-accounts")
    page = read_page(listing, limit, after, (int,))
    rows = await IdentityRepository(session, scope).accounts(page)
    return page_response(request, listing, page, rows, show=show_account, key=lambda row: (row.id,))


@router.post("/service-accounts", response_model=AccountMade, summary="Make a service account")
async def add_account(
    *, request: Request, scope: CurrentScope, clock: Clock, who: Writer, asked: AccountIn
) -> Response:
    """It may what you say, and no more than you may; its secret is shown only now."""
    async with database(request).write(scope) as session:
        service = Credentials(session, scope, clock, who)
        row, secret = await service.add_account(asked.name, asked.scopes, asked.sites)
    return secret_response(request, show_account(row) | {"client_secret": secret})


@router.get("/service-accounts/{account}", response_model=AccountOut, summary="One service account")
async def get_service_account(
    *, session: Session, scope: CurrentScope, clock: Clock, who: Reader, account: RowId
) -> Response:
    """A service account with its scopes."""
    row = await Credentials(session, scope, clock, who).account(account)
    return json_response(show_account(row))


@router.patch(
    "/service-accounts/{account}",
    response_model=AccountOut,
    responses=STALE,
    summary="Change a service account",
)
async def change_account(
    *,
    request: Request,
    scope: CurrentScope,
    clock: Clock,
    who: Writer,
    account: RowId,
    seen: IfMatch,
    asked: AccountChange,
) -> Response:
    """Another name, other scopes or sites, or whether it is let in; effective within seconds."""
    async with database(request).write(scope) as session:
        service = Credentials(session, scope, clock, who)
        seen.check(show_account(await service.account(account)))
        row = await service.change_account(account, asked.changes())
    gate(request).forget()
    return json_response(show_account(row))


@router.post(
    "/service-accounts/{account}/secret", response_model=AccountMade, summary="Replace its secret"
)
async def replace_secret(
    *, request: Request, scope: CurrentScope, clock: Clock, who: Writer, account: RowId
) -> Response:
    """Another secret; the old one and all tokens it has got open nothing any more."""
    async with database(request).write(scope) as session:
        row, secret = await Credentials(session, scope, clock, who).new_secret(account)
    gate(request).forget()
    return secret_response(request, show_account(row) | {"client_secret": secret})


@router.delete(
    "/service-accounts/{account}", response_model=AccountOut, summary="Delete a service account"
)
async def delete_account(
    *, request: Request, scope: CurrentScope, clock: Clock, who: Writer, account: RowId
) -> Response:
    """It and its tokens open nothing any more."""
    async with database(request).write(scope) as session:
        service = Credentials(session, scope, clock, who)
        row = await service.account(account)
        await service.delete_account(account)
    gate(request).forget()
    return json_response(show_account(row))
