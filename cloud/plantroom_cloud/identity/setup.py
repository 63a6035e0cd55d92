"""Making companies, keys and sites: at the first start, and from the command line."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Database, Scope, is_sqlite
from plantroom_cloud.identity.keys import NewKey, new_key
from plantroom_cloud.tables import ApiKey, Company, Site
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError

DEFAULT = "default"
"""The slug of the company that the first start makes."""
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z")
_LOCK = 0x6B6579


async def first_start(database: Database, clock: Clock) -> NewKey | None:
    """Make the company ``default`` and its first key where there is no company yet.

    Returns:
        The key, to be shown once; None where there was a company already.
    """
    async with database.write() as session:
        if not is_sqlite(session):
            await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if (await session.execute(select(Company.id).limit(1))).first() is not None:
            return None
        company = await add_company(session, clock, DEFAULT, "Default company")
        return await add_key(session, clock, Scope(company), "first key")


async def add_company(session: AsyncSession, clock: Clock, slug: str, name: str = "") -> int:
    """Add a company and return its id; ConfigError if the slug is taken or none."""
    check_slug(slug, "company")
    if (await session.execute(select(Company.id).where(Company.slug == slug))).first():
        what = f"there is a company {slug!r} already"
        raise ConfigError(what, key="company", fix="choose another slug")
    company = Company(slug=slug, name=name or slug, created_us=clock.now_us())
    session.add(company)
    await session.flush()
    return company.id


async def find_company(session: AsyncSession, slug: str) -> Scope:
    """Return the scope of the company `slug`; ConfigError names those there are."""
    found = (await session.execute(select(Company.id).where(Company.slug == slug))).scalar()
    if found is None:
        known = (await session.execute(select(Company.slug).order_by(Company.slug))).scalars()
        fix = f"choose one of: {', '.join(known) or '(none yet)'}; or 'company add {slug[:64]}'"
        what = f"there is no company {slug[:64]!r}"
        raise ConfigError(what, key="company", fix=fix)
    return Scope(found)


async def add_key(
    session: AsyncSession, clock: Clock, scope: Scope, name: str, *, may_write: bool = False
) -> NewKey:
    """Add an API key and return it; nothing can show it again."""
    key = new_key()
    session.add(
        ApiKey(
            company_id=scope.company_id,
            name=name[:200],
            prefix=key.prefix,
            digest=key.digest,
            created_us=clock.now_us(),
            may_write=may_write,
        )
    )
    await session.flush()
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
    site = Site(
        company_id=scope.company_id,
        slug=slug,
        name=name or slug,
        timezone=timezone,
        created_us=clock.now_us(),
    )
    session.add(site)
    await session.flush()
    return site.id


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
