"""The one gate of the API: a request has a company, or it gets a 401."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import BackgroundTasks, Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from plantroom_cloud.db import Scope
from plantroom_cloud.identity import keys
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.identity.service import KeyService
from plantroom_cloud.kit.problems import Forbidden
from plantroom_cloud.kit.session import Session

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="Your key: `Authorization: Bearer pk_...`"
)
_header = APIKeyHeader(
    name="X-API-Key", auto_error=False, scheme_name="ApiKeyHeader", description="The same key."
)


async def _scope(
    request: Request,
    session: Session,
    background: BackgroundTasks,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> Scope:
    service = cast("KeyService", request.app.state.keys)
    plain = bearer.credentials if bearer else header
    scope, due = await service.scope_of(session, plain)
    if due is not None:
        background.add_task(service.note_use, scope, due)
    return scope


CurrentScope = Annotated[Scope, Depends(_scope)]
"""Whose rows this request may see: comes from the key and from nowhere else."""

REQUIRED = Depends(_scope)
"""For a router: no route of it answers without a key."""


async def _writing_key(
    session: Session,
    scope: CurrentScope,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> str | None:
    plain = (bearer.credentials if bearer else header) or ""
    return await IdentityRepository(session, scope).writer(keys.digest(plain))


WritingKey = Annotated[str | None, Depends(_writing_key)]
"""Name of the request's key if it may change things; for a route of which only a part needs that."""


def needs_write(name: str | None) -> str:
    """Return the name of a key that may change things; Forbidden where it may not."""
    if name is None:
        msg = "this key may only read; `plantroom-cloud key add --write` makes one that may do this"
        raise Forbidden(msg)
    return name


async def _writer(name: WritingKey) -> str:
    return needs_write(name)


Writer = Annotated[str, Depends(_writer)]
"""Name of the request's key, which may change things; a 403 where it may not."""
