"""Members, invitations, keys and service accounts at the API."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert, select, update

from plantroom_cloud.db import Database
from plantroom_cloud.identity.permissions import ROLES, Permission, granted, unknown
from plantroom_cloud.tables import ApiKey, Membership, User
from support.api_tokens import claims_of, fresh_session, signed, user_headers
from support.api_world import (
    HOUR,
    NOW,
    ONE_ENGINE,
    SETTINGS,
    Stopped,
    Tenant,
    client_of,
    make_app,
)
from support.servers import as_owner

DAY = 24 * HOUR


async def _bob(database: Database, tenant: Tenant) -> int:
    """Return the other administrator's id."""
    async with as_owner(database).read() as session:
        which = User.email == f"bob@{tenant.slug}.example"
        return (await session.execute(select(User.id).where(which))).scalar_one()


async def _headers(api: FastAPI, database: Database, tenant: Tenant, user: int) -> dict[str, str]:
    number = await fresh_session(database, tenant, user)
    token = await signed(api, claims_of(tenant, sub=f"user:{user}", sid=number))
    return {"Authorization": f"Bearer {token}"}


async def test_members_are_listed_changed_and_put_out(
    api: FastAPI, acme: Tenant, client: httpx.AsyncClient, database: Database
) -> None:
    """By pages; a change of role counts from the next request on; who is put out is out."""
    bob = await _bob(database, acme)
    headers = await _headers(api, database, acme, bob)
    first = (await client.get("/v1/users", params={"limit": 1})).json()
    rest = (await client.get("/v1/users", params={"after": first["next"]})).json()
    emails = [user["email"] for user in (*first["items"], *rest["items"])]
    assert emails == ["bob@acme.example", "ann@acme.example"]
    async with client_of(api, headers=headers) as his:
        assert (await his.get("/v1/users")).status_code == 200
        changed = await client.patch(f"/v1/users/{bob}", json={"role": "viewer"})
        assert changed.json()["role"] == "viewer"
        assert (await his.get("/v1/users")).status_code == 403
        assert (await his.get("/v1/sites")).status_code == 200
        await client.patch(f"/v1/users/{bob}", json={"disabled": True})
        assert (await his.get("/v1/sites")).status_code == 401
        await client.patch(f"/v1/users/{bob}", json={"disabled": False})
        assert (await his.get("/v1/sites")).status_code == 200
        listed = (await client.get(f"/v1/users/{bob}/sessions")).json()["items"]
        assert (len(listed), listed[0]["current"]) == (1, False)
        assert (await client.delete(f"/v1/users/{bob}/sessions")).json() == {"ended": 1}
        assert (await his.get("/v1/sites")).status_code == 401
    assert (await client.delete(f"/v1/users/{bob}")).status_code == 200
    assert (await client.get(f"/v1/users/{bob}")).status_code == 404
    assert (await client.get(f"/v1/users/{bob}/sessions")).status_code == 404


