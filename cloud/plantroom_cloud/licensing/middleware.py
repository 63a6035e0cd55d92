"""Tells companies that are near a limit so, with every answer."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WARNINGS: Final = "plantroom.licence"
"""Key of the ASGI scope under which warnings stand."""
HEADER: Final = "Licence-Warning"


class LicenceWarnings:
    """Sets `Licence-Warning` where there is something to warn of."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the warnings on with the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start" and (found := scope.get(WARNINGS)):
                MutableHeaders(scope=message)[HEADER] = ", ".join(found)
            await send(message)

        await self.app(scope, receive, telling)
