"""What is known of a device before there is a company, and the first look at the rows of the one it finds.

A device that begins is known by nothing but its key, its token, its place on a list or its old
certificate: whose it is, is what is asked here. From then on the session acts for that company.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import ReadSession, Scope, act_for
from plantroom_cloud.isolation import lookups
from plantroom_cloud.tables import (
    Company,
    EnrolmentToken,
    ExpectedGateway,
    Gateway,
    IssuedCertificate,
    PendingGateway,
    Site,
)


async def find_pending(session: AsyncSession | ReadSession, **which: Any) -> PendingGateway | None:
    """Return the device with this ``id`` or ``fingerprint``, as it is now."""
    query = select(PendingGateway).filter_by(**which).execution_options(populate_existing=True)
    return (await session.execute(query)).scalar_one_or_none()


async def waiting(session: AsyncSession) -> int:
    """Return how many devices wait."""
    query = select(func.count()).where(PendingGateway.state == "waiting")
    return int((await session.execute(query)).scalar_one())


async def find_token(session: AsyncSession, digest: str) -> EnrolmentToken | None:
    """Return the token with this SHA-256; the session acts for its company then."""
    found = await lookups.find_enrolment(session, digest)
    if found is None:
        return None
    await act_for(session, Scope(found.company_id))
    mine = (EnrolmentToken.company_id == found.company_id, EnrolmentToken.id == found.id)
    return (await session.execute(select(EnrolmentToken).where(*mine))).scalar_one_or_none()


async def find_expected(session: AsyncSession, fingerprint: str) -> ExpectedGateway | None:
    """Return the entry of a list with this fingerprint; the session acts for its company then."""
    found = await lookups.find_expected(session, fingerprint)
    if found is None:
        return None
    await act_for(session, Scope(found.company_id))
    mine = (
        ExpectedGateway.company_id == found.company_id,
        ExpectedGateway.fingerprint == fingerprint,
    )
    return (await session.execute(select(ExpectedGateway).where(*mine))).scalar_one_or_none()


async def find_gateway(session: AsyncSession, gateway: str) -> Gateway | None:
    """Return the gateway of this id, whosever it is; the session acts for its company then."""
    found = await lookups.find_gateways(session, [gateway])
    if not found:
        return None
    await act_for(session, Scope(found[0].company_id))
    mine = (Gateway.company_id == found[0].company_id, Gateway.id == gateway)
    query = select(Gateway).where(*mine).execution_options(populate_existing=True)
    return (await session.execute(query)).scalar_one_or_none()


async def find_issued(session: AsyncSession, company: int, serial: str) -> IssuedCertificate | None:
    """Return what is known of a company's certificate with this serial number, in hex."""
    mine = (IssuedCertificate.company_id == company, IssuedCertificate.serial == serial)
    query = select(IssuedCertificate).where(*mine).execution_options(populate_existing=True)
    return (await session.execute(query)).scalar_one_or_none()


async def names_of(session: AsyncSession, company: int, site: int) -> tuple[str, str]:
    """Return the slugs of a company and of its site."""
    query = select(Company.slug, Site.slug).join(Site, Site.company_id == Company.id)
    mine = (Company.id == company, Site.company_id == company, Site.id == site)
    row = (await session.execute(query.where(*mine))).one()
    return row[0], row[1]
