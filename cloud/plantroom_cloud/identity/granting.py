"""Nobody gives what it does not have: the checks before a role, a scope or a site is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import ROLES, Principal, granted, unknown
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.kit.problems import Forbidden, InvalidRequest


def check_role(who: Principal, role: str) -> None:
    """Raise Forbidden where a role may more than who gives it, or takes it."""
    check_scopes(who, [role] if role in ROLES else [])


def check_scopes(who: Principal, scopes: Iterable[str]) -> None:
    """Raise Forbidden where scopes allow more than who gives them may; InvalidRequest if unknown."""
    names = list(scopes)
    if strange := unknown(names):
        detail = f"no such scope: {', '.join(strange)[:200]}; GET /v1/roles lists all there are"
        raise _invalid(detail, name="scopes")
    if more := granted(names) - who.permissions:
        msg = f"you cannot give, or take, what you do not have: {', '.join(sorted(more))}"
        raise Forbidden(msg)


async def check_sites(session: AsyncSession, scope: Scope, sites: Sequence[int] | None) -> None:
    """Raise InvalidRequest where a site is none of the company's."""
    if sites and (missing := await IdentityRepository(session, scope).missing_sites(sites)):
        detail = f"there is no site {missing[0]}; GET /v1/sites lists yours"
        raise _invalid(detail, name="sites")


def _invalid(detail: str, *, name: str) -> InvalidRequest:
    found = {"where": "body", "name": name, "detail": detail}
    return InvalidRequest(f"{name}: {detail}", errors=[found])
