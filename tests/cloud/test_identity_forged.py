"""Forged and stale tokens: none opens anything."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import FastAPI
from jwt.algorithms import RSAAlgorithm
from sqlalchemy import delete, update

from plantroom_cloud.db import Database
from plantroom_cloud.identity import tokens
from plantroom_cloud.tables import (
    ApiKey,
    Membership,
    RefreshToken,
    ServiceAccount,
    SigningKey,
    User,
    UserSession,
)
from support.api_tokens import SECOND, claims_of, private_key
from support.api_world import NOW, Stopped, Tenant, make_app
from support.servers import as_owner

KID = "of-the-tests"


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """One engine is enough here: it is about what is presented."""
    return sqlite_database


def _b64(data: bytes | str | dict[str, Any]) -> str:
    raw = json.dumps(data).encode() if isinstance(data, dict) else data
    raw = raw.encode() if isinstance(raw, str) else raw
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Forger:
    """Makes tokens: with our key, with another, with none."""

    def __init__(self, ours: rsa.RSAPrivateKey, tenant: Tenant, other: Tenant) -> None:
        self.ours, self.tenant, self.other = ours, tenant, other
        self.theirs = private_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = ours.public_key()
        self.public_pem = public.public_bytes(serialization.Encoding.PEM, form)
        self.public_der = public.public_bytes(serialization.Encoding.DER, form)

    def raw(self, header: Any, payload: Any, key: rsa.RSAPrivateKey | None = None) -> str:
        """Return a token of these very parts, signed as RS256."""
        body = f"{_b64(header)}.{_b64(payload)}"
        signature = (key or self.ours).sign(body.encode(), padding.PKCS1v15(), SHA256())
        return f"{body}.{_b64(signature)}"

    def said(self, **changes: Any) -> dict[str, Any]:
        """Return claims; one that is None is left out."""
        claims = claims_of(self.tenant, **changes)
        return {key: value for key, value in claims.items() if value is not None}

    def headed(self, **changes: Any) -> dict[str, Any]:
        """Return a header; what is None is left out."""
        header = {"alg": "RS256", "kid": KID, "typ": tokens.TYPE} | changes
        return {key: value for key, value in header.items() if value is not None}

    def ours_with(self, **changes: Any) -> str:
        """Return a token signed by our own key that says something else."""
        return self.raw(self.headed(), self.said(**changes))

    def headed_with(self, **changes: Any) -> str:
        """Return a token signed by our own key under another header."""
        return self.raw(self.headed(**changes), self.said())

    def hmacs(self) -> dict[str, str]:
        """Return tokens signed with our public key as if it were a shared secret."""
        found = {}
        forms = {
            "pem": self.public_pem,
            "der": self.public_der,
            "stripped": self.public_pem.strip(),
        }
        for name, secret in forms.items():
            for alg, digest in (("HS256", "sha256"), ("HS512", "sha512")):
                body = f"{_b64(self.headed(alg=alg))}.{_b64(self.said())}"
                mac = hmac.new(secret, body.encode(), getattr(hashlib, digest)).digest()
                found[f"{alg} with the public key as {name}"] = f"{body}.{_b64(mac)}"
        return found


def _headers(forge: Forger) -> dict[str, str]:
    """Headers that are none of ours."""
    jwk = RSAAlgorithm.to_jwk(forge.theirs.public_key(), as_dict=True)
    theirs = {"key": forge.theirs}
    said = forge.said()
    found = {
        f"alg {alg}": f"{_b64(forge.headed(alg=alg))}.{_b64(said)}."
        for alg in ("none", "None", "NONE", "nOnE", "")
    }
    good = forge.headed_with().rsplit(".", 1)[1]
    found["alg none with a signature"] = f"{_b64(forge.headed(alg='none'))}.{_b64(said)}.{good}"
    found |= {
        f"alg {alg} in a good token": forge.headed_with(alg=alg)
        for alg in ("RS384", "RS512", "PS256", "ES256", "HS256", "rs256", 1, None, ["RS256"])
    }
    kids = [
        "../../etc/passwd",
        "/dev/null",
        "' OR 1=1 --",
        "",
        "x" * 3000,
        "of-the-tests\0",
        KID + " ",
    ]
    found |= {f"kid {kid[:20]!r}": forge.headed_with(kid=kid) for kid in kids}
    found |= {
        f"kid as {type(kid)}": forge.headed_with(kid=kid) for kid in (None, 1, [KID], {"k": KID})
    }
    found |= {f"typ {typ}": forge.headed_with(typ=typ) for typ in ("JWT", None, "at+JWT", 5)}
    extras: dict[str, Any] = {"jwk": jwk, "jku": "https://evil.example/jwks", "x5c": ["MII"]}
    extras |= {"x5u": "https://evil.example/c.pem", "crit": ["exp"], "b64": False, "zip": "DEF"}
    for name, value in extras.items():
        found[f"{name} in a good token"] = forge.headed_with(**{name: value})
        found[f"{name} and their key"] = forge.raw(forge.headed(**{name: value}), said, **theirs)
    found["their key under our name"] = forge.raw(forge.headed(), said, **theirs)
    found["their key under its own"] = forge.raw(forge.headed(kid="theirs"), said, **theirs)
    return found


def _claims(forge: Forger) -> dict[str, str]:
    """Tokens that our own key has signed, and that are not good all the same."""
    now, other = NOW // SECOND, forge.other
    wrong: dict[str, Any] = {
        "aud": ["plantroom:device", "plantroom:ws", "", [tokens.AUDIENCE], None],
        "iss": ["https://evil.example", "Plantroom", None],
        "sub": ["user:0", f"user:{other.user}", f"key:{forge.tenant.key_id}", "user:1x", "user:-1"],
        "company": [other.company, 0, -1, str(forge.tenant.company), True, None],
        "sid": [other.session, 0, -1, 10**6, str(forge.tenant.session), None],
        "exp": [now, now - 1, now - 3600, now + 3600 * 24, str(now + 600), now + 0.5, None],
        "iat": [now + 600, now - 1200, None],
        "nbf": [now + 60, str(now), None],
        "jti": ["", "short", None],
        "scope": [["site:read"], 1],
        "admin": [True],
    }
    found = {}
    for name, values in wrong.items():
        for value in values:
            found[f"{name} {value!r}"] = forge.ours_with(**{name: value})
    account = {"sub": f"service:{forge.tenant.account}", "sid": 0}
    found["a service account's of another time"] = forge.ours_with(**account)
    return found


def _parts(forge: Forger) -> dict[str, str]:
    """Tokens whose parts are mangled, doubled or exchanged."""
    good = forge.headed_with()
    head, payload, signature = good.split(".")
    said = json.dumps(forge.said())
    twice = said[:-1] + f', "company": {forge.other.company}}}'
    elliptic = ec.generate_private_key(ec.SECP256R1())
    return {
        "a claim twice": forge.raw(forge.headed(), twice),
        "the algorithm twice": forge.raw(f'{{"alg":"none","alg":"RS256","kid":"{KID}"}}', said),
        "no signature": f"{head}.{payload}.",
        "half a signature": f"{head}.{payload}.{signature[:40]}",
        "another payload": f"{head}.{_b64(forge.said(company=forge.other.company))}.{signature}",
        "a list for a payload": forge.raw(forge.headed(), "[1]"),
        "no JSON": forge.raw(forge.headed(), "{"),
        "deep JSON": forge.raw(forge.headed(), "[" * 900),
        "five parts": f"{head}.{payload}.{signature}.{payload}.{signature}",
        "two parts": f"{head}.{payload}",
        "dots": "..",
        "padding": f"{head}==.{payload}.{signature}",
        "a letter behind": good + "A",
        "endless": good + "A" * 6000,
        "other letters": good.replace(".", "\u2024"),
        "elliptic": jwt.encode(forge.said(), elliptic, "ES256", headers=forge.headed(alg="ES256")),
        "the session as a key": str(forge.tenant.session),
    }


async def _tried(client: httpx.AsyncClient, token: str) -> httpx.Response:
    value = f"Bearer {token}".encode("utf-8", "ignore")
    return await client.get("/v1/sites", headers=[(b"authorization", value)])


async def test_no_forged_token_opens_anything(
    api: FastAPI, acme: Tenant, rival: Tenant, anonymous: httpx.AsyncClient
) -> None:
    """Other algorithms, keys, headers, claims and shapes: more than sixty, and none is let in."""
    forge = Forger((await api.state.signing.signer())[1], acme, rival)
    cases = _headers(forge) | forge.hmacs() | _claims(forge) | _parts(forge)
    assert len(cases) >= 60
    opened = []
    for name, token in cases.items():
        answer = await _tried(anonymous, token)
        if answer.status_code != 401 or answer.json()["code"] != "unauthorized":
            opened.append((name, answer.status_code))
    assert opened == []
    # What all of them differ from is let in: before, and after.
    assert (await _tried(anonymous, forge.headed_with())).status_code == 200
    assert (await _tried(anonymous, forge.ours_with(scope="site:read"))).status_code == 200


STALE: dict[str, Any] = {
    "the session ended": update(UserSession).values(ended_us=NOW),
    "the session ran out": update(UserSession).values(expires_us=NOW),
    "there is no such session": delete(UserSession),
    "the user is disabled": update(User).values(disabled_us=NOW),
    "the password has changed": update(User).values(valid_from_us=NOW),
    "the member is shut out": update(Membership).values(disabled_us=NOW),
    "the member has gone": delete(Membership),
    "the role is no role": update(Membership).values(role="emperor"),
    "the key that signed is void": update(SigningKey).values(revoked_us=NOW),
    "the key that signed is too old": update(SigningKey).values(from_us=1),
}


@pytest.mark.parametrize("what", STALE)
async def test_no_stale_token_opens_anything(
    what: str, api: FastAPI, acme: Tenant, anonymous: httpx.AsyncClient, database: Database
) -> None:
    """A token that was good opens nothing from the moment at which what it stands on has gone."""
    token = Forger((await api.state.signing.signer())[1], acme, acme).headed_with()
    assert (await _tried(anonymous, token)).status_code == 200
    async with as_owner(database).write() as session:
        await session.execute(delete(RefreshToken))
        await session.execute(STALE[what])
    if "signed" in what:
        api.state.clock.now += 5 * SECOND  # keys are read again after four seconds
    answer = await _tried(anonymous, token)
    assert answer.status_code == (403 if "role" in what else 401)


@pytest.mark.parametrize(
    "change", [{"disabled_us": NOW}, {"deleted_us": NOW}, {"valid_from_us": NOW}]
)
async def test_no_stale_token_of_a_program(
    change: dict[str, int], acme: Tenant, anonymous: httpx.AsyncClient, database: Database
) -> None:
    """A service account that is disabled, deleted or has another secret: its tokens are void."""
    asked = {"grant_type": "client_credentials", "client_secret": "ss_of the tests"}
    answer = await anonymous.post("/oauth/token", data=asked | {"client_id": "sa_acme"})
    token = answer.json()["access_token"]
    assert (await _tried(anonymous, token)).status_code == 200
    async with as_owner(database).write() as session:
        await session.execute(update(ServiceAccount).values(**change))
    assert (await _tried(anonymous, token)).status_code == 401


@pytest.mark.parametrize("change", [{"revoked_us": NOW}, {"expires_us": NOW}])
async def test_no_stale_key(
    change: dict[str, int], acme: Tenant, anonymous: httpx.AsyncClient, database: Database
) -> None:
    """A key that was revoked or has run out opens nothing."""
    async with as_owner(database).write() as session:
        await session.execute(update(ApiKey).values(**change))
    assert (await _tried(anonymous, acme.key)).status_code == 401


async def test_a_token_ends_by_itself(
    api: FastAPI, acme: Tenant, anonymous: httpx.AsyncClient, clock: Stopped, database: Database
) -> None:
    """Up to its last moment it opens, and not from then on; another application says the same."""
    token = Forger((await api.state.signing.signer())[1], acme, acme).headed_with()
    clock.now = NOW + 600 * SECOND - 1
    assert (await _tried(anonymous, token)).status_code == 200
    clock.now += 1
    assert (await _tried(anonymous, token)).status_code == 401
    assert make_app(database, clock).state.signing is not api.state.signing
