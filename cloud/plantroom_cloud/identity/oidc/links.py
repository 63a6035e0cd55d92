"""Who is known by what an issuer says: a user by issuer and subject, of no company."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import insert_into
from plantroom_cloud.identity.oidc.idtoken import Proof
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.tables import OidcIdentity, User

_COLUMNS = (
    OidcIdentity.id, OidcIdentity.issuer, OidcIdentity.subject, OidcIdentity.created_us,
    OidcIdentity.used_us,
)  # fmt: skip


async def find(session: AsyncSession, proof: Proof) -> AnyRow | None:
    """Return the user that issuer and subject stand for."""
    who = (User.id, User.email, User.disabled_us)
    statement = select(OidcIdentity.id.label("link"), *who).join(
        User, User.id == OidcIdentity.user_id
    )
    which = (OidcIdentity.issuer == proof.issuer, OidcIdentity.subject == proof.subject)
    return (await session.execute(statement.where(*which))).one_or_none()


async def add(session: AsyncSession, user: int, proof: Proof, now_us: int) -> int | None:
    """Link a user; return the link, or None where issuer and subject stand for one already."""
    values = {"issuer": proof.issuer, "subject": proof.subject, "user_id": user}
    times = {"created_us": now_us, "used_us": now_us}
    statement = insert_into(session, OidcIdentity).values(values | times)
    made = await session.execute(statement.on_conflict_do_nothing().returning(OidcIdentity.id))
    return made.scalar_one_or_none()


async def used(session: AsyncSession, link: int, now_us: int) -> None:
    """Note when somebody logged in by a link."""
    statement = update(OidcIdentity).where(OidcIdentity.id == link)
    await session.execute(statement.values(used_us=now_us))


async def of_user(session: AsyncSession, user: int) -> Sequence[AnyRow]:
    """Return a user's links, oldest first."""
    statement = select(*_COLUMNS).where(OidcIdentity.user_id == user)
    return (await session.execute(statement.order_by(OidcIdentity.id))).all()


async def remove(session: AsyncSession, user: int, link: int) -> None:
    """Drop a link of a user."""
    which = (OidcIdentity.user_id == user, OidcIdentity.id == link)
    await session.execute(delete(OidcIdentity).where(*which))
