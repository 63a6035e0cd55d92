"""Logging in at somebody else's, and everything that must not come of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from pydantic import ValidationError
from sqlalchemy import func, select, update

from plantroom_cloud.app import create_app
from plantroom_cloud.config import OidcProvider, OidcSettings
from plantroom_cloud.config_outbound import OutboundSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity import keys
from plantroom_cloud.tables import (
    AuditRow,
    Invitation,
    Membership,
    OidcFlow,
    OidcIdentity,
    User,
    UserSession,
)
from support.api_world import (
    HOUR,
    MINUTE,
    NOW,
    ONE_ENGINE,
    PASSWORD,
    SETTINGS,
    Seeder,
    Stopped,
    Tenant,
    client_of,
)
from support.oidc_idp import CLIENT, SECRET, Browser, Idp, serving

INSIDE = OutboundSettings(allow=("127.0.0.1",))
"""The providers of the tests are on this machine: without a word of the operator none is asked."""


@pytest.fixture
async def idp(clock: Stopped) -> AsyncIterator[Idp]:
    """A provider."""
    async with serving(clock) as running:
        yield running


def app_of(database: Database, clock: Stopped, *providers: OidcProvider) -> FastAPI:
    """Return the application, with providers."""
    oidc = OidcSettings(url="http://api", providers=providers)
    return create_app(
        SETTINGS.model_copy(update={"oidc": oidc, "outbound": INSIDE}), database, clock=clock
    )


@pytest.fixture
async def app(database: Database, clock: Stopped, idp: Idp) -> FastAPI:
    """The application, with that provider."""
    return app_of(database, clock, idp.provider())


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[Browser]:
    """A browser."""
    async with client_of(app) as opened:
        yield Browser(opened)


async def invite(database: Database, tenant: Tenant, email: str) -> str:
    """Return the token of an invitation."""
    token = keys.new_key(keys.INVITATION)
    offer = {"email": email, "role": "operator", "invited_by": "ann"}
    times = {"created_us": NOW - HOUR, "expires_us": NOW + 24 * HOUR}
    async with database.write(Scope(tenant.company)) as session:
        seeder = Seeder(session, tenant)
        await seeder.put(Invitation, digest=token.digest, **offer, **times, **seeder.own)
    return token.plain


async def count(database: Database, table: Any, tenant: Tenant | None = None) -> int:
    """Return the number of rows of a table, of a company where it has one."""
    statement = select(func.count()).select_from(table)
    if tenant is not None:
        statement = statement.where(table.company_id == tenant.company)
    async with database.read(Scope(tenant.company) if tenant else None) as session:
        return (await session.execute(statement)).scalar_one()


async def me(browser: Browser, answer: httpx.Response) -> dict[str, Any]:
    """Return who tokens belong to."""
    assert answer.status_code == 200, answer.text
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    found = await browser.api.get("/v1/me", headers=bearer)
    said: dict[str, Any] = found.json()
    return said


async def test_an_invitation_binds_the_first_log_in(
    acme: Tenant, browser: Browser, idp: Idp, database: Database
) -> None:
    """The second is known by issuer and subject, whatever address and name it has by then."""
    token = await invite(database, acme, "zoe@acme.example")
    answer = await browser.log_in(invitation=token)
    first = await me(browser, answer)
    assert (first["name"], first["company"]["slug"]) == ("zoe@acme.example", "acme")
    assert "no-store" in answer.headers["cache-control"]
    assert answer.json()["refresh_token"]
    idp.user |= {"email": "other@acme.example", "name": "Other"}
    again = await me(browser, await browser.log_in())
    assert again["session"] != first["session"]
    assert again["name"] == "zoe@acme.example"
    assert (await browser.start(invitation=token)).status_code == 400  # accepted once
    mine = AuditRow.company_id == acme.company
    query = select(AuditRow.action, AuditRow.body).where(mine).order_by(AuditRow.n)
    async with database.read(Scope(acme.company)) as session:
        rows = (await session.execute(query)).all()
    acts = ["user.join", "user.link", "session.begin", "session.begin"]
    assert [row.action for row in rows] == acts
    assert json.loads(rows[2].body)["after"] == {"by": "oidc:acme"}
    assert await count(database, OidcFlow) == 0


@ONE_ENGINE
async def test_an_address_is_nobody(
    acme: Tenant, browser: Browser, idp: Idp, database: Database
) -> None:
    """Whoever the provider gives the address of a user is not that user, invited or not."""
    idp.user = {"sub": "mallory", "email": acme.email, "email_verified": True, "name": "Ann"}
    answer = await browser.log_in()
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    offered = await invite(database, acme, acme.email)
    assert (await browser.log_in(invitation=offered)).status_code == 400
    assert await count(database, OidcIdentity) == 1  # what the user of the tests has elsewhere
    mine = await invite(database, acme, "mallory@new.example")
    said = await me(browser, await browser.log_in(invitation=mine))
    assert said["name"] == "mallory@new.example"
    other = await invite(database, acme, "somebody@else.example")
    assert (await browser.log_in(invitation=other)).status_code == 400


def _unsigned(idp: Idp, claims: dict[str, Any], algorithm: str = "none") -> str:
    parts = ({"alg": algorithm, "kid": idp.kid}, claims)
    return ".".join(_part(json.dumps(one)) for one in parts) + "."


def _part(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _by_public_key(idp: Idp, claims: dict[str, Any], secret: bytes) -> str:
    signed = ".".join(_part(json.dumps(one)) for one in ({"alg": "HS256", "kid": idp.kid}, claims))
    made = hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


def _by_another(idp: Idp, claims: dict[str, Any], kid: str, **header: Any) -> str:
    key = rsa.generate_private_key(65537, 2048)
    return jwt.encode(claims, key, "RS256", headers={"kid": kid} | header)


def _twice(idp: Idp, claims: dict[str, Any]) -> str:
    text = json.dumps(claims)[:-1] + ', "sub": "u-2"}'
    signed = f"{_part(json.dumps({'alg': 'RS256', 'kid': idp.kid}))}.{_part(text)}"
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(
        signed.encode(), idp.rsa
    )
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def forgeries(idp: Idp) -> dict[str, Any]:
    """Return what a provider, or somebody between, may answer in place of a good token."""
    now = idp.clock.now_us() // 1_000_000
    pem = idp.rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    changes: dict[str, dict[str, Any]] = {
        "another issuer": {"iss": "https://evil.example"},
        "issuer with a slash": {"iss": f"{idp.issuer}/"},
        "for somebody else": {"aud": "another client"},
        "for others too": {"aud": [CLIENT, "another client"]},
        "for nobody": {"aud": []},
        "given to another": {"azp": "another client"},
        "expired": {"exp": now - 60},
        "expiry as text": {"exp": str(now + 300)},
        "expiry is true": {"exp": True},
        "of tomorrow": {"iat": now + 86_400, "exp": now + 90_000},
        "of yesterday": {"iat": now - 86_400},
        "not yet": {"nbf": now + 600},
        "another nonce": {"nonce": "AAAA"},
        "no nonce": {"nonce": None},
        "nonce as a list": {"nonce": ["x"]},
        "no subject": {"sub": None},
        "empty subject": {"sub": ""},
        "subject as a number": {"sub": 1},
        "subject with a NUL": {"sub": "u-1\0"},
        "endless subject": {"sub": "u" * 300},
    }
    found: dict[str, Any] = {
        name: lambda claims, change=change: {
            key: value for key, value in (claims | change).items() if value is not None
        }
        for name, change in changes.items()
    }
    for gone in ("iss", "aud", "exp", "iat"):
        found[f"without {gone}"] = lambda claims, gone=gone: {
            key: value for key, value in claims.items() if key != gone
        }
    return found | {
        "alg none": lambda claims: _unsigned(idp, claims),
        "alg None": lambda claims: _unsigned(idp, claims, "None"),
        "alg RS256, unsigned": lambda claims: _unsigned(idp, claims, "RS256"),
        "HS256 by the public key": lambda claims: _by_public_key(idp, claims, pem),
        "HS256 by the client's secret": lambda claims: _by_public_key(idp, claims, SECRET.encode()),
        "another's key, this name": lambda claims: _by_another(idp, claims, idp.kid),
        "another's key and name": lambda claims: _by_another(idp, claims, "k9"),
        "key in the header": lambda claims: _by_another(
            idp, claims, "k9", jwk=json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(idp.rsa))
        ),
        "key elsewhere": lambda claims: _by_another(
            idp, claims, "k9", jku="https://evil.example/keys"
        ),
        "key of another algorithm": lambda claims: idp.sign(claims, kid="e1"),
        "RS384": lambda claims: jwt.encode(claims, idp.rsa, "RS384", headers={"kid": idp.kid}),
        "PS256": lambda claims: jwt.encode(claims, idp.rsa, "PS256", headers={"kid": idp.kid}),
        "an access token": lambda claims: idp.sign(claims, typ="at+jwt"),
        "a log-out": lambda claims: idp.sign(claims, typ="logout+jwt"),
        "critical": lambda claims: idp.sign(claims, crit=["x"], x=1),
        "says a thing twice": lambda claims: _twice(idp, claims),
        "changed on the way": lambda claims: idp.sign(claims).rpartition(".")[0] + "." + "A" * 342,
        "no token": lambda _: "x.y.z",
        "nothing": lambda _: "",
        "two parts": lambda claims: idp.sign(claims).rpartition(".")[0],
        "a list": lambda _: f"{_part(json.dumps({'alg': 'RS256'}))}.{_part('[]')}.AAAA",
        "endless": lambda claims: idp.sign(claims | {"x": "x" * 20_000}),
        "not ASCII": lambda _: "é.é.é",
    }


@ONE_ENGINE
async def test_no_forged_token_logs_anybody_in(
    acme: Tenant, browser: Browser, idp: Idp, database: Database, clock: Stopped
) -> None:
    """Each of nearly fifty gets 400 and begins no session; the good one that follows does."""
    await me(browser, await browser.log_in(invitation=await invite(database, acme, "u@x.example")))
    before = await count(database, UserSession, acme)
    forged = forgeries(idp)
    assert len(forged) >= 45
    for name, spoil in forged.items():
        idp.spoil = spoil
        answer = await browser.log_in()
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant"), name
        assert "believed" in answer.text or "code" in answer.text, name
    assert await count(database, UserSession, acme) == before
    assert idp.asked.count("keys") <= 2  # a stranger's key name costs no question each time
    idp.spoil = lambda claims: claims | {"aud": [CLIENT], "azp": CLIENT, "nbf": claims["iat"]}
    await me(browser, await browser.log_in())


async def test_an_answer_comes_back_once(
    acme: Tenant, browser: Browser, idp: Idp, database: Database
) -> None:
    """Ten times at once, one is taken; another time, and with a fresh state, its code is not."""
    token = await invite(database, acme, "zoe@acme.example")
    path = await browser.away(invitation=token)
    answers = await asyncio.gather(*(browser.finish(path) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
    assert (await browser.finish(path)).status_code == 400
    assert len(idp.redeemed) == 1
    code = httpx.URL(path).params["code"]
    fresh = httpx.URL(await browser.away())
    again = fresh.copy_set_param("code", code)
    assert (await browser.finish(str(again))).status_code == 400


@ONE_ENGINE
async def test_an_answer_belongs_to_the_browser_that_began(
    *, app: FastAPI, acme: Tenant, browser: Browser, idp: Idp, database: Database, clock: Stopped
) -> None:
    """Without its cookie, its state or its time it is nothing; nor is another's code in it."""
    await browser.log_in(invitation=await invite(database, acme, "zoe@acme.example"))
    sessions = await count(database, UserSession, acme)
    path = httpx.URL(await browser.away())
    own = browser.cookie
    other = keys.new_key().plain
    for cookie in ("", other, "x" * 5000, "\x7f"):
        assert (await browser.finish(str(path), cookie=cookie)).status_code in {400, 431}
    for state in ("", "x", "é", path.params["state"][:-1], other):
        there = str(path.copy_set_param("state", state))
        assert (await browser.finish(there, cookie=own)).status_code == 400
    twice = f"{path}&state={path.params['state']}"
    assert (await browser.finish(twice, cookie=own)).status_code == 400
    gone = str(path.copy_remove_param("state"))
    assert (await browser.finish(gone, cookie=own)).status_code == 400
    # Somebody's own log-in with the code of another: its verifier is not the one it was made for.
    async with client_of(app) as opened:
        thief = Browser(opened)
        begun = httpx.URL(await thief.away())
        stolen = str(begun.copy_set_param("code", path.params["code"]))
        assert (await thief.finish(stolen)).status_code == 400
    late = await browser.away()
    clock.now += 10 * MINUTE
    assert (await browser.finish(late)).status_code == 400
    assert await count(database, UserSession, acme) == sessions


