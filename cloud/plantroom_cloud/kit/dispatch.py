"""Finds the route of a path at once.

The framework tries one route after the other, and with routers within routers each of them several
times: with some 250 routes that costs more than what most requests ask for. Here routes are looked
up by the first segments of their paths; what that does not find (unknown paths, wrong methods,
WebSockets) the framework answers as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette._utils import get_route_path
from starlette.routing import Match, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

_KNOWN_BY: Final = 2
"""Segments at the beginning of a path that a route is looked up by."""

Place: TypeAlias = tuple[str, ...]
"""The first segments of a path."""


def install(app: FastAPI) -> None:
    """Have the router of `app` look routes up; it knows those that are there at the first request."""
    router = app.router
    router.middleware_stack = Dispatch(router, router.middleware_stack)


class Dispatch:
    """Stands before a router, and hands over to its routes directly.

    Args:
        router: whose routes they are.
        otherwise: what answers where no route is found.
    """

    def __init__(self, router: APIRouter, otherwise: ASGIApp) -> None:
        self._router, self._otherwise = router, otherwise
        self._table: Mapping[Place, Sequence[RouteContext]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on to its route."""
        found = self.find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._otherwise(scope, receive, send)
            return
        route, about = found
        scope.setdefault("router", self._router)
        scope.update(about)
        scope["route"] = route.original_route
        await route.app(scope, receive, send)

    def find(self, scope: Scope) -> tuple[RouteContext, Mapping[str, Any]] | None:
        """Return the first route that takes the path and the method, and what it makes of them."""
        if self._table is None:
            self._table = _table(self._router)
        path = get_route_path(scope)
        for route in self._table.get(_place(path), ()):
            if route.path_regex.match(path):
                match, about = route.matches(scope)
                if match is Match.FULL:
                    return route, about
        return None


def _table(router: APIRouter) -> Mapping[Place, Sequence[RouteContext]]:
    """Return the routes of each place in the order in which the framework tries them."""
    routes = [
        route
        for route in iter_route_contexts(router.routes)
        if not isinstance(route.original_route, WebSocketRoute)
    ]
    places = {_place(route.path or "") for route in routes}
    table = {place: [one for one in routes if _fits(one, place)] for place in places}
    # What is no route of the framework's own (a mount) may match in its own way: it is left to it.
    return {
        place: found
        for place, found in table.items()
        if all(isinstance(route.original_route, APIRoute) for route in found)
    }


def _place(path: str) -> Place:
    return tuple(path.split("/", _KNOWN_BY + 1)[1 : _KNOWN_BY + 1])


def _fits(route: RouteContext, place: Place) -> bool:
    """Say whether paths of `place` may be the route's: a parameter may stand for any segment."""
    own = _place(route.path or "")
    return any("{" in part for part in own) or own == place
