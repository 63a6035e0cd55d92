"""The two public routes of a log-in at an identity provider, and those of one's own links."""

from __future__ import annotations

from typing import Annotated, Final, cast

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Scope
from plantroom_cloud.identity import users
from plantroom_cloud.identity.access import CompanyScope, Permit, Session
from plantroom_cloud.identity.errors import Conflict, GrantError, TooManyTries
from plantroom_cloud.identity.oauth import TokenOut, caller, grants
from plantroom_cloud.identity.oidc import links
from plantroom_cloud.identity.oidc.logins import Begun, Logins, Returned
from plantroom_cloud.identity.oidc.port import Http
from plantroom_cloud.identity.oidc.provider import ProviderTrouble
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.identity.schemas import DoneOut
from plantroom_cloud.identity.trail import record
from plantroom_cloud.isolation.lookups import memberships_of
from plantroom_cloud.kit.outbound import OutboundClient
from plantroom_cloud.kit.parameters import RowId
from plantroom_cloud.kit.problems import Forbidden, NotFound, refusals
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import database
from plantroom_cloud.kit.times import rfc3339

router = APIRouter(tags=["identity"])
"""Public."""
mine = APIRouter(tags=["identity"])
"""Under /v1."""

_ONCE: Final = frozenset({"code", "state", "iss", "error"})
_HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}

Me = Annotated[Principal, Depends(Permit(Permission.OWN, confined=True))]
_Provider = Annotated[str, Path(description="Its name in the settings.", examples=["acme"])]
_Text = Annotated[str, Query(max_length=4096, description="As the provider sends it.")]


class LinkIn(BaseModel):
    """A provider whose log-in is to lead to one's account."""

    model_config = ConfigDict(extra="forbid")

    provider: str = Field(max_length=32, examples=["acme"])
    password: str = Field(max_length=1000, description="One's own, here: a token is not enough.")


class LinkBegun(BaseModel):
    """Where to go on."""

    url: str = Field(description="For the browser that got this answer, and its cookie.")


class LinkOut(BaseModel):
    """A log-in that leads to one's account."""

    id: int
    provider: str | None = Field(description="null: its provider is none any more.")
    issuer: str
    created: str
    used: str


class ProviderOut(BaseModel):
    """An identity provider."""

    name: str
    title: str


class LinkList(BaseModel):
    """One's log-ins elsewhere, and where one can have some."""

    items: list[LinkOut]
    providers: list[ProviderOut]


def install(app: FastAPI, http: Http | None = None) -> None:
    """Make what logs people in over identity providers; after `oauth.install`."""
    state, settings = app.state, cast("CloudSettings", app.state.settings)
    state.logins = Logins(
        state.db,
        state.clock,
        settings.oidc,
        grants=state.grants,
        http=http or OutboundClient(settings.outbound),
    )


def _logins(request: Request) -> Logins:
    return cast("Logins", request.app.state.logins)


# ---------------------------------------------------------------- the browser's way

_REFUSALS: Final = refusals(GrantError, TooManyTries, ProviderTrouble)


@router.get(
    "/oauth/oidc/{provider}/start",
    status_code=302,
    response_class=Response,
    responses=_REFUSALS,
    summary="Log in at an identity provider",
)
async def start_oidc(
    request: Request,
    provider: _Provider,
    invitation: Annotated[
        str, Query(max_length=200, description="Token of one to be accepted.")
    ] = "",
    company: Annotated[str, Query(max_length=64, description="Which of yours, by slug.")] = "",
) -> Response:
    """Send the browser there, with a cookie by which it is known when it comes back."""
    begun = await _logins(request).begin(provider, invitation=invitation, company=company)
    response = Response(status_code=302, headers=_HEADERS | {"Location": begun.url})
    _remember(request, response, begun, provider)
    return response