@ONE_ENGINE
async def test_issuers_are_not_mixed_up(
    database: Database, clock: Stopped, idp: Idp, acme: Tenant
) -> None:
    """An answer that comes by another's way, or names another, is refused before its code is used."""
    async with serving(clock) as evil:
        app = app_of(database, clock, idp.provider(), evil.provider("evil"))
        async with client_of(app) as opened:
            honest, lured = Browser(opened), Browser(opened, "evil")
            await honest.log_in(invitation=await invite(database, acme, "zoe@acme.example"))
            path = httpx.URL(await honest.away())
            moved = str(path).replace("/acme/", "/evil/")
            assert (await honest.finish(moved)).status_code == 400
            path = httpx.URL(await honest.away())
            named = str(path.copy_set_param("iss", evil.issuer))
            assert (await honest.finish(named)).status_code == 400
            path = httpx.URL(await honest.away())
            unnamed = str(path.copy_remove_param("iss"))  # which it says that it always is
            assert (await honest.finish(unnamed)).status_code == 400
            # Lured to begin at `evil`, which sends the browser on to the honest one with what is ours.
            evil.discovery["authorization_endpoint"] = f"{idp.issuer}/authorize"
            path = httpx.URL(await lured.away())
            assert path.params["iss"] == idp.issuer
            assert (await lured.finish(str(path))).status_code == 400
            # The same subject at another issuer is somebody else.
            evil.discovery.clear()
            clock.now += HOUR
            assert (await lured.log_in()).status_code == 400
        assert len(evil.redeemed) == 1
        assert path.params["code"] not in evil.redeemed


