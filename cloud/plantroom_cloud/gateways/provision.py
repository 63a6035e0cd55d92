"""Provisioning: a gateway becomes known and gets the certificate that says who it is."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope, act_for
from plantroom_cloud.gateways.claim.issuing import Wanted, issued_row
from plantroom_cloud.gateways.pki import Authority, Issued, check_gateway_id, write_private
from plantroom_cloud.isolation.lookups import find_gateways, find_sites
from plantroom_cloud.licensing.limits import allow
from plantroom_cloud.licensing.model import Limit
from plantroom_cloud.tables import Gateway
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError


async def find_site(session: AsyncSession, slug: str, company: str = "") -> tuple[Scope, int]:
    """Return whose site `slug` is, and its id; from here on `session` acts for that company.

    Args:
        session: of the operator, who may see every company's sites.
        slug: the site's.
        company: slug of its company; may be left out where only one has such a site.
    """
    found = await find_sites(session, slug, company)
    if len(found) == 1:
        scope = Scope(found[0].company_id)
        await act_for(session, scope)
        return scope, found[0].id
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
        LimitReached: the licence has no room for one more.
        ConfigError: the id is no id, or taken elsewhere, or the folder cannot be written.
    """
    check_gateway_id(gateway)
    taken = await find_gateways(session, [gateway])
    if taken and (taken[0].company_id, taken[0].site_id) != (scope.company_id, site_id):
        # Whose it is stays unsaid: it may be another company's.
        what = f"the id {gateway!r} is taken"
        raise ConfigError(what, key="gateway", fix="choose another id")
    if taken and taken[0].revoked_us is not None:
        what = f"the gateway {gateway!r} was revoked"
        fix = "choose another id: a revoked one never comes back"
        raise ConfigError(what, key="gateway", fix=fix)
    if not taken:
        await allow(session, scope, Limit.GATEWAYS, clock.now_us())
    authority.prepare()
    issued = authority.issue_gateway(gateway)
    new = not taken
    if new:
        made = {"name": gateway, "created_us": clock.now_us(), "report": {}}
        session.add(Gateway(id=gateway, company_id=scope.company_id, site_id=site_id, **made))
        await session.flush()
    mine = (Gateway.company_id == scope.company_id, Gateway.id == gateway)
    await session.execute(update(Gateway).where(*mine).values(certificate_serial=issued.serial))
    now_us, wanted = clock.now_us(), Wanted(scope, site_id, "hand")
    session.add(issued_row(issued, wanted, gateway, "", now_us=now_us))
    audit.record(
        session,
        scope,
        who=audit.cli_user(),
        action="gateway.add" if new else "gateway.renew",
        subject=f"gateway/{gateway}",
        after={"site": site_id, "certificate": issued.serial},
    )
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
