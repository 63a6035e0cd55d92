"""The one gate of the API: a request has a company, or it gets a 401."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final, cast

from fastapi import BackgroundTasks, Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from plantroom_cloud.db import ReadSession, Scope
from plantroom_cloud.identity.gate import Gate
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.problems import Forbidden
from plantroom_cloud.kit.session import database
from plantroom_cloud.licensing.middleware import WARNINGS
from plantroom_cloud.licensing.requests import RequestMeter

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="Bearer",
    description="An access token of `/oauth/token`, or your key: `Authorization: Bearer pk_...`",
)
_header = APIKeyHeader(
    name="X-API-Key", auto_error=False, scheme_name="ApiKeyHeader", description="A key."
)
_WHO: Final = "plantroom.who"
"""Key of the ASGI scope under which stands who asks."""


async def _admit(
    request: Request,
    background: BackgroundTasks,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> None:
    gate = cast("Gate", request.app.state.gate)
    who, due = await gate.who(bearer.credentials if bearer else header)
    scope = Scope(who.company_id)
    if due:
        background.add_task(gate.note_use, scope, who.id)
    meter = cast("RequestMeter", request.app.state.requests)
    request.scope[WARNINGS], due = await meter.take(scope)
    if due:
        background.add_task(meter.flush, scope)
    request.scope[_WHO] = who


REQUIRED = Depends(_admit)
"""For a router: no route of it answers without a key."""


# The framework walks the whole tree below a dependency at every place that names it, whether or not
# it has its value already. So who asks is found out once, at the router, and looked up below it:
# every dependency here is a leaf.
def who_asks(request: Request) -> Principal:
    """Return who asks; a KeyError, and so no answer, where no router has let it in."""
    return cast("Principal", request.scope[_WHO])


async def _principal(request: Request) -> Principal:
    return who_asks(request)


CurrentPrincipal = Annotated[Principal, Depends(_principal)]
"""Who asks."""


def scope_of(request: Request) -> Scope:
    """Return whose rows a request may see."""
    who = who_asks(request)
    return Scope(who.company_id, who.sites)


async def _scope(request: Request) -> Scope:
    return scope_of(request)


CurrentScope = Annotated[Scope, Depends(_scope)]
"""Whose rows this request may see: comes from the key and from nowhere else."""


async def _read_session(request: Request) -> AsyncIterator[ReadSession]:
    async with database(request).read(scope_of(request)) as session:
        yield session


# The connection goes back before the answer is sent: a slow reader holds none.
Session = Annotated[ReadSession, Depends(_read_session, scope="function")]
"""One snapshot of the rows of whoever asks, for the whole request."""


async def _company(request: Request) -> Scope:
    return Scope(who_asks(request).company_id)


CompanyScope = Annotated[Scope, Depends(_company)]
"""The same for what lies at no site: one's own sessions, which are of the company as a whole."""


class Permit:
    """A dependency that lets through who has a permission; every route declares one.

    ::

        who: Annotated[Principal, Depends(Permit(Permission.POINT_WRITE))]

    A test walks all routes and fails for one that declares none.

    Args:
        permission: what is asked for.
        confined: whether the route keeps to the sites of whoever is confined to some. Such a one
            is let through nowhere else.
    """

    def __init__(self, permission: Permission, *, confined: bool = False) -> None:
        self.permission, self.confined = permission, confined

    async def __call__(self, request: Request) -> Principal:
        """Return who asks; a 403 where it may not."""
        who = who_asks(request)
        if not who.may(self.permission):
            msg = f"this needs the permission {self.permission}; ask your administrator for it"
            raise Forbidden(msg)
        if who.sites is not None and not self.confined:
            msg = "this is about the whole company, and you are confined to some of its sites"
            raise Forbidden(msg)
        return who
