"""ID tokens: read strictly. Pure.

Who somebody is comes from here and from nowhere else: not from the query, not from the access
token, not from what the provider's user information says.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from plantroom_cloud.identity.tokens import BadToken, parse

_MOST: Final = 16_384
"""Characters of a token."""
_MOST_KEYS: Final = 50
_SMALLEST: Final = 2048
"""Bits of an RSA key."""
_OLDEST: Final = 3600
"""Seconds; no log-in takes longer."""
PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an issuer."""

    kid: str | None
    algorithm: str
    public: PublicKey


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say."""

    issuer: str
    client_id: str
    algorithms: tuple[str, ...]
    nonce: str
    leeway: int
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Who has logged in, by a verified token: the pair is what we know somebody by."""

    issuer: str
    subject: str
    name: str
    """For people; decides nothing."""


def keys_of(document: Any) -> list[Key]:
    """Return the keys of a JWK set that can sign: RSA from 2048 bits, P-256; no other is used."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        msg = "the provider's keys are no JWK set"
        raise BadToken(msg)
    found = (_key(one) for one in listed[:_MOST_KEYS] if isinstance(one, dict))
    return [key for key in found if key is not None]


def _key(one: dict[str, Any]) -> Key | None:
    kid, signs = one.get("kid"), one.get("use") in {None, "sig"}
    if not signs or "d" in one or not (kid is None or isinstance(kid, str)):
        return None
    public: Any
    try:
        if one.get("kty") == "RSA":
            algorithm, public = "RS256", RSAAlgorithm.from_jwk(one)
            good = isinstance(public, RSAPublicKey) and public.key_size >= _SMALLEST
        else:
            algorithm, public = "ES256", ECAlgorithm.from_jwk(one)
            known = isinstance(public, EllipticCurvePublicKey)
            good = known and isinstance(public.curve, SECP256R1)
    except (jwt.InvalidKeyError, ValueError, TypeError, KeyError):
        return None
    if not good or one.get("alg") not in {None, algorithm}:
        return None
    return Key(kid, algorithm, public)


def choose(token: str, keys: Sequence[Key], algorithms: Sequence[str]) -> Key | None:
    """Return the key that a token must have been signed with; None where it is not among `keys`.

    Raises:
        BadToken: its header is none that a token may have, whatever the keys.
    """
    if not token.isascii() or len(token) > _MOST or token.count(".") != 2:
        msg = "no token"
        raise BadToken(msg)
    header = parse(token.partition(".")[0])
    algorithm, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if algorithm not in algorithms:
        msg = f"its algorithm is {str(algorithm)[:40]!r}"
        raise BadToken(msg)
    if {"crit", "b64"} & header.keys() or str(typ).upper() != "JWT":
        msg = "its header says what we do not understand"
        raise BadToken(msg)
    fit = [key for key in keys if key.algorithm == algorithm]
    if kid is None:
        return fit[0] if len(fit) == 1 else None
    named = [key for key in fit if key.kid == kid]
    return named[0] if len(named) == 1 else None


def read(token: str, key: Key | None, expected: Expected, now_us: int) -> Proof:
    """Return who has logged in.

    Args:
        token: as it came.
        key: what `choose` has found for it, if anything.
        expected: what it must say.
        now_us: the moment.

    Raises:
        BadToken: anything at all is wrong.
    """
    if key is None:
        msg = "it names a key that its issuer does not have"
        raise BadToken(msg)
    try:
        signature = jwt.PyJWS(algorithms=[key.algorithm])
        signature.decode_complete(token, key.public, algorithms=[key.algorithm])
    except (jwt.InvalidTokenError, ValueError) as error:
        raise BadToken(str(error)) from error
    claims = parse(token.split(".")[1])
    if wrong := _wrong(claims, expected, now_us / 1_000_000):
        msg = f"its {wrong} is wrong"
        raise BadToken(msg)
    name = claims.get("name")
    return Proof(expected.issuer, claims["sub"], name if isinstance(name, str) else "")


def _wrong(claims: dict[str, Any], expected: Expected, now: float) -> str:
    """Return the first claim that is not as it must be; empty where all are."""
    nonce, subject = claims.get("nonce"), claims.get("sub")
    checks = {
        "iss": claims.get("iss") == expected.issuer,
        "aud": claims.get("aud") in (expected.client_id, [expected.client_id]),
        "azp": claims.get("azp", expected.client_id) == expected.client_id,
        "exp": _is_time(claims.get("exp")) and now < claims["exp"] + expected.leeway,
        "iat": _is_time(claims.get("iat"))
        and now - _OLDEST <= claims["iat"] <= now + expected.leeway,
        "nbf": "nbf" not in claims
        or (_is_time(claims["nbf"]) and claims["nbf"] <= now + expected.leeway),
        "nonce": isinstance(nonce, str)
        and hmac.compare_digest(nonce.encode(), expected.nonce.encode()),
        "sub": isinstance(subject, str)
        and subject.isascii()
        and subject.isprintable()
        and 0 < len(subject) <= 255,
    }
    return next((name for name, good in checks.items() if not good), "")


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11
