"""An identity provider over a socket that does as it should, or whatever a test wants it to."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from plantroom_cloud.config import OidcProvider
from support.api_world import Stopped, served

CLIENT, SECRET = "plantroom at acme", "s3cret & more"
_RSA = rsa.generate_private_key(65537, 2048)
_EC = ec.generate_private_key(ec.SECP256R1())


class Idp:
    """The provider; `user` logs in at it without being asked.

    Args:
        clock: what "now" means.
    """

    def __init__(self, clock: Stopped) -> None:
        self.clock, self.issuer = clock, ""
        self.user: dict[str, Any] = {"sub": "u-1", "name": "Ann", "email": "ann@acme.example"}
        self.rsa, self.ec = _RSA, _EC
        self.kid, self.algorithm = "r1", "RS256"
        self.names_itself = True
        self.spoil: Callable[[dict[str, Any]], dict[str, Any] | str] = lambda claims: claims
        """Makes of good claims what is signed, or is the token already."""
        self.discovery: dict[str, Any] = {}
        """What its discovery document says otherwise."""
        self.status = 200
        """Of its discovery document and its keys."""
        self.asked: list[str] = []
        """Paths it was asked for."""
        self.redeemed: list[str] = []
        """Codes that somebody brought it."""
        self._codes: dict[str, dict[str, str]] = {}

    def provider(self, name: str = "acme", **more: Any) -> OidcProvider:
        """Return the settings for it."""
        known = {"client_id": CLIENT, "client_secret": SECRET, "issuer": self.issuer}
        return OidcProvider(name=name, **(known | more))

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """Return a token of these claims by its own key."""
        key = self.rsa if self.algorithm == "RS256" else self.ec
        return jwt.encode(claims, key, self.algorithm, headers={"kid": self.kid} | header)

    def app(self) -> FastAPI:
        """Return what it serves."""
        app = FastAPI()
        app.add_api_route("/.well-known/openid-configuration", self._configuration)
        app.add_api_route("/authorize", self._authorize)
        app.add_api_route("/token", self._token, methods=["POST"])
        app.add_api_route("/keys", self._keys)
        return app

    async def _configuration(self) -> Response:
        self.asked.append("configuration")
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "authorization_response_iss_parameter_supported": self.names_itself,
        }
        return JSONResponse(said | self.discovery, self.status)

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        back = {"code": code, "state": asked["state"]}
        back |= {"iss": self.issuer} if self.names_itself else {}
        return Response(
            status_code=302, headers={"Location": f"{asked['redirect_uri']}?{urlencode(back)}"}
        )

    async def _token(self, request: Request) -> Response:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        self.redeemed.append(form.get("code", ""))
        asked = self._codes.pop(form.get("code", ""), None)  # good once
        if not self._knows(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        challenge = base64.urlsafe_b64encode(
            hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        )
        if (
            asked is None
            or form.get("redirect_uri") != asked["redirect_uri"]
            or challenge.rstrip(b"=").decode() != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        made = self.spoil(self.claims(asked["nonce"]))
        token = made if isinstance(made, str) else self.sign(made)
        # What stands beside the ID token is nothing to go by.
        mine = {"access_token": "x", "token_type": "Bearer", "email": "root@acme.example"}
        return JSONResponse(mine | {"id_token": token})

    def claims(self, nonce: str) -> dict[str, Any]:
        """Return what a good ID token says."""
        now = self.clock.now_us() // 1_000_000
        times = {"iat": now, "exp": now + 300}
        return {"iss": self.issuer, "aud": CLIENT, "nonce": nonce} | times | self.user

    async def _keys(self) -> Response:
        self.asked.append("keys")
        one: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(self.rsa.public_key()))
        two: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(self.ec.public_key()))
        marks = {"use": "sig"}
        first = one | marks | {"kid": self.kid if self.algorithm == "RS256" else "r1"}
        second = two | marks | {"kid": self.kid if self.algorithm == "ES256" else "e1"}
        return JSONResponse({"keys": [{"kty": "oct", "k": "c2VjcmV0"}, "?", first, second]})

    def _knows(self, request: Request, form: dict[str, str]) -> bool:
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(pair).decode().partition(":")
            given = parse_qs(f"n={name}&s={secret}")
            return (given["n"], given["s"]) == ([CLIENT], [SECRET])
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)


@asynccontextmanager
async def serving(clock: Stopped) -> AsyncIterator[Idp]:
    """Yield a provider behind a real server on a free port."""
    idp = Idp(clock)
    async with served(idp.app()) as url:
        idp.issuer = url
        yield idp


class Browser:
    """What follows redirects between the service and a provider, with cookies.

    Args:
        api: a client of the service, of its own.
        provider: at which it logs in.
    """

    def __init__(self, api: httpx.AsyncClient, provider: str = "acme") -> None:
        self.api, self.provider, self.cookie = api, provider, ""

    async def start(self, **query: str) -> httpx.Response:
        """Begin a log-in."""
        path = f"/oauth/oidc/{self.provider}/start"
        answer = await self.api.get(path, params=query)
        self._keep(answer)
        return answer

    async def come_back(self, place: str) -> str:
        """Log in at the provider; return path and query of where it sends one back to."""
        async with httpx.AsyncClient(verify=False) as web:
            answer = await web.get(place)
        assert answer.status_code == 302, answer.text
        there = urlsplit(answer.headers["location"])
        return f"{there.path}?{there.query}"

    async def finish(self, path: str, *, cookie: str | None = None) -> httpx.Response:
        """Bring an answer back."""
        secret = self.cookie if cookie is None else cookie
        headers = {"Cookie": f"plantroom-oidc={secret}"} if secret else {}
        return await self.api.get(path, headers=headers)

    async def away(self, **query: str) -> str:
        """Begin, and log in there; return what is brought back."""
        answer = await self.start(**query)
        assert answer.status_code == 302, answer.text
        return await self.come_back(answer.headers["location"])

    async def log_in(self, **query: str) -> httpx.Response:
        """Do all of it."""
        return await self.finish(await self.away(**query))

    def _keep(self, answer: httpx.Response) -> None:
        said = answer.headers.get("set-cookie", "")
        if said:
            name, _, rest = said.partition("=")
            assert name == "plantroom-oidc", said
            self.cookie = rest.partition(";")[0]
            self.api.cookies.clear()  # by hand, so that a test can do without