async def test_somebody_always_administers_the_company(
    acme: Tenant, client: httpx.AsyncClient, database: Database
) -> None:
    """The last administrator cannot go, whoever asks; two who put each other out do not both."""
    bob = await _bob(database, acme)
    answers = await asyncio.gather(
        client.patch(f"/v1/users/{bob}", json={"role": "viewer"}),
        client.patch(f"/v1/users/{acme.user}", json={"disabled": True}),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    left = acme.user if answers[0].status_code == 200 else bob
    for refused in (
        await client.delete(f"/v1/users/{left}"),
        await client.patch(f"/v1/users/{left}", json={"role": "engineer"}),
        await client.patch(f"/v1/users/{left}", json={"sites": [acme.site]}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


@ONE_ENGINE
async def test_nobody_gives_what_it_does_not_have(
    acme: Tenant, client: httpx.AsyncClient, api: FastAPI, database: Database
) -> None:
    """A key for users and keys alone makes no administrator, no better key, and unmakes none."""
    scopes = ["user:write", "user:read", "key:write", "key:read", "viewer"]
    made = await client.post("/v1/api-keys", json={"name": "clerk", "scopes": scopes})
    key = made.json()["key"]
    admin = {"email": "eve@evil.example", "role": "company_admin"}
    tries: list[tuple[str, str, Any]] = [
        ("POST", "/v1/invitations", admin),
        ("POST", "/v1/invitations", admin | {"role": "operator"}),
        ("PATCH", f"/v1/users/{acme.user}", {"role": "viewer"}),
        ("PATCH", f"/v1/users/{acme.user}", {"disabled": True}),
        ("DELETE", f"/v1/users/{acme.user}", None),
        ("POST", "/v1/api-keys", {"name": "x", "scopes": ["company_admin"]}),
        ("POST", "/v1/api-keys", {"name": "x", "scopes": ["viewer", "point:write"]}),
        ("PATCH", f"/v1/api-keys/{made.json()['id']}", {"scopes": ["engineer"]}),
        ("PATCH", f"/v1/api-keys/{acme.key_id}", {"name": "mine"}),
        ("POST", f"/v1/api-keys/{acme.key_id}/rotate", {}),
        ("DELETE", f"/v1/api-keys/{acme.key_id}", None),
        ("POST", "/v1/service-accounts", {"name": "x", "scopes": ["audit:read"]}),
    ]
    async with client_of(api, headers={"X-API-Key": key}) as clerk:
        for method, url, body in tries:
            answer = await clerk.request(method, url, json=body)
            assert answer.status_code == 403, (method, url, body, answer.text)
        fine = await clerk.post("/v1/invitations", json=admin | {"role": "viewer"})
        assert fine.status_code == 200
        fine = await clerk.post("/v1/api-keys", json={"name": "x", "scopes": ["site:read"]})
        assert fine.status_code == 200
    assert (await client.get("/v1/sites")).status_code == 200


@ONE_ENGINE
async def test_fields_that_are_nobody_s_to_say(
    acme: Tenant, client: httpx.AsyncClient, api: FastAPI
) -> None:
    """Company, role, owner and digest never come from a body: an unknown field is refused."""
    mine = await user_headers(api, acme)
    extra = {"company_id": 1, "company": "rival", "id": 1, "role": "company_admin", "digest": "0"}
    extra |= {"created_by": "x", "email": "x@y.example", "permissions": ["x"], "valid_from_us": 0}
    bodies: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", "/v1/me", {"name": "Ann"}),
        ("PATCH", f"/v1/users/{acme.user}", {"role": "company_admin"}),
        ("POST", "/v1/api-keys", {"name": "x", "scopes": ["viewer"]}),
        ("PATCH", f"/v1/api-keys/{acme.spare_key}", {"name": "x"}),
        ("POST", "/v1/service-accounts", {"name": "x", "scopes": ["viewer"]}),
        ("PATCH", f"/v1/service-accounts/{acme.account}", {"name": "x"}),
        ("POST", "/v1/invitations", {"email": "z@y.example", "role": "viewer"}),
    ]
    for method, url, body in bodies:
        for name, value in extra.items():
            if name in body:
                continue
            answer = await client.request(method, url, json=body | {name: value}, headers=mine)
            known = url.startswith("/v1/users") and name == "role"
            assert answer.status_code == (200 if known else 422), (url, name)


@ONE_ENGINE
@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "scopes": ["viewer"]},
        {"name": "a\0b", "scopes": ["viewer"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["emperor"]},
        {"name": "x", "scopes": ["viewer"], "days": 366},
        {"name": "x", "scopes": ["viewer"], "days": 0},
        {"name": "x", "scopes": ["viewer"], "sites": [999_999]},
        {"name": "x", "scopes": ["viewer"], "sites": []},
    ],
)
async def test_keys_that_are_not_made(
    body: dict[str, Any], acme: Tenant, client: httpx.AsyncClient
) -> None:
    """Without a name, a scope, an end within a year, or for sites that are not the company's."""
    assert (await client.post("/v1/api-keys", json=body)).status_code == 422


@ONE_ENGINE
@pytest.mark.parametrize("email", ["", "x", "a@b", "a b@c.example", "a@c.example\0", "@c.example"])
async def test_addresses_that_are_none(email: str, acme: Tenant, client: httpx.AsyncClient) -> None:
    """What cannot be an address is refused before anybody is invited."""
    answer = await client.post("/v1/invitations", json={"email": email, "role": "viewer"})
    assert answer.status_code == 422


