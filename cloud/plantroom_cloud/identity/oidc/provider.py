"""An identity provider as its discovery document describes it; its keys and addresses cached."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NoReturn
from urllib.parse import quote_plus, urlencode, urlsplit

import orjson

from plantroom_cloud.config_oidc import OidcProvider, OidcSettings
from plantroom_cloud.identity.errors import GrantError
from plantroom_cloud.identity.oidc import idtoken
from plantroom_cloud.identity.oidc.port import Http
from plantroom_cloud.identity.tokens import BadToken
from plantroom_cloud.kit.problems import ApiError
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected, Unavailable

log = logging.getLogger(__name__)

_AGAIN: Final = 30.0
"""Seconds before keys are asked for again because of one that is not among them."""
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderTrouble(ApiError):
    """The identity provider does not answer, or not as one does."""

    status: ClassVar[int] = 502
    code: ClassVar[str] = "identity_provider"
    title: ClassVar[str] = "The identity provider is in trouble"


@dataclass(frozen=True, slots=True)
class _Found:
    """What discovery says."""

    authorize: str
    token: str
    keys: str
    names_itself: bool
    """Whether each of its answers says by whom it is (RFC 9207)."""


class Provider:
    """Asks one identity provider.

    Args:
        about: its settings.
        settings: of all of them.
        http: what asks.
        clock: what "now" means.
    """

    def __init__(
        self, about: OidcProvider, settings: OidcSettings, http: Http, clock: Clock
    ) -> None:
        self.about, self.redirect = about, settings.redirect_of(about)
        self._settings, self._http, self._clock = settings, http, clock
        self._found: _Found | None = None
        self._found_at = self._keys_at = float("-inf")
        self._keys: Sequence[idtoken.Key] = ()
        self._lock = asyncio.Lock()

    async def authorize_url(self, *, state: str, nonce: str, challenge: str) -> str:
        """Return where a browser goes to log in."""
        query = {
            "response_type": "code",
            "client_id": self.about.client_id,
            "redirect_uri": self.redirect,
            "scope": " ".join(self.about.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        base = (await self._discovered()).authorize
        return f"{base}{'&' if urlsplit(base).query else '?'}{urlencode(query)}"

    async def check_sender(self, named: str | None) -> None:
        """Raise GrantError where an answer is not from this issuer (RFC 9207): a mix-up."""
        found = await self._discovered()
        if named != self.about.issuer if named is not None else found.names_itself:
            log.warning("answer of another issuer", extra={"provider": self.about.name})
            msg = "this answer is not from the provider you were sent to; log in again"
            raise GrantError(msg)

    async def redeem(self, code: str, verifier: str, nonce: str) -> idtoken.Proof:
        """Return who has logged in, for an authorization code.

        Raises:
            GrantError: the code is not good, or the ID token cannot be believed.
            ProviderTrouble: there is no answer.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect,
            "code_verifier": verifier,
            "client_id": self.about.client_id,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if secret := self.about.client_secret.get_secret_value():
            if self.about.auth == "basic":
                pair = f"{quote_plus(self.about.client_id)}:{quote_plus(secret)}"
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            else:
                form["client_secret"] = secret
        place = (await self._discovered()).token
        status, said = await self._ask("POST", place, headers, urlencode(form).encode())
        if status != 200 or not isinstance(token := said.get("id_token"), str):
            extra = {"provider": self.about.name, "status": status, "error": said.get("error")}
            log.warning("code not taken", extra=extra)
            msg = "the provider does not take this code; log in again"
            raise GrantError(msg)
        return await self._believed(token, nonce)

    # ------------------------------------------------------------ inside

    async def _believed(self, token: str, nonce: str) -> idtoken.Proof:
        about = self.about
        expected = idtoken.Expected(
            about.issuer, about.client_id, about.algorithms, nonce, self._settings.leeway
        )
        try:
            key = idtoken.choose(token, await self._read_keys(), about.algorithms)
            if key is None:  # a new one, perhaps
                key = idtoken.choose(token, await self._read_keys(_AGAIN), about.algorithms)
            return idtoken.read(token, key, expected, self._clock.now_us())
        except BadToken as error:
            log.warning("ID token refused", extra={"provider": about.name, "why": str(error)})
            msg = "what the provider says of you cannot be believed; log in again"
            raise GrantError(msg) from error

    async def _read_keys(self, fresh: float | None = None) -> Sequence[idtoken.Key]:
        """Return the issuer's keys, none older than `fresh` seconds."""
        limit = self._settings.keys if fresh is None else fresh
        place = (await self._discovered()).keys
        async with self._lock:
            if self._clock.monotonic() - self._keys_at >= limit:
                status, said = await self._ask("GET", place)
                if status != 200:
                    self._fail(f"its keys answer with status {status}")
                self._keys, self._keys_at = idtoken.keys_of(said), self._clock.monotonic()
            return self._keys

    async def _discovered(self) -> _Found:
        async with self._lock:
            stale = self._clock.monotonic() - self._found_at >= self._settings.keys
            if self._found is None or stale:
                place = f"{self.about.issuer.rstrip('/')}/.well-known/openid-configuration"
                status, said = await self._ask("GET", place)
                if status != 200:
                    self._fail(f"its discovery document answers with status {status}")
                self._found, self._found_at = self._read(said), self._clock.monotonic()
            return self._found

    def _read(self, said: dict[str, Any]) -> _Found:
        if said.get("issuer") != self.about.issuer:
            self._fail("its discovery document is that of another issuer")
        places = [said.get(name) for name in _ENDPOINTS]
        secure = {"https", urlsplit(self.about.issuer).scheme}
        if not all(isinstance(one, str) and urlsplit(one).scheme in secure for one in places):
            self._fail(f"its discovery document lacks one of {', '.join(_ENDPOINTS)}")
        names_itself = said.get("authorization_response_iss_parameter_supported") is True
        authorize, token, keys = (str(one) for one in places)
        return _Found(authorize, token, keys, names_itself)

    async def _ask(
        self, method: str, url: str, headers: dict[str, str] | None = None, content: bytes = b""
    ) -> tuple[int, dict[str, Any]]:
        """Return status and document of an answer; an empty one where it is none."""
        headers = {"Accept": "application/json"} | (headers or {})
        try:
            answer = await self._http.request(method, url, headers=headers, content=content)
        except (Unavailable, Rejected) as error:
            self._fail(str(error), error)
        try:
            said = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            said = None
        return answer.status, said if isinstance(said, dict) else {}

    def _fail(self, what: str, cause: Exception | None = None) -> NoReturn:
        log.warning("identity provider", extra={"provider": self.about.name, "error": what})
        msg = f"the provider {self.about.name} does not answer as it should; try again in a moment"
        raise ProviderTrouble(msg) from cause
