"""Access tokens for the tests of the API, signed by the application's own key."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI

from plantroom_cloud.db import Database
from plantroom_cloud.identity import tokens
from plantroom_cloud.tables import UserSession
from support.api_routes import Route
from support.api_world import HOUR, MINUTE, NOW, Seeder, Tenant
from support.servers import as_owner

SECOND = 1_000_000


def claims_of(tenant: Tenant, **changes: Any) -> dict[str, Any]:
    """Return what a good token of the tenant's user says, with `changes`."""
    now = NOW // SECOND
    good: dict[str, Any] = {
        "iss": "plantroom",
        "aud": tokens.AUDIENCE,
        "sub": f"user:{tenant.user}",
    }
    good |= {"company": tenant.company, "sid": tenant.session, "jti": "0123456789abcdef"}
    return good | {"iat": now, "nbf": now, "exp": now + 600} | changes


async def signed(app: FastAPI, claims: dict[str, Any]) -> str:
    """Return a token with these claims, signed by the application's own key."""
    kid, key = await app.state.signing.signer()
    return tokens.sign(tokens.Claims.model_validate(claims), kid, key)


async def user_headers(app: FastAPI, tenant: Tenant) -> dict[str, str]:
    """Return what the requests of the tenant's user carry in a session of its own."""
    session = await fresh_session(app.state.db, tenant)
    return {"Authorization": f"Bearer {await signed(app, claims_of(tenant, sid=session))}"}


async def headers_for(route: Route, app: FastAPI, tenant: Tenant) -> dict[str, str]:
    """Return what a request to `route` carries: the tenant's key, or a token where only users may."""
    return await user_headers(app, tenant) if route.of_users else tenant.headers


async def fresh_session(db: Database, tenant: Tenant, user: int = 0) -> int:
    """Log a user of the tenant in, its own unless another is named; return the session."""
    times = {"created_us": NOW + MINUTE, "used_us": NOW, "expires_us": NOW + 24 * HOUR}
    about = {"user_id": user or tenant.user, "agent": "a test", "address": "127.0.0.1"}
    async with as_owner(db).write() as session:
        number: int = await Seeder(session, tenant).put(
            UserSession, company_id=tenant.company, **about, **times
        )
    return number


def private_key() -> rsa.RSAPrivateKey:
    """Return a key that is none of ours."""
    return rsa.generate_private_key(65537, 2048)
