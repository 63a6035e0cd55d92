"""Counts and times every request of the API, by the template of its route."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plantroom_cloud.kit import figures

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOWHERE: Final = "none"
"""The route of a path that there is not: paths that strangers make up are no label."""


class Measuring:
    """Counts what comes by, once it is answered; the time is that to the first byte."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note what became of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def watching(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                took = time.perf_counter() - began
                figures.REQUEST_SECONDS.labels(route_of(scope)).observe(took)
            await send(message)

        figures.REQUESTS_UNDER_WAY.inc()
        try:
            await self.app(scope, receive, watching)
        finally:
            figures.REQUESTS_UNDER_WAY.dec()
            method = scope["method"] if scope["method"] in _METHODS else "other"
            # 499: the caller went away, or we had to stop, before there was an answer.
            figures.REQUESTS.labels(method, route_of(scope), str(status or 499)).inc()


def route_of(scope: Scope) -> str:
    """Return the template of the route that took the request: ``/v1/points/{point}``."""
    endpoint = scope.get("endpoint")
    return _templates(scope["app"]).get(endpoint, NOWHERE) if endpoint is not None else NOWHERE


def _templates(app: FastAPI) -> Mapping[Any, str]:
    """Return endpoint → its whole path; a route itself knows only what its own router says."""
    known: Mapping[Any, str] | None = getattr(app.state, "templates", None)
    if known is None:
        known = {
            getattr(route, "endpoint", None): str(getattr(route, "path", NOWHERE))
            for route in iter_route_contexts(app.routes)
        }
        app.state.templates = known
    return known