@ONE_ENGINE
async def test_an_issuer_that_does_not_name_itself(
    acme: Tenant, browser: Browser, idp: Idp, database: Database
) -> None:
    """Where it does not promise to, a log-in goes by the redirect address alone; ES256 will do."""
    idp.names_itself, idp.algorithm, idp.kid = False, "ES256", "e7"
    token = await invite(database, acme, "zoe@acme.example")
    assert (await me(browser, await browser.log_in(invitation=token)))["kind"] == "user"


@ONE_ENGINE
async def test_keys_are_remembered_and_renewed(
    acme: Tenant, browser: Browser, idp: Idp, database: Database, clock: Stopped
) -> None:
    """They are asked for once; a new one is taken when it signs, and no oftener than twice a minute."""
    await browser.log_in(invitation=await invite(database, acme, "zoe@acme.example"))
    await me(browser, await browser.log_in())
    assert idp.asked == ["configuration", "keys"]
    idp.rsa, idp.kid = rsa.generate_private_key(65537, 2048), "r2"
    assert (await browser.log_in()).status_code == 400
    clock.now += MINUTE
    await me(browser, await browser.log_in())
    assert idp.asked.count("keys") == 2
    clock.now += HOUR
    await me(browser, await browser.log_in())
    assert idp.asked.count("configuration") == 2


