"""Every route for each role, own and foreign ids and kind of credential, on one application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity import keys
from plantroom_cloud.identity.permissions import ROLES, Permission
from plantroom_cloud.tables import (
    ApiKey,
    Membership,
    OidcIdentity,
    ServiceAccount,
    User,
    UserSession,
)
from support.api_routes import Route, all_routes, permits_of
from support.api_tokens import SECOND, claims_of, signed
from support.api_world import HASHED, HOUR, ISSUER, NOW, Seeder, Tenant
from support.servers import as_owner

NARROWED = "site:read"


class _Undo(Exception):
    """Ends a transaction."""


class Undone(Database):
    """A database on which everything is done, and nothing of it stays."""

    @asynccontextmanager
    async def write(self, whose: Scope | None) -> AsyncIterator[AsyncSession]:
        """Yield a session as the real one does, and roll it back."""
        with suppress(_Undo):
            async with super().write(whose) as session:
                yield session
                await session.flush()
                session.expunge_all()  # what was read is shown after the end
                raise _Undo


@dataclass(frozen=True)
class Credential:
    """What a request carries, and what that lets it do."""

    kind: str
    role: str
    headers: dict[str, str]
    may: frozenset[Permission]
    known: bool = True
    """Whether it is let in at all."""
    user: bool = False
    confined: bool = False
    """To some of the company's sites."""
    session: int = 0
    """Of its own."""
    identity: int = 0
    """The same: what it is elsewhere."""


class Case(NamedTuple):
    """One request."""

    route: Route
    permission: Permission | None
    confined: bool
    """Whether the route keeps to the sites of whoever is confined."""
    who: Credential
    own: bool

    def expected(self) -> set[int]:
        """Return the answers that are right."""
        if not self.who.known:
            return {401}
        blocked = self.who.confined and not self.confined
        if self.permission not in self.who.may or blocked:
            return {403}
        if self.route.of_users and not self.who.user:
            return {403}
        return {404} if self.route.has_id and not self.own else {200, 202}


async def credentials(app: FastAPI, db: Database, tenant: Tenant, role: str) -> list[Credential]:
    """Return credentials of each kind for a role of one company."""
    async with as_owner(db).write() as session:
        seeder = Seeder(session, tenant)
        users = await _of_users(app, seeder, role)
        return [*users, *await _of_programs(app, seeder, role)]


async def _of_users(app: FastAPI, seeder: Seeder, role: str) -> list[Credential]:
    tenant, may = seeder.tenant, ROLES[role]
    about = {"email": f"{role}@{tenant.slug}.example", "name": role, "password": HASHED}
    user = await seeder.put(User, created_us=NOW - HOUR, valid_from_us=0, **about)
    member = {"user_id": user, "role": role, "created_us": NOW - HOUR}
    await seeder.put(Membership, **member, **seeder.own)
    known = await _linked(seeder, user)
    good, ended = await _session(seeder, user), await _session(seeder, user, ended_us=NOW)

    async def bearer(**changes: Any) -> dict[str, str]:
        claims = claims_of(tenant, **({"sub": f"user:{user}", "sid": good} | changes))
        return {"Authorization": f"Bearer {await signed(app, claims)}"}

    confined = {"email": f"{role}-here@{tenant.slug}.example", "name": role, "password": HASHED}
    here = await seeder.put(User, created_us=NOW - HOUR, valid_from_us=0, **confined)
    sites = {"user_id": here, "role": role, "created_us": NOW - HOUR, "sites": [tenant.site]}
    await seeder.put(Membership, **sites, **seeder.own)
    there, near = await _session(seeder, here), await _linked(seeder, here)
    local = await bearer(sid=there, sub=f"user:{here}")
    old = {"iat": NOW // SECOND - 900, "nbf": NOW // SECOND - 900, "exp": NOW // SECOND - 1}
    narrow = (may & {Permission(NARROWED)}) | {Permission.OWN}
    nearby: dict[str, Any] = {"user": True, "session": there, "identity": near}
    gone = frozenset[Permission]()
    here_too: dict[str, Any] = {"user": True, "session": good, "identity": known}
    return [
        Credential("user", role, await bearer(), may, **here_too),
        Credential("narrowed", role, await bearer(scope=NARROWED), narrow, **here_too),
        Credential("confined", role, local, may, confined=True, **nearby),
        Credential("logged out", role, await bearer(sid=ended), gone, known=False),
        Credential("run out", role, await bearer(**old), gone, known=False),
    ]


async def _linked(seeder: Seeder, user: int) -> int:
    link = {"issuer": ISSUER, "subject": f"user {user}", "user_id": user}
    number: int = await seeder.put(OidcIdentity, created_us=NOW, used_us=NOW, **link)
    return number


async def _session(seeder: Seeder, user: int, **changes: Any) -> int:
    times = {"created_us": NOW, "used_us": NOW, "expires_us": NOW + HOUR}
    about = {"user_id": user, "agent": "", "address": ""} | times | changes
    number: int = await seeder.put(UserSession, **about, **seeder.own)
    return number


async def _of_programs(app: FastAPI, seeder: Seeder, role: str) -> list[Credential]:
    tenant, may = seeder.tenant, ROLES[role]
    good, gone = keys.new_key(), keys.new_key()
    about = {"name": role, "scopes": [role], "prefix": "pk_", "created_us": NOW - HOUR}
    for key, changes in ((good, {}), (gone, {"revoked_us": NOW})):
        row = about | {"digest": key.digest} | changes
        await seeder.put(ApiKey, **row, **seeder.own)
    times = {"created_us": NOW - HOUR, "valid_from_us": NOW - HOUR}
    program = {"client_id": f"sa_{role}_{tenant.slug}", "digest": "", "scopes": [role]}
    account = await seeder.put(ServiceAccount, name=role, **program, **times, **seeder.own)
    claims = claims_of(tenant, sub=f"service:{account}", sid=NOW - HOUR)
    token = await signed(app, claims)
    nothing = frozenset[Permission]()
    return [
        Credential("key", role, {"Authorization": f"Bearer {good.plain}"}, may),
        Credential("key in its header", role, {"X-API-Key": good.plain}, may),
        Credential("program", role, {"Authorization": f"Bearer {token}"}, may),
        Credential("revoked key", role, {"X-API-Key": gone.plain}, nothing, known=False),
    ]


def cases(app: FastAPI, who: list[Credential]) -> Iterator[Case]:
    """Yield every request there is to try."""
    asked = permits_of(app)
    for route in sorted(all_routes(app), key=lambda one: one.late):
        if not route.path.startswith("/v1/") or route.is_stream:
            continue
        found = asked.get((route.method, route.path), [])
        permit = found[0] if len(found) == 1 else None
        for credential in who:
            for own in (True, False) if credential.known else (True,):
                permission = permit.permission if permit else None
                confined = permit.confined if permit else False
                yield Case(route, permission, confined, credential, own)
