"""Access tokens: RS256, read strictly. Pure.

A token says who and since when, never what it may: that is read from the database. Nothing in its
header is believed but the name of one of our own keys.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plantroom_shared.errors import PlantroomError

ALGORITHM: Final = "RS256"
TYPE: Final = "at+jwt"
AUDIENCE: Final = "plantroom:api"
"""Of tokens for the API; tickets of live connections and devices have others."""
LONGEST_LIFE: Final = 15 * 60
"""Seconds; a token that claims more is none of ours."""
_LEEWAY: Final = 5
"""Seconds by which the clocks of our machines may differ."""
_MOST: Final = 4096
"""Characters of a token."""
_HEADER: Final = frozenset({"alg", "kid", "typ"})
_JWS: Final = jwt.PyJWS(algorithms=[ALGORITHM])


class BadToken(PlantroomError):
    """It is none of ours, or its time is over."""


class Claims(BaseModel):
    """What a token says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    iss: str
    aud: str
    sub: str = Field(pattern=r"\A(user|service):[1-9][0-9]{0,17}\z")
    company: int = Field(ge=1, le=2**63 - 1)
    sid: int = Field(ge=0, le=2**63 - 1)
    """The session; of a service account the moment from which its tokens count."""
    iat: int
    nbf: int
    exp: int
    jti: str = Field(min_length=16, max_length=64)
    scope: str | None = Field(default=None, max_length=1000)
    """What it was narrowed to."""

    @property
    def subject(self) -> tuple[str, int]:
        """Kind and id of who has it."""
        kind, _, number = self.sub.partition(":")
        return kind, int(number)


def sign(claims: Claims, kid: str, key: RSAPrivateKey) -> str:
    """Return `claims` as a token."""
    payload = claims.model_dump(exclude_none=True)
    return jwt.encode(payload, key, ALGORITHM, headers={"kid": kid, "typ": TYPE})


def kid_of(token: str) -> str:
    """Return the name of the key that a token says it was signed with.

    Raises:
        BadToken: it has not the header of ours, to the letter.
    """
    if not token.isascii() or len(token) > _MOST or token.count(".") != 2:
        msg = "no token"
        raise BadToken(msg)
    header = parse(token.partition(".")[0])
    ours = header.keys() == _HEADER and header["alg"] == ALGORITHM and header["typ"] == TYPE
    kid = header.get("kid")
    if not ours or not isinstance(kid, str):
        msg = "its header is none of ours"
        raise BadToken(msg)
    return kid


def read(token: str, key: RSAPublicKey, *, issuer: str, now_us: int) -> Claims:
    """Return what a token says, its signature, form and times checked.

    Args:
        token: as it came; `kid_of` has been asked for its key.
        key: the public half.
        issuer: whose tokens are taken.
        now_us: the moment.

    Raises:
        BadToken: anything at all is wrong.
    """
    try:
        _JWS.decode_complete(token, key, algorithms=[ALGORITHM])
        claims = Claims.model_validate(parse(token.split(".")[1]))
    except (jwt.InvalidTokenError, ValidationError, ValueError) as error:
        raise BadToken(str(error)) from error
    if not _holds(claims, issuer, now_us / 1_000_000):
        msg = "it is not for us, or not for now"
        raise BadToken(msg)
    return claims


def _holds(claims: Claims, issuer: str, now: float) -> bool:
    return (
        claims.iss == issuer
        and claims.aud == AUDIENCE
        and 0 < claims.exp - claims.iat <= LONGEST_LIFE
        and max(claims.iat, claims.nbf) - _LEEWAY <= now < claims.exp
    )


def parse(part: str) -> dict[str, Any]:
    """Return a part of a token; BadToken for one that says a thing twice, or is none."""
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        found = json.loads(data, object_pairs_hook=_once)
    except (ValueError, binascii.Error, RecursionError) as error:
        msg = "not what a token looks like"
        raise BadToken(msg) from error
    if not isinstance(found, dict):
        msg = "not what a token looks like"
        raise BadToken(msg)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a name stands twice"
        raise ValueError(msg)
    return found
