"""Routes of whoever asks: who am I, my password, my sessions."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from plantroom_cloud.identity import passwords, users
from plantroom_cloud.identity.access import CompanyScope, Permit, Session
from plantroom_cloud.identity.errors import GrantError, TooManyTries
from plantroom_cloud.identity.gate import Gate
from plantroom_cloud.identity.members import MemberService
from plantroom_cloud.identity.oauth import caller, grants
from plantroom_cloud.identity.passwords import Passwords
from plantroom_cloud.identity.people import PeopleRepository
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.identity.schemas import (
    DoneOut,
    MeIn,
    MeOut,
    PasswordIn,
    SessionList,
    SessionOut,
    show_me,
    show_session,
)
from plantroom_cloud.identity.trail import record
from plantroom_cloud.isolation.lookups import memberships_of
from plantroom_cloud.kit.parameters import RowId
from plantroom_cloud.kit.problems import Forbidden, InvalidRequest, NotFound, refusals
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Clock, database

router = APIRouter(tags=["identity"])

Me = Annotated[Principal, Depends(Permit(Permission.OWN, confined=True))]


def gate(request: Request) -> Gate:
    """Return what remembers credentials; it forgets when one of them was revoked."""
    return cast("Gate", request.app.state.gate)


def _user(who: Principal) -> Principal:
    if who.kind != "user":
        msg = "only a user has this: log in at /oauth/token with a password"
        raise Forbidden(msg)
    return who


@router.get("/me", response_model=MeOut, summary="Who am I?")
async def get_me(session: Session, scope: CompanyScope, who: Me) -> Response:
    """Who asks, for which company, and what that may do."""
    company = await IdentityRepository(session, scope).company()
    memberships = await memberships_of(session, who.id) if who.kind == "user" else ()
    return json_response(show_me(who, company, memberships))


@router.patch("/me", response_model=DoneOut, summary="Change my name")
async def change_me(request: Request, scope: CompanyScope, who: Me, asked: MeIn) -> Response:
    """What others read beside the address; a program has its name from its administrator."""
    async with database(request).write(scope) as session:
        await users.rename(session, _user(who).id, asked.name)
        subject = f"user/{who.id}"
        record(session, scope, who=who, action="user.rename", subject=subject)
    return json_response({"done": True})


@router.post(
    "/me/password",
    response_model=DoneOut,
    responses=refusals(GrantError, TooManyTries),
    summary="Change my password",
)
async def change_password(
    *, request: Request, scope: CompanyScope, who: Me, clock: Clock, asked: PasswordIn
) -> Response:
    """Every session of mine ends, this one too; log in with the new password."""
    user = await grants(request).prove(_user(who).name, asked.current, caller(request))
    if weak := passwords.weakness(asked.new, user.email):
        found = {"where": "body", "name": "new", "detail": weak}
        msg = f"new: {weak}"
        raise InvalidRequest(msg, errors=[found])
    hashed = await cast("Passwords", request.app.state.passwords).hash(asked.new)
    async with database(request).write(scope) as session:
        # A session that begins in the same microsecond would stand as well as one after it.
        await users.set_password(session, who.id, hashed, clock.now_us() + 1)
        subject = f"user/{who.id}"
        record(session, scope, who=who, action="user.password", subject=subject)
    gate(request).forget()
    return json_response({"done": True})


@router.post("/me/logout", response_model=DoneOut, summary="Log out")
async def log_out(*, request: Request, scope: CompanyScope, who: Me, clock: Clock) -> Response:
    """End the session that this token belongs to."""
    async with database(request).write(scope) as session:
        service = MemberService(session, scope, clock, who)
        await service.end_sessions(_user(who).id, "logout", one=who.session)
    gate(request).forget()
    return json_response({"done": True})


@router.get("/me/sessions", response_model=SessionList, summary="My sessions")
async def list_sessions(session: Session, scope: CompanyScope, who: Me, clock: Clock) -> Response:
    """Where I am logged in for this company, the newest first."""
    people = PeopleRepository(session, scope)
    rows = await people.sessions(_user(who).id, clock.now_us())
    return json_response({"items": [show_session(row, who.session) for row in rows]})


@router.delete(
    "/me/sessions/{session_id}", response_model=SessionOut, summary="End one of my sessions"
)
async def end_session(
    *, request: Request, scope: CompanyScope, who: Me, clock: Clock, session_id: RowId
) -> Response:
    """Its tokens open nothing any more: here at once, in other processes within seconds."""
    async with database(request).write(scope) as session:
        people = PeopleRepository(session, scope)
        rows = await people.sessions(_user(who).id, clock.now_us())
        row = next((row for row in rows if row.id == session_id), None)
        if row is None:
            msg = f"you have no open session {session_id}; GET /v1/me/sessions lists yours"
            raise NotFound(msg)
        await MemberService(session, scope, clock, who).end_sessions(who.id, one=session_id)
    gate(request).forget()
    return json_response(show_session(row, who.session))