async def test_a_key_from_beginning_to_end(
    api: FastAPI, acme: Tenant, client: httpx.AsyncClient, clock: Stopped, database: Database
) -> None:
    """Made, used, changed, replaced with an overlap, revoked; the key itself lies nowhere."""
    asked = {"name": "display", "scopes": ["viewer"], "days": 30}
    made = (await client.post("/v1/api-keys", json=asked)).json()
    assert made["key"].startswith(made["prefix"])
    assert (made["by"], made["used"]) == ("first", None)
    async with client_of(api, headers={"X-API-Key": made["key"]}) as display:
        assert (await display.get("/v1/sites")).status_code == 200
        me = (await display.get("/v1/me")).json()
        assert (me["kind"], me["name"], me["id"]) == ("key", "display", made["id"])
        await client.patch(f"/v1/api-keys/{made['id']}", json={"scopes": ["job:read"]})
        assert (await display.get("/v1/sites")).status_code == 403
        url = f"/v1/api-keys/{made['id']}"
        assert (await client.get(url)).json()["used"] is not None
        new = (await client.post(f"{url}/rotate", json={"hours": 2})).json()
        assert (new["scopes"], new["name"]) == (["job:read"], "display")
        clock.now += 2 * HOUR - 1
        assert (await display.get("/v1/jobs")).status_code == 200
        clock.now += 1
        assert (await display.get("/v1/jobs")).status_code == 401
    assert (await client.post(f"{url}/rotate", json={})).status_code == 409
    listed = (await client.get("/v1/api-keys")).json()["items"]
    assert made["id"] not in {key["id"] for key in listed}
    every = (await client.get("/v1/api-keys", params={"ended": True})).json()["items"]
    assert made["id"] in {key["id"] for key in every}
    async with client_of(api, headers={"X-API-Key": new["key"]}) as display:
        assert (await display.get("/v1/jobs")).status_code == 200
        gone = await client.delete(f"/v1/api-keys/{new['id']}")
        assert gone.json()["revoked"] is not None
        assert (await display.get("/v1/jobs")).status_code == 401
    again = await client.delete(f"/v1/api-keys/{new['id']}")
    assert again.json()["revoked"] == gone.json()["revoked"]
    assert (await client.patch(f"/v1/api-keys/{new['id']}", json={})).status_code == 409
    async with as_owner(database).read() as session:
        rows = (await session.execute(select(ApiKey))).scalars().all()
    dumped = " ".join(str(vars(row)) for row in rows)
    assert made["key"] not in dumped
    assert new["key"] not in dumped


@ONE_ENGINE
async def test_service_accounts_are_kept(acme: Tenant, client: httpx.AsyncClient) -> None:
    """Listed without their secret, renamed, disabled, deleted."""
    asked = {"name": "reports", "scopes": ["viewer"]}
    made = (await client.post("/v1/service-accounts", json=asked)).json()
    url = f"/v1/service-accounts/{made['id']}"
    listed = await client.get("/v1/service-accounts")
    assert made["client_secret"] not in listed.text
    assert [one["id"] for one in listed.json()["items"]] == [acme.account, made["id"]]
    first = (await client.get("/v1/service-accounts", params={"limit": 1})).json()
    rest = (await client.get("/v1/service-accounts", params={"after": first["next"]})).json()
    assert rest["items"][0]["id"] == made["id"]
    changed = (await client.patch(url, json={"name": "sums", "disabled": True})).json()
    assert (changed["name"], changed["disabled"], changed["scopes"]) == ("sums", True, ["viewer"])
    assert (await client.delete(url)).status_code == 200
    for method, place in (("GET", url), ("DELETE", url), ("PATCH", url), ("POST", f"{url}/secret")):
        body: dict[str, Any] | None = {} if method == "PATCH" else None
        assert (await client.request(method, place, json=body)).status_code == 404


@ONE_ENGINE
async def test_roles_and_invitations_are_listed(acme: Tenant, client: httpx.AsyncClient) -> None:
    """What each role holds; who is invited, and with `ended` who was."""
    roles = (await client.get("/v1/roles")).json()["items"]
    assert {one["role"]: set(one["permissions"]) for one in roles} == ROLES
    asked = {"email": "zoe@new.example", "role": "installer", "sites": [acme.site]}
    made = (await client.post("/v1/invitations", json=asked)).json()
    assert made["sites"] == [acme.site]
    gone = await client.delete(f"/v1/invitations/{made['id']}")
    assert "token" not in gone.json()
    assert (await client.delete(f"/v1/invitations/{made['id']}")).json() == gone.json()
    open_ = (await client.get("/v1/invitations", params={"limit": 1})).json()
    assert ([one["id"] for one in open_["items"]], open_["next"]) == ([acme.invitation], None)
    every = (await client.get("/v1/invitations", params={"ended": True, "limit": 1})).json()
    rest = await client.get("/v1/invitations", params={"ended": True, "after": every["next"]})
    assert [one["id"] for one in rest.json()["items"]] == [made["id"]]


@ONE_ENGINE
async def test_my_own_sessions(api: FastAPI, acme: Tenant, rival: Tenant) -> None:
    """I see and end mine; another's, another company's and one that is over are not found."""
    async with client_of(api, headers=await user_headers(api, acme)) as mine:
        assert (await mine.patch("/v1/me", json={"name": "Ann B."})).json() == {"done": True}
        ended = await mine.delete(f"/v1/me/sessions/{acme.session}")
        assert ended.json()["id"] == acme.session
        for other in (acme.session, rival.session, 10**6):
            assert (await mine.delete(f"/v1/me/sessions/{other}")).status_code == 404


