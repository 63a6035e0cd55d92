"""Log-ins under way: a random secret in the browser's cookie, its digest with us.

State, nonce and verifier are made of the secret, each by its own name: whoever reads the database
has none of them, and an answer that reaches another browser opens nothing there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.identity.keys import digest
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.tables import OidcFlow

_COLUMNS: Final = (
    OidcFlow.provider, OidcFlow.invitation, OidcFlow.company, OidcFlow.user_id, OidcFlow.expires_us,
)  # fmt: skip


class Secrets(NamedTuple):
    """What is made of a browser's secret."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """Of PKCE, S256."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())


def new_secret() -> str:
    """Return what a browser keeps while it is away: 256 random bits."""
    return secrets.token_urlsafe(32)


def secrets_of(secret: str) -> Secrets:
    """Return state, nonce and verifier of a browser's secret."""
    key = secret.encode()
    made = (
        hmac.digest(key, f"plantroom oidc {name}".encode(), "sha256") for name in Secrets._fields
    )
    return Secrets(*(_text(one) for one in made))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def open_flow(
    session: AsyncSession,
    state: str,
    *,
    provider: str,
    now_us: int,
    expires_us: int,
    most: int,
    invitation: str = "",
    company: str = "",
    user_id: int | None = None,
) -> None:
    """Enter a log-in; what has run out goes, and the oldest where there are too many."""
    await session.execute(delete(OidcFlow).where(OidcFlow.expires_us <= now_us))
    open_ = (await session.execute(select(func.count()).select_from(OidcFlow))).scalar_one()
    if open_ >= most:
        oldest = select(OidcFlow.state).order_by(OidcFlow.expires_us).limit(open_ - most + 1)
        await session.execute(delete(OidcFlow).where(OidcFlow.state.in_(oldest)))
    values = {"state": digest(state), "provider": provider, "expires_us": expires_us}
    values |= {"invitation": invitation, "company": company, "user_id": user_id}
    await session.execute(insert(OidcFlow).values(values))


async def take_flow(session: AsyncSession, state: str) -> AnyRow | None:
    """Return a log-in and end it: there is one answer to it, and no other."""
    statement = delete(OidcFlow).where(OidcFlow.state == digest(state)).returning(*_COLUMNS)
    rows: Sequence[AnyRow] = (await session.execute(statement)).all()
    return rows[0] if rows else None
