"""The routes that give out tokens, and the keys by which others can check them."""

from __future__ import annotations

from typing import Annotated, Final, cast

from fastapi import APIRouter, Depends, FastAPI, Form, Request, Response
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import BaseModel, ConfigDict, Field

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.identity.errors import BadClient, GrantError, TooManyTries, UnknownGrant
from plantroom_cloud.identity.gate import Gate
from plantroom_cloud.identity.grants import Caller, Grants
from plantroom_cloud.identity.passwords import Passwords
from plantroom_cloud.identity.signing import SigningKeys
from plantroom_cloud.kit.parameters import PlainText
from plantroom_cloud.kit.problems import refusals
from plantroom_cloud.kit.responses import json_response

router = APIRouter(tags=["identity"])

INVITATION: Final = "urn:plantroom:grant:invitation"
_REFUSALS: Final = refusals(GrantError, BadClient, TooManyTries)
_basic = HTTPBasic(
    auto_error=False, scheme_name="Client", description="Client id and secret of a service account."
)
_Text = Annotated[str, Field(max_length=1000)]


class TokenIn(BaseModel):
    """What is asked for; other parameters are not looked at (RFC 6749, 3.2)."""

    model_config = ConfigDict(extra="ignore")

    grant_type: _Text = Field(
        description=f"password, refresh_token, client_credentials or {INVITATION}",
        examples=["password"],
    )
    username: _Text = Field(default="", description="password: the address.")
    password: _Text = Field(default="", description="password, invitation.")
    company: _Text = Field(default="", description="password: which of yours, by its slug.")
    refresh_token: _Text = ""
    client_id: _Text = ""
    client_secret: _Text = ""
    token: _Text = Field(default="", description="invitation: what you were given.")
    name: PlainText = Field(default="", description="invitation: what you are called.")
    scope: _Text = Field(default="", description="Permissions or roles to narrow the token to.")


class TokenOut(BaseModel):
    """Tokens (RFC 6749, 5.1)."""

    access_token: str
    token_type: str = Field(examples=["Bearer"])
    expires_in: int = Field(examples=[600], description="Seconds.")
    scope: str = Field(examples=["site:read point:read"])
    refresh_token: str | None = Field(default=None, description="Good once; not of a client.")


class Jwk(BaseModel):
    """The public half of a key (RFC 7517)."""

    kid: str
    use: str
    alg: str
    kty: str
    n: str
    e: str


class JwkSet(BaseModel):
    """All that sign, are about to, or have signed of late."""

    keys: list[Jwk]


def install(app: FastAPI) -> None:
    """Make what lets people in, over the state that `create_app` has put together."""
    state, settings = app.state, cast("CloudSettings", app.state.settings)
    identity = settings.identity
    signing = SigningKeys(state.db, state.clock, identity, settings.data)
    state.signing = signing
    state.gate = Gate(state.db, state.clock, signing, identity)
    checker = Passwords(identity.hashing)
    state.passwords = checker
    state.grants = Grants(
        state.db, state.clock, identity, signing=signing, checker=checker, gate=state.gate
    )


def grants(request: Request) -> Grants:
    """Return what gives out tokens."""
    return cast("Grants", request.app.state.grants)


def caller(request: Request) -> Caller:
    """Return where a request comes from."""
    address = request.client.host if request.client else ""
    return Caller(address, request.headers.get("user-agent", ""))


@router.post(
    "/oauth/token",
    response_model=TokenOut,
    response_model_exclude_none=True,
    responses=_REFUSALS,
    summary="Get tokens",
)
async def get_token(
    request: Request,
    asked: Annotated[TokenIn, Form()],
    client: Annotated[HTTPBasicCredentials | None, Depends(_basic)],
) -> Response:
    """By password, refresh token, client credentials or invitation (OAuth 2.0).

    A refresh token is good once: send it a second time and its session is over.
    """
    issuer, whence = grants(request), caller(request)
    match asked.grant_type:
        case "password":
            issued = await issuer.by_password(
                asked.username,
                asked.password,
                company=asked.company,
                scope=asked.scope,
                caller=whence,
            )
        case "refresh_token":
            issued = await issuer.by_refresh(asked.refresh_token)
        case "client_credentials":
            name, secret = asked.client_id, asked.client_secret
            if client is not None:
                name, secret = client.username, client.password
            issued = await issuer.by_client(name, secret, asked.scope)
        case _ if asked.grant_type == INVITATION:
            issued = await issuer.by_invitation(asked.token, asked.name, asked.password, whence)
        case _:
            known = f"password, refresh_token, client_credentials, {INVITATION}"
            msg = f"grant_type: take one of {known}"
            raise UnknownGrant(msg)
    return json_response(issued)


@router.get("/.well-known/jwks.json", response_model=JwkSet, summary="Keys of access tokens")
async def get_keys(request: Request) -> Response:
    """By these others can check our access tokens (RS256); keep them no longer than half an hour."""
    signing = cast("SigningKeys", request.app.state.signing)
    return json_response(await signing.jwks(), {"Cache-Control": "public, max-age=600"})