@ONE_ENGINE
async def test_a_provider_in_trouble(
    acme: Tenant, browser: Browser, idp: Idp, database: Database, clock: Stopped
) -> None:
    """It is said that it is in trouble, not what it answered; another's document is not believed."""
    wrong: list[dict[str, Any]] = [
        {"issuer": "https://evil.example"},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": 7},
    ]
    for discovery in wrong:
        idp.discovery = discovery
        answer = await browser.start()
        assert (answer.status_code, answer.json()["code"]) == (502, "identity_provider")
        assert "evil" not in answer.text
    idp.discovery, idp.status = {}, 500
    assert (await browser.start()).status_code == 502
    idp.status = 200
    path = await browser.away()
    idp.status = 503  # its keys
    idp.discovery = {}
    assert (await browser.finish(path)).status_code in {400, 502}
    assert (await browser.api.get("/oauth/oidc/nobody/start")).status_code == 404
    assert (await browser.api.get("/oauth/oidc/nobody/callback")).status_code == 404
    refused = httpx.URL(await browser.away()).copy_remove_param("code")
    answer = await browser.finish(str(refused.copy_set_param("error", "access_denied\0")))
    assert answer.status_code == 400
    assert "access_denied" in answer.json()["detail"]


@ONE_ENGINE
async def test_linking_an_account_one_has(
    *, app: FastAPI, acme: Tenant, rival: Tenant, browser: Browser, idp: Idp, database: Database
) -> None:
    """It takes the password; one log-in leads to one account; the only way in stays."""
    bearer = await _by_password(browser, acme)
    body = {"provider": "acme", "password": PASSWORD}
    wrong = await browser.api.post(
        "/v1/me/identities", json=body | {"password": "no"}, headers=bearer
    )
    assert wrong.status_code == 400
    begun = await browser.api.post("/v1/me/identities", json=body, headers=bearer)
    browser._keep(begun)
    path = await browser.come_back(begun.json()["url"])
    async with client_of(app) as opened:  # the link sent to somebody else
        assert (await Browser(opened).finish(path)).status_code == 400
    assert (await me(browser, await browser.finish(path)))["name"] == acme.email
    assert (await me(browser, await browser.log_in()))["name"] == acme.email
    listed = (await browser.api.get("/v1/me/identities", headers=bearer)).json()
    assert listed["providers"] == [{"name": "acme", "title": "acme"}]
    link = listed["items"][-1]
    assert [one["provider"] for one in listed["items"]] == [None, "acme"]
    assert (link["provider"], link["issuer"]) == ("acme", idp.issuer)
    others = await _by_password(browser, rival)
    begun = await browser.api.post("/v1/me/identities", json=body, headers=others)
    browser._keep(begun)
    taken = await browser.finish(await browser.come_back(begun.json()["url"]))
    assert (taken.status_code, "another account" in taken.text) == (400, True)
    place = f"/v1/me/identities/{link['id']}"
    assert (await browser.api.delete(place, headers=others)).status_code == 404
    async with database.write(None) as session:
        await session.execute(update(User).where(User.id == acme.user).values(password=""))
    assert (await browser.api.delete(place, headers=bearer)).status_code == 409
    async with database.write(None) as session:
        await session.execute(update(User).where(User.id == acme.user).values(password="x"))
    assert (await browser.api.delete(place, headers=bearer)).status_code == 200
    assert (await browser.log_in()).status_code == 400
    assert (await browser.api.get("/v1/me/identities", headers=acme.headers)).status_code == 403


