"""What whoever runs the service does with users: no permission is asked, and no last one kept."""

from __future__ import annotations

import getpass
import secrets

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.identity import users
from plantroom_cloud.identity.members import invite as offer
from plantroom_cloud.identity.passwords import hash_now
from plantroom_cloud.identity.people import PeopleRepository
from plantroom_cloud.identity.permissions import ROLES
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.identity.trail import record
from plantroom_cloud.isolation import lookups
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.licensing.limits import allow
from plantroom_cloud.licensing.model import Limit
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError


async def add(
    session: AsyncSession, company: str, email: str, role: str, *, name: str, password: str
) -> str:
    """Make a user a member; return the password of a user that is new, else an empty text."""
    scope, now = await _company(session, company, role), SystemClock().now_us()
    people, plain = PeopleRepository(session, scope), ""
    user = await users.find_user(session, email)
    if user is None:
        plain = password or secrets.token_urlsafe(15)
        called = name[:200] or email.partition("@")[0]
        number = await users.add_user(session, email, called, hash_now(plain), now)
    else:
        number = user.id
    assert number is not None  # noqa: S101 - looked up in this transaction
    if await people.member(number) is not None:
        what = f"{email} is a member of {company} already"
        raise ConfigError(what, key="email", fix="'user role' changes what it may do")
    await allow(session, scope, Limit.USERS, now)
    await people.add_member(number, role, None, now)
    after = {"email": email, "role": role}
    record(session, scope, who=_who(), action="user.add", subject=f"user/{number}", after=after)
    return plain


async def members(session: AsyncSession, company: str) -> list[tuple[str, ...]]:
    """Return address, role and state of all members, as text."""
    people = PeopleRepository(session, await find_company(session, company))
    return [
        (row.email, row.role, "disabled" if row.disabled_us or row.gone_us else "")
        for row in await people.members(Page(100_000, None))
    ]


async def set_role(session: AsyncSession, company: str, email: str, role: str) -> None:
    """Give a member another role."""
    scope = await _company(session, company, role)
    user, people = await _user(session, email), PeopleRepository(session, scope)
    before = await people.member(user.id)
    if before is None:
        what = f"{email} is no member of {company}"
        raise ConfigError(what, key="email", fix=f"'user add {email} --company {company}'")
    await people.change_member(user.id, role=role)
    record(
        session,
        scope,
        who=_who(),
        action="user.change",
        subject=f"user/{user.id}",
        before={"role": before.role},
        after={"role": role},
    )


async def disable(session: AsyncSession, email: str, *, disabled: bool) -> None:
    """Let a user in nowhere any more, or again."""
    user = await _user(session, email)
    await users.disable_user(session, user.id, SystemClock().now_us() if disabled else None)
    await _note(session, user.id, "user.disable" if disabled else "user.enable")


async def set_password(session: AsyncSession, email: str, password: str) -> str:
    """Give a user another password, and return it."""
    user, plain = await _user(session, email), password or secrets.token_urlsafe(15)
    await users.set_password(session, user.id, hash_now(plain), SystemClock().now_us())
    await _note(session, user.id, "user.password")
    return plain


async def invite(session: AsyncSession, company: str, email: str, role: str, days: float) -> str:
    """Invite somebody and return the token."""
    scope = await _company(session, company, role)
    clock = SystemClock()
    made = offer(session, scope, clock, email, role, sites=None, days=days, by=_who())
    return (await made)[1]


async def _note(session: AsyncSession, user: int, action: str) -> None:
    """Record what is done to a user as such with every company it is a member of."""
    for row in await lookups.memberships_of(session, user):
        scope = Scope(row.company_id)
        record(session, scope, who=_who(), action=action, subject=f"user/{user}")


async def _company(session: AsyncSession, company: str, role: str) -> Scope:
    if role not in ROLES:
        what = f"{role[:64]!r} is no role"
        raise ConfigError(what, key="role", fix=f"take one of: {', '.join(ROLES)}")
    return await find_company(session, company)


async def _user(session: AsyncSession, email: str) -> AnyRow:
    user = await users.find_user(session, email)
    if user is None:
        what = f"there is no user {email}"
        raise ConfigError(what, key="email", fix=f"'user add {email}' makes one")
    return user


def _who() -> str:
    return f"operator {getpass.getuser()}"
