"""How one gets tokens, keeps them, and loses them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from plantroom_cloud.db import Database
from plantroom_cloud.identity import passwords
from plantroom_cloud.identity.backoff import Backoff, _network, wait_of
from plantroom_cloud.identity.oauth import INVITATION
from plantroom_cloud.tables import LoginBackoff, Membership, RefreshToken, User, UserSession
from support.api_world import HOUR, MINUTE, NOW, ONE_ENGINE, PASSWORD, Stopped, Tenant, client_of
from support.scope_watch import watching
from support.servers import as_owner

DAY = 24 * HOUR
Grant = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def grant(anonymous: httpx.AsyncClient) -> Grant:
    """Ask for tokens."""

    async def ask(kind: str, **form: str) -> httpx.Response:
        return await anonymous.post("/oauth/token", data={"grant_type": kind} | form)

    return ask


def _bearer(issued: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {issued['access_token']}"}


async def _me(client: httpx.AsyncClient, issued: dict[str, Any]) -> httpx.Response:
    return await client.get("/v1/me", headers=_bearer(issued))


async def _log_in(grant: Grant, tenant: Tenant, **form: str) -> dict[str, Any]:
    answer = await grant("password", username=tenant.email, password=PASSWORD, **form)
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def test_a_log_in_from_beginning_to_end(
    api: FastAPI, acme: Tenant, anonymous: httpx.AsyncClient, grant: Grant, clock: Stopped
) -> None:
    """Password, token, who am I, refresh, the sessions, log out: then nothing opens any more."""
    issued = await _log_in(grant, acme)
    assert (issued["token_type"], issued["expires_in"]) == ("Bearer", 600)
    me = (await _me(anonymous, issued)).json()
    assert (me["kind"], me["name"], me["company"]["slug"]) == ("user", acme.email, "acme")
    assert issued["scope"].split() == me["permissions"]
    assert me["memberships"] == [{"company": "acme", "name": "Acme", "role": "company_admin"}]
    clock.now += 9 * MINUTE
    again = (await grant("refresh_token", refresh_token=issued["refresh_token"])).json()
    assert again["refresh_token"] != issued["refresh_token"]
    clock.now += 2 * MINUTE
    assert (await _me(anonymous, issued)).status_code == 401
    listed = await anonymous.get("/v1/me/sessions", headers=_bearer(again))
    newest = listed.json()["items"][0]
    assert newest["current"]
    assert newest["agent"].startswith("python-httpx")
    assert (newest["id"], len(listed.json()["items"])) == (me["session"], 2)
    assert (await anonymous.post("/v1/me/logout", headers=_bearer(again))).status_code == 200
    assert (await _me(anonymous, again)).status_code == 401
    over = await grant("refresh_token", refresh_token=again["refresh_token"])
    assert (over.status_code, over.json()["error"]) == (400, "invalid_grant")


async def test_a_refresh_token_that_comes_again_ends_the_session(
    acme: Tenant, anonymous: httpx.AsyncClient, grant: Grant, database: Database
) -> None:
    """Thief and owner both lose; sent ten times at once, a token is good at most once."""
    first = await _log_in(grant, acme)
    second = (await grant("refresh_token", refresh_token=first["refresh_token"])).json()
    stolen = await grant("refresh_token", refresh_token=first["refresh_token"])
    assert stolen.status_code == 400
    assert (await _me(anonymous, second)).status_code == 401
    other = await grant("refresh_token", refresh_token=second["refresh_token"])
    assert other.status_code == 400
    async with as_owner(database).read() as session:
        ended = select(UserSession.ended_by).where(UserSession.ended_us.is_not(None))
        assert list((await session.execute(ended)).scalars()) == ["reuse"]
    third = await _log_in(grant, acme)
    form = {"refresh_token": third["refresh_token"]}
    answers = await asyncio.gather(*(grant("refresh_token", **form) for _ in range(10)))
    assert sum(answer.status_code == 200 for answer in answers) <= 1
    assert (await _me(anonymous, third)).status_code == 401


async def test_sessions_end_by_themselves(
    acme: Tenant, grant: Grant, clock: Stopped, database: Database
) -> None:
    """After a week without a refresh, and after thirty days with as many as one likes."""
    idle = await _log_in(grant, acme)
    clock.now += 7 * DAY
    answer = await grant("refresh_token", refresh_token=idle["refresh_token"])
    assert answer.status_code == 400
    busy = await _log_in(grant, acme)
    began = clock.now
    while (
        answer := await grant("refresh_token", refresh_token=busy["refresh_token"])
    ).status_code == 200:
        busy = answer.json()
        clock.now += 6 * DAY
    assert clock.now - began == 30 * DAY
    clock.now += 61 * DAY
    await _log_in(grant, acme)
    async with as_owner(database).read() as session:
        mine = select(func.count()).select_from(UserSession)
        mine = mine.where(UserSession.user_id == acme.user)
        left = (await session.execute(mine)).scalar_one()
        tokens = (await session.execute(select(func.count(RefreshToken.id)))).scalar_one()
    assert (left, tokens) == (1, 1)


@ONE_ENGINE
async def test_wrong_passwords_tell_nothing(acme: Tenant, grant: Grant) -> None:
    """An unknown address, a wrong password and nonsense get the same answer."""
    tries = [("nobody@acme.example", PASSWORD), (acme.email, "wrong horse battery"), ("", "")]
    tries += [(acme.email, ""), (acme.email, "x" * 900), (f"{acme.email}\0", PASSWORD), ("@", "x")]
    told = set()
    for number, (name, word) in enumerate(tries):
        answer = await grant("password", username=name, password=word)
        assert answer.status_code == 400, number
        told.add((answer.json()["error"], answer.json()["detail"]))
    assert len(told) == 1
    assert (await grant("password", username=acme.email.upper(), password=PASSWORD)).is_success


async def test_guessing_gets_slower(
    acme: Tenant, grant: Grant, clock: Stopped, database: Database
) -> None:
    """Five tries are free, then one waits 2, 4, 8 s ...; a thousand at once are a thousand tries."""
    wrong = {"username": acme.email, "password": "wrong horse battery"}
    answers = await asyncio.gather(*(grant("password", **wrong) for _ in range(12)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [400] * 5 + [429] * 7
    slow = next(answer for answer in answers if answer.status_code == 429)
    assert int(slow.headers["retry-after"]) >= 1
    assert slow.json()["error"] == "slow_down"
    right = {"username": acme.email, "password": PASSWORD}
    assert (await grant("password", **right)).status_code == 429
    clock.now += 2_000_000
    assert (await grant("password", **right)).status_code == 200
    assert (await grant("password", **wrong)).status_code == 400
    async with as_owner(database).read() as session:
        kept = (await session.execute(select(LoginBackoff.key))).scalars().all()
    assert not any("@" in key or "127" in key for key in kept)


async def test_an_office_behind_one_address_is_no_attack(database: Database) -> None:
    """Log-ins that succeed cost their address nothing, however many there are."""
    for number in range(40):
        async with as_owner(database).write() as session:
            tries = Backoff(session, f"{number}@acme.example", "192.0.2.1")
            assert await tries.enter(NOW) == 0
        async with as_owner(database).write() as session:
            await Backoff(session, f"{number}@acme.example", "192.0.2.1").succeeded(NOW)
    async with as_owner(database).read() as session:
        left = (await session.execute(select(LoginBackoff.failures))).scalars().all()
    assert list(left) == [0]


def test_a_network_of_ipv6_is_one_address() -> None:
    """Who has one address of a network has all of them."""
    assert _network("2001:db8::1") == _network("2001:db8::ffff:2") == "2001:db8::/64"
    assert _network("192.0.2.1") == "192.0.2.1"
    assert _network("testclient") == "testclient"


def test_the_waits() -> None:
    """They double up to their most; before, nothing waits."""
    assert [wait_of(n, 5, 900) for n in range(4, 9)] == [0, 1, 2, 4, 8]
    assert wait_of(1000, 5, 900) == 900
    assert wait_of(1000, 50, 60) == 60


@ONE_ENGINE
async def test_a_program_gets_tokens(
    acme: Tenant, anonymous: httpx.AsyncClient, grant: Grant
) -> None:
    """A service account by form or header; it has no refresh token and no session."""
    made = await anonymous.post(
        "/v1/service-accounts",
        json={"name": "reports", "scopes": ["operator", "site:write"]},
        headers=acme.headers,
    )
    client = made.json()
    form = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    issued = (await grant("client_credentials", **form)).json()
    assert "refresh_token" not in issued
    me = (await _me(anonymous, issued)).json()
    assert (me["kind"], me["name"], me["session"], me["memberships"]) == (
        "service", "reports", None, [],
    )  # fmt: skip
    assert {"alarm:write", "site:write"} <= set(me["permissions"])
    pair = base64.b64encode(":".join(form.values()).encode()).decode()
    headers = {"Authorization": f"Basic {pair}"}
    body = {"grant_type": "client_credentials", "scope": "site:read"}
    narrow = (await anonymous.post("/oauth/token", data=body, headers=headers)).json()
    assert narrow["scope"] == "site:read"
    assert (await _me(anonymous, narrow)).json()["permissions"] == ["own:write", "site:read"]
    assert (await anonymous.get("/v1/points", headers=_bearer(narrow))).status_code == 403
    mine = await anonymous.get("/v1/me/sessions", headers=_bearer(issued))
    assert mine.status_code == 403
    for wrong in ({"client_secret": "ss_x"}, {"client_id": "sa_x"}, {"client_id": "\0"}):
        answer = await grant("client_credentials", **form | wrong)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic")
    replaced = await anonymous.post(
        f"/v1/service-accounts/{client['id']}/secret", headers=acme.headers
    )
    assert (await _me(anonymous, issued)).status_code == 401
    assert (await grant("client_credentials", **form)).status_code == 401
    form["client_secret"] = replaced.json()["client_secret"]
    assert (await grant("client_credentials", **form)).status_code == 200


@ONE_ENGINE
async def test_a_token_can_be_narrowed_and_stays_so(
    acme: Tenant, anonymous: httpx.AsyncClient, grant: Grant
) -> None:
    """A session that began with a scope never gets more, whatever is asked for later."""
    issued = await _log_in(grant, acme, scope="viewer")
    assert "user:read" not in issued["scope"]
    again = (await grant("refresh_token", refresh_token=issued["refresh_token"], scope="")).json()
    assert again["scope"] == issued["scope"]
    assert (await anonymous.get("/v1/users", headers=_bearer(again))).status_code == 403
    assert (await anonymous.get("/v1/sites", headers=_bearer(again))).status_code == 200
    answer = await grant("password", username=acme.email, password=PASSWORD, scope="emperor")
    assert answer.json()["error"] == "invalid_scope"


@ONE_ENGINE
async def test_what_is_no_grant(acme: Tenant, grant: Grant, anonymous: httpx.AsyncClient) -> None:
    """Other ways are named as unknown; a body of another kind is no request."""
    answer = await grant("authorization_code", code="x")
    assert answer.json()["error"] == "unsupported_grant_type"
    assert (await anonymous.post("/oauth/token", json={"grant_type": "x"})).status_code == 422
    assert (await grant("refresh_token")).status_code == 400
    assert (await grant(INVITATION, token="inv_x", password=PASSWORD)).status_code == 400
    assert (await anonymous.get("/oauth/token")).status_code == 405


async def test_an_invitation_makes_a_member(
    acme: Tenant, rival: Tenant, anonymous: httpx.AsyncClient, grant: Grant, clock: Stopped
) -> None:
    """Whoever has the token signs up once; who is a user already joins with the password it has."""
    asked = {"email": "Zoe@New.example", "role": "engineer"}
    made = await anonymous.post("/v1/invitations", json=asked, headers=acme.headers)
    token = made.json()["token"]
    assert made.json()["email"] == "zoe@new.example"
    weak = await grant(INVITATION, token=token, password="short")
    assert (weak.status_code, weak.json()["error"]) == (400, "invalid_request")
    joined = await grant(INVITATION, token=token, password="zoe has a horse", name="Zoe")
    assert joined.status_code == 200, joined.text
    me = (await _me(anonymous, joined.json())).json()
    assert (me["name"], me["company"]["slug"]) == ("zoe@new.example", "acme")
    assert (await grant(INVITATION, token=token, password="zoe has a horse")).status_code == 400
    # The other company invites the same person.
    made = await anonymous.post("/v1/invitations", json=asked, headers=rival.headers)
    token = made.json()["token"]
    assert (await grant(INVITATION, token=token, password="another password")).status_code == 400
    joined = await grant(INVITATION, token=token, password="zoe has a horse")
    assert (await _me(anonymous, joined.json())).json()["company"]["slug"] == "rival"
    both = {"username": "zoe@new.example", "password": "zoe has a horse"}
    unsure = await grant("password", **both)
    assert "acme, rival" in unsure.json()["detail"]
    chosen = await grant("password", **both, company="rival")
    assert (await _me(anonymous, chosen.json())).json()["company"]["slug"] == "rival"
    assert (await grant("password", **both, company="none")).status_code == 400


@ONE_ENGINE
async def test_an_invitation_ends(
    acme: Tenant, anonymous: httpx.AsyncClient, grant: Grant, clock: Stopped
) -> None:
    """Taken back or a week old it is good for nothing; two at once have one winner."""
    asked = {"email": "zoe@new.example", "role": "viewer"}
    first, second, third = [
        (await anonymous.post("/v1/invitations", json=asked, headers=acme.headers)).json()
        for _ in range(3)
    ]
    await anonymous.delete(f"/v1/invitations/{first['id']}", headers=acme.headers)
    form = {"password": "zoe has a horse"}
    assert (await grant(INVITATION, token=first["token"], **form)).status_code == 400
    answers = await asyncio.gather(
        *(grant(INVITATION, token=second["token"], **form) for _ in range(6))
    )
    assert sum(answer.status_code == 200 for answer in answers) == 1
    gone = await anonymous.delete(f"/v1/invitations/{second['id']}", headers=acme.headers)
    assert gone.status_code == 409
    clock.now += 7 * DAY
    assert (await grant(INVITATION, token=third["token"], **form)).status_code == 400


async def test_a_changed_password_ends_every_session(
    acme: Tenant, anonymous: httpx.AsyncClient, grant: Grant
) -> None:
    """The current password is asked for; the new one must do; then all log in again."""
    one, two = await _log_in(grant, acme), await _log_in(grant, acme)
    new = "staple battery horse"
    for asked, code in (
        ({"current": "wrong horse battery", "new": new}, 400),
        ({"current": PASSWORD, "new": "short"}, 422),
        ({"current": PASSWORD, "new": new, "role": "company_admin"}, 422),
        ({"current": PASSWORD, "new": new}, 200),
    ):
        answer = await anonymous.post("/v1/me/password", json=asked, headers=_bearer(one))
        assert answer.status_code == code, answer.text
    assert (await _me(anonymous, one)).status_code == 401
    assert (await _me(anonymous, two)).status_code == 401
    old = await grant("refresh_token", refresh_token=two["refresh_token"])
    assert old.status_code == 400
    assert not (await grant("password", username=acme.email, password=PASSWORD)).is_success


@ONE_ENGINE
async def test_who_is_shut_out_gets_no_token(
    acme: Tenant, grant: Grant, database: Database
) -> None:
    """A disabled user and a member who was shut out are told no more than a wrong password is."""
    for change in (
        update(Membership).where(Membership.user_id == acme.user).values(disabled_us=NOW),
        update(User).where(User.id == acme.user).values(disabled_us=NOW),
    ):
        async with as_owner(database).write() as session:
            await session.execute(change)
        answer = await grant("password", username=acme.email, password=PASSWORD)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@ONE_ENGINE
async def test_keys_for_others_to_check_by(
    api: FastAPI, acme: Tenant, anonymous: httpx.AsyncClient, grant: Grant, clock: Stopped
) -> None:
    """A token can be checked with what is published; keys take turns, each known before it signs."""

    async def published() -> dict[str, Any]:
        answer = await anonymous.get("/.well-known/jwks.json")
        assert set(answer.json()["keys"][0]) == {"kid", "use", "alg", "kty", "n", "e"}
        return {key["kid"]: key for key in answer.json()["keys"]}

    issued = await _log_in(grant, acme)
    token = issued["access_token"]
    first = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWK((await published())[first])
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    said = jwt.decode(token, key, ["RS256"], audience="plantroom:api", options=options)  # type: ignore[arg-type] # the stub knows fewer
    assert said["company"] == acme.company
    assert "role" not in said
    clock.now += 29 * DAY - HOUR  # the key is a day old
    refreshed = await _log_in(grant, acme)
    kids = await published()
    assert len(kids) == 2
    assert jwt.get_unverified_header(refreshed["access_token"])["kid"] == first
    clock.now += HOUR - MINUTE
    before = await _log_in(grant, acme)
    clock.now += 2 * MINUTE
    after = await _log_in(grant, acme)
    assert jwt.get_unverified_header(after["access_token"])["kid"] == (set(kids) - {first}).pop()
    assert (await _me(anonymous, before)).status_code == 200
    assert (await _me(anonymous, after)).status_code == 200
    clock.now += 20 * MINUTE
    assert set(await published()) == set(kids) - {first}


@ONE_ENGINE
async def test_a_new_signing_key_voids_all_tokens(
    api: FastAPI, acme: Tenant, anonymous: httpx.AsyncClient, grant: Grant, clock: Stopped
) -> None:
    """For when the old one may be known to others: what it has signed opens nothing any more."""
    issued = await _log_in(grant, acme)
    await api.state.signing.replace()
    assert (await _me(anonymous, issued)).status_code == 401
    assert (await _me(anonymous, await _log_in(grant, acme))).status_code == 200


async def test_statements_of_the_token_endpoint_name_the_company(
    api: FastAPI, acme: Tenant, grant: Grant, database: Database, anonymous: httpx.AsyncClient
) -> None:
    """But for the look-ups that are listed, they too filter every table by one company."""
    asked = {"email": "zoe@new.example", "role": "viewer"}
    made = (await anonymous.post("/v1/invitations", json=asked, headers=acme.headers)).json()
    with watching(database) as watch:
        issued = await _log_in(grant, acme)
        again = await grant("refresh_token", refresh_token=issued["refresh_token"])
        await grant("refresh_token", refresh_token=issued["refresh_token"])
        form = {"client_id": "sa_acme", "client_secret": "ss_of the tests"}
        program = await grant("client_credentials", **form)
        joined = await grant(INVITATION, token=made["token"], password="zoe has a horse")
        for one in (again, program, joined):
            assert one.is_success
            await _me(anonymous, one.json())
    assert watch.statements > 30
    assert watch.escaped == []


@ONE_ENGINE
async def test_passwords_wait_beside_the_loop(api: FastAPI) -> None:
    """Those who come while too many wait are sent away; the others get their answer."""
    checker = passwords.Passwords(1)
    kept = await checker.hash("correct horse battery")
    asked = [checker.matches("correct horse battery", kept) for _ in range(20)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert done.count(True) == 16
    assert {getattr(one, "status", 200) for one in done} == {200, 503}
    assert not await checker.matches("correct horse battery", "")
    assert not await checker.matches("correct horse battery", "no hash at all")
    assert not passwords.outdated(kept)


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("short", "12 to 256"),
        ("x" * 300, "12 to 256"),
        ("aabbaabbaabb", "different"),
        ("ann@acme.example", "address"),
        ("passwordpassword", "first to be tried"),
        ("correct horse battery", ""),
    ],
)
def test_what_will_not_do_as_a_password(word: str, part: str) -> None:
    """Length above all; no rules about digits and signs."""
    weak = passwords.weakness(word, "ann@acme.example")
    assert part in weak
    assert bool(weak) == bool(part)


async def test_two_processes_agree_at_once(
    api: FastAPI, database: Database, clock: Stopped, grant: Grant, acme: Tenant
) -> None:
    """A second application on the same database takes tokens that the first has given out."""
    from support.api_world import make_app

    issued = await _log_in(grant, acme)
    async with client_of(make_app(database, clock)) as other:
        assert (await _me(other, issued)).status_code == 200
