"""What whoever runs the service does with identities: no permission is asked."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.audit import cli_user
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Scope, act_for
from plantroom_cloud.gateways.claim.repository import ProvisionRepository
from plantroom_cloud.gateways.claim.schemas import (
    EnrolmentTokenIn,
    ListIn,
    show_certificate,
    show_expected,
)
from plantroom_cloud.gateways.claim.service import ClaimService
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.gateways.provision import find_site
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.isolation.lookups import find_gateways
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.tables import Gateway
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError

_ALL = Page(1_000_000, None)


def _service(session: AsyncSession, scope: Scope, settings: CloudSettings) -> ClaimService:
    authority = Authority(settings.data / "pki")
    return ClaimService(session, scope, cli_user(), authority, SystemClock().now_us())


async def add_token(
    session: AsyncSession, settings: CloudSettings, site: str, company: str, asked: dict[str, Any]
) -> tuple[str, str]:
    """Return a new enrolment token and when it ends.

    Args:
        session: acts for nobody yet.
        settings: of this cloud.
        site: slug.
        company: slug of its company; may be empty where only one has such a site.
        asked: of `EnrolmentTokenIn`, without the site.
    """
    scope, number = await find_site(session, site, company)
    wanted = EnrolmentTokenIn(site=number, **asked)
    row, plain = await _service(session, scope, settings).new_token(wanted)
    return plain, rfc3339(row.expires_us)


async def expect(
    session: AsyncSession, settings: CloudSettings, site: str, company: str, text: str
) -> tuple[int, int]:
    """Expect the devices of a list; return how many are new, and how many were expected before."""
    scope, number = await find_site(session, site, company)
    return await _service(session, scope, settings).expect(ListIn(site=number, csv=text))


async def expected(session: AsyncSession, company: str) -> list[dict[str, Any]]:
    """Return all devices that a company expects, or did until they came."""
    scope = await find_company(session, company)
    return [show_expected(row) for row in await ProvisionRepository(session, scope).expected(_ALL)]


async def certificates(session: AsyncSession, gateway: str) -> dict[str, Any]:
    """Return what was issued to a gateway, and whether it is revoked."""
    row, repository = await _found(session, gateway)
    issued = await repository.certificates(gateway)
    return {
        "gateway": gateway,
        "revoked": rfc3339_or_none(row.revoked_us),
        "why": row.revoked_for,
        "replaced_by": row.replaced_by or None,
        "certificates": [show_certificate(one) for one in issued],
    }


async def revoke(session: AsyncSession, settings: CloudSettings, gateway: str, reason: str) -> int:
    """Revoke a gateway for good; return how many certificates that were."""
    row, _ = await _found(session, gateway)
    if row.revoked_us is not None:
        what = f"{gateway} was revoked at {rfc3339(row.revoked_us)} ({row.revoked_for})"
        raise ConfigError(what, key="gateway", fix="claim the device anew: it becomes another one")
    scope = Scope(row.company_id)
    return await _service(session, scope, settings).revoke(gateway, reason)


async def _found(session: AsyncSession, gateway: str) -> tuple[Gateway, ProvisionRepository]:
    """Return a gateway, whosever it is; from here on `session` acts for its company."""
    found = await find_gateways(session, [gateway])
    if not found:
        what = f"there is no gateway {gateway[:64]!r}"
        raise ConfigError(what, key="gateway", fix="see 'plantroom-cloud account'")
    scope = Scope(found[0].company_id)
    await act_for(session, scope)
    repository = ProvisionRepository(session, scope)
    row = await repository.gateway(gateway)
    assert row is not None  # noqa: S101 - looked up in this transaction
    return row, repository
