"""Features switched and licences given, each with its audit record, within a transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.licensing.flags import FLAGS
from plantroom_cloud.licensing.model import Licence, to_json
from plantroom_cloud.licensing.repository import LicenceRepository


async def switch(
    session: AsyncSession,
    scope: Scope,
    name: str,
    enabled: bool | None,
    *,
    now_us: int,
    who: Principal | str,
) -> None:
    """Switch a feature on or off, or (None) leave it to its default; KeyError for an unknown one."""
    flag, repository = FLAGS[name], LicenceRepository(session, scope)
    before = await repository.feature(name)
    if before == enabled:
        return
    if enabled is None:
        await repository.unswitch(name)
    else:
        by = audit.display_name(who)
        await repository.switch(name, enabled=enabled, now_us=now_us, by=by)
    audit.record(
        session,
        scope,
        who=who,
        action="feature.switch",
        subject=f"feature/{name}",
        before={"enabled": flag.default if before is None else before},
        after={"enabled": flag.default if enabled is None else enabled},
    )


async def give(
    session: AsyncSession, scope: Scope, licence: Licence | None, *, now_us: int, who: str
) -> None:
    """Give a company a licence in place of the one it has, or (None) take that away."""
    repository = LicenceRepository(session, scope)
    before = await repository.licence(lock=True)
    if before == licence:
        return
    if licence is None:
        await repository.remove()
    else:
        await repository.put(licence, now_us, audit.display_name(who))
    audit.record(
        session,
        scope,
        who=who,
        action="licence.set" if licence else "licence.remove",
        subject="licence",
        before=_told(before),
        after=_told(licence),
    )


def _told(licence: Licence | None) -> dict[str, Any] | None:
    if licence is None:
        return None
    return {
        "plan": licence.plan,
        "status": licence.status.value,
        "limits": to_json(licence.limits),
        "from_us": licence.from_us,
        "until_us": licence.until_us,
    }
