"""Users as such: of no company, changed only by themselves or by who runs the service."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.tables import User

LONGEST_EMAIL: Final = 190
_EMAIL: Final = re.compile(
    r"[^\s@\x00-\x1f\x7f<>,;:\"()\[\]\\]{1,64}@[a-z0-9.-]{1,120}\.[a-z0-9-]{2,}"
)


def email_of(text: str) -> str | None:
    """Return an address as it is kept, in small letters; None if it is none."""
    email = unicodedata.normalize("NFKC", text.strip()).lower()
    return email if len(email) <= LONGEST_EMAIL and _EMAIL.fullmatch(email) else None


async def find_user(session: AsyncSession, email: str) -> AnyRow | None:
    """Return the user with this address, in small letters."""
    columns = (User.id, User.email, User.name, User.password, User.disabled_us)
    return (await session.execute(select(*columns).where(User.email == email))).one_or_none()


async def add_user(
    session: AsyncSession, email: str, name: str, password: str, now_us: int
) -> int | None:
    """Add a user, its password hashed already, and return its id; None if there is one already."""
    values = {"email": email, "name": name, "password": password}
    times = {"created_us": now_us, "valid_from_us": now_us}
    statement = insert_into(session, User).values(values | times).on_conflict_do_nothing()
    return (await session.execute(statement.returning(User.id))).scalar_one_or_none()


async def by_id(session: AsyncSession, user: int) -> AnyRow:
    """Return a user there is: whether it has a password, for one."""
    columns = (User.id, User.email, User.password, User.disabled_us)
    return (await session.execute(select(*columns).where(User.id == user))).one()


async def set_password(session: AsyncSession, user: int, password: str, now_us: int) -> None:
    """Give a user another password, hashed already; every session of it ends, at every company."""
    values = {"password": password, "valid_from_us": now_us}
    await session.execute(update(User).where(User.id == user).values(values))


async def rehash(session: AsyncSession, user: int, password: str) -> None:
    """Keep the same password, hashed with more effort."""
    await session.execute(update(User).where(User.id == user).values(password=password))


async def rename(session: AsyncSession, user: int, name: str) -> None:
    """Give a user another name."""
    await session.execute(update(User).where(User.id == user).values(name=name))


async def disable_user(session: AsyncSession, user: int, disabled_us: int | None) -> None:
    """Let a user in nowhere any more, or (None) again."""
    await session.execute(update(User).where(User.id == user).values(disabled_us=disabled_us))
