"""Around every request, as plain ASGI: whoever records an act knows where it comes from."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from plantroom_cloud.audit.origin import Origin, origin
from plantroom_cloud.kit.problems import TRACE_ID
from plantroom_shared.clock import SystemClock


class AuditOrigin:
    """Remembers of every request where it comes from; stands behind `TraceId`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its origin known until it is answered."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        token = origin.set(_of(scope))
        try:
            await self.app(scope, receive, send)
        finally:
            origin.reset(token)


def _of(scope: Scope) -> Origin:
    application: Any = scope.get("app")
    clock = getattr(application.state, "clock", None) if application is not None else None
    client = scope.get("client")
    return Origin(
        request_id=scope.get(TRACE_ID, ""),
        source=str(client[0])[:64] if client else "",
        clock=clock or SystemClock(),
    )
