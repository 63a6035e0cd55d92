"""The API gateway and the integration channel of one EnOS: token, signature, the call itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from plantroom_cloud.config import EnosTarget
from plantroom_cloud.publishing.enos import signing
from plantroom_cloud.publishing.enos.errors import TIMESTAMP_REUSED, KeysRefused, Stale, Unclear
from plantroom_cloud.publishing.enos.transport import Transport
from plantroom_shared.clock import Clock
from plantroom_shared.errors import PlantroomError, Rejected, Unavailable

_TOKENS = "/apim-token-service/v2.0/token"
_REFRESH_BELOW = 600.0
"""Seconds of life left below which a token is refreshed, as the vendor's own client does."""
_REFRESH_AGAIN = 30.0
_JSON = "application/json;charset=UTF-8"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    life: float
    """Seconds, as EnOS said."""
    expires: float
    """On the monotonic clock."""


class Gateway:
    """Calls of one company's EnOS, one token for all of them.

    Args:
        target: the addresses and the app key.
        clock: wall time for the timestamps, monotonic time for the token's life.
        deadline: seconds for one request.
    """

    def __init__(self, target: EnosTarget, clock: Clock, *, deadline: float = 20.0) -> None:
        self._target, self._clock = target, clock
        self._secret = target.app_secret.get_secret_value()
        self._transport = Transport(clock, deadline=deadline)
        self._token: _Token | None = None
        self._lock = asyncio.Lock()
        self._refresh_at = 0.0
        self._last_ms = 0

    @property
    def org_id(self) -> str:
        """The organisation every call is about."""
        return self._target.org_id

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object = None,
    ) -> dict[str, Any]:
        """Return the reply to a signed call of the API gateway; `orgId` is added to the query.

        Args:
            method: GET or POST.
            path: from ``/`` on.
            query: parameters, not percent-encoded.
            body: becomes JSON; None sends no body.

        Raises:
            Unavailable: trying again later is right.
            Rejected: EnOS will never take this request.
        """
        params = {**query, "orgId": self.org_id}
        content = b"" if body is None else orjson.dumps(body)
        what = f"{path} {query.get('action', '')}".strip()

        async def send(token: str) -> dict[str, Any]:
            at = self._timestamp()
            headers = {
                "apim-accesstoken": token,
                "apim-timestamp": str(at),
                "apim-signature": signing.request_signature(
                    token, params, content, at, self._secret
                ),
                "content-type": _JSON,
            }
            url = self._target.apigw.rstrip("/") + path
            return await self._transport.send(
                method, url, what, params=params, headers=headers, content=content
            )

        return await self._with_token(send)

    async def integrate(self, action: str, message: bytes) -> dict[str, Any]:
        """Return the reply to one message on the HTTP integration channel.

        Args:
            action: ``postMeasurepoint`` ...
            message: the ``enos-message`` part, JSON, at most 512 KB.

        Raises:
            Unavailable: trying again later is right; the message may have been taken or not.
            Rejected: EnOS refused the message as a whole.
        """
        params = {"action": action, "orgId": self.org_id}
        url = self._target.integration.rstrip("/") + "/connect-service/v2.1/integration"

        async def send(token: str) -> dict[str, Any]:
            return await self._transport.send(
                "POST",
                url,
                action,
                publishing=True,
                params=params,
                headers={"apim-accesstoken": token},
                files={"enos-message": (None, message, "application/json")},
            )

        return await self._with_token(send)

    def without_keys(self, text: str) -> str:
        """Return a text for people without the app key, its secret and the token."""
        for secret in (self._secret, self._target.app_key, self._token and self._token.text):
            text = text.replace(secret, "…") if secret else text
        return text

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    # ------------------------------------------------------------ the token

    async def _with_token(self, send: Callable[[str], Awaitable[T]]) -> T:
        token = await self._current()
        try:
            return await send(token.text)
        except Stale:
            self._forget(token)
        fresh = await self._current()
        try:
            return await send(fresh.text)
        except Stale as error:
            self._forget(fresh)
            fix = "check app_key and app_secret in the enos settings"
            msg = f"EnOS refuses even a fresh token: {error}; {fix}"
            raise KeysRefused(msg) from error

    def _forget(self, token: _Token) -> None:
        if self._token is token:
            self._token = None

    async def _current(self) -> _Token:
        async with self._lock:
            now = self._clock.monotonic()
            token = self._token
            if token is None or token.expires <= now:
                token = await self._ask("get")
            elif token.expires - now < min(_REFRESH_BELOW, token.life / 4):
                token = await self._refreshed(token, now)
            self._token = token
            return token

    async def _refreshed(self, token: _Token, now: float) -> _Token:
        if now < self._refresh_at:
            return token
        self._refresh_at = now + _REFRESH_AGAIN
        try:
            return await self._ask("refresh", accessToken=token.text)
        except PlantroomError:
            # Another process may have refreshed it already: `get` hands out the valid one.
            try:
                return await self._ask("get")
            except Unavailable:
                return token  # it still lives; a later call asks again

    async def _ask(self, action: str, **extra: str) -> _Token:
        """Ask the token service; a timestamp that another process has used too is taken anew."""
        for _ in range(3):
            try:
                return await self._ask_once(action, extra)
            except Unclear as error:
                if error.code != TIMESTAMP_REUSED:
                    raise
        msg = "EnOS says three times that the token timestamp is reused; is the clock standing?"
        raise Unavailable(msg)

    async def _ask_once(self, action: str, extra: Mapping[str, str]) -> _Token:
        at, key = self._timestamp(), self._target.app_key
        body = {
            "appKey": key,
            "encryption": signing.token_encryption(key, at, self._secret),
            "timestamp": at,
            **extra,
        }
        url = f"{self._target.apigw.rstrip('/')}{_TOKENS}/{action}"
        what = f"token/{action}"
        try:
            reply = await self._transport.send(
                "POST", url, what, content=orjson.dumps(body), headers={"content-type": _JSON}
            )
        except (Stale, Rejected) as error:
            # Wrong keys are for a person to put right; until then nothing may be lost.
            msg = f"{error}; check app_key and app_secret in the enos settings"
            raise KeysRefused(msg, retry_after=None if action == "refresh" else 60.0) from error
        match reply.get("data"):
            case {"accessToken": str(text), "expire": int() | float() as life} if text:
                return _Token(text, float(life), self._clock.monotonic() + float(life))
        msg = f"EnOS answered {what} without accessToken and expire"
        raise Unavailable(msg)

    def _timestamp(self) -> int:
        """Return milliseconds since 1970, each only once: EnOS refuses a timestamp it has seen."""
        self._last_ms = max(self._clock.now_us() // 1000, self._last_ms + 1)
        return self._last_ms
