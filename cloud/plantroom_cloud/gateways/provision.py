"""Provisioning: a gateway becomes known and gets the certificate that says who it is."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.gateways.pki import Authority, Issued, check_gateway_id, write_private
from plantroom_cloud.tables import Company, Gateway, Site
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError


async def find_site(session: AsyncSession, slug: str, company: str = "") -> tuple[Scope, int]:
    """Return whose site `slug` is, and its id.

    Args:
        session: any.
        slug: the site's.
        company: slug of its company; may be left out where only one has such a site.
    """
    query = select(Site.company_id, Site.id, Company.slug).join(
        Company, Company.id == Site.company_id
    )
    query = query.where(Site.slug == slug)
    found = (
        await session.execute(query.where(Company.slug == company) if company else query)
    ).all()
    if len(found) == 1:
        return Scope(found[0][0]), found[0][1]
    if found:
        what = f"several companies have a site {slug!r}"
        fix = f"add --company with one of: {', '.join(sorted(row[2] for row in found))}"
        raise ConfigError(what, key="site", fix=fix)
    what = f"there is no site {slug[:64]!r}" + (f" of company {company[:64]!r}" if company else "")
    raise ConfigError(what, key="site", fix=f"run 'plantroom-cloud site add {slug[:64]}' first")


async def add_gateway(
    session: AsyncSession,
    clock: Clock,
    authority: Authority,
    gateway: str,
    *,
    scope: Scope,
    site_id: int,
    out: Path,
) -> str:
    """Make `gateway` known at a site and write its credentials; return the certificate's serial.

    A gateway of that site already known gets a new certificate; nothing else of it changes.

    Args:
        session: of the transaction that makes it known.
        clock: for the date of making.
        authority: signs the certificate.
        gateway: 8 to 40 of ``a-z0-9-``.
        scope: the company.
        site_id: one of the company's.
        out: folder for ``ca.pem``, ``gateway.pem`` and ``gateway.key`` (readable by its owner).

    Raises:
        ConfigError: the id is no id, or taken elsewhere, or the folder cannot be written.
    """
    check_gateway_id(gateway)
    known = (await session.execute(select(Gateway).where(Gateway.id == gateway))).scalar()
    if known is not None and (known.company_id, known.site_id) != (scope.company_id, site_id):
        # Whose it is stays unsaid: it may be another company's.
        what = f"the id {gateway!r} is taken"
        raise ConfigError(what, key="gateway", fix="choose another id")
    authority.prepare()
    issued = authority.issue_gateway(gateway)
    if known is None:
        known = Gateway(
            id=gateway,
            company_id=scope.company_id,
            site_id=site_id,
            name=gateway,
            created_us=clock.now_us(),
            report={},
        )
        session.add(known)
    known.certificate_serial = issued.serial
    await session.flush()
    _write(out, authority.ca_pem, issued)
    return issued.serial


def _write(out: Path, ca: bytes, issued: Issued) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(out / "ca.pem", ca, mode=0o644)
        write_private(out / "gateway.key", issued.key)
        write_private(out / "gateway.pem", issued.certificate, mode=0o644)
    except OSError as error:
        what = f"the credentials cannot be written: {error}"
        raise ConfigError(what, file=str(out), key="--out", fix="name a writable folder") from error