async def _by_password(browser: Browser, tenant: Tenant) -> dict[str, str]:
    form = {"grant_type": "password", "username": tenant.email, "password": PASSWORD}
    answer = await browser.api.post("/oauth/token", data=form)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@ONE_ENGINE
async def test_a_companys_own_provider_leads_to_no_other(
    database: Database, clock: Stopped, idp: Idp, acme: Tenant, rival: Tenant
) -> None:
    """Whoever runs it can be anybody it knows: at that company, and at no other of the user's."""
    app = app_of(database, clock, idp.provider(companies=("acme",), auth="post"))
    async with client_of(app) as opened:
        browser = Browser(opened)
        foreign = await invite(database, rival, "zoe@rival.example")
        answer = await browser.log_in(invitation=foreign)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        await browser.log_in(invitation=await invite(database, acme, "zoe@acme.example"))
        async with database.write(None) as session:
            zoe = select(User.id).where(User.email == "zoe@acme.example")
            user = (await session.execute(zoe)).scalar_one()
        async with database.write(Scope(rival.company)) as session:
            seeder = Seeder(session, rival)
            await seeder.put(Membership, user_id=user, role="viewer", created_us=NOW, **seeder.own)
        assert (await browser.log_in(company="rival")).status_code == 400
        said = await me(browser, await browser.log_in())
        assert said["company"]["slug"] == "acme"
        async with database.write(None) as session:
            await session.execute(update(User).where(User.id == user).values(disabled_us=NOW))
        assert (await browser.log_in()).status_code == 400


