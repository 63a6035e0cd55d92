"""Routes of a company's members and invitations."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request, Response

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.conventions.etags import STALE, IfMatch
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.endpoints_me import gate
from plantroom_cloud.identity.members import MemberService
from plantroom_cloud.identity.people import PeopleRepository
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.identity.schemas import (
    EndedOut,
    InvitationIn,
    InvitationMade,
    InvitationOut,
    InvitationPage,
    RoleList,
    SessionList,
    UserIn,
    UserOut,
    UserPage,
    show_invitation,
    show_roles,
    show_session,
    show_user,
)
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import RowId
from plantroom_cloud.kit.responses import json_response, page_response, secret_response
from plantroom_cloud.kit.session import Clock, database

router = APIRouter(tags=["identity"])

Reader = Annotated[Principal, Depends(Permit(Permission.USER_READ))]
Writer = Annotated[Principal, Depends(Permit(Permission.USER_WRITE))]
Ended = Annotated[bool, Query(description="Those that are over as well.")]


@router.get(
    "/roles",
    response_model=RoleList,
    summary="Roles",
    dependencies=[Depends(Permit(Permission.OWN, confined=True))],
)
async def list_roles() -> Response:
    """The roles there are, and the permissions that each holds."""
    return json_response({"items": show_roles()})


@router.get("/users", response_model=UserPage, summary="Members")
async def list_users(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    _: Reader,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Who may act for the company, oldest members first."""
    listing = listing_of("users")
    page = read_page(listing, limit, after, (int,))
    rows = await PeopleRepository(session, scope).members(page)
    return page_response(request, listing, page, rows, show=show_user, key=lambda row: (row.id,))


@router.get("/users/{user}", response_model=UserOut, summary="One member")
async def get_user(
    *, session: Session, scope: CurrentScope, clock: Clock, who: Reader, user: RowId
) -> Response:
    """A member with its role."""
    return json_response(show_user(await MemberService(session, scope, clock, who).member(user)))


@router.patch("/users/{user}", response_model=UserOut, responses=STALE, summary="Change a member")
async def change_user(
    *,
    request: Request,
    scope: CurrentScope,
    clock: Clock,
    who: Writer,
    user: RowId,
    seen: IfMatch,
    asked: UserIn,
) -> Response:
    """Another role, other sites, or whether it is let in; effective within seconds."""
    async with database(request).write(scope) as session:
        service = MemberService(session, scope, clock, who)
        seen.check(show_user(await service.member(user)))
        row = await service.change(user, asked.changes())
    gate(request).forget()
    return json_response(show_user(row))


@router.delete("/users/{user}", response_model=UserOut, summary="Put a member out")
async def remove_user(
    *, request: Request, scope: CurrentScope, clock: Clock, who: Writer, user: RowId
) -> Response:
    """End a membership and its sessions; what the user is elsewhere stays."""
    async with database(request).write(scope) as session:
        service = MemberService(session, scope, clock, who)
        row = await service.member(user)
        await service.remove(user)
    gate(request).forget()
    return json_response(show_user(row))


@router.get("/users/{user}/sessions", response_model=SessionList, summary="A member's sessions")
async def list_user_sessions(
    *, session: Session, scope: CurrentScope, clock: Clock, who: Reader, user: RowId
) -> Response:
    """Where a member is logged in for this company, the newest first."""
    await MemberService(session, scope, clock, who).member(user)
    rows = await PeopleRepository(session, scope).sessions(user, clock.now_us())
    return json_response({"items": [show_session(row, who.session) for row in rows]})


@router.delete("/users/{user}/sessions", response_model=EndedOut, summary="Log a member out")
async def end_sessions(
    *, request: Request, scope: CurrentScope, clock: Clock, who: Writer, user: RowId
) -> Response:
    """End all sessions of a member: effective within seconds."""
    async with database(request).write(scope) as session:
        service = MemberService(session, scope, clock, who)
        await service.member(user)
        ended = await service.end_sessions(user)
    gate(request).forget()
    return json_response({"ended": ended})


# ---------------------------------------------------------------- invitations


@router.get("/invitations", response_model=InvitationPage, summary="Invitations")
async def list_invitations(
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
    """Who is invited, oldest first."""
    listing = listing_of("invitations", ended=ended)
    page = read_page(listing, limit, after, (int,))
    people = PeopleRepository(session, scope)
    rows = await people.invitations(page, ended=ended, now_us=clock.now_us())
    return page_response(
        request, listing, page, rows, show=show_invitation, key=lambda row: (row.id,)
    )


@router.post("/invitations", response_model=InvitationMade, summary="Invite somebody")
async def add_invitation(
    *, request: Request, scope: CurrentScope, clock: Clock, who: Writer, asked: InvitationIn
) -> Response:
    """Nothing is sent: give the token to whom you invite; it is accepted at /oauth/token."""
    settings = cast("CloudSettings", request.app.state.settings).identity
    async with database(request).write(scope) as session:
        row, token = await MemberService(session, scope, clock, who).invite(
            asked.email, asked.role, asked.sites, settings.invitation_days
        )
    return secret_response(request, show_invitation(row) | {"token": token})


@router.delete(
    "/invitations/{invitation}", response_model=InvitationOut, summary="Take an invitation back"
)
async def revoke_invitation(
    *, request: Request, scope: CurrentScope, clock: Clock, who: Writer, invitation: RowId
) -> Response:
    """Its token is good for nothing any more."""
    async with database(request).write(scope) as session:
        row = await MemberService(session, scope, clock, who).take_back(invitation)
    return json_response(show_invitation(row))