@router.get(
    "/oauth/oidc/{provider}/callback",
    response_model=TokenOut,
    response_model_exclude_none=True,
    responses=_REFUSALS,
    summary="Back from an identity provider",
)
async def finish_oidc(
    *,
    request: Request,
    provider: _Provider,
    state: _Text = "",
    code: _Text = "",
    iss: Annotated[str | None, Query(max_length=300, description="RFC 9207.")] = None,
    error: Annotated[str, Query(max_length=200, description="RFC 6749, 4.1.2.1.")] = "",
) -> Response:
    """Tokens of a new session, for the browser that was sent away, once."""
    names = [name for name, _ in request.query_params.multi_items() if name in _ONCE]
    if len(set(names)) != len(names):
        msg = "a parameter of this answer stands twice"
        raise GrantError(msg)
    secret = request.cookies.get(_cookie(request), "")
    back = Returned(secret, state, code, iss, error)
    issued = await _logins(request).finish(provider, back, caller(request))
    response = json_response(issued, _HEADERS)
    response.delete_cookie(_cookie(request), path=_path(request, provider))
    return response


# ---------------------------------------------------------------- one's own links


@mine.get("/me/identities", response_model=LinkList, summary="My log-ins elsewhere")
async def list_identities(request: Request, session: Session, who: Me) -> Response:
    """Identity providers whose log-in leads to my account, and all there are."""
    logins = _logins(request)
    rows = await links.of_user(session, _user(who).id)
    providers = [{"name": name, "title": title} for name, title in logins.titles()]
    items = [
        {
            "id": row.id,
            "provider": logins.name_of(row.issuer) or None,
            "issuer": row.issuer,
            "created": rfc3339(row.created_us),
            "used": rfc3339(row.used_us),
        }
        for row in rows
    ]
    return json_response({"items": items, "providers": providers})


@mine.post(
    "/me/identities",
    response_model=LinkBegun,
    responses=_REFUSALS,
    summary="Link a log-in elsewhere",
)
async def link_identity(
    *, request: Request, scope: CompanyScope, who: Me, asked: LinkIn
) -> Response:
    """Prove by password who I am, then log in there: from then on that log-in is mine."""
    async with database(request).read(scope) as session:
        company = await IdentityRepository(session, scope).company()
    user = await grants(request).prove(_user(who).name, asked.password, caller(request))
    begun = await _logins(request).begin(asked.provider, company=company.slug, user=user.id)
    response = json_response({"url": begun.url}, _HEADERS)
    _remember(request, response, begun, asked.provider)
    return response


@mine.delete(
    "/me/identities/{identity}", response_model=DoneOut, summary="Unlink a log-in elsewhere"
)
async def unlink_identity(
    request: Request, scope: CompanyScope, who: Me, identity: RowId
) -> Response:
    """It leads to my account no more; sessions that it began go on until they are ended."""
    async with database(request).write(scope) as session:
        user = await users.by_id(session, _user(who).id)
        rows = await links.of_user(session, user.id)
        row = next((row for row in rows if row.id == identity), None)
        if row is None:
            msg = f"you have no identity {identity}; GET /v1/me/identities lists yours"
            raise NotFound(msg)
        others = [one for one in rows if one is not row and _logins(request).name_of(one.issuer)]
        if not others and not user.password:
            msg = "it is your only way in; ask for a password first"
            raise Conflict(msg)
        await links.remove(session, user.id, identity)
        before = {"issuer": row.issuer}
        for membership in await memberships_of(session, user.id):
            whose, subject = Scope(membership.company_id), f"user/{user.id}"
            record(session, whose, who=who, action="user.unlink", subject=subject, before=before)
    return json_response({"done": True})


# ---------------------------------------------------------------- inside


def _user(who: Principal) -> Principal:
    if who.kind != "user":
        msg = "only a user has this: log in first"
        raise Forbidden(msg)
    return who


def _remember(request: Request, response: Response, begun: Begun, provider: str) -> None:
    settings = cast("CloudSettings", request.app.state.settings).oidc
    response.set_cookie(
        _cookie(request),
        begun.secret,
        max_age=round(settings.minutes * 60),
        path=_path(request, provider),
        secure=_is_secure(request),
        httponly=True,
        samesite="lax",
    )


def _cookie(request: Request) -> str:
    # What begins so can be set by no other host and over no other scheme.
    return "__Host-plantroom-oidc" if _is_secure(request) else "plantroom-oidc"


def _path(request: Request, provider: str) -> str:
    return "/" if _is_secure(request) else f"/oauth/oidc/{provider}/"


def _is_secure(request: Request) -> bool:
    settings = cast("CloudSettings", request.app.state.settings).oidc
    return settings.url.startswith("https:")