@ONE_ENGINE
async def test_beginning_costs_little(
    database: Database, clock: Stopped, idp: Idp, acme: Tenant
) -> None:
    """However many begin, no more are kept than the settings say; what has run out goes."""
    oidc = OidcSettings(url="http://api", providers=(idp.provider(),), most_open=10)
    app = create_app(
        SETTINGS.model_copy(update={"oidc": oidc, "outbound": INSIDE}), database, clock=clock
    )
    async with client_of(app) as opened:
        browser = Browser(opened)
        for _ in range(15):
            clock.now += 1
            await browser.start()
        assert await count(database, OidcFlow) == 10
        clock.now += HOUR
        last = await browser.start(invitation="")
        assert await count(database, OidcFlow) == 1
        assert (await browser.start(invitation="inv_none")).status_code == 400
        assert last.headers["set-cookie"].count("HttpOnly") == 1
        assert "SameSite=lax" in last.headers["set-cookie"]


def test_settings_say_what_is_wrong() -> None:
    """Two providers never share an issuer or a way back; https gets a cookie of its own host."""
    one = {"name": "a", "issuer": "https://a.example", "client_id": "x"}
    wrong: list[dict[str, Any]] = [
        {"providers": [one]},
        {"url": "https://p", "providers": [one, one | {"name": "b"}]},
        {"url": "https://p", "providers": [one, one | {"issuer": "https://b.example"}]},
        {
            "providers": [
                one | {"redirect": "https://ui"},
                {"name": "b", "issuer": "https://b.example", "client_id": "x"}
                | {"redirect": "https://ui"},
            ]
        },
        {"url": "https://p", "providers": [one | {"issuer": "ftp://a.example"}]},
        {"url": "https://p", "providers": [one | {"issuer": "https://a.example?x"}]},
        {"url": "https://p", "providers": [one | {"scopes": ["email"]}]},
        {"url": "https://p", "providers": [one | {"algorithms": ["none"]}]},
        {"url": "https://p", "providers": [one | {"algorithms": ["HS256"]}]},
    ]
    for said in wrong:
        with pytest.raises(ValidationError):
            OidcSettings.model_validate(said)
    good = OidcSettings.model_validate({"url": "https://p/", "providers": [one]})
    assert good.redirect_of(good.providers[0]) == "https://p/oauth/oidc/a/callback"
