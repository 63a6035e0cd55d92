"""Overrides are given and taken back; every one stays to be seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.tables import MappingOverride
from plantroom_cloud.thingmodels.repository import ClaimRepository, OverrideRepository
from plantroom_shared.clock import Clock


async def give_override(
    session: AsyncSession,
    scope: Scope,
    clock: Clock,
    columns: Mapping[str, Any],
    *,
    who: Principal | str,
) -> MappingOverride | None:
    """Add an override and return its row; None where its site or point is not the company's."""
    claims = ClaimRepository(session, scope)
    site, point = columns["site_id"], columns["point_id"]
    if site is not None and not await claims.has_site(site):
        return None
    if point is not None and not await claims.has_point(point):
        return None
    values = {**columns, "actor": audit.display_name(who)[:200], "created_us": clock.now_us()}
    repository = OverrideRepository(session, scope)
    added = await repository.add(values)
    subject = f"mapping-override/{added}"
    audit.record(
        session, scope, who=who, action="mapping-override.add", subject=subject, after=columns
    )
    return next(row for row in await repository.rows() if row.id == added)


async def take_back(
    session: AsyncSession, scope: Scope, clock: Clock, override: int, *, who: Principal | str
) -> bool:
    """End an override; False where the company has none such that holds."""
    ended = await OverrideRepository(session, scope).end(override, clock.now_us())
    if ended:
        subject = f"mapping-override/{override}"
        audit.record(session, scope, who=who, action="mapping-override.end", subject=subject)
    return ended
