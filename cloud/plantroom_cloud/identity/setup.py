"""Making companies, keys and sites: at the first start, and from the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Database, Scope, act_for, is_sqlite
from plantroom_cloud.identity.credentials import LONGEST_LIFE
from plantroom_cloud.identity.keys import NewKey, new_key
from plantroom_cloud.identity.permissions import ROLES, unknown
from plantroom_cloud.isolation import lookups
from plantroom_cloud.kit.times import DAY
from plantroom_cloud.licensing.limits import allow
from plantroom_cloud.licensing.model import Limit
from plantroom_cloud.tables import ApiKey, Company, Site
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError

DEFAULT = "default"
"""The slug of the company that the first start makes."""
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z")
_LOCK = 0x6B6579
_FIRST = "system:first-start"
_NEXT = text("SELECT nextval(pg_get_serial_sequence('company', 'id'))")


async def first_start(database: Database, clock: Clock) -> NewKey | None:
    """Make the company ``default`` and its first key where there is no company yet.

    Returns:
        The key, to be shown once; None where there was a company already.
    """
    async with database.write(None) as session:
        if not is_sqlite(session):
            await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if await lookups.companies(session):
            return None
        company = await add_company(session, clock, DEFAULT, "Default company", who=_FIRST)
        return await add_key(session, clock, Scope(company), "first key", who=_FIRST)


async def add_company(
    session: AsyncSession, clock: Clock, slug: str, name: str = "", *, who: str = ""
) -> int:
    """Add a company and return its id; ConfigError if the slug is taken or none.

    From here on `session` acts for the company.
    """
    check_slug(slug, "company")
    if await lookups.find_company(session, slug):
        what = f"there is a company {slug!r} already"
        raise ConfigError(what, key="company", fix="choose another slug")
    company = Company(slug=slug, name=name or slug, created_us=clock.now_us())
    if not is_sqlite(session):
        # Only a company can make its row, so who it will be comes first.
        company.id = (await session.execute(_NEXT)).scalar_one()
        await act_for(session, Scope(company.id))
    session.add(company)
    await session.flush()
    await act_for(session, Scope(company.id))
    after = {"slug": slug, "name": company.name}
    _record(
        session, Scope(company.id), "company.add", f"company/{company.id}", after=after, who=who
    )
    return company.id


async def find_company(session: AsyncSession, slug: str) -> Scope:
    """Return the scope of the company `slug`, for which `session` acts from here on.

    Raises:
        ConfigError: there is none; the text names those there are.
    """
    found = await lookups.find_company(session, slug)
    if found is None:
        known = ", ".join(await lookups.slugs(session))
        fix = f"choose one of: {known or '(none yet)'}; or 'company add {slug[:64]}'"
        what = f"there is no company {slug[:64]!r}"
        raise ConfigError(what, key="company", fix=fix)
    await act_for(session, found)
    return found


async def add_key(
    session: AsyncSession,
    clock: Clock,
    scope: Scope,
    name: str,
    *,
    scopes: Sequence[str] = ("viewer",),
    days: int = LONGEST_LIFE,
    by: str = "",
    who: str = "",
) -> NewKey:
    """Add an API key and return it; nothing can show it again.

    Args:
        session: in a transaction.
        clock: what "now" means.
        scope: whose key.
        name: what it is for.
        scopes: names of permissions and roles.
        days: how long it opens.
        by: who makes it, for people.
        who: the same for the audit; whoever runs the command unless said.

    Raises:
        ConfigError: a scope is neither a permission nor a role.
    """
    if strange := unknown(scopes):
        what = f"there is no scope {strange[0][:64]!r}"
        raise ConfigError(what, key="scope", fix=f"take a role ({', '.join(ROLES)}) or permissions")
    key, now = new_key(), clock.now_us()
    row = ApiKey(
        company_id=scope.company_id,
        name=name[:200],
        prefix=key.prefix,
        digest=key.digest,
        created_us=now,
        expires_us=now + days * DAY,
        created_by=by[:200],
        scopes=sorted(set(scopes)),
    )
    session.add(row)
    await session.flush()
    after = {"name": name[:200], "prefix": key.prefix, "scopes": row.scopes, "days": days}
    _record(session, scope, "key.add", f"key/{row.id}", after=after, who=who)
    return key


async def add_site(
    session: AsyncSession,
    clock: Clock,
    scope: Scope,
    slug: str,
    *,
    name: str = "",
    timezone: str = "UTC",
) -> int:
    """Add a site and return its id; a site of that slug there already is returned as it is."""
    check_slug(slug, "site")
    check_timezone(timezone)
    mine = select(Site.id).where(Site.company_id == scope.company_id, Site.slug == slug)
    if (found := (await session.execute(mine)).scalar()) is not None:
        return found
    await allow(session, scope, Limit.SITES, clock.now_us())
    site = Site(
        company_id=scope.company_id,
        slug=slug,
        name=name or slug,
        timezone=timezone,
        created_us=clock.now_us(),
    )
    session.add(site)
    await session.flush()
    after = {"slug": slug, "name": site.name, "timezone": timezone}
    _record(session, scope, "site.add", f"site/{site.id}", after=after, who="")
    return site.id


def _record(
    session: AsyncSession, scope: Scope, action: str, subject: str, *, after: Any, who: str
) -> None:
    who = who or audit.cli_user()
    audit.record(session, scope, who=who, action=action, subject=subject, after=after)


def check_slug(slug: str, key: str) -> None:
    """Raise ConfigError unless `slug` may stand in an address."""
    if not _SLUG.match(slug):
        what = f"{slug[:80]!r} is no slug"
        raise ConfigError(what, key=key, fix="use 1 to 64 of a-z, 0-9 and '-', for example 'tower'")


def check_timezone(timezone: str) -> None:
    """Raise ConfigError unless `timezone` is a zone of the IANA database."""
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        what = f"{timezone[:80]!r} is no time zone"
        fix = "use an IANA name such as 'Europe/Berlin' or 'UTC'"
        raise ConfigError(what, key="timezone", fix=fix) from error