async def test_a_revocation_reaches_other_processes_within_seconds(
    database: Database, acme: Tenant, clock: Stopped
) -> None:
    """Another application that has just seen the credential lets it in for two seconds more."""
    cached = SETTINGS.model_copy(
        update={"identity": SETTINGS.identity.model_copy(update={"cache": 2})}
    )
    from plantroom_cloud.app import create_app

    near, far = make_app(database, clock), create_app(cached, database, clock=clock)
    token = await user_headers(near, acme)
    spare = await user_headers(near, acme)
    async with client_of(near, headers=token) as here, client_of(far) as there:
        made = await here.post("/v1/api-keys", json={"name": "x", "scopes": ["viewer"]})
        keyed = {"X-API-Key": made.json()["key"]}
        for headers in (token, keyed):
            assert (await there.get("/v1/sites", headers=headers)).status_code == 200
        await here.delete(f"/v1/api-keys/{made.json()['id']}")
        await here.post("/v1/me/logout")
        assert (await here.get("/v1/sites")).status_code == 401
        clock.now += 1_999_999
        assert (await there.get("/v1/sites", headers=token)).status_code == 200
        clock.now += 1
        for headers in (token, keyed):
            assert (await there.get("/v1/sites", headers=headers)).status_code == 401
        # What is revoked in the process itself ends at once, whatever it remembers.
        assert (await there.get("/v1/sites", headers=spare)).status_code == 200
        await there.post("/v1/me/logout", headers=spare)
        assert (await there.get("/v1/sites", headers=spare)).status_code == 401


@ONE_ENGINE
async def test_what_is_remembered_is_bounded(
    database: Database, acme: Tenant, monkeypatch: pytest.MonkeyPatch, clock: Stopped
) -> None:
    """A process forgets all before it remembers too much."""
    from plantroom_cloud.app import create_app
    from plantroom_cloud.identity import gate

    monkeypatch.setattr(gate, "_MOST", 2)
    cached = SETTINGS.model_copy(
        update={"identity": SETTINGS.identity.model_copy(update={"cache": 2})}
    )
    app = create_app(cached, database, clock=clock)
    async with client_of(app) as client:
        for _ in range(5):
            headers = await user_headers(app, acme)
            assert (await client.get("/v1/sites", headers=headers)).status_code == 200
    assert len(app.state.gate._known) <= 2


async def test_a_confined_member_gets_nothing_of_the_company(
    api: FastAPI, acme: Tenant, database: Database
) -> None:
    """Who is confined to a site is let in only where a route says that it keeps to sites."""
    async with as_owner(database).write() as session:
        who = Membership.user_id == acme.user
        await session.execute(update(Membership).where(who).values(sites=[acme.site]))
    async with client_of(api, headers=await user_headers(api, acme)) as client:
        me = (await client.get("/v1/me")).json()
        assert me["sites"] == [acme.site]
        refused = await client.get("/v1/users")
        assert (refused.status_code, "confined" in refused.json()["detail"]) == (403, True)
        # Its own sessions are its own all the same.
        assert len((await client.get("/v1/me/sessions")).json()["items"]) == 2
        assert (await client.post("/v1/me/logout")).status_code == 200
        assert (await client.get("/v1/me")).status_code == 401


def test_names_of_scopes() -> None:
    """A scope is a permission or a role; a name nobody knows gives nothing."""
    assert granted(["viewer", "point:write"]) == ROLES["viewer"] | {Permission.POINT_WRITE}
    assert granted(["emperor", ""]) == frozenset()
    assert unknown(["viewer", "emperor", "site:read", "a"]) == ["a", "emperor"]


@ONE_ENGINE
async def test_a_scope_that_is_no_more_gives_nothing(
    api: FastAPI, acme: Tenant, database: Database
) -> None:
    """A key that holds a permission which a later version does not know is let in, and may little."""
    from plantroom_cloud.identity import keys

    new = keys.new_key()
    about = {"name": "old", "prefix": "pk_", "digest": new.digest, "created_us": NOW}
    async with as_owner(database).write() as session:
        row = about | {"scopes": ["gone:write"], "company_id": acme.company}
        await session.execute(insert(ApiKey).values(row))
    async with client_of(api, headers={"X-API-Key": new.plain}) as client:
        assert (await client.get("/v1/me")).json()["permissions"] == ["own:write"]
        assert (await client.get("/v1/sites")).status_code == 403
